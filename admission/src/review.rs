//! The API server's question about an object, and the answer: `AdmissionReview` of `admission.k8s.io/v1`.

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

/// A question about an object that has a `spec`. Nothing else of the object is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Identifies the question in the answer.
    pub uid: String,
    /// The object's `spec`; `None` without an object.
    pub spec: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: String,
    kind: String,
    request: Request,
}

#[derive(Deserialize)]
struct Request {
    uid: String,
    #[serde(default)]
    object: Option<Object>,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    spec: Value,
    #[serde(rename = "status", default)]
    _status: IgnoredAny,
}

impl Question {
    /// The question in the body of a request.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(body: &[u8]) -> Result<Self, ReviewError> {
        let Review { api_version, kind, request } = serde_json::from_slice(body)?;
        if api_version != "admission.k8s.io/v1" || kind != "AdmissionReview" {
            return Err(ReviewError::Version(shortened(api_version), shortened(kind)));
        }
        if request.uid.chars().count() > LONGEST_UID {
            return Err(ReviewError::Uid);
        }
        Ok(Self { uid: request.uid, spec: request.object.map(|object| object.spec) })
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
        assert_eq!(question, Question { uid: "u".into(), spec: Some(json!({ "contents": 1 })) });
        let deletion = review(&json!({ "uid": "u", "object": null }));
        assert_eq!(Question::parse(&deletion).unwrap().spec, None);
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
    fn an_answer_has_a_reason_only_where_the_object_is_refused() {
        let allowed = Verdict::default().answer("u");
        assert_eq!(allowed["response"], json!({ "uid": "u", "allowed": true }));
        let refused = Verdict { refusal: Some("no".into()), warnings: vec!["w".into()] }.answer("u");
        let status = json!({ "code": 422, "reason": "Invalid", "message": "no" });
        assert_eq!(
            refused["response"],
            json!({ "uid": "u", "allowed": false, "status": status, "warnings": ["w"] })
        );
    }
}
