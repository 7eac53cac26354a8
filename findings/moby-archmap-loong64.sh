#!/usr/bin/env bash
# What Docker's reader of profiles makes of an archMap on a machine of the architecture loong64.
#
# Versions: github.com/moby/profiles/seccomp 0.2.4 and 0.3.0. Run under qemu-user-static of Debian 12 on x86_64.
#
# Expected: the architectures of the entry for SCMP_ARCH_LOONGARCH64 are those of the profile, as on other machines.
# Observed: in 0.2.4 the entry has no effect on loong64, and there is no error: the profile lists no architecture. One of its
# two tables has the machine's name as loong64, the other as loongarch64. 0.3.0 is as expected.
#
# The script needs Go and the Go module proxy, and apt with the lists of Debian 12. It exits with 0 if everything is as observed,
# with 1 if something has changed, and with 2 if a version is no longer available.
set -euo pipefail

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"

if ! apt-get --quiet=2 download qemu-user-static 2>/dev/null; then
    echo "qemu-user-static cannot be had any more: this says nothing of the finding" >&2
    exit 2
fi
dpkg-deb --extract ./*.deb root

cat >main.go <<'PROGRAM'
package main

import (
	"fmt"
	"runtime"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

const profile = `{"defaultAction": "SCMP_ACT_ERRNO", "archMap": [
	{"architecture": "SCMP_ARCH_RISCV64", "subArchitectures": null},
	{"architecture": "SCMP_ARCH_LOONGARCH64", "subArchitectures": null}
], "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}`

func main() {
	loaded, err := seccomp.LoadProfile(profile, &specs.Spec{Process: &specs.Process{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(runtime.GOARCH, loaded.Architectures)
}
PROGRAM

export GOFLAGS=-mod=mod GOWORK=off CGO_ENABLED=0
for version in 0.2.4 0.3.0; do
    cat >go.mod <<MODULE
module finding

go 1.23

require github.com/moby/profiles/seccomp v$version
MODULE
    if ! go mod download "github.com/moby/profiles/seccomp@v$version"; then
        echo "moby/profiles/seccomp $version cannot be had any more: this says nothing of the finding" >&2
        exit 2
    fi
    echo "moby/profiles/seccomp $version"
    for machine in riscv64 loong64; do
        GOARCH=$machine go build -o "program-$machine" .
        "root/usr/bin/qemu-${machine/loong64/loongarch64}-static" "./program-$machine"
    done
done >seen

cat >expected <<'OUTPUT'
moby/profiles/seccomp 0.2.4
riscv64 [SCMP_ARCH_RISCV64]
loong64 []
moby/profiles/seccomp 0.3.0
riscv64 [SCMP_ARCH_RISCV64]
loong64 [SCMP_ARCH_LOONGARCH64]
OUTPUT

if ! diff expected seen; then
    echo "the architectures are others now" >&2
    exit 1
fi
echo "as it was seen:"
cat seen
