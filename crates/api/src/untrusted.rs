//! A stored object, decoded without relying on the schema that was in force when it was written.

use std::borrow::Cow;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::Resource;
use profile::{Canonical, ContentHash, ParseError, PlainProfile, Profile};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    MAX_START_FAILURES, NodeProfileStatus, NodeProfileStatusStatus, Report, SeccompProfile,
    SeccompProfileStatus, StartFailure, Text,
};

/// An object of kind `K` of which only the metadata has been validated.
///
/// A watch that decodes into `K` fails at the first object that does not fit, and then receives nothing about the
/// others: one bad profile, written under an older schema or without validation, would stop every agent. This type
/// decodes any object, and the program validates each object separately.
///
/// `S` is the type of `spec`: a tree, or [`Text`] that is parsed only if it has changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(bound(serialize = "S: Serialize", deserialize = "S: Deserialize<'de> + Default"))]
pub struct Untrusted<K, S = Value> {
    /// The object's metadata, without `managedFields`.
    #[serde(deserialize_with = "crate::metadata::lenient")]
    pub metadata: ObjectMeta,
    /// The unvalidated `spec`.
    #[serde(default)]
    pub spec: S,
    /// The unvalidated `status`.
    #[serde(default)]
    pub status: Value,
    #[serde(skip)]
    kind: PhantomData<fn() -> K>,
}

impl Untrusted<SeccompProfile> {
    /// The profile that the nodes hold: that in `spec.contents`, with the flag that `spec.report` adds.
    ///
    /// # Errors
    /// It is missing or not a valid profile; paths start at `spec.contents`.
    pub fn profile(&self) -> Result<Profile, ParseError> {
        Self::profile_in(&self.spec)
    }

    /// The profile that a `spec` gives the nodes.
    ///
    /// # Errors
    /// Like [`Self::profile`].
    pub fn profile_in(spec: &Value) -> Result<Profile, ParseError> {
        let contents = spec.get("contents").unwrap_or(&Value::Null);
        let profile = Profile::from_value(contents).map_err(|error| error.under("spec.contents"))?;
        Ok(if reports(spec.get("report")) { profile.reporting() } else { profile })
    }

    /// The canonical bytes of the profile that a `spec` gives the nodes. Without a tree of values where the profile is
    /// spelled as usual.
    ///
    /// # Errors
    /// Like [`Self::profile`].
    pub fn canonical_in(spec: &Text) -> Result<Canonical, ParseError> {
        match serde_json::from_str::<PlainSpec<'_>>(spec.as_str()) {
            Ok(PlainSpec { contents, report }) if reports(report.as_ref()) => {
                Ok(contents.reporting().canonical())
            }
            Ok(PlainSpec { contents, .. }) => Ok(contents.canonical()),
            Err(_) => Self::profile_in(&spec.value()).map(|profile| profile.canonical()),
        }
    }
}

impl Untrusted<SeccompProfile> {
    /// The hash of the contents in a `spec` without the flag that its `report` adds; `None` if it adds none. An agent of a
    /// release that does not know the field writes a file with this hash.
    #[must_use]
    pub fn hash_without_report(spec: &Text) -> Option<ContentHash> {
        let spec = spec.value();
        reports(spec.get("report")).then_some(())?;
        let profile = Profile::from_value(spec.get("contents")?).ok()?;
        let (plain, reporting) = (profile.canonical().hash(), profile.reporting().canonical().hash());
        (plain != reporting).then_some(plain)
    }
}

/// A `spec` whose contents are spelled as usual.
#[derive(Deserialize)]
struct PlainSpec<'a> {
    #[serde(borrow)]
    contents: PlainProfile<'a>,
    report: Option<Value>,
}

/// Whether a `spec` with this `report` asks for records of what the profile refuses. The schema admits nothing but a
/// boolean; whatever else is stored counts as absent.
fn reports(report: Option<&Value>) -> bool {
    report == Some(&Value::Bool(true))
}

