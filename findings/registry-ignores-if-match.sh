#!/usr/bin/env bash
# Whether a registry heeds conditions on the write of a manifest.
#
# Versions: github.com/distribution/distribution/v3 3.1.2 and github.com/google/go-containerregistry 0.22.1.
#
# Guessed before: distribution, which states an ETag for each manifest, answers 412 to a PUT with If-Match and another tag,
# and to one with If-None-Match: * where there is a manifest. So whoever adds an entry to the index of the tag sha256-…, which
# stands in for the list of referrers in a registry without that API, could tell that somebody else has changed it since.
# Seen: distribution states the ETag, heeds it for reads (304), and stores the manifest whatever the conditions of the write
# are (201). go-containerregistry states none, and stores it, too. So two who attach something to one image at the same moment
# can lose an entry in both, without an error, and all that a client can do is to read the index again.
#
# The script needs Go and the Go module proxy. It exits with 0 if everything is as seen, with 1 if something has changed, and
# with 2 if a version is no longer available.
set -euo pipefail

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"

cat >go.mod <<'MODULE'
module finding

go 1.26.0

require (
	github.com/distribution/distribution/v3 v3.1.2
	github.com/google/go-containerregistry v0.22.1
)
MODULE

cat >main.go <<'PROGRAM'
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/sirupsen/logrus"
)

const (
	media = "application/vnd.oci.image.index.v1+json"
	index = `{"schemaVersion":2,"mediaType":"` + media + `","manifests":[]}`
)

func ask(url, method, header, value string) *http.Response {
	request, err := http.NewRequest(method, url+"/v2/a/manifests/t", nil)
	if err != nil {
		panic(err)
	}
	if method == http.MethodPut {
		request.Body = io.NopCloser(strings.NewReader(index))
		request.Header.Set("Content-Type", media)
	}
	request.Header.Set("Accept", media)
	if header != "" {
		request.Header.Set(header, value)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(err)
	}
	answer.Body.Close()
	return answer
}

func show(name string, handler http.Handler) {
	server := httptest.NewServer(handler)
	defer server.Close()
	fmt.Println(name)
	fmt.Println("  PUT:", ask(server.URL, http.MethodPut, "", "").StatusCode)
	tag := ask(server.URL, http.MethodGet, "", "").Header.Get("ETag")
	fmt.Println("  states an ETag:", tag != "")
	fmt.Println("  GET with If-None-Match and this tag:", ask(server.URL, http.MethodGet, "If-None-Match", tag).StatusCode)
	fmt.Println("  PUT with If-Match and another tag:", ask(server.URL, http.MethodPut, "If-Match", `"another"`).StatusCode)
	fmt.Println("  PUT with If-None-Match: *:", ask(server.URL, http.MethodPut, "If-None-Match", "*").StatusCode)
}

func main() {
	logrus.SetOutput(io.Discard)
	config := &configuration.Configuration{Storage: configuration.Storage{"inmemory": nil}}
	show("distribution 3.1.2", handlers.NewApp(context.Background(), config))
	show("go-containerregistry 0.22.1", registry.New(registry.Logger(log.New(io.Discard, "", 0))))
}
PROGRAM

export GOFLAGS=-mod=mod GOWORK=off OTEL_TRACES_EXPORTER=none
for module in github.com/distribution/distribution/v3@v3.1.2 github.com/google/go-containerregistry@v0.22.1; do
    if ! go mod download "$module"; then
        echo "$module cannot be had any more: this says nothing of the finding" >&2
        exit 2
    fi
done

cat >expected <<'OUTPUT'
distribution 3.1.2
  PUT: 201
  states an ETag: true
  GET with If-None-Match and this tag: 304
  PUT with If-Match and another tag: 201
  PUT with If-None-Match: *: 201
go-containerregistry 0.22.1
  PUT: 201
  states an ETag: false
  GET with If-None-Match and this tag: 200
  PUT with If-Match and another tag: 201
  PUT with If-None-Match: *: 201
OUTPUT

go run . >seen
if ! diff expected seen; then
    echo "conditions are heeded otherwise now" >&2
    exit 1
fi
echo "as it was seen with distribution 3.1.2 and go-containerregistry 0.22.1:"
cat seen
