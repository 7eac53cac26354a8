//! Decodes metadata so that no stored value can end a watch.
//!
//! The API server stores times that the client library cannot represent: whoever may patch an object may give one of
//! its `managedFields` the time 9999-12-31T23:59:59Z, while jiff's last timestamp is a day earlier. The derived
//! decoding then fails, and so does every list that contains the object. Therefore each field is decoded separately, an
//! unreadable field counts as absent, and `managedFields`, which no program here needs, is skipped without a copy.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::lenient::{list, read, texts};

/// Decodes `metadata`, for a field of a watched type:
///
/// ```
/// use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
///
/// #[derive(serde::Deserialize)]
/// struct WatchedPod {
///     #[serde(deserialize_with = "api::metadata::lenient")]
///     metadata: ObjectMeta,
/// }
/// ```
///
/// Name, namespace, uid, resource version, generation, labels, annotations, finalizers, owners and the two times are
/// decoded, the other fields stay empty. An unreadable deletion time becomes the latest possible time, because its
/// presence means that the object is being deleted; an unreadable creation time counts as absent.
///
/// # Errors
/// Something other than an object or null; a duplicate key.
pub fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    Ok(Option::<Fields>::deserialize(deserializer)?.unwrap_or_default().into())
}

/// The undecoded fields.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Fields {
    name: Value,
    namespace: Value,
    uid: Value,
    resource_version: Value,
    generation: Value,
    labels: Value,
    annotations: Value,
    finalizers: Value,
    owner_references: Value,
    creation_timestamp: Value,
    deletion_timestamp: Value,
}

impl From<Fields> for ObjectMeta {
    fn from(fields: Fields) -> Self {
        let deleted = !fields.deletion_timestamp.is_null();
        Self {
            name: read(fields.name),
            namespace: read(fields.namespace),
            uid: read(fields.uid),
            resource_version: read(fields.resource_version),
            generation: read(fields.generation),
            labels: texts(fields.labels),
            annotations: texts(fields.annotations),
            finalizers: list(fields.finalizers),
            owner_references: list::<OwnerReference>(fields.owner_references),
            creation_timestamp: time(&fields.creation_timestamp),
            deletion_timestamp: time(&fields.deletion_timestamp).or(deleted.then_some(Time(LATEST))),
            ..Self::default()
        }
    }
}

/// Replaces an unreadable time: the latest one in whole seconds, because times are written in seconds.
const LATEST: Timestamp = Timestamp::constant(253_402_207_200, 0);

fn time(value: &Value) -> Option<Time> {
    value.as_str()?.parse().ok().map(Time)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use serde_json::json;

    /// A time that the API server stores and jiff cannot hold.
    const TOO_LATE: &str = "9999-12-31T23:59:59Z";

    fn decode(metadata: &Value) -> ObjectMeta {
        // From text, as a watch does it: a value and a text deserialize by different code.
        let text = metadata.to_string();
        lenient(&mut serde_json::Deserializer::from_str(&text)).unwrap()
    }

    #[test]
    fn what_is_right_is_read_as_kube_reads_it() {
        let metadata = json!({
            "name": "a", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 3,
            "labels": { "l": "1" }, "annotations": { "a": "2" }, "finalizers": ["f"],
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": "n", "uid": "o", "controller": true }],
            "creationTimestamp": "2026-01-02T03:04:05Z", "deletionTimestamp": "2026-01-02T03:04:06Z"
        });
        assert_eq!(decode(&metadata), serde_json::from_value(metadata).unwrap());
    }

    #[test]
    fn a_time_that_cannot_be_held_ends_nothing() {
        let metadata = json!({
            "name": "a",
            "managedFields": [{ "manager": "m", "operation": "Update", "time": TOO_LATE, "fieldsV1": {} }],
            "creationTimestamp": TOO_LATE
        });
        assert!(
            serde_json::from_value::<ObjectMeta>(metadata.clone()).is_err(),
            "kube reads it: no need for this"
        );
        assert_eq!(decode(&metadata), ObjectMeta { name: Some("a".into()), ..ObjectMeta::default() });
    }

    #[test]
    fn an_object_is_being_deleted_however_unreadable_the_time() {
        for unreadable in [json!(TOO_LATE), json!("soon"), json!(7), json!({})] {
            let metadata = decode(&json!({ "deletionTimestamp": unreadable }));
            assert_eq!(metadata.deletion_timestamp, Some(Time(LATEST)));
        }
        assert_eq!(decode(&json!({ "deletionTimestamp": null })).deletion_timestamp, None);
    }

    #[test]
    fn a_wrong_field_affects_no_other_field() {
        let metadata = decode(&json!({
            "name": "a", "namespace": null, "uid": 7, "generation": "3", "resourceVersion": {},
            "labels": { "good": "1", "bad": 1, "null": null }, "annotations": [], "finalizers": ["f", 7],
            "ownerReferences": [7, { "uid": "o" }, { "uid": 7 }], "creationTimestamp": 7, "managedFields": 7
        }));
        assert_eq!(
            metadata,
            ObjectMeta {
                name: Some("a".into()),
                labels: Some(BTreeMap::from([("good".into(), "1".into())])),
                finalizers: Some(vec!["f".into()]),
                owner_references: Some(vec![OwnerReference { uid: "o".into(), ..OwnerReference::default() }]),
                ..ObjectMeta::default()
            }
        );
    }

    #[test]
    fn no_metadata_is_empty_metadata() {
        assert_eq!(decode(&Value::Null), ObjectMeta::default());
        assert_eq!(decode(&json!({})), ObjectMeta::default());
    }
}
