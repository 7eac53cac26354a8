//! One bundle.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

use super::Keys;
use crate::Digest;
use crate::document::{LARGEST_ARTIFACT, is_strict, media};

/// The largest bundle; those of cosign have some thousand bytes.
pub(crate) const LARGEST_BUNDLE: u64 = 128 * 1024;

/// The type of the payload of an envelope.
pub(crate) const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// The type of a statement.
pub(crate) const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// What a statement says that is a signature (`CosignSignPredicateType` of cosign 3.1.3). Others, such as those about
/// vulnerabilities or the origin, are signed with the same keys, and do not say that the image may be used.
pub(crate) const PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";

/// Why a bundle is no signature of a manifest by one of the keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The artifact is not what it should be.
    #[error("it is not an artifact with one layer, which is a bundle")]
    Artifact,
    /// It is too large.
    #[error("it is larger than {LARGEST_BUNDLE} bytes")]
    TooLarge,
    /// The manifest of the artifact is too large.
    #[error("its manifest is larger than {LARGEST_ARTIFACT} bytes")]
    ManifestTooLarge,
    /// It is not JSON of the right form.
    #[error("it is not a bundle of version 0.3: {0}")]
    Format(String),
    /// A certificate is to be trusted.
    #[error("it was made with a certificate, not with a key alone")]
    Certificate,
    /// It is not of a manifest.
    #[error("it is a signature of a file (message_signature), not of a manifest")]
    OfFile,
    /// There is none in it, or there are several.
    #[error("it has {0} signatures; expected exactly one")]
    Signatures(usize),
    /// No key has made it.
    #[error("none of the keys has made it")]
    Key,
    /// What is signed is something else.
    #[error("what is signed is not a statement of in-toto")]
    Statement,
    /// It says something else of the image.
    #[error("it is an attestation, not a signature: its predicate has the type {0:?}")]
    Predicate(String),
    /// It is about something else.
    #[error("it is of another manifest")]
    OtherManifest,
}

/// Members that are not here are not looked at: entries of transparency logs, time stamps, the hint at the key.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Option<Envelope>,
    message_signature: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    public_key: Option<IgnoredAny>,
    certificate: Option<IgnoredAny>,
    x509_certificate_chain: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    sig: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    digest: BTreeMap<String, String>,
}

/// Verifies that one of the keys has signed the manifest with this digest.
///
/// # Errors
/// The bundle does not prove it.
pub(super) fn verify(bundle: &[u8], manifest: &Digest, keys: &Keys) -> Result<(), Fault> {
    if bundle.len() as u64 > LARGEST_BUNDLE {
        return Err(Fault::TooLarge);
    }
    if !is_strict(bundle) {
        return Err(Fault::Format("it is not JSON with unique keys in UTF-8".to_owned()));
    }
    let read: Result<Bundle, _> = serde_json::from_slice(bundle);
    let Bundle { media_type, verification_material, dsse_envelope, message_signature } =
        read.map_err(|error| format(&error.to_string()))?;
    if media_type != media::BUNDLE {
        return Err(format(&format!("its media type is {media_type:?}")));
    }
    let Material { public_key, certificate, x509_certificate_chain } = verification_material;
    if certificate.is_some() || x509_certificate_chain.is_some() {
        return Err(Fault::Certificate);
    }
    if public_key.is_none() {
        return Err(format("it names no key"));
    }
    let Envelope { payload, payload_type, signatures } = match (dsse_envelope, message_signature) {
        (Some(envelope), None) => envelope,
        (None, Some(_)) => return Err(Fault::OfFile),
        _ => return Err(format("it holds no envelope, or also something else")),
    };
    let [Signature { sig }] = &signatures[..] else { return Err(Fault::Signatures(signatures.len())) };
    let decode = |text: &str| STANDARD.decode(text).map_err(|_| format("something in it is not base64"));
    let (payload, signature) = (decode(&payload)?, decode(sig)?);
    // Nothing of the payload is read before.
    if !keys.verify(&encoded(&payload_type, &payload), &signature) {
        return Err(Fault::Key);
    }
    if payload_type != PAYLOAD_TYPE || !is_strict(&payload) {
        return Err(Fault::Statement);
    }
    let Statement { kind, subject, predicate_type } =
        serde_json::from_slice(&payload).map_err(|_| Fault::Statement)?;
    if kind != STATEMENT {
        return Err(Fault::Statement);
    }
    if predicate_type != PREDICATE {
        return Err(Fault::Predicate(short(&predicate_type)));
    }
    let is_of_this =
        |it: &Subject| it.digest.get(manifest.algorithm().name()).is_some_and(|hex| hex == manifest.hex());
    if subject.iter().any(is_of_this) { Ok(()) } else { Err(Fault::OtherManifest) }
}

