#!/usr/bin/env bash
# Which runc accepts a profile that lists the architecture SCMP_ARCH_RISCV64.
#
# Versions: runc 1.1.5 (that of Debian 12) and 1.1.14.
#
# Expected: an architecture of the OCI runtime specification is accepted, and has no effect on other machines. The
# specification has this one since release 1.0.2 of 2020, and libseccomp since 2.5.0; runc 1.1.5 is of 2023.
# Observed: runc 1.1.5 refuses the whole profile, so that no container starts with it, on any machine. runc 1.1.14 accepts it.
#
# The script needs Go and the Go module proxy. It exits with 0 if everything is as observed, with 1 if something has changed,
# and with 2 if a version is no longer available.
set -euo pipefail

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"

cat >main.go <<'PROGRAM'
package main

import (
	"fmt"

	"github.com/opencontainers/runc/libcontainer/seccomp"
)

func main() {
	for _, name := range []string{"SCMP_ARCH_AARCH64", "SCMP_ARCH_RISCV64"} {
		found, err := seccomp.ConvertStringToArch(name)
		fmt.Printf("%s: %q %v\n", name, found, err)
	}
}
PROGRAM

export GOFLAGS=-mod=mod GOWORK=off CGO_ENABLED=0
for version in 1.1.5 1.1.14; do
    cat >go.mod <<MODULE
module finding

go 1.21

require github.com/opencontainers/runc v$version
MODULE
    if ! go mod download "github.com/opencontainers/runc@v$version"; then
        echo "runc $version cannot be had any more: this says nothing of the finding" >&2
        exit 2
    fi
    echo "runc $version"
    go run .
done >seen

cat >expected <<'OUTPUT'
runc 1.1.5
SCMP_ARCH_AARCH64: "arm64" <nil>
SCMP_ARCH_RISCV64: "" string SCMP_ARCH_RISCV64 is not a valid arch for seccomp
runc 1.1.14
SCMP_ARCH_AARCH64: "arm64" <nil>
SCMP_ARCH_RISCV64: "riscv64" <nil>
OUTPUT

if ! diff expected seen; then
    echo "runc decides otherwise now" >&2
    exit 1
fi
echo "as it was seen:"
cat seen
