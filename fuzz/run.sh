#!/bin/sh
# Fuzzes. CARGO_FUZZ is the program, FUZZ_SANITIZER may be `address`. FUZZ_SEED, if it is not 0, makes the same inputs of the
# same kept ones each time, as far as the time goes.
#
#   run.sh run SECONDS   runs every input that is kept, and then new ones; a line a target
#   run.sh keep          takes those of the inputs found since that reach new code into the kept ones
#
# What is found is stored below fuzz/target, so that a run changes nothing that is committed.
set -eu
cd "$(dirname "$0")/.."

# Without a sanitizer this is stable Rust. Ours has no `unsafe`, so there is little for one to catch.
sanitizer=${FUZZ_SANITIZER:-none}
[ "$sanitizer" = none ] || export RUSTC_BOOTSTRAP=1
build="--sanitizer $sanitizer --codegen-units 16"
limits="-dict=fuzz/dictionary.txt -max_len=4096 -timeout=10 -rss_limit_mb=1024"
targets=$(basename -s .rs fuzz/fuzz_targets/*.rs)

# shellcheck disable=SC2086 # options, one word each
run() {
    "$CARGO_FUZZ" build $build
    for target in $targets; do
        found=fuzz/target/corpus/$target log=fuzz/target/$target.log
        mkdir -p "$found"
        "$CARGO_FUZZ" run $build "$target" "$found" "fuzz/corpus/$target" -- \
            $limits -seed="${FUZZ_SEED:-0}" -max_total_time="$1" -print_final_stats=1 >"$log" 2>&1 || {
            tail -n 60 "$log"
            exit 1
        }
        awk -v target="$target" -v kept="$(find "fuzz/corpus/$target" -type f | wc -l)" '
            / cov: / { edges = $4; features = $6 }
            /stat::number_of_executed_units/ { runs = $2 }
            /stat::average_exec_per_sec/ { speed = $2 }
            END {
                if (!runs) exit 1
                printf "%-20s %8d runs, %6d a second, %5d edges, %5d features, %3d inputs kept\n",
                    target, runs, speed, edges, features, kept
            }' "$log"
    done
}

# shellcheck disable=SC2086 # options, one word each
keep() {
    for target in $targets; do
        found=fuzz/target/corpus/$target kept=fuzz/corpus/$target new=fuzz/target/kept/$target
        rm -rf "$new"
        mkdir -p "$found" "$new"
        # By the code that an input reaches, not by how often.
        "$CARGO_FUZZ" run $build "$target" "$new" "$kept" "$found" -- $limits -set_cover_merge=1 -use_counters=0
        # They are written in the order of what they add.
        find "$kept" -type f -delete
        find "$new" -type f -printf '%T@ %p\n' | sort -n | head -n 60 | cut -d ' ' -f 2 | xargs cp -t "$kept"
    done
}

"$@"
