#!/bin/sh
# Prints the directory that holds servers of `make bench-derive` and all that they load:
#
#     derive-servers.sh [six | postgresql | etcd | dufs]
#
# The first two are from Debian's packages of the machine's own release, which is Debian 12; what only their installation
# needs is left out. etcd is built from its Go module and dufs from its crate, beside glibc of Debian. The file
# `debian-packages` in the directory lists all versions.
set -eu

here=$(dirname "$0")
packages=$here/debian-packages.sh
# A program that is built by a function, in a directory of its own beside what a program of glibc needs.
built() {
    name=$1 version=$2
    base=$("$packages" derive-glibc libc6 libgcc-s1)
    root=$(dirname "$base")/derive-$name-$version
    [ -d "$root" ] || {
        target=$(mktemp -d "$root.XXXXXX")
        trap 'rm -rf "$target"' EXIT
        cp -a "$base" "$target/unpacked"
        mkdir -p "$target/unpacked/usr/bin" "$target/work"
        (cd "$target/work" && "build_$name" "$version" "$target/unpacked/usr/bin") >&2
        printf '%s\t%s\n' "$name" "$version" >>"$target/unpacked/debian-packages"
        # Whoever was faster has put the same there.
        mv --no-target-directory "$target/unpacked" "$root" 2>/dev/null || [ -d "$root" ]
    }
    printf '%s\n' "$root"
}

build_etcd() {
    printf 'module etcd\n\ngo 1.26.0\n\nrequire go.etcd.io/etcd/server/v3 v%s\n' "$1" >go.mod
    CGO_ENABLED=0 GOWORK=off GOFLAGS='-mod=mod -buildvcs=false' go build -trimpath -gcflags=all=-dwarf=false \
        -ldflags='-s -w' -o "$2/etcd" go.etcd.io/etcd/server/v3
}

build_dufs() {
    CARGO_TARGET_DIR=$PWD/target cargo install --quiet --locked --root "$PWD/installed" "dufs@$1"
    cp installed/bin/dufs "$2"
}

case ${1-six} in
six)
    # A cache of names that the servers ask, programs, then libraries.
    exec "$packages" derive-servers-with-nscd \
        nscd nginx nginx-common redis-server redis-tools memcached lighttpd haproxy sqlite3 \
        libatomic1 libaudit1 libbz2-1.0 libc6 libcap-ng0 libcap2 libcrypt1 libdb5.3 libevent-2.1-7 libgcc-s1 libgcrypt20 \
        libgpg-error0 libjemalloc2 liblua5.1-0 liblua5.3-0 liblz4-1 liblzf1 liblzma5 libnettle8 \
        libopentracing-c-wrapper0 libopentracing1 libpcre2-8-0 libreadline8 libsasl2-2 libselinux1 libsqlite3-0 libssl3 \
        libstdc++6 libsystemd0 libtinfo6 libxxhash0 libzstd1 zlib1g
    ;;
postgresql)
    exec "$packages" derive-postgresql \
        nscd dash coreutils postgresql-15 postgresql-client-15 tzdata \
        libacl1 libattr1 libaudit1 libbsd0 libc-bin libc6 libcap-ng0 libcap2 libcom-err2 libcrypt1 libedit2 libffi8 \
        libgcc-s1 libgcrypt20 libgmp10 libgnutls30 libgpg-error0 libgssapi-krb5-2 libhogweed6 libicu72 libidn2-0 \
        libk5crypto3 libkeyutils1 libkrb5-3 libkrb5support0 libldap-2.5-0 libllvm14 liblz4-1 liblzma5 libmd0 libnettle8 \
        libp11-kit0 libpam0g libpcre2-8-0 libpq5 libreadline8 libsasl2-2 libselinux1 libssl3 libstdc++6 libsystemd0 \
        libtasn1-6 libtinfo6 libunistring2 libuuid1 libxml2 libxslt1.1 libz3-4 libzstd1 zlib1g
    ;;
etcd) built etcd 3.7.3 ;;
dufs) built dufs 0.47.0 ;;
*)
    echo "$0: no servers are called '$1'; there are six, postgresql, etcd and dufs" >&2
    exit 1
    ;;
esac
