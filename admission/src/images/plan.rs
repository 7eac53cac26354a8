//! What is done to a pod, of what was found about its containers: a JSON patch, warnings, a refusal.

use api::ProfileName;
use registry::Reference;
use serde_json::{Value, json};

use super::choice::Why;
use super::pod::Container;
use super::settings::{Unknown, Unusable};
use crate::review::Verdict;
use crate::warn::bounded;

/// The most warnings of an answer.
const MOST: usize = 5;

/// What is known of a container's image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// It carries no profile.
    Nothing {
        /// The image with its digest.
        pinned: Reference,
    },
    /// It carries a profile, and there is an object with it.
    Profile {
        /// The image with its digest.
        pinned: Reference,
        /// The object.
        name: ProfileName,
    },
    /// It carries a profile that the runtime gets itself.
    Artifact {
        /// The image with its digest.
        pinned: Reference,
        /// What the container's `seccompProfile` is.
        profile: Value,
    },
    /// It carries something that cannot be used.
    Unusable {
        /// The image with its digest.
        pinned: Reference,
        /// Why.
        why: Why,
    },
    /// It carries a profile that cannot be had now, for example because there are too many.
    Unavailable {
        /// The image with its digest.
        pinned: Reference,
        /// Why.
        why: Why,
    },
    /// Nothing is known of it.
    Unknown(Why),
}

/// What becomes of a container, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its image carries no profile.
    NoProfile,
    /// It gets the profile of its image.
    Profile,
    /// It gets the baseline.
    Baseline,
    /// It stays as it is, because its image could not be looked at.
    Unchanged,
    /// The pod is refused because of it.
    Refused,
}

impl Fate {
    fn of(fact: &Fact, unusable: Unusable, unknown: Unknown) -> Self {
        match fact {
            Fact::Nothing { .. } => Self::NoProfile,
            Fact::Profile { .. } | Fact::Artifact { .. } => Self::Profile,
            Fact::Unavailable { .. } => Self::Baseline,
            Fact::Unusable { .. } => match unusable {
                Unusable::Baseline => Self::Baseline,
                Unusable::Refuse => Self::Refused,
            },
            Fact::Unknown(_) => match unknown {
                Unknown::Warn => Self::Unchanged,
                Unknown::Baseline => Self::Baseline,
                Unknown::Refuse => Self::Refused,
            },
        }
    }
}

/// What is done to a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The answer.
    pub verdict: Verdict,
    /// What becomes of each container, in their order.
    pub fates: Vec<Fate>,
}

/// What is done to a pod with these containers. `directory` is that of the profiles below the kubelet's `seccomp/`.
#[must_use]
pub fn plan(found: &[(Container, Fact)], unusable: Unusable, unknown: Unknown, directory: &str) -> Plan {
    let (mut patch, mut lines, mut refusal) = (Vec::new(), Vec::new(), None);
    let mut fates = Vec::new();
    for (container, fact) in found {
        let fate = Fate::of(fact, unusable, unknown);
        fates.push(fate);
        let (pinned, why) = match fact {
            Fact::Nothing { pinned } | Fact::Profile { pinned, .. } | Fact::Artifact { pinned, .. } => {
                (Some(pinned), None)
            }
            Fact::Unusable { pinned, why } | Fact::Unavailable { pinned, why } => (Some(pinned), Some(why)),
            Fact::Unknown(why) => (None, Some(why)),
        };
        if let Some(pinned) = pinned.map(ToString::to_string).filter(|pinned| *pinned != container.image) {
            patch.push(
                json!({ "op": "replace", "path": format!("{}/image", container.path), "value": pinned }),
            );
        }
        let profile = match (fate, fact) {
            (Fate::Profile, Fact::Profile { name, .. }) => {
                Some(json!({ "type": "Localhost", "localhostProfile": name.localhost_profile(directory) }))
            }
            (Fate::Profile, Fact::Artifact { profile, .. }) => Some(profile.clone()),
            (Fate::Baseline, _) => Some(json!({ "type": "RuntimeDefault" })),
            _ => None,
        };
        patch.extend(profile.map(|profile| add_profile(container, &profile)));
        if let Some(why) = why {
            let effect = match fate {
                Fate::Baseline => "; it runs under RuntimeDefault",
                Fate::Unchanged => "; it stays as it is",
                _ => "",
            };
            let Container { name, image, .. } = container;
            let line = bounded(&format!("container {name}: image {image}: {}{effect}", why.message));
            match fate {
                Fate::Refused => _ = refusal.get_or_insert(line),
                _ => lines.push(line),
            }
        }
    }
    few(&mut lines, "more containers whose images bring no profile that can be used");
    if refusal.is_some() {
        patch.clear();
    }
    Plan { verdict: Verdict { refusal, warnings: lines, patch }, fates }
}

