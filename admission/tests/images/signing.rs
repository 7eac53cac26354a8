//! Images whose profiles must be signed, and what becomes of a container by value.

use admission::images::choice::Brings;
use admission::images::lookup::Lookup;
use admission::images::plan::{Fact, Fate, Plan, plan};
use admission::images::pod::{About, Pod};
use admission::images::settings::{Unknown, Unusable};
use admission::images::signatures::SignaturePolicy;
use registry::testing::{MANIFEST, RunningRegistry, Signer, TestRegistry};
use registry::{Digest, Keyring};
use serde_json::{Value, json};

use crate::{client, host, image};

const READS: &str =
    r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}"#;

/// What a container of this image gets by these values.
async fn plan_of(lookup: &Lookup, registry: &RunningRegistry, tag: usize, unusable: Unusable) -> Plan {
    let reference = image(registry, tag);
    let found =
        lookup.image("shop", &reference, &Keyring::default(), &["amd64".to_owned()], "main").await.unwrap();
    let pinned = reference.pinned(found.digest.clone());
    let fact = match &found.brings {
        Brings::Nothing => Fact::Nothing { pinned },
        Brings::Profile { profile, .. } => Fact::Profile { pinned, name: profile.name.clone() },
        Brings::Unusable(why) => Fact::Unusable { pinned, why: why.clone() },
        other @ Brings::Differing(_) => panic!("{other:?}"),
    };
    let spec = json!({ "containers": [{ "name": "main", "image": reference.to_string() }] });
    let mut pod = Pod::of(&spec, About::NewPod).unwrap();
    plan(&[(pod.containers.remove(0), fact)], unusable, Unknown::Warn, "profiles")
}

/// The type of the profile that a container gets.
fn given(plan: &Plan) -> Vec<&Value> {
    let values = plan.verdict.patch.iter().map(|it| &it["value"]["seccompProfile"]["type"]);
    values.filter(|it| !it.is_null()).collect()
}

/// Images: with a profile of its own that is signed, with one that is not, with a signed artifact, signed while its artifact
/// is not, and without a profile.
async fn serve(signer: &Signer) -> RunningRegistry {
    let mut registry = TestRegistry::new("team/app");
    for tag in 0..5 {
        let label = [Some(READS), Some(READS), None, None, None][tag];
        let text = registry.image("amd64", label, &format!(r#""number":"{tag}""#));
        registry.manifest(MANIFEST, text.clone());
        let of_image = Digest::of(text.as_bytes());
        match tag {
            0 => _ = registry.sign(&of_image, &signer.bundle(&of_image)),
            2 => {
                let artifact = registry.attach(&text, READS);
                registry.sign(&artifact, &signer.bundle(&artifact));
            }
            3 => {
                registry.attach(&text, READS);
                registry.sign(&of_image, &signer.bundle(&of_image));
            }
            _ => {}
        }
        registry.tag(&tag.to_string(), MANIFEST, text);
    }
    registry.start().await
}

#[tokio::test]
async fn what_is_not_signed_is_refused_or_means_the_baseline_by_value_and_never_nothing() {
    let signer = Signer::new();
    let registry = serve(&signer).await;
    let covered = [format!("{}/team", host(&registry)).parse().unwrap()];
    let policy = SignaturePolicy::new(signer.public_key().as_bytes(), &covered).unwrap();
    let lookup = Lookup::new(client(&registry), Some(policy)).unwrap();
    for tag in [0, 2] {
        for unusable in [Unusable::Baseline, Unusable::Refuse] {
            let plan = plan_of(&lookup, &registry, tag, unusable).await;
            assert_eq!((&plan.fates[..], given(&plan)), (&[Fate::Profile][..], vec![&json!("Localhost")]));
        }
    }
    for tag in [1, 3] {
        let plan = plan_of(&lookup, &registry, tag, Unusable::Baseline).await;
        assert_eq!((&plan.fates[..], given(&plan)), (&[Fate::Baseline][..], vec![&json!("RuntimeDefault")]));
        assert!(plan.verdict.warnings[0].contains("it is not signed"), "{:?}", plan.verdict.warnings);
        let plan = plan_of(&lookup, &registry, tag, Unusable::Refuse).await;
        assert_eq!((&plan.fates[..], plan.verdict.patch.len()), (&[Fate::Refused][..], 0));
        assert!(plan.verdict.refusal.unwrap().contains("it is not signed"));
    }
    let plan = plan_of(&lookup, &registry, 4, Unusable::Refuse).await;
    assert_eq!(plan.fates, [Fate::NoProfile]);
}

#[tokio::test]
async fn another_key_does_not_do_and_another_repository_need_not_be_signed() {
    let signer = Signer::new();
    let registry = serve(&signer).await;
    let other = Signer::new().public_key();
    for (repositories, fate) in [(vec![], Fate::Baseline), (vec!["registry.example"], Fate::Profile)] {
        let repositories: Vec<_> = repositories.iter().map(|it| it.parse().unwrap()).collect();
        let policy = SignaturePolicy::new(other.as_bytes(), &repositories).unwrap();
        let lookup = Lookup::new(client(&registry), Some(policy)).unwrap();
        for tag in 0..4 {
            assert_eq!(plan_of(&lookup, &registry, tag, Unusable::Baseline).await.fates, [fate]);
        }
    }
}
