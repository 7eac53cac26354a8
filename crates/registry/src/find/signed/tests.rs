use super::*;
use crate::document::media;
use crate::find::scene::{self, PROFILE, image, look, registry};
use crate::find::{Found, Place, Sizes};
use crate::testing::{INDEX, MANIFEST, RunningRegistry, Signer, TestRegistry};
use crate::{Keys, Unusable};

fn keys(signers: &[&Signer]) -> Keys {
    let pem: String = signers.iter().map(|signer| signer.public_key()).collect();
    Keys::read(pem.as_bytes()).unwrap()
}

/// What is found first, of what must be signed by one of these.
async fn found(registry: &RunningRegistry, signers: &[&Signer]) -> Found {
    look(&[registry], Some(&keys(signers))).await
}

/// Why it counts as not signed.
async fn unsigned(registry: &RunningRegistry, signers: &[&Signer]) -> Unsigned {
    match found(registry, signers).await.contents {
        Err(Unusable::Unsigned(unsigned)) => unsigned,
        other => panic!("{other:?}"),
    }
}

/// An index, tagged `1`, that names an image for amd64 with this manifest: the digests of the image and of the index.
fn indexed(registry: &mut TestRegistry, text: String) -> (Digest, Digest) {
    let image = Digest::of(text.as_bytes());
    let descriptor = registry.manifest(MANIFEST, text);
    let platform = r#""platform":{"os":"linux","architecture":"amd64"}"#;
    let index =
        format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{descriptor},{platform}}}]}}"#);
    let of_index = Digest::of(index.as_bytes());
    registry.tag("1", INDEX, index);
    (image, of_index)
}

#[tokio::test]
async fn a_profile_in_an_artifact_needs_a_signature_of_the_artifact() {
    let (signer, other) = (Signer::new(), Signer::new());
    let mut registry = registry();
    let (text, image) = image(&mut registry, None, "");
    let artifact = registry.attach(&text, PROFILE);
    // Whoever can push referrers could attach any profile to a signed image.
    registry.sign(&image, &signer.bundle(&image));
    let one = registry.start().await;
    assert_eq!(unsigned(&one, &[&signer]).await, Unsigned::Bare(artifact.clone()));
    assert!(look(&[&one], None).await.contents.is_ok());

    let mut registry = scene::registry().with_referrers();
    let (text, _) = scene::image(&mut registry, None, "");
    assert_eq!(registry.attach(&text, PROFILE), artifact);
    registry.sign(&artifact, &signer.bundle(&artifact));
    let two = registry.start().await;
    let found = found(&two, &[&other, &signer]).await;
    assert_eq!((found.place, found.contents.as_deref()), (Place::Referrer, Ok(PROFILE)));
    let invalid = Unsigned::Invalid { manifest: artifact, number: 1, looked_at: 1, fault: Fault::Key };
    assert_eq!(unsigned(&two, &[&other]).await, invalid);
}

#[tokio::test]
async fn a_signature_of_something_else_does_not_count_wherever_it_is() {
    let signer = Signer::new();
    let mut registry = registry();
    let (text, image) = image(&mut registry, None, "");
    let artifact = registry.attach(&text, PROFILE);
    // The signature of the image, put to the artifact.
    registry.sign(&artifact, &signer.bundle(&image));
    let invalid =
        Unsigned::Invalid { manifest: artifact, number: 1, looked_at: 1, fault: Fault::OtherManifest };
    assert_eq!(unsigned(&registry.start().await, &[&signer]).await, invalid);
}

