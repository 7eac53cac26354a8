#!/bin/sh
# Measures angr's CFGFast beside `derive`, over the same files: each server of `make bench-derive` with all the files that
# `derive` loads for it, without plugins. Prints a line a server: seconds and processor seconds of both, and how many times
# the processor seconds of `derive` CFGFast takes. Servers can be named as arguments by their paths.
#
# Of angr only CFGFast itself counts: neither the start of Python nor the loading of the files. Of `derive` all counts from
# the files to the calls with their evidence. angr is installed from PyPI into a directory that is removed afterwards.
# LIMIT is the processor seconds that CFGFast may take, and MEMORY the bytes. If it has not finished within LIMIT, the line says
# so, and has what was spent until then, so that the last figure is a lower bound.
set -eu

ANGR=9.2.213
# The newest versions that angr permits of these, bitstring 5.0.0 and pycparser 3.12, lack what it uses.
DEPENDENCIES="bitstring==4.3.1 pycparser==3.0"
LIMIT=${LIMIT:-1200}
MEMORY=${MEMORY:-17179869184}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$("$here/../../../../e2e/derive-servers.sh")
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "angr==$ANGR" $DEPENDENCIES >&2
[ $# -gt 0 ] || set -- /usr/bin/sqlite3 /usr/sbin/lighttpd /usr/bin/memcached /usr/bin/redis-server /usr/sbin/haproxy /usr/sbin/nginx

derive() {
    "${CARGO:-cargo}" bench --locked --quiet --profile bench-fast --package derive --bench servers -- \
        --derive "$root" "$1" >"$work/derived"
    if grep -q '^refused ' "$work/derived"; then
        cat "$work/derived" >&2
        exit 1
    fi
}
of() {
    awk -v name="$1" '$1 == name { printf "%.2f", $2 }' "$work/derived"
}

printf 'angr %s, Python %s\n' "$ANGR" "$("$work/venv/bin/python" -c 'import platform; print(platform.python_version())')"
printf 'program\tfiles\tderive, s\tderive, processor s\tCFGFast\tCFGFast, s\tCFGFast, processor s\tCFGFast, peak MiB\tfunctions\ttimes\n'
for program; do
    derive "$program"
    set -f
    objects=$(awk '$1 == "object" { print $2 }' "$work/derived")
    # The derivation runs before and after CFGFast, and its mean counts: the machine may be slower in between.
    first=$(of processor) first_wall=$(of seconds)
    prlimit --as="$MEMORY" "$work/venv/bin/python" "$here/cfgfast.py" "$LIMIT" "$root" "$program" $objects >"$work/graph"
    graph=$(awk '$1 == "finished" || $1 == "unfinished" { print $1 "\t" $2 "\t" $3 "\t" $4 "\t" $5 }' "$work/graph")
    set +f
    derive "$program"
    printf '%s\t%s\t%s\t%s\t%s\n' "$program" "$(echo "$objects" | wc -l)" "$first_wall $(of seconds)" "$first $(of processor)" "$graph" |
        awk -F'\t' -v OFS='\t' '{
            split($3, wall, " "); split($4, own, " ")
            mean = (own[1] + own[2]) / 2
            print $1, $2, sprintf("%.2f", (wall[1] + wall[2]) / 2), sprintf("%.2f", mean), $5, $6, $7, $8, $9, ($5 == "unfinished" ? "> " : "") sprintf("%.0f", $7 / mean)
        }'
done
