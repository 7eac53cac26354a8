#!/bin/sh
# Prints the directory that holds Debian's `prometheus` and `promtool`. They are not installed, because the package's
# installation starts a service.
set -eu

root=$("$(dirname "$0")/debian-packages.sh" prometheus prometheus)
printf '%s\n' "$root/usr/bin"
