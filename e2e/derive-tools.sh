#!/bin/sh
# Prints the directory that holds the tools of the test that starts derived programs many times, and all that they load,
# from Debian's packages of the machine's own release, which is Debian 12. Its file `debian-packages` lists the versions.
set -eu

# Programs, then libraries.
exec "$(dirname "$0")/debian-packages.sh" derive-tools \
    busybox coreutils curl git openssl \
    libacl1 libattr1 libbrotli1 libc6 libcom-err2 libcurl3-gnutls libcurl4 libexpat1 libffi8 libgcc-s1 libgmp10 libgnutls30 \
    libgssapi-krb5-2 libhogweed6 libidn2-0 libk5crypto3 libkeyutils1 libkrb5-3 libkrb5support0 libldap-2.5-0 libnettle8 \
    libnghttp2-14 libp11-kit0 libpcre2-8-0 libpsl5 librtmp1 libsasl2-2 libselinux1 libssh2-1 libssl3 libtasn1-6 \
    libunistring2 libzstd1 zlib1g
