#!/usr/bin/env bash
# Whether go-containerregistry, and so crane and cosign, logs in to a registry of one's own network whose service for tokens
# is named by its address.
#
# Versions: github.com/google/go-containerregistry v0.22.1.
#
# Expected: a registry at an address of loopback names a service for tokens at the same address with another port, as in many
# set-ups without DNS; the registry was named by the user, so that its service is asked, and the tag is found.
# Observed: the service is never asked, because its host is written as an address that is private, link-local or loopback:
# "realm host "127.0.0.1" is a private or link-local address". Where the service is a path of the registry itself, with the
# same address and port, it is asked.
#
# The script needs Go and the Go module proxy. It exits with 0 if everything is as observed, with 1 if something has changed,
# and with 2 if a version is no longer available.
set -euo pipefail

directory=$(mktemp -d)
trap 'chmod -R u+w "$directory"; rm -rf "$directory"' EXIT
cd "$directory"

cat >go.mod <<'MODULE'
module finding

go 1.24

require github.com/google/go-containerregistry v0.22.1
MODULE

cat >main.go <<'PROGRAM'
package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/crane"
)

const manifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",` +
	`"config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,` +
	`"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[]}`

var ports = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// look asks a registry for the digest of a tag. The registry wants a token, which a service grants to everybody.
func look(what string, elsewhere bool) {
	asked := 0
	tokens := func(w http.ResponseWriter, _ *http.Request) {
		asked++
		fmt.Fprint(w, `{"token": "granted"}`)
	}
	other := httptest.NewServer(http.HandlerFunc(tokens))
	defer other.Close()
	var service string
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			tokens(w, r)
		case r.Header.Get("Authorization") != "Bearer granted":
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="registry"`, service))
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/v2/":
		default:
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			fmt.Fprint(w, manifest)
		}
	}))
	defer registry.Close()
	service = registry.URL + "/token"
	if elsewhere {
		service = other.URL + "/token"
	}
	digest, err := crane.Digest(strings.TrimPrefix(registry.URL, "http://")+"/image:1", crane.Insecure)
	fmt.Println(what + ":")
	if err != nil {
		fmt.Println(ports.ReplaceAllString(err.Error(), "ADDRESS"))
	} else {
		fmt.Println(digest)
	}
	fmt.Println("the service was asked:", asked > 0)
}

func main() {
	look("the service is the registry's own", false)
	look("the service has another port", true)
}
PROGRAM

export GOFLAGS=-mod=mod GOWORK=off
if ! go mod download github.com/google/go-containerregistry@v0.22.1 2>/dev/null; then
    echo "go-containerregistry v0.22.1 cannot be had any more: this says nothing of the finding" >&2
    exit 2
fi
go run . >seen

cat >expected <<'OUTPUT'
the service is the registry's own:
sha256:7c7cc26684ee2764744fa61f4d41b53f45c0e726cef1cbc12c0acadcb0449942
the service was asked: true
the service has another port:
invalid realm in www-authenticate: realm host "127.0.0.1" is a private or link-local address
the service was asked: false
OUTPUT

if ! diff expected seen; then
    echo "crane treats services for tokens in another way now" >&2
    exit 1
fi
echo "as it was seen with go-containerregistry v0.22.1:"
cat seen
