#!/usr/bin/env bash
# Whether maxLength bounds the estimated cost of a validation rule about a value that is a number or a text.
#
# Versions: k8s.io/apiextensions-apiserver v0.33.13 and v0.34.0, the validation of custom resource definitions in the API
# servers of Kubernetes 1.33.13 and 1.34.0.
#
# Expected: a rule that matches a regular expression against a field with "x-kubernetes-int-or-string: true" and
# "maxLength: 20", 512 times in a list, costs at most what 512 texts of 20 characters cost, as with "type: string".
# Observed: before 0.34 the estimate takes such a value for as long as a whole request, so that the API server refuses the
# definition ("estimated rule cost exceeds budget by factor of 32.2x"). Since 0.34 it is accepted. With
# "type: string" both accept it.
#
# The script needs Go and the Go module proxy. It exits with 0 if everything is as observed, with 1 if something has
# changed, and with 2 if a version is no longer available.
set -euo pipefail

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"

cat >main.go <<'PROGRAM'
package main

import (
	"context"
	"fmt"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// definition has a list of at most 512 values of this schema, with a rule about each.
func definition(value apiextensions.JSONSchemaProps) *apiextensions.CustomResourceDefinition {
	rule := "type(self.value) == int || self.value.matches('^[0-9]+$')"
	if value.Type == "string" {
		rule = "self.value.matches('^[0-9]+$')"
	}
	items := apiextensions.JSONSchemaProps{
		Type:         "object",
		Properties:   map[string]apiextensions.JSONSchemaProps{"value": value},
		Required:     []string{"value"},
		XValidations: apiextensions.ValidationRules{{Rule: rule}},
	}
	list := apiextensions.JSONSchemaProps{
		Type: "array", MaxItems: ptr.To(int64(512)), Items: &apiextensions.JSONSchemaPropsOrArray{Schema: &items},
	}
	spec := apiextensions.JSONSchemaProps{
		Type: "object", Properties: map[string]apiextensions.JSONSchemaProps{"values": list},
	}
	return &apiextensions.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "things.example.org"},
		Spec: apiextensions.CustomResourceDefinitionSpec{
			Group: "example.org", Scope: apiextensions.ClusterScoped,
			Names: apiextensions.CustomResourceDefinitionNames{
				Plural: "things", Singular: "thing", Kind: "Thing", ListKind: "ThingList",
			},
			PreserveUnknownFields: ptr.To(false),
			Versions: []apiextensions.CustomResourceDefinitionVersion{{Name: "v1", Served: true, Storage: true}},
			// The internal type has the schema of a single version here.
			Validation: &apiextensions.CustomResourceValidation{OpenAPIV3Schema: &apiextensions.JSONSchemaProps{
				Type: "object", Properties: map[string]apiextensions.JSONSchemaProps{"spec": spec},
			}},
			Conversion: &apiextensions.CustomResourceConversion{Strategy: apiextensions.NoneConverter},
		},
		Status: apiextensions.CustomResourceDefinitionStatus{StoredVersions: []string{"v1"}},
	}
}

func main() {
	for what, value := range map[string]apiextensions.JSONSchemaProps{
		"string":        {Type: "string", MaxLength: ptr.To(int64(20))},
		"int-or-string": {XIntOrString: true, MaxLength: ptr.To(int64(20))},
	} {
		errors := validation.ValidateCustomResourceDefinition(context.Background(), definition(value))
		fmt.Println(what, "accepted:", len(errors) == 0)
		for _, err := range errors {
			fmt.Println(what, err.Type, err.Detail)
		}
	}
}
PROGRAM

export GOFLAGS=-mod=mod GOWORK=off CGO_ENABLED=0
for version in v0.33.13 v0.34.0; do
    cat >go.mod <<MODULE
module finding

go 1.24.0

require (
	k8s.io/apiextensions-apiserver $version
	k8s.io/apimachinery $version
	k8s.io/utils v0.0.0-20241104100929-3ea5e8cea738
)
MODULE
    rm -f go.sum
    if ! go mod download "k8s.io/apiextensions-apiserver@$version" 2>/dev/null; then
        echo "k8s.io/apiextensions-apiserver $version cannot be had any more: this says nothing of the finding" >&2
        exit 2
    fi
    go run . | sort | sed "s/^/$version /" >>seen
done

cat seen
cat >expected <<'OUTPUT'
v0.33.13 int-or-string accepted: false
v0.33.13 string accepted: true
v0.34.0 int-or-string accepted: true
v0.34.0 string accepted: true
OUTPUT
grep accepted seen | diff expected - || {
    echo "something has changed" >&2
    exit 1
}
grep -q 'v0.33.13 int-or-string .*estimated rule cost exceeds budget' seen || {
    echo "0.33.13 refuses the definition for another reason" >&2
    exit 1
}
echo "as observed"
