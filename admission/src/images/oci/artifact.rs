//! Which artifacts a runtime may be told to get, and what stands in the pod then.
//!
//! The names of the fields are those of `core/v1/types.go` in k8s.io/api v0.38.0-beta.0.

use registry::{Carried, Digest, Reference};
use serde_json::{Map, Value, json};

/// The longest reference that the API server takes.
const LONGEST: usize = 1024;

/// The members of a profile that mean the same to every runtime. `flags` are none of them: an image's flags never apply
/// where the webhook narrows the profile. Nor are the members of Docker's dialect.
const MEMBERS: [&str; 4] = ["defaultAction", "defaultErrnoRet", "architectures", "syscalls"];
/// The members of a rule.
const MEMBERS_OF_RULES: [&str; 4] = ["names", "action", "errnoRet", "args"];
/// The members of a condition on an argument.
const MEMBERS_OF_ARGUMENTS: [&str; 4] = ["index", "value", "valueTwo", "op"];

/// The artifact with a profile, as a reference by digest without a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact(Box<str>);

/// What the runtime intersects a profile with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Its own default.
    RuntimeDefault,
    /// A file on the node: its path below the kubelet's `seccomp/`.
    Localhost(String),
}

impl Artifact {
    /// The artifact that an image carries its profile in: one and the same for all platforms, which holds a profile that a
    /// runtime reads as the webhook does.
    #[must_use]
    pub fn of(carried: &Carried) -> Option<Self> {
        let mut chosen = None;
        for platform in &carried.platforms {
            let found = platform.winner()?;
            let (reference, text) = (found.artifact.as_deref()?, found.contents.as_ref().ok()?);
            if !is_plain(text) || chosen.is_some_and(|chosen| chosen != reference) {
                return None;
            }
            chosen = Some(reference);
        }
        Self::named(chosen?)
    }

    /// The canonical form of a reference by digest: its registry is spelled out, and it has no tag.
    fn named(text: &str) -> Option<Self> {
        let reference = Reference::parse(text).ok()?;
        let text = format!("{}@{}", reference.repository(), reference.digest()?);
        (text.len() <= LONGEST).then(|| Self(text.into()))
    }

    /// One that does not exist, to ask with.
    #[must_use]
    pub(super) fn example() -> Self {
        Self(format!("example.com/none@{}", Digest::of(b"none")).into())
    }

    /// The length of its reference.
    #[must_use]
    pub fn length(&self) -> usize {
        self.0.len()
    }

    /// The `seccompProfile` of a container.
    #[must_use]
    pub fn seccomp_profile(&self, base: &Base) -> Value {
        let base = match base {
            Base::RuntimeDefault => json!({ "type": "RuntimeDefault" }),
            Base::Localhost(path) => json!({ "type": "Localhost", "localhostProfile": path }),
        };
        json!({ "type": "OCI", "oci": { "ref": &*self.0, "baseProfile": base } })
    }
}

/// Whether a profile has only such members as mean the same to every runtime.
fn is_plain(text: &str) -> bool {
    let Ok(profile) = serde_json::from_str::<Map<String, Value>>(text) else { return false };
    let has_only = |object: &Map<String, Value>, members: &[&str]| {
        object.keys().all(|key| members.contains(&key.as_str()))
    };
    // Runtimes read numbers of 64 bits without a sign: text, which this project reads, would be an error of theirs.
    let is_plain_argument = |argument: &Value| {
        argument.as_object().is_some_and(|argument| {
            has_only(argument, &MEMBERS_OF_ARGUMENTS)
                && argument.iter().all(|(key, value)| key == "op" || value.is_u64())
        })
    };
    let are_plain =
        |arguments: &Value| arguments.as_array().is_some_and(|all| all.iter().all(is_plain_argument));
    let is_plain_rule = |rule: &Value| {
        rule.as_object()
            .is_some_and(|rule| has_only(rule, &MEMBERS_OF_RULES) && rule.get("args").is_none_or(are_plain))
    };
    has_only(&profile, &MEMBERS)
        && profile
            .get("syscalls")
            .is_none_or(|rules| rules.as_array().is_some_and(|rules| rules.iter().all(is_plain_rule)))
}

#[cfg(test)]
mod tests {
    use registry::{ForPlatform, Found, Place, Unusable};

    use super::*;