impl<S> Untrusted<SeccompProfile, S> {
    /// The status, if it can be decoded.
    #[must_use]
    pub fn status(&self) -> Option<SeccompProfileStatus> {
        SeccompProfileStatus::deserialize(&self.status).ok()
    }

    /// Whether the profile was deleted and the operator has approved the removal of its file. The approval alone is not
    /// enough, because somebody with the operator's token could otherwise remove every file from every node.
    #[must_use]
    pub fn removal_approved(&self) -> bool {
        let approved = self.status.get("removal").and_then(Value::as_str) == Some("Approved");
        approved && self.metadata.deletion_timestamp.is_some()
    }

    /// The number of nodes that should hold the profile, if the operator has written it.
    #[must_use]
    pub fn desired_nodes(&self) -> Option<u64> {
        self.status.get("nodes")?.get("desired")?.as_u64()
    }
}

impl Untrusted<NodeProfileStatus> {
    /// The status, if it can be decoded. The report, each condition and each start failure are decoded separately,
    /// because they have different authors: an unreadable report must not hide the operator's conditions.
    #[must_use]
    pub fn into_status(self) -> Option<NodeProfileStatusStatus> {
        let Value::Object(mut status) = self.status else { return None };
        let report = status.remove("report").and_then(|report| Report::deserialize(report).ok());
        let mut list = |field| match status.remove(field) {
            Some(Value::Array(list)) => list.into_iter(),
            _ => Vec::new().into_iter(),
        };
        Some(NodeProfileStatusStatus {
            report,
            conditions: list("conditions").filter_map(|it| Condition::deserialize(it).ok()).collect(),
            start_failures: list("startFailures")
                .filter_map(|it| StartFailure::deserialize(it).ok())
                .take(MAX_START_FAILURES)
                .collect(),
        })
    }
}

impl<K: Resource<DynamicType = ()>, S> Resource for Untrusted<K, S> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(rest: Value) -> Untrusted<SeccompProfile> {
        let mut object = json!({ "metadata": { "name": "audit" } });
        object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn any_stored_object_decodes_and_is_validated_separately() {
        for bad in [json!({}), json!({ "spec": 7, "status": [] }), json!({ "spec": { "contents": null } })] {
            let object = object(bad);
            assert_eq!(object.profile().unwrap_err().problems()[0].path.to_string(), "spec.contents");
            assert!(!object.removal_approved());
        }
    }

    #[test]
    fn an_unreadable_report_hides_no_condition_and_an_unreadable_condition_no_report() {
        let ready = json!({
            "type": "Ready", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"
        });
        let late = json!({ "type": "Ready", "status": "True", "lastTransitionTime": "9999-12-31T23:59:59Z" });
        let report = json!({ "agentVersion": "1", "directory": "d", "fileCount": 0 });
        for (report, conditions, has_report) in
            [(json!({ "files": 7 }), json!([ready]), false), (report, json!([late, ready, 7]), true)]
        {
            let object = json!({ "metadata": {}, "status": { "report": report, "conditions": conditions } });
            let status = serde_json::from_value::<Untrusted<NodeProfileStatus>>(object)
                .unwrap()
                .into_status()
                .unwrap();
            assert_eq!((status.report.is_some(), status.conditions.len()), (has_report, 1));
        }
    }

    #[test]
    fn a_time_that_cannot_be_held_does_not_end_the_watch() {
        let fields = json!([{ "manager": "m", "time": "9999-12-31T23:59:59Z" }]);
        let object = json!({ "metadata": { "name": "audit", "managedFields": fields } });
        let object: Untrusted<SeccompProfile> = serde_json::from_str(&object.to_string()).unwrap();
        assert_eq!(object.metadata, ObjectMeta { name: Some("audit".into()), ..ObjectMeta::default() });
    }

