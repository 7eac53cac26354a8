#!/bin/sh
# Prints where a tool of the build is, installed first if it is missing, in exactly the version asked for:
# `tools.sh cargo-deny 0.20.2`. What follows goes to `cargo install`, as `--no-default-features` does. Tools are beside
# the local cluster's programs, so that a clean checkout keeps them.
set -eu

name=$1 version=$2
shift 2
cache=${SECCOMP_E2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/seccomp-profile-e2e}
root=$cache/tools/$name-$version
# A crate that is a library as well has its program in a crate of this name.
program=${name%-cli}
# Output is for programs; what is compiled is not kept.
[ -x "$root/bin/$program" ] || {
    target=$(mktemp -d)
    trap 'rm -rf "$target"' EXIT
    CARGO_TARGET_DIR=$target "${CARGO:-cargo}" install "$name" --version "$version" --locked --quiet --root "$root" "$@" >&2
}
printf '%s\n' "$root/bin/$program"
