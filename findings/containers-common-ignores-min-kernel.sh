#!/usr/bin/env bash
# Whether Podman's and CRI-O's reader of profiles applies a rule only on kernels that its minKernel allows.
#
# Versions: github.com/containers/common 0.50.1 of Debian 12 (golang-github-containers-common-dev 0.50.1+ds1-4). The sources of
# 0.62.2 (Debian 13) and 0.67.1 (as go.podman.io/common) do not have the word either.
#
# Expected: a rule of Docker's format with "includes": {"minKernel": "99.0"} does not apply on a kernel of today, as with
# Docker, which made the format.
# Observed: the field is ignored without an error, so that the rule applies on every kernel.
#
# The script needs Go and the Go module proxy, gcc, libseccomp-dev, and apt with the lists of Debian 12. It exits with 0 if
# everything is as observed, with 1 if something has changed, and with 2 if a version is no longer available.
set -euo pipefail

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"

if ! apt-get --quiet=2 download golang-github-containers-common-dev=0.50.1+ds1-4 2>/dev/null; then
    echo "the package of containers/common 0.50.1 cannot be had any more: this says nothing of the finding" >&2
    exit 2
fi
dpkg-deb --extract ./*.deb root
# One package of the module, as a module of its own, so that what the others need is not fetched.
mkdir -p common/pkg
mv root/usr/share/gocode/src/github.com/containers/common/pkg/seccomp common/pkg/seccomp
rm common/pkg/seccomp/*_test.go
printf 'module github.com/containers/common\n\ngo 1.21\n' >common/go.mod

cat >go.mod <<'MODULE'
module finding

go 1.21

require (
	github.com/containers/common v0.50.1
	github.com/opencontainers/runtime-spec v1.1.0
	github.com/seccomp/libseccomp-golang v0.10.0
	github.com/sirupsen/logrus v1.9.3
	golang.org/x/sys v0.33.0
)

replace github.com/containers/common => ./common
MODULE

cat >main.go <<'PROGRAM'
package main

import (
	"fmt"

	"github.com/containers/common/pkg/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

const profile = `{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
	{"names": ["read"], "action": "SCMP_ACT_ALLOW"},
	{"names": ["write"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}},
	{"names": ["close"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}}
]}`

func main() {
	spec := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{}}}
	loaded, err := seccomp.LoadProfile(profile, spec)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, rule := range loaded.Syscalls {
		fmt.Println(rule.Names, rule.Action)
	}
}
PROGRAM

export GOFLAGS=-mod=mod GOWORK=off CGO_ENABLED=1
go run -tags seccomp . >seen

cat >expected <<'OUTPUT'
[read] SCMP_ACT_ALLOW
[write] SCMP_ACT_ALLOW
OUTPUT

if ! diff expected seen; then
    echo "containers/common applies other rules now" >&2
    exit 1
fi
echo "as it was seen with containers/common 0.50.1 (the rule for write has minKernel 99.0):"
cat seen
