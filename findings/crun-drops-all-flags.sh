#!/bin/bash
# Which flags crun gives a filter if the kernel refuses one of those that the profile asks for.
#
# Versions: crun 1.8.1 of Debian 12 (package 1.8.1-1+deb12u1), on Linux 6.18. crun 1.21 and 1.28 did the same on 2026-11-29.
#
# Expected: with "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"] and no listener, the kernel
# refuses the second one (EINVAL), and crun starts no container, as it does if the kernel refuses SECCOMP_FILTER_FLAG_TSYNC
# beside a listener; or it leaves out the flag that was refused.
# Observed: crun loads the filter again without any flag and starts the container, without a message. What the profile
# refuses is not logged then, although it asks for it with a flag that the kernel accepts.
#
# The script needs root, gcc, strace, and apt with the lists of Debian 12. Each start ends after 20 seconds at most. It exits
# with 0 if everything is as observed, with 1 if something has changed, and with 2 if the version is no longer available.
set -euo pipefail

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"

if ! apt-get --quiet=2 download crun=1.8.1-1+deb12u1 libyajl2 2>/dev/null; then
    echo "crun 1.8.1-1+deb12u1 cannot be had any more: this says nothing of the finding" >&2
    exit 2
fi
for package in ./*.deb; do dpkg-deb --extract "$package" unpacked; done

mkdir -p root/proc root/dev
cat >program.c <<'PROGRAM'
/* Exits with 42, without a C library. */
void _start(void)
{
    __asm__ volatile("syscall" : : "a"(231L), "D"(42L));
}
PROGRAM
gcc -O1 -static -nostdlib -ffreestanding -fno-stack-protector -o root/program program.c

# The flags of the profile, as a JSON list. Prints those with which crun asks the kernel to load the filter, and the answer.
start() {
    cat >config.json <<CONFIG
{
  "ociVersion": "1.0.2",
  "process": {"user": {"uid": 0, "gid": 0}, "args": ["/program"], "cwd": "/", "noNewPrivileges": true},
  "root": {"path": "root", "readonly": true},
  "mounts": [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}
  ],
  "linux": {
    "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}],
    "cgroupsPath": "/finding-crun-$$",
    "seccomp": {
      "defaultAction": "SCMP_ACT_ALLOW",
      "flags": $1,
      "syscalls": [{"names": ["getpgid"], "action": "SCMP_ACT_ERRNO"}]
    }
  }
}
CONFIG
    code=0
    # crun needs cgroups of version 2 alone. With the namespaces, all that a start leaves behind ends.
    unshare --mount --pid --fork --kill-child --mount-proc sh -c '
        umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"' sh \
        timeout -s KILL 20 env LD_LIBRARY_PATH=unpacked/usr/lib/x86_64-linux-gnu \
        strace --follow-forks --quiet=all --trace=seccomp --output=calls \
        unpacked/usr/bin/crun --root "$directory/state" run --bundle . finding >output 2>&1 || code=$?
    find /sys/fs/cgroup -type d -name "finding-crun-$$" -exec rmdir {} + 2>/dev/null || true
    echo "$1"
    # Without the process id, the program, and what libseccomp asks about (GET_ACTION_AVAIL and probes without a program).
    sed -n 's/^[0-9]* *seccomp(SECCOMP_SET_MODE_FILTER, \([^,]*\), {.*) *= \(.*\)$/  \1: \2/p' calls
    case $code in
    42) echo "  starts: $(wc -c <output) bytes of messages" ;;
    *) echo "  does not start" ;;
    esac
}

for flags in '["SECCOMP_FILTER_FLAG_LOG"]' \
    '["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]'; do
    start "$flags"
done >seen

cat >expected <<'OUTPUT'
["SECCOMP_FILTER_FLAG_LOG"]
  SECCOMP_FILTER_FLAG_LOG: 0
  starts: 0 bytes of messages
["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]
  SECCOMP_FILTER_FLAG_LOG|SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: -1 EINVAL (Invalid argument)
  0: 0
  starts: 0 bytes of messages
OUTPUT

if ! diff expected seen; then
    echo "crun treats flags in another way now; the last message:" >&2
    cat output >&2
    exit 1
fi
echo "as it was seen with crun 1.8.1 (the flags of the profile, those of each attempt, and what came of it):"
cat seen
