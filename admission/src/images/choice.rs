//! What an image brings: the profile that it carries, as far as the baseline permits it.
//!
//! The baseline is the runtime's default. It differs between architectures, so that an image for several of them brings
//! one profile only where the pod can land on one of them alone, or where the result is the same.

use std::sync::Arc;

use api::ProfileName;
use convert::Machine;
use filter::RuntimeDefault;
use profile::Profile;
use registry::{Carried, Digest, ForPlatform};
use serde_json::Value;

use super::oci::artifact::Artifact;

/// What an image brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Brings {
    /// No profile.
    Nothing,
    /// A profile.
    Profile {
        /// The profile.
        profile: Arc<ImageProfile>,
        /// Where it was found, as one word.
        place: &'static str,
    },
    /// Something that cannot be used.
    Unusable(Why),
    /// Different profiles for the architectures that the pod can land on.
    Differing(Why),
}

/// A profile that images bring, within the baseline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageProfile {
    /// Its name, which states its contents.
    pub name: ProfileName,
    /// Its contents as JSON that the API server takes. As a tree they would take some times more memory, and they are needed
    /// only once, for the object.
    pub contents: Box<str>,
}

/// Why something is as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// As one word of a bounded set.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// An image as it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The digest that it had.
    pub digest: Digest,
    /// What it brings.
    pub brings: Brings,
    /// The artifact with its profile, if a runtime may get it.
    pub artifact: Option<Artifact>,
}

/// What an image brings that carries this.
///
/// # Errors
/// A registry has not answered about a place, and may answer later.
pub fn choose(carried: &Carried) -> Result<Brings, Why> {
    let mut chosen: Option<(&ForPlatform, Brings)> = None;
    for platform in &carried.platforms {
        let brings = of_platform(platform)?;
        match &chosen {
            Some((_, Brings::Unusable(_))) => {}
            // Of several, what cannot be used is what is told.
            _ if matches!(brings, Brings::Unusable(_)) => chosen = Some((platform, brings)),
            None => chosen = Some((platform, brings)),
            Some((_, first)) if is_same(first, &brings) => {}
            Some((first, Brings::Differing(_))) => chosen = Some((first, differing(first, platform))),
            Some((first, _)) => chosen = Some((first, differing(first, platform))),
        }
    }
    Ok(chosen.map_or(Brings::Nothing, |(_, brings)| brings))
}

/// Whether two platforms of an image bring the same, wherever it was found.
fn is_same(one: &Brings, two: &Brings) -> bool {
    match (one, two) {
        (Brings::Profile { profile: one, .. }, Brings::Profile { profile: two, .. }) => one.name == two.name,
        (one, two) => one == two,
    }
}

fn differing(one: &ForPlatform, two: &ForPlatform) -> Brings {
    Brings::Differing(Why {
        reason: "ProfilesDiffer",
        message: format!(
            "it carries different profiles for {} and {}; name one of them in the pod's nodeSelector \
             (kubernetes.io/arch)",
            one.architecture, two.architecture
        ),
    })
}

fn of_platform(platform: &ForPlatform) -> Result<Brings, Why> {
    let Some(found) = platform.winner() else { return Ok(Brings::Nothing) };
    let text = match &found.contents {
        Ok(text) => text,
        Err(error) => {
            let why =
                Why { reason: error.reason(), message: format!("its profile ({}): {error}", found.place) };
            return if error.is_passing() { Err(why) } else { Ok(Brings::Unusable(why)) };
        }
    };
    let unusable = |reason, message: String| {
        Brings::Unusable(Why { reason, message: format!("its profile ({}): {message}", found.place) })
    };
    let Ok(machine) = platform.architecture.parse::<Machine>() else {
        return Ok(unusable(
            "Architecture",
            format!("the architecture {:?} is unknown", platform.architecture),
        ));
    };
    let Some(baseline) = RuntimeDefault::CONTAINERD.profile(machine.native()) else {
        return Ok(unusable(
            "NoBaseline",
            format!("the default of runtimes on {} is unknown", machine.name()),
        ));
    };
    let narrowed = match narrow::narrow(text, &baseline, &[machine].into()) {
        Ok(narrowed) => narrowed,
        Err(error) => return Ok(unusable(error.reason(), error.to_string())),
    };
    Ok(match contents(&narrowed.profile) {
        Some(profile) => Brings::Profile { profile: Arc::new(profile), place: found.place.kind() },
        None => unusable(
            "ProfileTooLarge",
            "within the baseline it has more rules than a profile may have".into(),
        ),
    })
}

