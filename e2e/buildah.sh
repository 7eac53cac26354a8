#!/bin/sh
# Prints the directory that holds Debian's `buildah`, which builds a Dockerfile without a daemon, with the libraries that it
# needs. It is not installed, because its dependencies bring setuid programs.
set -eu

exec "$(dirname "$0")/debian-packages.sh" buildah \
    buildah golang-github-containers-common libassuan0 libdevmapper1.02.1 libgpg-error0 libgpgme11 libseccomp2
