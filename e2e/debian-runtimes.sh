#!/bin/sh
# Prints the directory that holds Debian 12's `crun` (in `usr/bin`) and `runc` (in `usr/sbin`), with a library that crun
# needs, unpacked there first if they are missing: beside the local cluster's programs, so that a clean checkout keeps
# them. Unpacked and not installed, because what runs on the machine must not change. The versions are those with which
# the tests' facts were measured.
set -eu

cache=${SECCOMP_E2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/seccomp-profile-e2e}
root=$cache/tools/debian-12-runtimes

packages="crun=1.8.1-1+deb12u1 libyajl2=2.1.0-3+deb12u2 runc=1.1.5+ds1-1+deb12u1"
sums="34bdcf1a097ec34da2e7b77b65fa351134702af775174af22555b16421709c51  crun_1.8.1-1+deb12u1_amd64.deb
b512a6efbe735e7c731185a1b3ea477ff306f0c3f6aa2970e85b12f01fe8063b  libyajl2_2.1.0-3+deb12u2_amd64.deb
a00351f8c0318de0b424ecf5cd0fdb69880a89f3511cae4f6fff7de3e57881c5  runc_1.1.5+ds1-1+deb12u1_amd64.deb"

# Output is for programs.
download() {
    # shellcheck disable=SC2086 # one word a package
    apt-get --quiet download $packages >&2
}

[ -x "$root/usr/bin/crun" ] || {
    mkdir -p "$cache/tools"
    target=$(mktemp -d "$root.XXXXXX")
    trap 'rm -rf "$target"' EXIT
    cd "$target"
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    # The lists of a new machine or image are absent or too old to download from.
    download || { $as_root apt-get --quiet update >&2 && download; }
    printf '%s\n' "$sums" | sha256sum --check --quiet >&2
    for package in ./*.deb; do dpkg-deb --extract "$package" unpacked; done
    # Whoever was faster has put the same there.
    mv --no-target-directory unpacked "$root" 2>/dev/null || [ -x "$root/usr/bin/crun" ]
}
printf '%s\n' "$root"