/// Leaves at most five lines, of which the last one counts `others`.
pub(super) fn few(lines: &mut Vec<String>, others: &str) {
    if lines.len() > MOST {
        let left = lines.len() - (MOST - 1);
        lines.truncate(MOST - 1);
        lines.push(format!("{left} {others}"));
    }
}

fn add_profile(container: &Container, profile: &Value) -> Value {
    let Container { path, has_security_context, .. } = container;
    match has_security_context {
        true => {
            json!({ "op": "add", "path": format!("{path}/securityContext/seccompProfile"), "value": profile })
        }
        false => {
            json!({ "op": "add", "path": format!("{path}/securityContext"), "value": { "seccompProfile": profile } })
        }
    }
}

#[cfg(test)]
mod tests {
    use profile::ContentHash;
    use registry::Digest;

    use super::super::pod::{About, Pod};
    use super::*;

    fn spec() -> Value {
        json!({
            "initContainers": [{ "name": "init", "image": "tools:1" }],
            "containers": [
                { "name": "web", "image": "registry.example.com/web:1", "securityContext": { "runAsNonRoot": true } },
                { "name": "log", "image": "registry.example.com/log" },
            ],
        })
    }

    fn pinned(image: &str) -> Reference {
        Reference::parse(image).unwrap().pinned(Digest::of(b"manifest"))
    }

    fn name() -> ProfileName {
        ProfileName::stating(ContentHash::of(b"{}"))
    }

    fn why(message: &str) -> Why {
        Why { reason: "Reason", message: message.to_owned() }
    }

    fn of(facts: impl Fn(&str) -> Fact, unusable: Unusable, unknown: Unknown) -> Plan {
        let pod = Pod::of(&spec(), About::NewPod).unwrap();
        let found: Vec<_> = pod.containers.into_iter().map(|it| (it.clone(), facts(&it.image))).collect();
        plan(&found, unusable, unknown, "profiles")
    }

    fn patched(plan: &Plan) -> Value {
        let mut pod = json!({ "spec": spec() });
        let patch: json_patch::Patch = serde_json::from_value(json!(plan.verdict.patch)).unwrap();
        json_patch::patch(&mut pod, &patch).unwrap();
        pod["spec"].clone()
    }

    #[test]
    fn each_container_gets_its_digest_and_the_profile_of_its_own_image() {
        let fact = |image: &str| match image {
            "tools:1" => Fact::Nothing { pinned: pinned(image) },
            _ => Fact::Profile { pinned: pinned(image), name: name() },
        };
        let plan = of(fact, Unusable::Baseline, Unknown::Warn);
        assert_eq!(plan.fates, [Fate::NoProfile, Fate::Profile, Fate::Profile]);
        let spec = patched(&plan);
        let digest = Digest::of(b"manifest");
        assert_eq!(
            spec["initContainers"][0],
            json!({
                "name": "init", "image": format!("docker.io/library/tools:1@{digest}"),
            })
        );
        let profile = json!({ "type": "Localhost", "localhostProfile": format!("profiles/{}.json", name()) });
        assert_eq!(
            spec["containers"][0]["securityContext"],
            json!({ "runAsNonRoot": true, "seccompProfile": profile })
        );
        assert_eq!(spec["containers"][1]["securityContext"], json!({ "seccompProfile": profile }));
        assert_eq!(spec["containers"][1]["image"], format!("registry.example.com/log@{digest}"));
        assert!(plan.verdict.warnings.is_empty() && plan.verdict.refusal.is_none());
    }

