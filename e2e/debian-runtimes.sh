#!/bin/sh
# Prints the directory that holds the runtimes of a Debian suite, with the libraries that they need there:
# `debian-runtimes.sh trixie`; without an argument, those of Debian 12 (bookworm). Their versions are those with which
# the tests' facts were measured. Exits with 2 if a version is no longer available, as happens in sid after some weeks.
set -eu

packages=$(dirname "$0")/debian-packages.sh
case ${1:-bookworm} in
bookworm)
    SHA256="34bdcf1a097ec34da2e7b77b65fa351134702af775174af22555b16421709c51  crun_1.8.1-1+deb12u1_amd64.deb
b512a6efbe735e7c731185a1b3ea477ff306f0c3f6aa2970e85b12f01fe8063b  libyajl2_2.1.0-3+deb12u2_amd64.deb
a00351f8c0318de0b424ecf5cd0fdb69880a89f3511cae4f6fff7de3e57881c5  runc_1.1.5+ds1-1+deb12u1_amd64.deb" \
        exec "$packages" debian-12-runtimes \
        crun=1.8.1-1+deb12u1 libyajl2=2.1.0-3+deb12u2 runc=1.1.5+ds1-1+deb12u1
    ;;
# The libraries below are all that crun needs, of their suite's newest version, but for libseccomp.
trixie)
    SUITE=trixie exec "$packages" debian-13-crun \
        crun=1.21-1 libseccomp2=2.6.0-2 libc6 libcap2 libsystemd0 libyajl2
    ;;
sid)
    SUITE=sid exec "$packages" debian-sid-crun \
        crun=1.28-1 libseccomp2=2.6.1-1+b2 libblake3-0 libc6 libcap2 libjson-c5 libsystemd0
    ;;
esac
echo "no such suite: $1" >&2
exit 1
