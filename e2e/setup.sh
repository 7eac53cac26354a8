#!/bin/sh
# Installs the Debian packages that the local cluster, the build of its programs, the fuzzing (g++) and tests (strace) need, as far as
# they are missing, and those that it is called with. `cargo run -p e2e -- doctor` says what else is missing.
set -eu

packages="busybox-static e2fsprogs g++ gcc iproute2 libseccomp-dev make nftables openssl pkg-config strace"

missing=
for package in $packages "$@"; do
    dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
        missing="$missing $package"
done
[ -n "$missing" ] || exit 0

# Standard output belongs to commands whose lines a shell evaluates.
exec >&2

as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
# The lists of a new machine or image are absent or too old to install from.
$as_root apt-get update
# shellcheck disable=SC2086 # one word a package
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $missing
