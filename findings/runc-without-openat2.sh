#!/usr/bin/env bash
# Which calls runc makes, after it has loaded a profile, if the profile denies openat2.
#
# Versions: runc 1.5.2, built with Go 1.26 and libseccomp 2.5.4, on Linux 6.18.
#
# Expected: runc starts a container without openat2, which kernels before 5.6 lack, if it starts one with it.
# Observed: it does, but then it needs fcntl and readlinkat, each of which it does not need otherwise. A profile that denies
# openat2 and one of them fails every start, with an ordinary error.
#
# The script needs root, Go and the Go module proxy, gcc and libseccomp-dev. Each start ends after 20 seconds at most. It exits
# with 0 if everything is as observed, with 1 if something has changed, and with 2 if the version is no longer available.
set -euo pipefail

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"

export GOWORK=off CGO_ENABLED=1
if ! go mod download github.com/opencontainers/runc@v1.5.2; then
    echo "runc 1.5.2 cannot be had any more: this says nothing of the finding" >&2
    exit 2
fi
GOBIN=$directory go install -tags seccomp github.com/opencontainers/runc@v1.5.2

mkdir -p root/proc root/dev
cat >program.c <<'PROGRAM'
/* Exits with 42, without a C library. */
void _start(void)
{
    __asm__ volatile("syscall" : : "a"(231L), "D"(42L));
}
PROGRAM
gcc -O1 -static -nostdlib -ffreestanding -fno-stack-protector -o root/program program.c

# The calls that the profile denies, as a JSON list.
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
    "cgroupsPath": "/finding-runc-$$",
    "seccomp": {
      "defaultAction": "SCMP_ACT_ALLOW",
      "syscalls": [{"names": $1, "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]
    }
  }
}
CONFIG
    code=0
    # With the namespaces, all that a start leaves behind ends.
    unshare --mount --pid --fork --kill-child --mount-proc timeout -s KILL 20 \
        ./runc --root "$directory/state" run --bundle . finding >output 2>&1 || code=$?
    find /sys/fs/cgroup -type d -name "finding-runc-$$" -exec rmdir {} + 2>/dev/null || true
    case $code in
    42) result=starts ;;
    137) result="no answer in time" ;;
    *) result="does not start" ;;
    esac
    echo "$1: $result"
}

for denied in '["getpgid"]' '["openat2"]' '["fcntl"]' '["readlinkat"]' '["openat2", "fcntl"]' '["openat2", "readlinkat"]'; do
    start "$denied"
done >seen

cat >expected <<'OUTPUT'
["getpgid"]: starts
["openat2"]: starts
["fcntl"]: starts
["readlinkat"]: starts
["openat2", "fcntl"]: does not start
["openat2", "readlinkat"]: does not start
OUTPUT

if ! diff expected seen; then
    echo "runc needs other calls now; the last message:" >&2
    cat output >&2
    exit 1
fi
echo "as it was seen with runc 1.5.2 (the calls that the profile denies):"
cat seen
