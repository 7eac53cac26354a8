#!/bin/sh
# Prints the directory that holds the servers of `make bench-derive` and all that they load, from Debian's packages of
# the machine's own release, which is Debian 12. Its file `debian-packages` lists the versions.
set -eu

# A cache of names that the servers ask, programs, then libraries. What only their installation needs is left out.
exec "$(dirname "$0")/debian-packages.sh" derive-servers-with-nscd \
    nscd nginx nginx-common redis-server redis-tools memcached lighttpd haproxy sqlite3 \
    libatomic1 libaudit1 libbz2-1.0 libc6 libcap-ng0 libcap2 libcrypt1 libdb5.3 libevent-2.1-7 libgcc-s1 libgcrypt20 \
    libgpg-error0 libjemalloc2 liblua5.1-0 liblua5.3-0 liblz4-1 liblzf1 liblzma5 libnettle8 libopentracing-c-wrapper0 \
    libopentracing1 libpcre2-8-0 libreadline8 libsasl2-2 libselinux1 libsqlite3-0 libssl3 libstdc++6 libsystemd0 \
    libtinfo6 libxxhash0 libzstd1 zlib1g
