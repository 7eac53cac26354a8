// Prints what containerd allows a container that asks for nothing special, on each architecture that is named.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// The architecture that containerd's own code, which is beside this, asks for.
var goarch string

func main() {
	ctx := namespaces.WithNamespace(context.Background(), "any")
	spec, err := oci.GenerateSpec(ctx, nil, &containers.Container{ID: "any"})
	if err != nil {
		log.Fatal(err)
	}
	profiles := map[string]*specs.LinuxSeccomp{}
	for _, goarch = range os.Args[1:] {
		profiles[goarch] = DefaultProfile(spec)
	}
	if err := json.NewEncoder(os.Stdout).Encode(profiles); err != nil {
		log.Fatal(err)
	}
}
