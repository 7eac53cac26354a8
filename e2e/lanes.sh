#!/usr/bin/env bash
# Runs several lines of `make` targets side by side: `lanes.sh "lint chart" "test-cluster"`. A test of the cluster waits
# most of the time, in which the others compile. A lane that begins with `~` has the lowest priority.
#
# A lane's output is printed in one piece when the lane ends, unchanged; until then a line every half minute shows how far
# each lane is. The first lane that fails ends the others. So does Ctrl-C.
set -uo pipefail

logs=$(mktemp -d)
declare -A lanes=() # the targets, by the process that runs them
ticker=
start=$SECONDS

# Each lane leads a process group, which ends as a whole. Cargo and the local cluster clear up when they get SIGTERM.
end_all() {
    for pid in "${!lanes[@]}"; do kill -TERM -- "-$pid" 2>/dev/null; done
    for pid in "${!lanes[@]}"; do wait "$pid" 2>/dev/null; done
    lanes=()
    [ -z "$ticker" ] || kill "$ticker" 2>/dev/null
}
trap 'end_all; rm -rf "$logs"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

elapsed() { printf '%d min %02d s' $(((SECONDS - start) / 60)) $(((SECONDS - start) % 60)); }

set -m # a process group for each
for lane in "$@"; do
    targets=${lane#"~"} low=()
    [ "$targets" = "$lane" ] || low=(nice -n 19)
    # shellcheck disable=SC2086 # one word a target
    "${low[@]}" ${MAKE:-make} --no-print-directory $targets >"$logs/$targets" 2>&1 </dev/null &
    lanes[$!]=$targets
    echo "…  $targets"
done
set +m

while [ ${#lanes[@]} -gt 0 ]; do
    if [ -z "$ticker" ]; then
        sleep 30 &
        ticker=$!
    fi
    wait -n -p ended "${!lanes[@]}" "$ticker"
    status=$?
    if [ "$ended" = "$ticker" ]; then
        ticker=
        for targets in "${lanes[@]}"; do
            last=$(tail -c 500 "$logs/$targets" | tr '\r' '\n' | grep -v '^$' | tail -n 1)
            printf '   %s: %s: %.110s\n' "$(elapsed)" "$targets" "$last"
        done
        continue
    fi
    targets=${lanes[$ended]}
    unset "lanes[$ended]"
    cat "$logs/$targets"
    if [ $status -ne 0 ]; then
        echo "failed after $(elapsed): $targets (status $status)" >&2
        exit 1
    fi
    echo "ok $targets ($(elapsed))"
done
