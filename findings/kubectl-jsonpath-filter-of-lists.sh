#!/usr/bin/env bash
# How a filter of kubectl's jsonpath compares a list.
#
# Versions: k8s.io/client-go 0.37.2, whose package util/jsonpath is `--output jsonpath` of kubectl 1.37.2.
#
# Expected: `?(@.spec.taints[*].key=="new")` selects the objects of which some taint has the key, as a filter of a list of
# objects with one taint each does.
# Observed: it does so as long as no object has two taints. With one such object anywhere in the list, whatever its taints are,
# the whole template fails with "can only compare one element at a time", also for the objects before it, and prints nothing.
# So a command that was tried on Nodes with one taint fails where it is needed: a new Node has several. With != instead of ==
# it is the same. A filter of the taints themselves, within a range of the objects, works.
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

require k8s.io/client-go v0.37.2
MODULE

cat >main.go <<'PROGRAM'
package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"k8s.io/client-go/util/jsonpath"
)

// What a template prints of Nodes with these numbers of taints, the last of which is "new".
func print(template string, numbers ...int) string {
	items := []any{}
	for index, number := range numbers {
		taints := []any{}
		for taint := 1; taint < number; taint++ {
			taints = append(taints, map[string]any{"key": "other"})
		}
		if number > 0 {
			taints = append(taints, map[string]any{"key": "new"})
		}
		items = append(items, map[string]any{
			"metadata": map[string]any{"name": fmt.Sprintf("n%d", index+1)},
			"spec":     map[string]any{"taints": taints},
		})
	}
	text, err := json.Marshal(map[string]any{"items": items})
	if err != nil {
		panic(err)
	}
	var list any
	if err := json.Unmarshal(text, &list); err != nil {
		panic(err)
	}
	path := jsonpath.New("finding").AllowMissingKeys(true)
	if err := path.Parse(template); err != nil {
		return err.Error()
	}
	var out bytes.Buffer
	if err := path.Execute(&out, list); err != nil {
		return fmt.Sprintf("%q, then: %v", out.String(), err)
	}
	return fmt.Sprintf("%q", out.String())
}

func main() {
	names := func(filter string) string {
		return `{range .items[?(` + filter + `)]}{.metadata.name} {end}`
	}
	for _, filter := range []string{`@.spec.taints[*].key=="new"`, `@.spec.taints[*].key!="new"`} {
		fmt.Println(filter)
		fmt.Println("  one taint at most:", print(names(filter), 1, 0, 1))
		fmt.Println("  two on the last Node:", print(names(filter), 1, 0, 2))
	}
	nested := `{range .items[*]}{.metadata.name}:{range .spec.taints[?(@.key=="new")]}yes{end} {end}`
	fmt.Println("a filter of the taints, two on the last Node:", print(nested, 1, 0, 2))
}
PROGRAM

export GOFLAGS=-mod=mod GOWORK=off
if ! go mod download k8s.io/client-go@v0.37.2; then
    echo "k8s.io/client-go 0.37.2 cannot be had any more: this says nothing of the finding" >&2
    exit 2
fi

cat >expected <<'OUTPUT'
@.spec.taints[*].key=="new"
  one taint at most: "n1 n3 "
  two on the last Node: "", then: can only compare one element at a time
@.spec.taints[*].key!="new"
  one taint at most: ""
  two on the last Node: "", then: can only compare one element at a time
a filter of the taints, two on the last Node: "n1:yes n2: n3:yes "
OUTPUT

go run . >seen
if ! diff expected seen; then
    echo "lists are compared otherwise now" >&2
    exit 1
fi
echo "as it was seen with k8s.io/client-go 0.37.2:"
cat seen
