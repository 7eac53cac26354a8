#!/bin/sh
# Prints the directory that holds Debian's `prometheus` and `promtool`, unpacked there first if they are missing: beside
# the local cluster's programs, so that a clean checkout keeps them. Unpacked and not installed, because the package's
# installation starts a service. apt verifies what it downloads.
set -eu

cache=${SECCOMP_E2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/seccomp-profile-e2e}
root=$cache/tools/prometheus

# Output is for programs.
download() {
    apt-get --quiet download prometheus >&2
}

[ -x "$root/usr/bin/promtool" ] || {
    mkdir -p "$cache/tools"
    target=$(mktemp -d "$root.XXXXXX")
    trap 'rm -rf "$target"' EXIT
    cd "$target"
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    # The lists of a new machine or image are absent or too old to download from.
    download || { $as_root apt-get --quiet update >&2 && download; }
    dpkg-deb --extract prometheus_*.deb unpacked
    # Whoever was faster has put the same there.
    mv --no-target-directory unpacked "$root" 2>/dev/null || [ -x "$root/usr/bin/promtool" ]
}
printf '%s\n' "$root/usr/bin"
