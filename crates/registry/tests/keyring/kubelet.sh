#!/usr/bin/env bash
# Answers the questions of tests/keyring.rs with the code of the real kubelet, built from its Go module: which logins its
# keyring has for an image, and how it reads a reference.
#
# $1 is a file with `cases` (secrets and an image each) and `references`. Keys of one secret that mean the same come in
# random order there, so a case in which two runs differ is answered in the order of the keys' text, one secret a key.
set -euo pipefail
questions=$(realpath "$1")
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
release=1.37.2

export GOFLAGS=-mod=mod GOWORK=off CGO_ENABLED=0
go mod download -json "k8s.io/kubernetes@v$release" >module.json
source=$(sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p' module.json)
{
    printf 'module keyring\n\ngo 1.26\n\nrequire (\n\tk8s.io/kubernetes v%s\n\tk8s.io/api v0.%s\n)\n\n' "$release" "${release#1.}"
    # The staging modules are published under versions of their own.
    sed -n 's!^.*\(k8s.io/[a-z-]*\) => ./staging/.*$!\1!p' "$source/go.mod" | while read -r name; do
        printf 'replace %s => %s v0.%s\n' "$name" "$name" "${release#1.}"
    done
} >go.mod

cat >main.go <<'PROGRAM'
package main

import (
	"encoding/json"
	"os"
	"sort"

	dockerref "github.com/distribution/reference"
	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/credentialprovider/secrets"
	"k8s.io/kubernetes/pkg/util/parsers"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
)

type question struct {
	Cases []struct {
		Secrets []struct{ Type, Text string }
		Image   string
	}
	References []string
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	check(utilfeature.DefaultMutableFeatureGate.Set("KubeletEnsureSecretPulledImages=true"))
	text, err := os.ReadFile(os.Args[1])
	check(err)
	var asked question
	check(json.Unmarshal(text, &asked))
	answers := map[string][]any{"cases": {}, "references": {}}
	for _, it := range asked.Cases {
		answers["cases"] = append(answers["cases"], answer(it.Secrets, it.Image))
	}
	for _, it := range asked.References {
		var answer any
		if named, err := dockerref.ParseNormalizedNamed(it); err == nil {
			answer = named.String()
		}
		answers["references"] = append(answers["references"], answer)
	}
	check(json.NewEncoder(os.Stdout).Encode(answers))
}

func answer(given []struct{ Type, Text string }, image string) any {
	repository, _, _, err := parsers.ParseImageName(image)
	check(err)
	all := []v1.Secret{}
	number := map[string]int{}
	for i, it := range given {
		kind, key := v1.SecretTypeDockerConfigJson, v1.DockerConfigJsonKey
		if it.Type == "dockercfg" {
			kind, key = v1.SecretTypeDockercfg, v1.DockerConfigKey
		}
		// Read whole first: an error in one entry is one of the whole secret.
		entries := credentialprovider.DockerConfig{}
		if kind == v1.SecretTypeDockercfg {
			err = json.Unmarshal([]byte(it.Text), &entries)
		} else {
			whole := credentialprovider.DockerConfigJSON{}
			err = json.Unmarshal([]byte(it.Text), &whole)
			entries = whole.Auths
		}
		if err != nil {
			return "error"
		}
		keys := []string{}
		for name := range entries {
			keys = append(keys, name)
		}
		sort.Strings(keys)
		for _, name := range keys {
			uid := string(rune('A'+i)) + name
			number[uid] = i + 1
			one, err := json.Marshal(map[string]any{name: map[string]string{"username": entries[name].Username, "password": entries[name].Password}})
			check(err)
			if kind == v1.SecretTypeDockerConfigJson {
				one, err = json.Marshal(map[string]json.RawMessage{"auths": one})
				check(err)
			}
			secret := v1.Secret{Type: kind, Data: map[string][]byte{key: one}}
			secret.UID = "x"
			secret.Name = uid
			all = append(all, secret)
		}
	}
	keyring, err := secrets.MakeDockerKeyring(all, &credentialprovider.BasicDockerKeyring{})
	check(err)
	found, _ := keyring.Lookup(repository)
	shown := []any{}
	for _, it := range found {
		// Runtimes take an empty user name for no login.
		if it.Username == "" {
			shown = append(shown, []any{nil, nil, number[it.Source.Secret.Name]})
		} else {
			shown = append(shown, []any{it.Username, it.Password, number[it.Source.Secret.Name]})
		}
	}
	return shown
}
PROGRAM
go build -o keyring . >&2
./keyring "$questions"