    #[test]
    fn a_second_request_changes_nothing_of_what_the_first_one_made() {
        let fact = |image: &str| match image {
            image if image.contains("web") => Fact::Profile { pinned: pinned(image), name: name() },
            image if image.contains("log") => {
                Fact::Unusable { pinned: pinned(image), why: why("it is too large") }
            }
            _ => Fact::Nothing { pinned: pinned(image) },
        };
        let once = patched(&of(fact, Unusable::Baseline, Unknown::Warn));
        let pod = Pod::of(&once, About::NewPod).unwrap();
        let again: Vec<_> = pod.containers.iter().map(|it| (it.clone(), fact(&it.image))).collect();
        let [(init, _)] = &again[..] else { panic!("{again:?}") };
        assert_eq!(init.name, "init");
        let plan = plan(&again, Unusable::Baseline, Unknown::Warn, "profiles");
        assert_eq!(plan.verdict, Verdict::default());
    }

    #[test]
    fn what_cannot_be_used_means_the_baseline_or_a_refusal_and_never_nothing() {
        let fact = |image: &str| Fact::Unusable { pinned: pinned(image), why: why("it is no JSON") };
        let plan = of(fact, Unusable::Baseline, Unknown::Warn);
        let spec = patched(&plan);
        let default = json!({ "type": "RuntimeDefault" });
        for container in [&spec["initContainers"][0], &spec["containers"][0], &spec["containers"][1]] {
            assert_eq!(container["securityContext"]["seccompProfile"], default, "{container}");
        }
        assert_eq!(
            plan.verdict.warnings[0],
            "container init: image tools:1: it is no JSON; it runs under RuntimeDefault"
        );
        let refused = of(fact, Unusable::Refuse, Unknown::Warn);
        assert_eq!(refused.verdict.refusal.as_deref(), Some("container init: image tools:1: it is no JSON"));
        assert_eq!((refused.verdict.patch.len(), &refused.fates[..]), (0, &[Fate::Refused; 3][..]));
    }

    #[test]
    fn what_is_unknown_is_a_warning_the_baseline_or_a_refusal() {
        let fact = |_: &str| Fact::Unknown(why("the registry did not answer in time"));
        let warned = of(fact, Unusable::Refuse, Unknown::Warn);
        assert_eq!((warned.verdict.patch.len(), warned.verdict.warnings.len()), (0, 3));
        let baseline = of(fact, Unusable::Refuse, Unknown::Baseline);
        // The image stays as it is, because its digest is not known.
        assert_eq!(
            patched(&baseline)["containers"][1],
            json!({
                "name": "log", "image": "registry.example.com/log",
                "securityContext": { "seccompProfile": { "type": "RuntimeDefault" } },
            })
        );
        assert!(of(fact, Unusable::Baseline, Unknown::Refuse).verdict.refusal.is_some());
    }

    #[test]
    fn there_are_at_most_five_short_warnings() {
        let containers: Vec<_> =
            (0..40).map(|at| json!({ "name": format!("c{at}"), "image": "a" })).collect();
        let pod = Pod::of(&json!({ "containers": containers }), About::NewPod).unwrap();
        let fact = Fact::Unknown(why(&"x".repeat(1_000)));
        let found: Vec<_> = pod.containers.into_iter().map(|it| (it, fact.clone())).collect();
        let warnings = plan(&found, Unusable::Baseline, Unknown::Warn, "profiles").verdict.warnings;
        assert_eq!((warnings.len(), warnings[4].starts_with("36 more")), (5, true));
        assert!(warnings.iter().all(|line| line.chars().count() <= 256));
    }
}
