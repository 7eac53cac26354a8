#!/bin/sh
# Writes linux.tsv, arguments.tsv, parameters.tsv, libseccomp.tsv, libseccomp-numbers.tsv and releases.tsv anew, from Debian's newest packages. Run it
# by hand, then `make generate`; no test runs it, because Debian keeps a version only until the next one. Nothing is
# installed: packages are downloaded and unpacked into a temporary directory.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export LC_ALL=C

# apt with the lists of the suites that are needed here, whichever the machine itself uses.
mkdir -p apt/state/lists/partial apt/cache/archives/partial
mirror=http://deb.debian.org/debian
keys=/usr/share/keyrings/debian-archive-keyring.gpg
for suite in sid trixie bookworm; do
    echo "deb [arch=amd64 signed-by=$keys] $mirror $suite main"
    echo "deb-src [signed-by=$keys] $mirror $suite main"
done > apt/sources.list
cat > apt/apt.conf <<CONF
Dir::Etc::sourcelist "$work/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State "$work/apt/state";
Dir::State::status "/dev/null";
Dir::Cache "$work/apt/cache";
APT::Architecture "amd64";
APT::Sandbox::User "root";
CONF
export APT_CONFIG="$work/apt/apt.conf"
apt-get --quiet update >&2

# unpack SUITE PACKAGE: into ./PACKAGE.SUITE; prints the version.
unpack() {
    mkdir "$2.$1.deb"
    (cd "$2.$1.deb" && apt-get --quiet download "$2/$1" >&2)
    dpkg-deb --extract "$2.$1.deb"/*.deb "$2.$1"
    dpkg-deb --field "$2.$1.deb"/*.deb Version
}

# The numbers. One package has the headers of all architectures.
headers=$(unpack sid linux-libc-dev)
uapi=linux-libc-dev.sid/usr/lib/linux/uapi
# numbers FILE BASE: names and numbers; the parentheses add the architecture's base.
numbers() {
    sed -nE 's/^#define __NR_([a-z0-9_]+) (\(__[A-Z0-9_]+ \+ )?([0-9]+)\)?$/\1 \3/p' "$uapi/$1" |
        while read -r name number; do printf '%s\t%d\n' "$name" $((number + $2)); done
}
numbers x86/asm/unistd_64.h 0 > x86_64
numbers x86/asm/unistd_32.h 0 > i386
numbers x86/asm/unistd_x32.h 0x40000000 > x32
numbers arm64/asm/unistd_64.h 0 > aarch64
{
    numbers arm/asm/unistd-eabi.h 0
    # ARM's private calls.
    sed -nE 's/^#define __ARM_NR_([a-z0-9_]+)[[:space:]]+\(__ARM_NR_BASE\+([0-9]+)\)$/\1 \2/p' "$uapi/arm/asm/unistd.h" |
        while read -r name number; do printf '%s\t%d\n' "$name" $((number + 0x0f0000)); done
} > arm
numbers riscv/asm/unistd_64.h 0 > riscv64
numbers s390/asm/unistd_64.h 0 > s390x
numbers powerpc/asm/unistd_64.h 0 > ppc64le
numbers loongarch/asm/unistd_64.h 0 > loongarch64
architectures='x86_64 i386 x32 aarch64 arm riscv64 s390x ppc64le loongarch64'

# table KEY-FILES…: a row for each key in any of them, and a column for each file with its value.
table() {
    awk -F '\t' '
        FNR == 1 { files++ }
        { keys[$1]; value[$1, files] = $2 }
        END { for (key in keys) {
            row = key
            for (i = 1; i <= files; i++) row = row "\t" ((key, i) in value ? value[key, i] : "-")
            print row
        } }' "$@" | sort
}
{
    echo "# Numbers of the system calls in the headers of Debian's package linux-libc-dev $headers (Linux ${headers%-*})."
    printf '# name'; printf '\t%s' $architectures; printf '\n'
    # shellcheck disable=SC2086
    table $architectures
} > "$here/linux.tsv"

# The arguments: the function of each number of x86_64, and the C declaration of the function.
kernel=$(apt-cache search '^linux-headers-[0-9.]+\+[a-z0-9]+-amd64$' | cut -d' ' -f1 | grep "^linux-headers-${headers%-*}+")
built=$(unpack sid "$kernel")
common=$(unpack sid "${kernel%-amd64}-common")
[ "$built $common" = "$headers $headers" ] || { echo "other headers: $built, $common" >&2; exit 1; }
sed -nE 's/^__SYSCALL\(([0-9]+), sys_([a-z0-9_]+)\)$/\1\t\2/p' \
    "$kernel.sid/usr/src/$kernel/arch/x86/include/generated/asm/syscalls_64.h" |
    grep -v ni_syscall > functions # a call that is not there (any more)
# Without the files that it includes, and without any option of the kernel, as on x86_64: a declaration a line.
grep -v '^#include' "${kernel%-amd64}-common.sid/usr/src/${kernel%-amd64}-common/include/linux/syscalls.h" |
    cc -E -P - | tr '\n' ' ' | tr ';' '\n' |
    sed -nE 's/.*asmlinkage long sys_([a-z0-9_]+) *\((.*)\) *$/\1\t\2/p' > declarations
{
    echo "# The types of the arguments on x86_64: include/linux/syscalls.h and the table of functions in Debian's packages"
    echo "# linux-headers $headers. * is a pointer; a call without arguments has no type; what is declared elsewhere"
    echo "# is in arguments-other.tsv."
    printf '# name\ttypes\n'
    awk -F '\t' '
        FILENAME == "x86_64" { name[$2] = $1; next }
        FILENAME == "functions" { if ($1 in name) called[$2] = called[$2] " " name[$1]; next }
        $1 in called {
            count = split($2, arguments, ",")
            types = ""
            for (i = 1; i <= count; i++) {
                words = split(arguments[i], word, " ")
                type = word[1]
                # The last word is the name of the argument, if there is one.
                if (words > 1 && word[words] !~ /^(int|long|unsigned)$/) words--
                for (j = 2; j <= words; j++) type = type " " word[j]
                if (arguments[i] ~ /[*[]/) type = "*"
                if (type != "void") types = types "\t" type
            }
            names = split(called[$1], row, " ")
            for (i = 1; i <= names; i++) print row[i] types
        }' x86_64 functions declarations | sort -u
} > "$here/arguments.tsv"

# What each libseccomp knows, asked of the real libraries.
cc -O1 -Wall -Wextra -Werror -o ask "$here/libseccomp.c" -ldl
library() { ls "$1"/usr/lib/x86_64-linux-gnu/libseccomp.so.2.*; }
debian254=$(unpack bookworm libseccomp2)
debian260=$(unpack trixie libseccomp2)
debian261=$(unpack sid libseccomp2)
case "$debian254 $debian260 $debian261" in
    2.5.4-*\ 2.6.0-*\ 2.6.1-*) ;;
    *) echo "other versions than the columns: $debian254, $debian260, $debian261" >&2; exit 1 ;;
esac
./ask "$(library libseccomp2.bookworm)" > debian-2.5.4
./ask "$(library libseccomp2.trixie)" > 2.6.0
./ask "$(library libseccomp2.sid)" > 2.6.1
# Upstream's 2.5.4: Debian's source without its patches. Its configure wants gperf.
unpack bookworm gperf >&2
PATH=$PATH:$work/gperf.bookworm/usr/bin
apt-get --quiet source --download-only "libseccomp=$debian254" >&2
tar -xzf libseccomp_2.5.4.orig.tar.gz
(cd libseccomp-2.5.4 && ./configure --quiet && make --silent -C src libseccomp.la) >&2
./ask libseccomp-2.5.4/src/.libs/libseccomp.so.2 > 2.5.4
libraries='2.5.4 debian-2.5.4 2.6.0 2.6.1'
for library in $libraries; do cut -f1 "$library" | sed 's/$/\ty/' > "$library.names"; done
{
    echo "# Names that each libseccomp knows: asked of upstream's 2.5.4 (built from Debian's source without its patches),"
    echo "# and of Debian's $debian254, $debian260 and $debian261."
    echo "# Not measured, because no registry reached here has them: 2.5.0 to 2.5.3, 2.5.5, 2.5.6."
    printf '# name'; printf '\t%s' $libraries; printf '\n'
    table 2.5.4.names debian-2.5.4.names 2.6.0.names 2.6.1.names
} > "$here/libseccomp.tsv"
{
    echo "# Where a libseccomp of libseccomp.tsv knows a name of linux.tsv, and this architecture's number differs: - if it"
    echo "# treats the call as absent. Not listed are calls that it resolves to its own numbers for multiplexers (-101 to"
    echo "# -224: socketcall, ipc), and 2.5.4 on loongarch64, which it does not know at all."
    printf '# libseccomp\tarchitecture\tname\tits number\tin the headers\n'
    for library in $libraries; do
        awk -F '\t' -v library="$library" -v list="$architectures" '
            BEGIN { split(list, architecture, " ") }
            /^#/ { next }
            NR == FNR { for (i = 2; i <= NF; i++) real[$1, i] = $i; next }
            { for (i = 2; i <= NF; i++) if (($1, i) in real) {
                number = real[$1, i]
                its = $i <= -10000 ? "-" : $i
                multiplexed = its <= -100 && its >= -300
                if (its != number && its != -1 && !multiplexed)
                    print library "\t" architecture[i - 1] "\t" $1 "\t" its "\t" number
            } }' "$here/linux.tsv" "$library"
    done
} > "$here/libseccomp-numbers.tsv"

# The releases, from the table in syscalls(2), and from releases-later.tsv for what that does not have.
manual=$(unpack sid manpages-dev)
zcat manpages-dev.sid/usr/share/man/man2/syscalls.2.gz | awk -F '\t' '
    /^System call\tKernel/ { table = 1; next }
    /^\.TE/ { table = 0 }
    !table || /^\.\\"/ { next }
    # A name in a cell of its own: T{, .BR name (2), T} and the release.
    $0 == "T{" { cell = 1; next }
    cell && /^\.BR / { split($0, words, " "); name = words[2]; next }
    cell && /^T}\t/ { if (name) print name "\t" $2; name = ""; cell = 0; next }
    /^\\f\[B\]/ { name = $1; sub(/^\\f\[B\]/, "", name); sub(/\\f\[\].*/, "", name); print name "\t" $2; name = "" }
