//! The API server's question about an object, and the answer: `AdmissionReview` of `admission.k8s.io/v1`.

use k8s_openapi::ByteString;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

/// The longest uid that is answered.
const LONGEST_UID: usize = 64;

/// Why a body is no question.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// It is not JSON, or lacks a field.
    #[error("no AdmissionReview: {0}")]
    Json(#[from] serde_json::Error),
    /// It is of another version.
    #[error("apiVersion {0:?} and kind {1:?}: expected admission.k8s.io/v1 and AdmissionReview")]
    Version(String, String),
    /// The uid is none.
    #[error("request.uid has more than {LONGEST_UID} characters")]
    Uid,
}

/// A question about an object that has a `spec`. Of its other fields, only whether a controller owns it is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// Identifies the question in the answer.
    pub uid: String,
    /// The object's namespace, if it is in one.
    pub namespace: Option<String>,
    /// The subresource; empty for the object itself.
    pub subresource: String,
    /// Whether nothing is stored.
    pub dry_run: bool,
    /// Whether a controller owns the object.
    pub has_controller: bool,
    /// The object's `spec`; `None` without an object.
    pub spec: Option<Value>,
    /// The `spec` of the stored object, if it was asked for.
    pub old_spec: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound = "O: Deserialize<'de> + Default")]
struct Review<O> {
    api_version: String,
    kind: String,
    request: Request<O>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound = "O: Deserialize<'de> + Default")]
struct Request<O> {
    uid: String,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    sub_resource: String,
    #[serde(default)]
    dry_run: Option<bool>,
    #[serde(default)]
    object: Option<Object>,
    #[serde(default)]
    old_object: O,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Value,
    #[serde(rename = "status", default)]
    _status: IgnoredAny,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    owner_references: Option<Vec<Owner>>,
}

#[derive(Deserialize)]
struct Owner {
    controller: Option<bool>,
}

impl Question {
    /// The question in the body of a request, without the stored object.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(body: &[u8]) -> Result<Self, ReviewError> {
        Self::of(serde_json::from_slice::<Review<IgnoredAny>>(body)?, |_| None)
    }

    /// The question in the body of a request, with the stored object.
    ///
    /// # Errors
    /// It is none.
    pub fn parse_with_old(body: &[u8]) -> Result<Self, ReviewError> {
        Self::of(serde_json::from_slice::<Review<Option<Object>>>(body)?, |old| old.map(|it| it.spec))
    }

    fn of<O>(review: Review<O>, old_spec: impl FnOnce(O) -> Option<Value>) -> Result<Self, ReviewError> {
        let Review { api_version, kind, request } = review;
        if api_version != "admission.k8s.io/v1" || kind != "AdmissionReview" {
            return Err(ReviewError::Version(shortened(api_version), shortened(kind)));
        }
        if request.uid.chars().count() > LONGEST_UID {
            return Err(ReviewError::Uid);
        }
        Ok(Self {
            uid: request.uid,
            namespace: request.namespace,
            subresource: request.sub_resource,
            dry_run: request.dry_run.unwrap_or_default(),
            has_controller: request.object.as_ref().is_some_and(Object::has_controller),
            spec: request.object.map(|object| object.spec),
            old_spec: old_spec(request.old_object),
        })
    }
}

impl Object {
    fn has_controller(&self) -> bool {
        self.metadata.owner_references.iter().flatten().any(|owner| owner.controller == Some(true))
    }
}

fn shortened(text: String) -> String {
    text.chars().take(LONGEST_UID).collect()
}

/// What the API server does with the object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Why it is refused, if it is.
    pub refusal: Option<String>,
    /// What the client is warned about.
    pub warnings: Vec<String>,
    /// What is changed in the object: the operations of a JSON patch (RFC 6902).
    pub patch: Vec<Value>,
}