#[tokio::test]
async fn a_profile_in_the_image_needs_a_signature_of_the_image_or_of_its_index() {
    let signer = Signer::new();
    for (label, annotations) in [
        (Some(PROFILE), String::new()),
        (None, format!(r#""seccomp.imjasonh.dev/profile":{}"#, serde_json::json!(PROFILE))),
    ] {
        for (signs_image, signs_index) in [(false, false), (true, false), (false, true)] {
            let mut registry = registry();
            let text = registry.image("amd64", label, &annotations);
            let (image, of_index) = indexed(&mut registry, text);
            if signs_image {
                registry.sign(&image, &signer.bundle(&image));
            }
            if signs_index {
                registry.sign(&of_index, &signer.bundle(&of_index));
            }
            let registry = registry.start().await;
            match signs_image || signs_index {
                true => assert_eq!(found(&registry, &[&signer]).await.contents.as_deref(), Ok(PROFILE)),
                false => assert_eq!(unsigned(&registry, &[&signer]).await, Unsigned::Bare(of_index)),
            }
        }
    }
}

#[tokio::test]
async fn a_list_of_signatures_of_the_index_that_is_too_long_says_so_whatever_the_image_has() {
    let (signer, other) = (Signer::new(), Signer::new());
    let mut registry = registry();
    let text = registry.image("amd64", Some(PROFILE), "");
    let (image, of_index) = indexed(&mut registry, text);
    registry.sign(&image, &other.bundle(&image));
    registry.sign(&of_index, &signer.bundle(&of_index));
    let others = usize::try_from(Sizes::ORDINARY.manifest).unwrap() / 150;
    for _ in 0..others {
        registry.refer(&of_index, "application/x", &[]);
    }
    let registry = registry.start().await;
    let keys = keys(&[&signer]);
    let small = scene::find_within(Sizes::ORDINARY, &[&registry], Some(&keys)).await;
    assert!(small.is_too_large(), "{small:?}");
    assert_eq!(look(&[&registry], Some(&keys)).await.contents.as_deref(), Ok(PROFILE));
}

#[tokio::test]
async fn an_image_that_names_an_artifact_is_signed_and_the_artifact_too_unless_it_is_named_by_its_digest() {
    let signer = Signer::new();
    for (by_digest, signs_image, signs_artifact, is_usable) in [
        (true, true, false, true),
        (true, false, true, false),
        (false, true, true, true),
        (false, true, false, false),
        (false, false, true, false),
    ] {
        let mut artifacts = registry();
        let artifact = artifacts.attach("another image", PROFILE);
        artifacts.give_tag(&artifact, "named");
        if signs_artifact {
            artifacts.sign(&artifact, &signer.bundle(&artifact));
        }
        let artifacts = artifacts.start().await;
        let mut images = registry();
        let named = if by_digest { format!("@{artifact}") } else { ":named".to_owned() };
        let reference = format!("127.0.0.1:{}/team/app{named}", artifacts.port());
        let annotation = format!(r#""seccomp-profile.crio.io":"{reference}""#);
        let (_, image) = image(&mut images, None, &annotation);
        if signs_image {
            images.sign(&image, &signer.bundle(&image));
        }
        let images = images.start().await;
        let found = look(&[&images, &artifacts], Some(&keys(&[&signer]))).await;
        assert!(matches!(found.place, Place::Reference { .. }));
        match is_usable {
            true => {
                assert_eq!(found.contents.as_deref(), Ok(PROFILE));
                // Whoever names it later names the bytes that were read, also if the annotation has a tag.
                let named = found.artifact.unwrap_or_default();
                assert!(named.ends_with(&format!("@{artifact}")), "{named}");
            }
            false => {
                let digest = if signs_image { artifact } else { image };
                assert_eq!(found.contents, Err(Unusable::Unsigned(Unsigned::Bare(digest))));
            }
        }
    }
}

#[tokio::test]
async fn artifacts_that_are_no_bundles_or_too_large_ones_are_not_read() {
    let signer = Signer::new();
    let other = Digest::of(b"other");
    for (case, fault) in [
        ("another type of the artifact", None),
        ("of another manifest", None),
        ("another type of the layer", Some(Fault::Artifact)),
        ("two layers", Some(Fault::Artifact)),
        ("no layer", Some(Fault::Artifact)),
        ("10 MiB", Some(Fault::TooLarge)),
        ("other bytes than its digest states", Some(Fault::Artifact)),
        ("cut off", Some(Fault::Format(String::new()))),
    ] {
        let mut registry = registry();
        let (_, image) = image(&mut registry, Some(PROFILE), "");
        let bundle = signer.bundle(&image);
        let layer = registry.blob(media::BUNDLE, &bundle);
        match case {
            "another type of the artifact" => _ = registry.refer(&image, "application/x", &[layer]),
            "of another manifest" => {
                // Somebody has entered it where the image's own referrers are.
                let signature = registry.refer(&other, media::BUNDLE, &[layer]);
                let entry = format!(r#"{{"mediaType":"{MANIFEST}","digest":"{signature}","size":1}}"#);
                let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{entry}]}}"#);
                registry.tag(&image.to_string().replace(':', "-"), INDEX, index);
            }
            "another type of the layer" => {
                let layer = registry.blob("application/json", &bundle);
                registry.refer(&image, media::BUNDLE, &[layer]);
            }
            "two layers" => _ = registry.refer(&image, media::BUNDLE, &[layer.clone(), layer]),
            "no layer" => _ = registry.refer(&image, media::BUNDLE, &[]),
            "10 MiB" => {
                let size = format!("\"size\":{}", bundle.len());
                let layer = layer.replace(&size, "\"size\":10485760");
                registry.refer(&image, media::BUNDLE, &[layer]);
            }
            "cut off" => _ = registry.sign(&image, &bundle[..bundle.len() / 2]),
            _ => {
                registry.refer(&image, media::BUNDLE, &[layer]);
                registry.replace_blob(&Digest::of(bundle.as_bytes()).to_string(), &bundle.replace('x', "y"));
            }
        }
        let registry = registry.start().await;
        match (unsigned(&registry, &[&signer]).await, fault) {
            (Unsigned::Bare(digest), None) => assert_eq!(digest, image, "{case}"),
            (Unsigned::Invalid { fault: Fault::Format(_), .. }, Some(Fault::Format(_))) => {}
            (Unsigned::Invalid { fault, .. }, Some(expected)) => assert_eq!(fault, expected, "{case}"),
            (found, _) => panic!("{case}: {found:?}"),
        }
        let blob = format!("/v2/team/app/blobs/{}", Digest::of(bundle.as_bytes()));
        let is_read = registry.asked().iter().any(|it| it.ends_with(&blob));
        assert_eq!(is_read, case == "other bytes than its digest states", "{case}");
    }
}

#[tokio::test]
async fn of_a_hundred_signatures_eight_are_looked_at() {
    let (signer, other) = (Signer::new(), Signer::new());
    let mut registry = registry();
    let (_, image) = image(&mut registry, Some(PROFILE), "");
    for _ in 0..100 {
        // Each is another one, because ECDSA is random.
        registry.sign(&image, &other.bundle(&image));
    }
    let registry = registry.start().await;
    let invalid =
        Unsigned::Invalid { manifest: image, number: 100, looked_at: MOST_SIGNATURES, fault: Fault::Key };
    let found = unsigned(&registry, &[&signer]).await;
    assert_eq!(found, invalid);
    assert_eq!(found.reason(), "SignatureInvalid");
    // Besides: the tag, the profiles' referrers, the image's configuration, the signatures' referrers by API and tag.
    assert!(registry.asked().len() <= 2 * MOST_SIGNATURES + 8, "{:?}", registry.asked());
}

#[tokio::test]
async fn signatures_with_certificates_take_no_place_of_those_with_keys_and_are_bounded_too() {
    let signer = Signer::new();
    for (others, is_signed) in [(MOST_READ - 1, true), (2 * MOST_READ, false)] {
        let mut registry = registry();
        let (_, image) = image(&mut registry, Some(PROFILE), "");
        for _ in 0..others {
            let bundle = signer.bundle(&image);
            let keyless = bundle.replace(r#""publicKey":{"hint":"x"}"#, r#""certificate":{"rawBytes":""}"#);
            registry.sign(&image, &keyless);
        }
        if is_signed {
            registry.sign(&image, &signer.bundle(&image));
        }
        let registry = registry.start().await;
        let found = found(&registry, &[&signer]).await.contents;
        let invalid = Unsigned::Invalid {
            manifest: image,
            number: others,
            looked_at: MOST_READ,
            fault: Fault::Certificate,
        };
        match is_signed {
            true => assert_eq!(found.as_deref(), Ok(PROFILE)),
            false => assert_eq!(found, Err(Unusable::Unsigned(invalid))),
        }
    }
}

#[tokio::test]
async fn what_the_registry_has_not_said_of_an_index_is_not_taken_for_the_bad_signature_of_the_manifest() {
    let signer = Signer::new();
    let mut registry = registry().with_referrers();
    let text = registry.image("amd64", Some(PROFILE), "");
    let (image, of_index) = indexed(&mut registry, text);
    registry.sign(&image, &signer.bundle(&Digest::of(b"other")));
    let registry = registry.failing_about(&of_index).start().await;
    let Err(unusable) = found(&registry, &[&signer]).await.contents else { panic!("a signature") };
    assert_eq!(unusable.reason(), "RegistryFault");
    assert!(unusable.is_passing(), "it is asked again soon");
}

#[tokio::test]
async fn one_valid_signature_among_others_suffices() {
    let (signer, other) = (Signer::new(), Signer::new());
    let mut registry = registry();
    let (_, image) = image(&mut registry, Some(PROFILE), "");
    for _ in 0..5 {
        registry.sign(&image, &other.bundle(&image));
    }
    registry.sign(&image, &signer.bundle(&image));
    let found = found(&registry.start().await, &[&signer]).await;
    assert_eq!(found.contents.as_deref(), Ok(PROFILE));
}

#[test]
fn a_registry_that_does_not_answer_about_signatures_may_do_so_later() {
    let of =
        |error| Unusable::Unsigned(Unsigned::Registry { manifest: Digest::of(b"x"), error }).is_passing();
    assert!(of(RegistryError::Timeout) && !of(RegistryError::Unauthorized));
    assert!(!Unusable::Unsigned(Unsigned::Bare(Digest::of(b"x"))).is_passing());
}

#[test]
fn what_says_that_it_is_a_signature_is_looked_at_first() {
    let of = |more: &str| {
        let digest = Digest::of(more.as_bytes());
        let text = format!(r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":1{more}}}"#);
        rank(&serde_json::from_str(&text).unwrap())
    };
    let typed = format!(r#","artifactType":"{}""#, media::BUNDLE);
    let about =
        |what: &str| format!(r#"{typed},"annotations":{{"dev.sigstore.bundle.predicateType":"{what}"}}"#);
    let ranks = [
        of(&about("https://sigstore.dev/cosign/sign/v1")),
        of(&typed),
        of(""),
        of(&about("https://spdx.dev/Document")),
    ];
    assert_eq!(ranks, [0, 1, 2, 3]);
}

/// What cosign 3.1.3 has pushed: `cosign sign --key` with a signing configuration without services, of an image that is made
/// here again. The private key was thrown away.
mod cosign {
    use super::*;

    const KEY: &str = include_str!("../../../data/cosign-3.1.3/public-key.pem");
    const BUNDLE: &str = include_str!("../../../data/cosign-3.1.3/bundle.json");
    const ARTIFACT: &str = include_str!("../../../data/cosign-3.1.3/artifact.json");
    const REFERRERS: &str = include_str!("../../../data/cosign-3.1.3/referrers.json");

    #[tokio::test]
    async fn a_signature_of_the_real_cosign_is_found_and_valid() {
        let mut registry = registry();
        let (_, image) = image(&mut registry, Some(PROFILE), "");
        registry.blob(media::BUNDLE, BUNDLE);
        registry.blob(media::EMPTY, "{}");
        registry.manifest(MANIFEST, ARTIFACT.to_owned());
        registry.tag(&image.to_string().replace(':', "-"), INDEX, REFERRERS.to_owned());
        let registry = registry.start().await;
        let keys = Keys::read(KEY.as_bytes()).unwrap();
        assert_eq!(look(&[&registry], Some(&keys)).await.contents.as_deref(), Ok(PROFILE));
        let other = Signer::new();
        let found = unsigned(&registry, &[&other]).await;
        assert!(matches!(found, Unsigned::Invalid { fault: Fault::Key, number: 1, .. }), "{found:?}");
    }
}