' | sed 's/;.*//' | awk -F '\t' '$2 ~ /^[0-9.]+$/' | sort -u > releases
{
    echo "# The release of Linux in which each call appeared: syscalls(2) in Debian's package manpages-dev $manual, the first"
    echo "# release that it names. What it does not have is in releases-later.tsv, or not known."
    printf '# name\trelease\n'
    cut -f1 "$here/linux.tsv" | grep -v '^#' | sort | join -t "$(printf '\t')" - releases
} > "$here/releases.tsv"

# The names of the arguments. The page of the same name counts, or else the pages that agree.
for page in manpages-dev.sid/usr/share/man/man2/*.2.gz; do
    of=${page##*/}
    zcat "$page" | awk -v page="${of%.2.gz}" -f "$here/synopsis.awk"
done | sort -u > synopses
{
    echo "# The names of the arguments of each call: the synopses in section 2 of Debian's package manpages-dev $manual, where they"
    echo "# have as many arguments as arguments.tsv. Arguments that only some calls have, and those after them, have no name."
    echo "# clone is from the section of its page about the kernel's own order of the arguments."
    printf '# name\tnames of arguments\n'
    awk -F '\t' '
        /^#/ { next }
        FILENAME ~ /linux.tsv$/ { call[$1]; next }
        FILENAME ~ /arguments.tsv$/ { count[$1] = NF - 1; next }
        !($2 in call) || $2 == "clone" || own[$2] && $1 != $2 { next }
        {
            names = ""
            for (i = 3; i <= NF && $i != "..."; i++) names = names "\t" $i
            named = i - 3
            all = NF - 2 - (named < NF - 2)
            if (named == 0 || $2 in count && all != count[$2] && !(named < NF - 2 && named < count[$2])) next
            # All of them are named if only the last ones are optional.
            if (named < NF - 2 && all == count[$2]) for (i++; i <= NF; i++) names = names "\t" $i
            if ($1 == $2 && !own[$2]) { own[$2] = 1; delete found[$2] }
            if ($2 in found && found[$2] != names) clash[$2]
            found[$2] = names
        }
        END {
            for (name in found) if (!(name in clash)) print name found[name]
            print "clone\tflags\tstack\tparent_tid\tchild_tid\ttls"
        }' "$here/linux.tsv" "$here/arguments.tsv" synopses | sort
} > "$here/parameters.tsv"
