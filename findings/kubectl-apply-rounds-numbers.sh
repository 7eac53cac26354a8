#!/usr/bin/env bash
# How kubectl apply sends whole numbers above 2^53 in an existing custom resource.
#
# Versions: k8s.io/apimachinery 0.37.2 (of kubectl 1.37.2). `kubectl apply` uses its package jsonmergepatch to compute the
# change of a custom resource as a JSON merge patch.
#
# Expected: a 64-bit integer is sent unchanged, as when the object is created and with --server-side.
# Observed: every number is read as a floating-point number and written with the fewest digits that identify it. 2^53+1 is
# sent as 2^53, 2^60 (which is exact as a floating-point number) as 1152921504606847000, and 2^63-1 as 9223372036854776000,
# which the API server then refuses because it is not an integer. A real API server 1.37.2 stored the first without a warning.
#
# The script needs Go and the Go module proxy. It exits with 0 if everything is as observed, with 1 if something has changed,
# and with 2 if a version is no longer available.
set -euo pipefail

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"

cat >go.mod <<'MODULE'
module finding

go 1.26.0

require k8s.io/apimachinery v0.37.2
MODULE

cat >main.go <<'PROGRAM'
package main

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
)

func main() {
	object := func(number string) []byte { return []byte(`{"spec":{"args":[{"value":` + number + `}]}}`) }
	for _, number := range []string{"2048", "9007199254740993", "1152921504606846976", "9223372036854775807"} {
		// Last applied, to apply, and what the API server has.
		patch, err := jsonmergepatch.CreateThreeWayJSONMergePatch(object("1"), object(number), object("1"))
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s: %s\n", number, patch)
	}
}
PROGRAM

export GOFLAGS=-mod=mod GOWORK=off
if ! go mod download k8s.io/apimachinery@v0.37.2; then
    echo "k8s.io/apimachinery 0.37.2 cannot be had any more: this says nothing of the finding" >&2
    exit 2
fi

cat >expected <<'OUTPUT'
2048: {"spec":{"args":[{"value":2048}]}}
9007199254740993: {"spec":{"args":[{"value":9007199254740992}]}}
1152921504606846976: {"spec":{"args":[{"value":1152921504606847000}]}}
9223372036854775807: {"spec":{"args":[{"value":9223372036854776000}]}}
OUTPUT

go run . >seen
if ! diff expected seen; then
    echo "numbers are sent otherwise now" >&2
    exit 1
fi
echo "as it was seen with k8s.io/apimachinery 0.37.2:"
cat seen
