#!/usr/bin/env bash
# Whether cosign verifies what it has signed with an imported key that is not on the curve P-256.
#
# Version: github.com/sigstore/cosign/v3 v3.1.3.
#
# Expected: `cosign import-key-pair` takes a key, `cosign sign-blob` signs with it, and `cosign verify-blob` with the public
# key of this pair accepts the signature; or one of the first two says that the kind of the key is not supported.
# Observed: so it is with P-256 and RSA. With P-384, P-521 and Ed25519 both end with 0, and `verify-blob` rejects the
# signature: it expects SHA-256 of a key on any curve, and signing has used SHA-384 or SHA-512 as the curve has it. With
# Ed25519 it misses a digest in the bundle. `verify` of an image rejects such signatures, too.
#
# The script needs Go, the Go module proxy and openssl. It exits with 0 if everything is as observed, with 1 if something has
# changed, and with 2 if the version is no longer available.
set -euo pipefail

directory=$(mktemp -d)
trap 'chmod -R u+w "$directory"; rm -rf "$directory"' EXIT
cd "$directory"

if ! GOBIN="$directory" GOFLAGS= go install github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3 2>install; then
    cat install >&2
    echo "cosign v3.1.3 cannot be had any more: this says nothing of the finding" >&2
    exit 2
fi

# Neither a log nor time stamps: nothing outside of the directory takes part.
export COSIGN_PASSWORD= HTTPS_PROXY=http://127.0.0.1:1
./cosign signing-config create --out services.json
echo content >file

look() {
    local name=$1
    shift
    openssl genpkey -out "$name.pem" "$@" 2>/dev/null
    ./cosign import-key-pair --key "$name.pem" --output-key-prefix "$name" 2>/dev/null
    ./cosign sign-blob --yes --key "$name.key" --signing-config services.json --bundle "$name.json" file 2>/dev/null >signature
    echo "$name: signed"
    local verify=(./cosign verify-blob --key "$name.pub" --bundle "$name.json" --insecure-ignore-tlog file)
    if "${verify[@]}" >said 2>&1; then
        echo "$name: verified"
    else
        echo "$name: $(tail -n 1 said)"
    fi
}

{
    look P-256 -algorithm EC -pkeyopt ec_paramgen_curve:P-256
    look RSA -algorithm RSA -pkeyopt rsa_keygen_bits:3072
    look P-384 -algorithm EC -pkeyopt ec_paramgen_curve:P-384
    look P-521 -algorithm EC -pkeyopt ec_paramgen_curve:P-521
    look Ed25519 -algorithm ed25519
} >seen

cat >expected <<'OUTPUT'
P-256: signed
P-256: verified
RSA: signed
RSA: verified
P-384: signed
P-384: error during command execution: failed to verify signature: could not verify message: invalid signature when validating ASN.1 encoded signature
P-521: signed
P-521: error during command execution: failed to verify signature: could not verify message: invalid signature when validating ASN.1 encoded signature
Ed25519: signed
Ed25519: error during command execution: failed to verify signature: message is missing artifact digest
OUTPUT

if ! diff expected seen; then
    echo "cosign treats these keys in another way now" >&2
    exit 1
fi
echo "as it was seen with cosign v3.1.3:"
cat seen
