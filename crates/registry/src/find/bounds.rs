//! What a search costs, whatever is in the registry.

use super::scene::{PROFILE, find, image, look, registry};
use super::{LARGEST_PROFILE, MOST_CANDIDATES, Place, Refusal, Unsigned, Unusable};
use crate::document::{LARGEST_ARTIFACT, media};
use crate::signature::Fault;
use crate::testing::{INDEX, MANIFEST, Signer, TestRegistry};
use crate::{Digest, Keys};

/// The manifest of an artifact with a profile or a signature, of `size` bytes.
fn artifact(registry: &mut TestRegistry, kind: &str, subject: &Digest, size: u64, number: usize) -> String {
    let layer = registry.blob("application/json", PROFILE);
    let config = registry.blob(media::EMPTY, "{}");
    let text = |filler: &str| {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","artifactType":"{kind}","config":{config},"layers":[{layer}],"subject":{{"mediaType":"{MANIFEST}","digest":"{subject}","size":1}},"annotations":{{"number":"{number:02}","filler":"{filler}"}}}}"#
        )
    };
    text(&"a".repeat(size as usize - text("").len()))
}

/// How often a manifest was read from the registry.
fn reads(asked: &[String], digest: &str) -> usize {
    asked.iter().filter(|it| **it == format!("200 /v2/team/app/manifests/{digest}")).count()
}

#[tokio::test]
async fn the_manifest_of_an_artifact_may_have_64_kib_and_no_byte_more() {
    for (size, is_usable) in [(LARGEST_ARTIFACT, true), (LARGEST_ARTIFACT + 1, false)] {
        let mut registry = registry().with_referrers();
        let (_, image) = image(&mut registry, None, "");
        let text = artifact(&mut registry, media::PROFILE, &image, size, 0);
        let digest = Digest::of(text.as_bytes()).to_string();
        registry.manifest(MANIFEST, text);
        let registry = registry.start().await;
        let found = look(&[&registry], None).await;
        match is_usable {
            true => assert_eq!(found.contents.as_deref(), Ok(PROFILE)),
            false => assert_eq!(found.contents, Err(Unusable::Artifact(Refusal::ManifestTooLarge))),
        }
        // What states that it is too large is not asked for.
        assert_eq!(reads(&registry.asked(), &digest), usize::from(is_usable));
    }
}

#[tokio::test]
async fn of_sixteen_artifacts_of_4_mib_that_state_a_byte_the_first_ends_the_search() {
    let mut registry = registry();
    let (_, image) = image(&mut registry, Some(PROFILE), "");
    let all: Vec<_> = (0..MOST_CANDIDATES)
        .map(|number| artifact(&mut registry, media::PROFILE, &image, 4 * 1024 * 1024, number))
        .collect();
    let digests: Vec<_> = all.iter().map(|it| Digest::of(it.as_bytes()).to_string()).collect();
    let entries: Vec<_> = digests
        .iter()
        .map(|digest| format!(r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":1}}"#))
        .collect();
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, entries.join(","));
    registry.tag(&image.to_string().replace(':', "-"), INDEX, index);
    for text in all {
        registry.manifest(MANIFEST, text);
    }
    let registry = registry.start().await;
    let found = look(&[&registry], None).await;
    assert_eq!(found.place, Place::Referrer);
    assert_eq!(found.contents, Err(Unusable::Artifact(Refusal::ManifestTooLarge)));
    let asked = registry.asked();
    // Its length is in the head of the answer, so that its body is not read either.
    assert_eq!(digests.iter().map(|digest| reads(&asked, digest)).sum::<usize>(), 1);
}

#[tokio::test]
async fn an_artifact_that_an_annotation_names_is_as_small() {
    let mut artifacts = registry();
    let text = artifact(&mut artifacts, media::PROFILE, &Digest::of(b"other"), LARGEST_ARTIFACT + 1, 0);
    artifacts.tag("named", MANIFEST, text);
    let artifacts = artifacts.start().await;
    let mut images = registry();
    let annotation = format!(r#""seccomp-profile.crio.io":"127.0.0.1:{}/team/app:named""#, artifacts.port());
    image(&mut images, None, &annotation);
    let images = images.start().await;
    let found = look(&[&images, &artifacts], None).await;
    assert_eq!(found.contents, Err(Unusable::Artifact(Refusal::ManifestTooLarge)));
}

#[tokio::test]
async fn the_manifest_of_a_signature_is_as_small_whatever_it_states() {
    let keys = Keys::read(Signer::new().public_key().as_bytes()).unwrap();
    for is_stated in [true, false] {
        let registry = registry();
        let mut registry = if is_stated { registry.with_referrers() } else { registry };
        let (_, image) = image(&mut registry, Some(PROFILE), "");
        let text = artifact(&mut registry, media::BUNDLE, &image, LARGEST_ARTIFACT + 1, 0);
        let digest = Digest::of(text.as_bytes());
        registry.manifest(MANIFEST, text);
        let entry = format!(
            r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":1,"artifactType":"{}"}}"#,
            media::BUNDLE
        );
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{entry}]}}"#);
        registry.tag(&image.to_string().replace(':', "-"), INDEX, index);
        let registry = registry.start().await;
        let found = look(&[&registry], Some(&keys)).await;
        match (is_stated, found.contents) {
            // A list without types: it might be a profile.
            (true, Err(Unusable::Artifact(Refusal::ManifestTooLarge))) => {}
            (false, Err(Unusable::Unsigned(Unsigned::Invalid { fault: Fault::ManifestTooLarge, .. }))) => {}
            (_, other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_profiles_of_all_platforms_have_a_bound_together() {
    let mut registry = registry();
    // Three variants of one architecture, each with a profile of the largest size.
    let entries: Vec<_> = (0..3)
        .map(|variant| {
            let filler = usize::try_from(LARGEST_PROFILE).unwrap() - PROFILE.len();
            let profile = format!("{}{PROFILE}{}", " ".repeat(variant), " ".repeat(filler - variant));
            let text = registry.image("amd64", Some(&profile), "");
            let descriptor = registry.manifest(MANIFEST, text);
            format!(
                r#"{descriptor},"platform":{{"os":"linux","architecture":"amd64","variant":"v{variant}"}}}}"#
            )
        })
        .collect();
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, entries.join(","));
    registry.tag("1", INDEX, index);
    let registry = registry.start().await;
    let found = find(&[&registry], None).await.platforms;
    let kept: Vec<_> = found.iter().map(|it| it.winner().unwrap().contents.is_ok()).collect();
    assert_eq!(kept, [true, true, false]);
    assert_eq!(found[2].winner().unwrap().contents, Err(Unusable::TooLargeTogether));
}