/// The contents of a SeccompProfile and the name that states them; `None` if they exceed the bounds of a profile.
fn contents(profile: &Profile) -> Option<ImageProfile> {
    let mut value = serde_json::to_value(profile).ok()?;
    for_the_api_server(&mut value);
    let hash = Profile::from_value(&value).ok()?.canonical().hash();
    Some(ImageProfile { name: ProfileName::stating(hash), contents: value.to_string().into() })
}

/// Writes numbers above 2^63-1 as text: the API server's JSON refuses them.
fn for_the_api_server(value: &mut Value) {
    match value {
        Value::Number(number) if number.as_i64().is_none() => *value = Value::String(number.to_string()),
        Value::Array(values) => values.iter_mut().for_each(for_the_api_server),
        Value::Object(members) => members.values_mut().for_each(for_the_api_server),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use registry::{Found, Place, RegistryError};
    use serde_json::json;

    use super::*;

    fn platform(architecture: &str, contents: Option<Result<String, registry::Unusable>>) -> ForPlatform {
        let found = contents.map(|contents| Found { place: Place::Label, artifact: None, contents });
        ForPlatform {
            architecture: architecture.to_owned(),
            manifest: Digest::of(architecture.as_bytes()),
            found: found.into_iter().collect(),
        }
    }

    fn of(platforms: Vec<ForPlatform>) -> Result<Brings, Why> {
        choose(&Carried { digest: Digest::of(b"index"), platforms })
    }

    fn carrying(architecture: &str, names: &[&str]) -> ForPlatform {
        let rule = json!({ "names": names, "action": "SCMP_ACT_ALLOW" });
        let text = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule] }).to_string();
        platform(architecture, Some(Ok(text)))
    }

    #[test]
    fn an_image_brings_its_profile_without_the_calls_that_the_runtime_forbids() {
        let Ok(Brings::Profile { profile, .. }) = of(vec![carrying("amd64", &["read", "bpf"])]) else {
            panic!("a profile")
        };
        let contents: Value = serde_json::from_str(&profile.contents).unwrap();
        let rules = contents["syscalls"].as_array().unwrap();
        let mut permitted = rules.iter().filter(|rule| rule["action"] == "SCMP_ACT_ALLOW");
        assert!(permitted.all(|rule| rule["names"] == json!(["read"])), "{contents}");
        let canonical = Profile::from_value(&contents).unwrap().canonical();
        assert_eq!(profile.name.stated_hash(), Some(canonical.hash()));
        assert_eq!(of(vec![platform("amd64", None)]), Ok(Brings::Nothing));
        assert_eq!(of(vec![]), Ok(Brings::Nothing));
    }

    #[test]
    fn what_cannot_be_used_says_why_and_what_may_be_usable_later_is_an_error() {
        for (text, reason) in [
            ("{", "ProfileNotJson"),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/a","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]}"#,
                "ProfileListener",
            ),
            (r#"{"defaultAction":"SCMP_ACT_TRACE"}"#, "ProfileAsks"),
        ] {
            let found = of(vec![platform("amd64", Some(Ok(text.to_owned())))]);
            assert!(matches!(&found, Ok(Brings::Unusable(why)) if why.reason == reason), "{found:?}");
        }
        let found = of(vec![carrying("riscv64", &["read"])]);
        assert!(matches!(&found, Ok(Brings::Unusable(why)) if why.reason == "NoBaseline"), "{found:?}");
        let late = Some(Err(registry::Unusable::Registry(RegistryError::Timeout)));
        assert_eq!(of(vec![platform("amd64", late)]).unwrap_err().reason, "RegistryTimeout");
    }

    #[test]
    fn platforms_that_bring_different_profiles_bring_none() {
        let found = of(vec![carrying("amd64", &["read"]), carrying("arm64", &["write"])]);
        let Ok(Brings::Differing(why)) = found else { panic!("{found:?}") };
        assert!(why.message.contains("amd64 and arm64"), "{}", why.message);
        let found = of(vec![carrying("amd64", &["read"]), platform("arm64", None)]);
        assert!(matches!(found, Ok(Brings::Differing(_))), "{found:?}");
        // Variants of one architecture.
        let same = of(vec![carrying("amd64", &["read"]), carrying("amd64", &["read"])]);
        assert!(matches!(same, Ok(Brings::Profile { .. })), "{same:?}");
        let bad = of(vec![carrying("amd64", &["read"]), platform("arm64", Some(Ok("{".into())))]);
        assert!(matches!(bad, Ok(Brings::Unusable(_))), "{bad:?}");
    }

    #[test]
    fn numbers_that_the_api_server_refuses_are_text() {
        let mut value = json!({ "a": [u64::MAX, i64::MAX, 1] });
        for_the_api_server(&mut value);
        assert_eq!(value, json!({ "a": ["18446744073709551615", i64::MAX, 1] }));
    }
}