/// What is signed of a payload: the pre-authentication encoding of DSSE 1.0.
pub(crate) fn encoded(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

fn format(cause: &str) -> Fault {
    Fault::Format(short(cause))
}

/// The start of a text, printable.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::Signer;

    fn keys(signers: &[&Signer]) -> Keys {
        let pem: String = signers.iter().map(|signer| signer.public_key()).collect();
        Keys::read(pem.as_bytes()).unwrap()
    }

    fn manifest() -> Digest {
        Digest::of(b"manifest")
    }

    /// What comes of a bundle after it was changed.
    fn changed(signer: &Signer, change: impl FnOnce(&mut Value)) -> Result<(), Fault> {
        let mut bundle: Value = serde_json::from_str(&signer.bundle(&manifest())).unwrap();
        change(&mut bundle);
        verify(bundle.to_string().as_bytes(), &manifest(), &keys(&[signer]))
    }

    #[test]
    fn a_signature_is_of_one_manifest_by_one_of_the_keys() {
        let (one, other) = (Signer::new(), Signer::new());
        let bundle = one.bundle(&manifest());
        let verify = |digest: &Digest, keys: &Keys| super::verify(bundle.as_bytes(), digest, keys);
        assert_eq!(verify(&manifest(), &keys(&[&one])), Ok(()));
        assert_eq!(verify(&manifest(), &keys(&[&other, &one])), Ok(()));
        assert_eq!(verify(&manifest(), &keys(&[&other])), Err(Fault::Key));
        assert_eq!(verify(&Digest::of(b"another"), &keys(&[&one])), Err(Fault::OtherManifest));
        // The same bytes by another algorithm are another digest.
        let sha512 = Digest::with(crate::Algorithm::Sha512, b"manifest");
        assert_eq!(verify(&sha512, &keys(&[&one])), Err(Fault::OtherManifest));
        assert_eq!(super::verify(one.bundle(&sha512).as_bytes(), &sha512, &keys(&[&one])), Ok(()));
    }

    #[test]
    fn what_an_envelope_says_besides_a_signature_of_the_manifest_is_none() {
        let signer = Signer::new();
        let of = |payload_type: &str, payload: &str| {
            let bundle = signer.envelope(payload_type, payload);
            super::verify(bundle.as_bytes(), &manifest(), &keys(&[&signer]))
        };
        let statement = Signer::statement(PREDICATE, &manifest());
        assert_eq!(of(PAYLOAD_TYPE, &statement), Ok(()));
        assert_eq!(of("application/json", &statement), Err(Fault::Statement));
        let sbom = "https://spdx.dev/Document";
        let about = Signer::statement(sbom, &manifest());
        assert_eq!(of(PAYLOAD_TYPE, &about), Err(Fault::Predicate(sbom.to_owned())));
        let older = statement.replace("Statement/v1", "Statement/v0.1");
        let twice = statement.replacen('{', r#"{"predicateType":"x","#, 1);
        for wrong in ["{}", "", &older, &twice] {
            assert_eq!(of(PAYLOAD_TYPE, wrong), Err(Fault::Statement), "{wrong}");
        }
        let nothing =
            statement.replace(&format!(r#"[{{"digest":{{"sha256":"{}"}}}}]"#, manifest().hex()), "[]");
        assert_eq!(of(PAYLOAD_TYPE, &nothing), Err(Fault::OtherManifest));
        let upper = statement.replace(manifest().hex(), &manifest().hex().to_uppercase());
        assert_eq!(of(PAYLOAD_TYPE, &upper), Err(Fault::OtherManifest));
    }

    #[test]
    fn a_bundle_of_another_form_is_refused() {
        let signer = Signer::new();
        assert_eq!(changed(&signer, |_| {}), Ok(()));
        let certificate = json!({ "certificate": { "rawBytes": "AA==" } });
        assert_eq!(
            changed(&signer, |it| it["verificationMaterial"] = certificate.clone()),
            Err(Fault::Certificate)
        );
        // A certificate that does not count must not seem to.
        assert_eq!(
            changed(&signer, |it| it["verificationMaterial"]["certificate"] = json!({})),
            Err(Fault::Certificate)
        );
        let chain = json!({ "x509CertificateChain": { "certificates": [] } });
        assert_eq!(changed(&signer, |it| it["verificationMaterial"] = chain), Err(Fault::Certificate));
        let file = json!({ "messageDigest": { "algorithm": "SHA2_256", "digest": "" }, "signature": "" });
        let of_file = |it: &mut Value| {
            it.as_object_mut().unwrap().remove("dsseEnvelope");
            it["messageSignature"] = file;
        };
        assert_eq!(changed(&signer, of_file), Err(Fault::OfFile));
        assert_eq!(
            changed(&signer, |it| it["dsseEnvelope"]["signatures"] = json!([])),
            Err(Fault::Signatures(0))
        );
        let twice = |it: &mut Value| {
            let one = it["dsseEnvelope"]["signatures"][0].clone();
            it["dsseEnvelope"]["signatures"] = json!([one, one]);
        };
        assert_eq!(changed(&signer, twice), Err(Fault::Signatures(2)));
        for (path, value) in [
            ("/mediaType", json!("application/vnd.dev.sigstore.bundle+json;version=0.1")),
            ("/verificationMaterial", json!({})),
            ("/verificationMaterial", Value::Null),
            ("/dsseEnvelope", Value::Null),
            ("/dsseEnvelope/payload", json!("no base64")),
            ("/dsseEnvelope/signatures/0/sig", json!("=")),
        ] {
            let found = changed(&signer, |it| *it.pointer_mut(path).unwrap() = value);
            assert!(matches!(found, Err(Fault::Format(_))), "{path}: {found:?}");
        }
        let bundle = signer.bundle(&manifest());
        let twice = bundle.replacen('{', r#"{"MediaType":"x","#, 1);
        let long = bundle.replacen('{', &format!("{{{}", " ".repeat(LARGEST_BUNDLE as usize)), 1);
        let of = |text: &str| verify(text.as_bytes(), &manifest(), &keys(&[&signer]));
        assert!(matches!(of(&twice), Err(Fault::Format(_))));
        assert_eq!(of(&long), Err(Fault::TooLarge));
    }

    #[test]
    fn a_signature_whose_hint_names_another_key_counts_and_logs_are_not_looked_at() {
        let signer = Signer::new();
        let found = changed(&signer, |it| {
            it["verificationMaterial"] = json!({
                "publicKey": { "hint": "of another key" },
                "tlogEntries": [{ "logIndex": "1" }], "timestampVerificationData": {},
            });
        });
        assert_eq!(found, Ok(()));
    }

    proptest! {
        #[test]
        fn a_bundle_that_is_cut_off_or_has_another_bit_in_its_envelope_is_refused(
            at in 0.0..1.0f64, bit in 0..8u8, cut in any::<bool>()
        ) {
            let signer = Signer::new();
            let bundle = signer.bundle(&manifest());
            let at = (at * bundle.len() as f64) as usize;
            let mut bytes = bundle.clone().into_bytes();
            match cut {
                true => bytes.truncate(at),
                false => bytes[at] ^= 1 << bit,
            }
            let found = verify(&bytes, &manifest(), &keys(&[&signer]));
            // The hint is not looked at, and neither is what a member of another name says.
            let hint = bundle.find("\"hint\"").unwrap();
            let is_free = !cut && (hint..hint + r#""hint":"x""#.len()).contains(&at);
            prop_assert!(is_free || found.is_err(), "{at} {bit}: {}", String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn no_bytes_are_a_problem(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(verify(&bytes, &manifest(), &keys(&[&Signer::new()])).is_err());
        }
    }
}
