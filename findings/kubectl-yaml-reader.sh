#!/usr/bin/env bash
# What kubectl's reader of manifests accepts, refuses and drops.
#
# Versions: k8s.io/apimachinery 0.37.0 (of kubectl 1.37), with sigs.k8s.io/yaml 1.6.0 and go.yaml.in/yaml/v2 2.4.4.
#
# Expected: a document ends at `...`, and text after it without a `---` is an error; a `%YAML 1.1` directive is accepted, as
# in the YAML library; the escapes of JSON are valid in a quoted YAML scalar; a scalar that is not a number is a string.
# Observed: text after `...` is dropped silently, and kubectl applies the rest. The directive is refused, because the reader
# splits the text at `---` before the YAML library sees it. `\/` and surrogate pairs are refused in YAML and accepted in
# JSON. `.4_99` and `0b-1` are numbers. A byte order mark behind a `---` at the beginning is a part of the first key (expected:
# skipped). A file without a final line break gets one, which a text behind `|+` keeps.
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

require k8s.io/apimachinery v0.37.0
MODULE

cat >main.go <<'PROGRAM'
package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/util/yaml"
)

// Every document that the reader finds in a text, and the error that ends it early.
func read(text string) string {
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	var found []string
	for {
		var value any
		if err := decoder.Decode(&value); errors.Is(err, io.EOF) {
			return strings.Join(found, ", ")
		} else if err != nil {
			return strings.Join(append(found, err.Error()), ", ")
		}
		found = append(found, fmt.Sprint(value))
	}
}

func main() {
	for _, text := range []string{
		"a: 1\n...\nb: 2\n",
		"a: 1\n...\n---\nb: 2\n",
		"%YAML 1.1\n---\na: 1\n",
		`a: "\/"`,
		`{"a": "\/"}`,
		`a: "\ud83d\ude00"`,
		"a: .4_99",
		"a: 0b-1",
		"---\n\ufeffb: 2\n",
		"a: |+\n  b\n\n  ",
	} {
		fmt.Printf("%q: %s\n", text, read(text))
	}
}
PROGRAM

export GOFLAGS=-mod=mod GOWORK=off
if ! go mod download k8s.io/apimachinery@v0.37.0; then
    echo "k8s.io/apimachinery 0.37.0 cannot be had any more: this says nothing of the finding" >&2
    exit 2
fi

cat >expected <<'OUTPUT'
"a: 1\n...\nb: 2\n": map[a:1]
"a: 1\n...\n---\nb: 2\n": map[a:1], map[b:2]
"%YAML 1.1\n---\na: 1\n": error converting YAML to JSON: yaml: line 1: did not find expected <document start>
"a: \"\\/\"": error converting YAML to JSON: yaml: found unknown escape character
"{\"a\": \"\\/\"}": map[a:/]
"a: \"\\ud83d\\ude00\"": error converting YAML to JSON: yaml: found invalid Unicode character escape code
"a: .4_99": map[a:0.499]
"a: 0b-1": map[a:-1]
"---\n\ufeffb: 2\n": map[﻿b:2]
"a: |+\n  b\n\n  ": map[a:b


]
OUTPUT

go run . >seen
if ! diff expected seen; then
    echo "the reader does something else now" >&2
    exit 1
fi
echo "as it was seen with k8s.io/apimachinery 0.37.0:"
cat seen