    const READS: &str =
        r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}"#;

    fn platform(place: Place, artifact: Option<&str>, contents: Result<&str, Unusable>) -> ForPlatform {
        let contents = contents.map(str::to_owned);
        ForPlatform {
            architecture: "amd64".to_owned(),
            manifest: Digest::of(b"manifest"),
            found: vec![Found { place, artifact: artifact.map(str::to_owned), contents }],
        }
    }

    fn of(platforms: Vec<ForPlatform>) -> Option<Artifact> {
        Artifact::of(&Carried { digest: Digest::of(b"index"), platforms })
    }

    fn by_digest(name: &str) -> String {
        format!("{name}@{}", Digest::of(b"artifact"))
    }

    #[test]
    fn an_artifact_is_named_by_its_digest_with_the_base_that_it_is_narrowed_by() {
        let name = by_digest("registry.example.com:5000/team/app");
        let key = "seccomp-profile.crio.io".to_owned();
        for place in [Place::Referrer, Place::Reference { key }] {
            let artifact = of(vec![platform(place, Some(&name), Ok(READS))]).unwrap();
            // The form that k8s.io/kubernetes v1.38.0-beta.0 accepts in pkg/apis/core/validation/validation_test.go.
            assert_eq!(
                artifact.seccomp_profile(&Base::Localhost("profiles/base.json".to_owned())),
                json!({
                    "type": "OCI",
                    "oci": {
                        "ref": name,
                        "baseProfile": { "type": "Localhost", "localhostProfile": "profiles/base.json" },
                    },
                })
            );
            let of_default = artifact.seccomp_profile(&Base::RuntimeDefault);
            assert_eq!(of_default["oci"]["baseProfile"], json!({ "type": "RuntimeDefault" }));
        }
    }

    #[test]
    fn the_registry_is_spelled_out_and_a_tag_left_out() {
        let canonical = by_digest("docker.io/library/app");
        for name in ["app", "app:1", "docker.io/app", "docker.io/library/app:1"] {
            let artifact = of(vec![platform(Place::Referrer, Some(&by_digest(name)), Ok(READS))]);
            assert_eq!(artifact, Some(Artifact(canonical.clone().into())), "{name}");
        }
        // What it holds could change.
        assert_eq!(of(vec![platform(Place::Referrer, Some("docker.io/library/app:1"), Ok(READS))]), None);
        let long = by_digest(&format!("{}.example.com/app", vec!["a".repeat(63); 15].join(".")));
        assert_eq!(of(vec![platform(Place::Referrer, Some(&long), Ok(READS))]), None);
    }

    #[test]
    fn what_is_not_in_an_artifact_or_cannot_be_used_is_not_named() {
        let name = by_digest("registry.example.com/app");
        for place in [Place::Label, Place::Annotation] {
            assert_eq!(of(vec![platform(place, None, Ok(READS))]), None);
        }
        assert_eq!(of(vec![platform(Place::Referrer, Some(&name), Err(Unusable::TooLarge))]), None);
        assert_eq!(of(Vec::new()), None);
        let mut without = platform(Place::Referrer, Some(&name), Ok(READS));
        without.found.clear();
        assert_eq!(of(vec![platform(Place::Referrer, Some(&name), Ok(READS)), without]), None);
    }

    #[test]
    fn platforms_with_different_artifacts_name_none() {
        let on = |name: &str| platform(Place::Referrer, Some(&by_digest(name)), Ok(READS));
        assert!(of(vec![on("example.com/a"), on("example.com/a")]).is_some());
        assert_eq!(of(vec![on("example.com/a"), on("example.com/b")]), None);
    }

    #[test]
    fn what_a_runtime_may_read_otherwise_than_the_webhook_stays_a_file() {
        let name = by_digest("registry.example.com/app");
        let is_named = |text: &str| of(vec![platform(Place::Referrer, Some(&name), Ok(text))]).is_some();
        assert!(is_named(READS));
        assert!(is_named(
            r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"architectures":["SCMP_ARCH_X86_64"]}"#
        ));
        let with = |arguments: &str| {
            format!(
                r#"{{"defaultAction":"SCMP_ACT_LOG","syscalls":[{{"names":["read"],"action":"SCMP_ACT_ERRNO","args":{arguments}}}]}}"#
            )
        };
        for arguments in
            ["[]", r#"[{"index":1,"value":18446744073709551615,"valueTwo":0,"op":"SCMP_CMP_EQ"}]"#]
        {
            assert!(is_named(&with(arguments)), "{arguments}");
        }
        for arguments in [
            r#"[{"index":1,"value":"0x80000000","op":"SCMP_CMP_EQ"}]"#,
            r#"[{"index":1,"value":"9223372036854775808","op":"SCMP_CMP_EQ"}]"#,
            r#"[{"index":1,"value":0,"valueTwo":"1","op":"SCMP_CMP_MASKED_EQ"}]"#,
            r#"[{"index":"1","value":0,"op":"SCMP_CMP_EQ"}]"#,
            r#"[{"index":1,"value":-1,"op":"SCMP_CMP_EQ"}]"#,
            r#"[{"index":1,"value":0,"op":"SCMP_CMP_EQ","mask":1}]"#,
            "[7]",
            "null",
            "{}",
        ] {
            assert!(!is_named(&with(arguments)), "{arguments}");
        }
        for text in [
            r#"{"defaultAction":"SCMP_ACT_LOG","flags":["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]}"#,
            r#"{"defaultAction":"SCMP_ACT_LOG","flags":[]}"#,
            r#"{"defaultAction":"SCMP_ACT_LOG","archMap":[]}"#,
            r#"{"defaultAction":"SCMP_ACT_LOG","defaultErrno":"EPERM"}"#,
            r#"{"defaultAction":"SCMP_ACT_LOG","listenerPath":"/run/a.sock"}"#,
            r#"{"defaultAction":"SCMP_ACT_LOG","Flags":["SECCOMP_FILTER_FLAG_LOG"]}"#,
            r#"{"defaultAction":"SCMP_ACT_LOG","syscalls":[{"name":"read","action":"SCMP_ACT_ALLOW"}]}"#,
            r#"{"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_BPF"]}}]}"#,
            r#"{"defaultAction":"SCMP_ACT_LOG","syscalls":null}"#,
            r#"{"defaultAction":"SCMP_ACT_LOG","syscalls":[7]}"#,
            "[]",
            "{",
        ] {
            assert!(!is_named(text), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_named_is_a_reference_by_digest_and_in_canonical_form(
            name in "([a-z0-9.:/@-]{0,40}|[a-z.]{1,8}(:[0-9]{1,4})?/[a-z/]{1,8}(:[a-z]{1,3})?@sha256:[0-9a-f]{64})"
        ) {
            if let Some(Artifact(named)) = of(vec![platform(Place::Referrer, Some(&name), Ok(READS))]) {
                let reference = Reference::parse(&named).unwrap();
                proptest::prop_assert_eq!(reference.to_string(), &*named);
                proptest::prop_assert!(reference.digest().is_some() && reference.tag().is_none());
                let asked = Reference::parse(&name).unwrap();
                proptest::prop_assert_eq!(asked.digest(), reference.digest());
            }
        }
    }
}
