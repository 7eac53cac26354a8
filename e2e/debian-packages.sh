#!/bin/sh
# Prints the directory that holds some Debian packages, unpacked there first if it is missing:
#
#     [SUITE=sid] [SHA256="SUM  FILE…"] debian-packages.sh NAME PACKAGE[=VERSION]…
#
# The directory has this name beside the local cluster's programs, so that a clean checkout keeps it. The packages are
# unpacked and not installed, because what runs on the machine must not change. Without SUITE they are those of the
# machine's own release. The file `debian-packages` in the directory lists their names and versions. apt verifies what it downloads; SHA256 also pins the files.
# Exits with 2 if a version is no longer available.
set -eu

name=$1
shift
cache=${SECCOMP_E2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/seccomp-profile-e2e}
root=$cache/tools/$name
[ -d "$root" ] || {
    mkdir -p "$cache/tools"
    target=$(mktemp -d "$root.XXXXXX")
    trap 'rm -rf "$target"' EXIT
    cd "$target"
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    if [ -n "${SUITE-}" ]; then
        # Lists of their own, so that the machine's stay as they are.
        as_root=
        mkdir -p state/lists/partial cache/archives/partial
        keys=/usr/share/keyrings/debian-archive-keyring.gpg
        echo "deb [arch=amd64 signed-by=$keys] http://deb.debian.org/debian $SUITE main" >sources.list
        cat >apt.conf <<CONF
Dir::Etc::sourcelist "$target/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State "$target/state";
Dir::State::status "/dev/null";
Dir::Cache "$target/cache";
APT::Architecture "amd64";
APT::Sandbox::User "root";
CONF
        export APT_CONFIG="$target/apt.conf"
    fi
    # Standard output is for programs.
    download() {
        apt-get --quiet download "$@" >&2
    }
    # The lists of a new machine or image are absent or too old to download from.
    [ -z "${SUITE-}" ] && download "$@" || {
        $as_root apt-get --quiet update >&2
        download "$@" || exit 2
    }
    [ -z "${SHA256-}" ] || printf '%s\n' "$SHA256" | sha256sum --check --quiet >&2
    for package in ./*.deb; do
        dpkg-deb --extract "$package" unpacked
        dpkg-deb --show "$package" >>unpacked/debian-packages
    done
    # Whoever was faster has put the same there.
    mv --no-target-directory unpacked "$root" 2>/dev/null || [ -d "$root" ]
}
printf '%s\n' "$root"