impl Verdict {
    /// The answer to the question with this uid.
    #[must_use]
    pub fn answer(&self, uid: &str) -> Value {
        let mut response = json!({ "uid": uid, "allowed": self.refusal.is_none() });
        if let Some(refusal) = &self.refusal {
            response["status"] = json!({ "code": 422, "reason": "Invalid", "message": refusal });
        }
        if !self.warnings.is_empty() {
            response["warnings"] = json!(self.warnings);
        }
        if self.refusal.is_none() && !self.patch.is_empty() {
            let patch = json!(self.patch).to_string().into_bytes();
            response["patchType"] = json!("JSONPatch");
            response["patch"] = json!(ByteString(patch));
        }
        json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(request: &Value) -> Vec<u8> {
        json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request })
            .to_string()
            .into_bytes()
    }

    #[test]
    fn a_question_is_its_uid_and_the_objects_spec() {
        let body = review(&json!({
            "uid": "u", "operation": "UPDATE", "dryRun": true, "future": 1,
            "object": { "metadata": { "name": "a" }, "spec": { "contents": 1 }, "status": { "state": "Ready" } },
            "oldObject": { "spec": {} },
        }));
        let question = Question::parse(&body).unwrap();
        let expected = Question {
            uid: "u".into(),
            dry_run: true,
            spec: Some(json!({ "contents": 1 })),
            ..Question::default()
        };
        assert_eq!(question, expected);
        assert_eq!(Question::parse_with_old(&body).unwrap().old_spec, Some(json!({})));
        let deletion = review(&json!({ "uid": "u", "object": null }));
        assert_eq!(Question::parse(&deletion).unwrap().spec, None);
    }

    #[test]
    fn an_owner_counts_where_it_is_the_controller() {
        let owned = |owners: Value| {
            let object = json!({ "metadata": { "ownerReferences": owners }, "spec": {} });
            Question::parse(&review(&json!({ "uid": "u", "object": object }))).unwrap().has_controller
        };
        let owner =
            |controller: Value| json!({ "kind": "Deployment", "name": "a", "controller": controller });
        assert!(owned(json!([owner(json!(false)), owner(json!(true))])));
        for not in [json!(null), json!([]), json!([owner(json!(false))]), json!([{ "kind": "Node" }])] {
            assert!(!owned(not.clone()), "{not}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        for (body, reason) in [
            (b"{".to_vec(), "no AdmissionReview"),
            (review(&json!({})), "missing field `uid`"),
            (review(&json!({ "uid": "u".repeat(65) })), "more than 64 characters"),
            (br#"{"apiVersion":"v1","kind":"Pod","request":{"uid":"u"}}"#.to_vec(), r#"apiVersion "v1""#),
        ] {
            let error = Question::parse(&body).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_arrives_is_a_question_or_an_error(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
            uid in ".{0,80}",
            spec in "[\\[\\]{}:,\"a0 ]{0,40}",
        ) {
            let _ = Question::parse(&bytes);
            let kinds = r#""apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview""#;
            let request = format!(r#"{{{kinds},"request":{{"uid":{},"object":{{"spec":{spec}}}}}}}"#, json!(uid));
            if let Ok(question) = Question::parse(request.as_bytes()) {
                proptest::prop_assert!(question.uid == uid && uid.chars().count() <= LONGEST_UID);
            }
        }
    }

    #[test]
    fn a_patch_is_in_base64_and_there_is_none_without_a_change() {
        let operation = json!({ "op": "add", "path": "/spec/a", "value": 1 });
        let verdict = Verdict { patch: vec![operation.clone()], ..Verdict::default() };
        let response = &verdict.answer("u")["response"];
        assert_eq!(response["patchType"], "JSONPatch");
        let patch: ByteString = serde_json::from_value(response["patch"].clone()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&patch.0).unwrap(), json!([operation]));
    }

    #[test]
    fn an_answer_has_a_reason_only_where_the_object_is_refused() {
        let allowed = Verdict::default().answer("u");
        assert_eq!(allowed["response"], json!({ "uid": "u", "allowed": true }));
        let refused =
            Verdict { refusal: Some("no".into()), warnings: vec!["w".into()], patch: vec![json!({})] };
        let refused = refused.answer("u");
        let status = json!({ "code": 422, "reason": "Invalid", "message": "no" });
        assert_eq!(
            refused["response"],
            json!({ "uid": "u", "allowed": false, "status": status, "warnings": ["w"] })
        );
    }
}
