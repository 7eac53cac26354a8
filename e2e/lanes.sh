#!/usr/bin/env bash
# Runs several lines of `make` targets side by side: `lanes.sh "lint chart" "test-cluster"`. A test of the cluster waits
# most of the time, in which the others compile. A lane that begins with `~` has the lowest priority.
#
# A lane's output is printed in one piece when the lane ends, unchanged, with what each target took; until then a line
# every half minute shows how far each lane is. The first lane that fails ends the others. So does Ctrl-C.
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

minutes() { printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); }
elapsed() { minutes $((SECONDS - start)); }

# Makes a lane's targets, each with the time that it took and the processor time of all that it started and waited for: of
# a lane that waits, the first says nothing about what it costs the others.
run_lane() {
    local target began used before=0 times ended=
    times=$(mktemp "$logs/times.XXXXXX")
    # Whoever ends the lane ends what it runs, and waits for the lane: it has to stay until that has cleared up.
    trap 'ended=1' TERM
    for target in "$@"; do
        [ -z "$ended" ] || return 143
        began=$SECONDS
        ${MAKE:-make} --no-print-directory "$target" || return
        # Not through a pipe, whose shell has no children of its own. The second line is theirs: `12m3.450s 0m4.100s`.
        times >"$times"
        used=$(awk 'NR == 2 { gsub(/[ms]/, " "); printf "%d", $1 * 60 + $2 + $3 * 60 + $4 }' "$times")
        echo "-- $target took $(minutes $((SECONDS - began))), $(minutes $((used - before))) of processor time"
        before=$used
    done
}

set -m # a process group for each
for lane in "$@"; do
    targets=${lane#"~"} nice=0
    [ "$targets" = "$lane" ] || nice=19
    # shellcheck disable=SC2086 # one word a target
    (
        [ $nice = 0 ] || renice -n $nice "$BASHPID" >/dev/null
        run_lane $targets
    ) >"$logs/$targets" 2>&1 </dev/null &
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
