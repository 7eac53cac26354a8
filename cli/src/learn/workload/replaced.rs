//! What had the result's name before the result: kept with the profile that logs, so that also a run that was killed
//! while it applied the result can be undone. Pure.

use profile::Profile;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::WorkloadError;
use super::requests::FOR;

/// Annotation on the profile that logs.
const REPLACED: &str = "seccomp.imjasonh.dev/replaced";

/// What the result takes the place of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Replaced {
    /// The hash of the result's contents: other ones are somebody else's.
    result: String,
    /// The spec that the profile had; `None` if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spec: Option<Value>,
    /// The workload from which it was learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    workload: Option<Value>,
}

/// What is to be done with the result's object.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Undo {
    /// It is somebody else's by now.
    Nothing,
    /// To delete it.
    Delete,
    /// To replace it by this.
    Replace(Value),
}

impl Replaced {
    /// What this result replaces.
    pub(super) fn by(result: &Profile, existing: Option<&Value>) -> Self {
        Self {
            result: result.canonical().hash().to_string(),
            spec: existing.map(|it| it["spec"].clone()),
            workload: existing
                .map(|it| it["metadata"]["annotations"][FOR].clone())
                .filter(|it| !it.is_null()),
        }
    }

    /// The same if `existing`, which it replaces, was the result of a run that was killed: what that replaced is still to come
    /// back.
    #[must_use]
    pub(super) fn after(self, earlier: Option<Self>, existing: Option<&Value>) -> Self {
        match earlier.filter(|earlier| existing.is_some_and(|it| earlier.undo(it) != Undo::Nothing)) {
            Some(earlier) => Self { result: self.result, ..earlier },
            None => self,
        }
    }

    /// What a profile that logs says of it; `None` if no result was applied.
    ///
    /// # Errors
    /// The annotation cannot be read.
    pub(super) fn of(learning: &Value) -> Result<Option<Self>, WorkloadError> {
        let Some(text) = learning["metadata"]["annotations"][REPLACED].as_str() else { return Ok(None) };
        serde_json::from_str(text).map(Some).map_err(|_| WorkloadError::Annotation(REPLACED))
    }

    /// The profile that logs, with this.
    pub(super) fn stored(&self, learning: &Value) -> Value {
        let mut new = learning.clone();
        new["metadata"]["annotations"][REPLACED] = json!(json!(self).to_string());
        new
    }

    /// What is to be done with an object of the result's name.
    pub(super) fn undo(&self, found: &Value) -> Undo {
        let contents = Profile::from_value(&found["spec"]["contents"]);
        if !contents.is_ok_and(|it| it.canonical().hash().to_string() == self.result) {
            return Undo::Nothing;
        }
        let Some(spec) = &self.spec else { return Undo::Delete };
        let mut new = found.clone();
        new["spec"] = spec.clone();
        if let Some(workload) = &self.workload {
            new["metadata"]["annotations"][FOR] = workload.clone();
        }
        Undo::Replace(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(call: &str) -> Value {
        json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{ "names": [call], "action": "SCMP_ACT_ALLOW" }] })
    }

    #[test]
    fn what_the_result_replaced_comes_back_and_what_somebody_else_wrote_stays() {
        let result = Profile::from_value(&contents("read")).unwrap();
        let object = |call: &str, report: bool| {
            json!({
                "metadata": { "annotations": { (FOR): "Deployment shop/a" } },
                "spec": { "contents": contents(call), "report": report },
            })
        };
        let learning = json!({ "metadata": { "name": "web-learning" } });
        assert_eq!(Replaced::of(&learning).unwrap(), None);
        let existing = object("write", true);
        for (existing, undo) in [(None, Undo::Delete), (Some(&existing), Undo::Replace(existing.clone()))] {
            let replaced = Replaced::by(&result, existing);
            let stored = Replaced::of(&replaced.stored(&learning)).unwrap().unwrap();
            assert_eq!(stored, replaced);
            let mut applied = object("read", false);
            applied["metadata"]["annotations"][FOR] = json!("Deployment shop/web");
            assert_eq!(stored.undo(&applied), undo);
            assert_eq!(stored.undo(&object("openat", false)), Undo::Nothing);
            // That run was killed, and is continued with another result.
            let next = Profile::from_value(&contents("openat")).unwrap();
            let replaced = Replaced::by(&next, Some(&applied)).after(Some(stored.clone()), Some(&applied));
            let mut applied_next = object("openat", false);
            applied_next["metadata"]["annotations"][FOR] = json!("Deployment shop/web");
            assert_eq!(replaced.undo(&applied_next), undo);
            let others = object("write", false);
            let replaced = Replaced::by(&next, Some(&others)).after(Some(stored), Some(&others));
            assert_eq!(replaced.undo(&applied_next), Undo::Replace(others));
        }
    }
}