    #[test]
    fn a_good_object_gives_its_profile_and_status() {
        let object = object(json!({
            "spec": { "contents": { "defaultAction": "SCMP_ACT_LOG" } },
            "status": { "removal": "Approved", "observedGeneration": 3 }
        }));
        assert_eq!(object.profile().unwrap().canonical().bytes(), br#"{"defaultAction":"SCMP_ACT_LOG"}"#);
        assert_eq!(object.status().unwrap().observed_generation, Some(3));
    }

    #[test]
    fn contents_as_text_give_the_same_bytes_or_the_same_error_as_a_tree() {
        let listens = json!([{ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }]);
        for spec in [
            r#"{"contents":{"defaultAction":"SCMP_ACT_LOG"}}"#.to_owned(),
            r#"{"contents":{"defaultAction":"SCMP_ACT_KILL"},"report":[{"a":1}],"contents":{"defaultAction":"SCMP_ACT_LOG"}}"#.to_owned(),
            json!({ "contents": { "defaultAction": "SCMP_ACT_LOG", "listenerPath": "/a", "syscalls": listens } }).to_string(),
            json!({ "contents": { "defaultAction": "allow", "more": 1 } }).to_string(),
            json!({ "contents": { "defaultAction": "SCMP_ACT_LOG" }, "report": true }).to_string(),
            json!({ "contents": { "defaultAction": "SCMP_ACT_LOG", "listenerPath": "/a", "syscalls": listens }, "report": true }).to_string(),
            json!({ "contents": { "defaultAction": "SCMP_ACT_LOG" }, "report": "true" }).to_string(),
            r#"{"report":true,"contents":{"defaultAction":"SCMP_ACT_LOG"},"report":false}"#.to_owned(),
            json!({ "contents": null }).to_string(),
            json!({}).to_string(),
            json!(7).to_string(),
        ] {
            let spec: Text = serde_json::from_str(&spec).unwrap();
            let from_tree = Untrusted::profile_in(&spec.value()).map(|profile| profile.canonical());
            assert_eq!(Untrusted::canonical_in(&spec), from_tree, "{}", spec.as_str());
        }
    }

    #[test]
    fn a_report_adds_the_flag_for_records_to_the_bytes_and_without_it_they_are_those_of_the_contents() {
        let hash = |spec: Value| {
            let text: Text = serde_json::from_str(&spec.to_string()).unwrap();
            Untrusted::canonical_in(&text).unwrap().hash()
        };
        let contents = |flags: Value| json!({ "defaultAction": "SCMP_ACT_ERRNO", "flags": flags });
        let (log, spec_allow) = ("SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW");
        for (given, with) in [
            (json!([]), json!([log, spec_allow])),
            (json!([spec_allow]), json!([spec_allow, log])),
            (json!([log]), json!([log])),
        ] {
            let plain = hash(json!({ "contents": contents(given.clone()) }));
            assert_eq!(hash(json!({ "contents": contents(given.clone()), "report": false })), plain);
            let reporting = hash(json!({ "contents": contents(given.clone()), "report": true }));
            assert_eq!(reporting, Profile::from_value(&contents(with)).unwrap().canonical().hash());
            let text = |spec: Value| serde_json::from_str(&spec.to_string()).unwrap();
            let of = |report| text(json!({ "contents": contents(given.clone()), "report": report }));
            let without = Untrusted::hash_without_report(&of(true));
            assert_eq!(without, (reporting != plain).then_some(plain));
            assert_eq!(Untrusted::hash_without_report(&of(false)), None);
        }
    }

    #[test]
    fn an_approval_counts_only_for_a_deleted_profile() {
        for (deleted, approved, leave) in
            [(true, true, true), (false, true, false), (true, false, false), (false, false, false)]
        {
            let deleted = if deleted { json!("2026-01-01T00:00:00Z") } else { Value::Null };
            let approved = if approved { json!("Approved") } else { Value::Null };
            let object = object(json!({
                "metadata": { "name": "audit", "deletionTimestamp": deleted }, "status": { "removal": approved }
            }));
            assert_eq!(object.removal_approved(), leave);
        }
    }
}
