#!/usr/bin/env bash
# What strace writes into a file (-o) of a program that is not of its own architecture.
#
# Versions: strace 6.1 of Debian 12 (package 6.1-0.1); 6.13 and 7.2 did the same on 2026-11-29.
#
# Expected: the file has every line that strace prints to a terminal without -o.
# Observed: the line "[ Process PID=… runs in 32 bit mode. ]" is printed to standard error and never to a file. With -o the
# line is absent from both, so that the log does not show which architecture its calls, and the numbers of calls that strace
# has no name for, belong to.
#
# The script needs gcc for x86_64, and apt with the lists of Debian 12. It exits with 0 if everything is as observed, with 1 if
# something has changed, and with 2 if the version is no longer available.
set -euo pipefail

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"

if ! apt-get --quiet=2 download strace=6.1-0.1 libunwind8 2>/dev/null; then
    echo "strace 6.1-0.1 cannot be had any more: this says nothing of the finding" >&2
    exit 2
fi
for package in ./*.deb; do dpkg-deb --extract "$package" root; done
strace() {
    LD_LIBRARY_PATH=root/usr/lib/x86_64-linux-gnu root/usr/bin/strace "$@"
}

cat >program.c <<'PROGRAM'
/* For 32 bits, without a C library: getppid and exit. */
static long call(long number)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(0) : "memory");
    return result;
}
void _start(void)
{
    call(64);
    call(1);
}
PROGRAM
gcc -m32 -O1 -static -nostdlib -ffreestanding -fno-stack-protector -fno-pie -no-pie -o program program.c

strace ./program 2>terminal
strace -o file ./program 2>beside-the-file
for output in terminal file beside-the-file; do
    printf '%s: getppid %s, 32 bit %s\n' "$output" "$(grep -c '^getppid()' "$output")" "$(grep -c '32 bit' "$output")"
done >seen || true

cat >expected <<'OUTPUT'
terminal: getppid 1, 32 bit 1
file: getppid 1, 32 bit 0
beside-the-file: getppid 0, 32 bit 0
OUTPUT

if ! diff expected seen; then
    echo "strace writes something else now" >&2
    exit 1
fi
echo "as it was seen with strace 6.1:"
cat seen
