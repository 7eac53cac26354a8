#!/bin/sh
# Writes constants.tsv: the names that strace prints for numbers that are the same on all architectures with a table in the
# crate `syscalls`. Needs gcc, and the Debian packages libc6-dev and linux-libc-dev; run it in this folder.
set -eu
export LC_ALL=C
versions=$(dpkg-query -W -f '${Package} ${Version}, ' libc6-dev linux-libc-dev | sed 's/, $//')
headers='#define _GNU_SOURCE
#include <sys/socket.h>
#include <netinet/in.h>
#include <signal.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/prctl.h>
#include <linux/personality.h>'
names() {
    # Macros, and the constants of enumerations.
    { printf '%s\n' "$headers" | gcc -E -dM - | sed -n 's/^#define \([A-Z][A-Z0-9_]*\) .*/\1/p'
      printf '%s\n' "$headers" | gcc -E -P - | grep -o '\b[A-Z][A-Z0-9_]* *=' | tr -d ' ='
    } | grep -E '^(AF|SOCK|IPPROTO|NETLINK|CLONE|PR|PER|SIG)_?[A-Z0-9_]+$|^(ADDR_NO_RANDOMIZE|FDPIC_FUNCPTRS|MMAP_PAGE_ZERO|ADDR_COMPAT_LAYOUT|READ_IMPLIES_EXEC|ADDR_LIMIT_32BIT|SHORT_INODE|WHOLE_SECONDS|STICKY_TIMEOUTS|ADDR_LIMIT_3GB|UNAME26|AT_FDCWD)$' \
      | grep -vE '^(SIG_|SIGEV|SIGSTKSZ|SIGRTM|PR_.*_OFFSET|NETLINK_[A-Z_]*(MEMBERSHIP|PKTINFO|ERROR|ENOBUFS|RING|LISTEN_ALL_NSID|ACK|CHK)|SIGSTKSZ)|_MAX$|CLONE_ARGS' | sort -u
}
{
    printf '%s\n%s\n' "$headers" '#include <stdio.h>' 'int main(void) {'
    names | while read -r name; do printf 'printf("%%s\\t%%lld\\n", "%s", (long long)(%s));\n' "$name" "$name"; done
    echo '}'
} >constants.c
gcc -w -o constants constants.c
{ printf '# The names that strace prints for some numbers, from %s, by refresh.sh.\n' "$versions"; ./constants; } >constants.tsv
rm constants constants.c
