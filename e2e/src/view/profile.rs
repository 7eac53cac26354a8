//! A `SeccompProfile` as the API server shows it.

use api::{SeccompProfile, Untrusted};
use cluster::Client;
use profile::{Canonical, ParseError};
use serde_json::Value;
use xtask::command::CommandError;

/// A `SeccompProfile` as the API server shows it.
#[derive(Debug, Clone)]
pub struct ProfileView(Value);

impl ProfileView {
    /// The profile of this name, if there is one.
    ///
    /// # Errors
    /// When kubectl fails.
    pub fn get(client: &Client, name: &str) -> Result<Option<Self>, CommandError> {
        let shown = client.kubectl(["get", "seccompprofile", name, "-o", "json", "--ignore-not-found"])?;
        Ok(serde_json::from_str(&shown).ok().map(Self))
    }

    /// All profiles, by name.
    ///
    /// # Errors
    /// When kubectl fails.
    pub fn all(client: &Client) -> Result<Vec<Self>, CommandError> {
        let shown = client.kubectl(["get", "seccompprofiles", "-o", "json"])?;
        let list: Value = serde_json::from_str(&shown).unwrap_or_default();
        Ok(list["items"].as_array().into_iter().flatten().cloned().map(Self).collect())
    }

    /// The object itself.
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// The canonical bytes that the nodes should hold.
    ///
    /// # Errors
    /// When it is not a valid profile.
    pub fn canonical(&self) -> Result<Canonical, ParseError> {
        Untrusted::<SeccompProfile>::profile_in(&self.0["spec"]).map(|profile| profile.canonical())
    }

    /// `status.contentHash`, or nothing.
    pub fn content_hash(&self) -> &str {
        self.text("/status/contentHash")
    }

    /// `status.state`, or nothing.
    pub fn state(&self) -> &str {
        self.text("/status/state")
    }

    /// `status.ready`, or nothing: `2/2`.
    pub fn ready(&self) -> &str {
        self.text("/status/ready")
    }

    /// One of `status.nodes`, such as `desired`.
    pub fn count(&self, of: &str) -> Option<i64> {
        self.0["status"]["nodes"][of].as_i64()
    }

    /// One of `status.conditions`.
    pub fn condition(&self, kind: &str) -> Option<&Value> {
        self.0["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
    }

    /// Whether the status is Ready for the present generation.
    pub fn is_ready(&self) -> bool {
        let generation = &self.0["metadata"]["generation"];
        self.condition("Ready").is_some_and(|ready| {
            ready["status"] == "True"
                && ready["observedGeneration"] == *generation
                && self.0["status"]["observedGeneration"] == *generation
        })
    }

    /// A text in the object, by JSON pointer; empty where there is none.
    pub fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

impl From<Value> for ProfileView {
    fn from(object: Value) -> Self {
        ProfileView(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_ready_condition_of_an_earlier_generation_is_not_ready() {
        let view = |generation, observed| {
            ProfileView(json!({
                "metadata": { "generation": generation },
                "status": {
                    "observedGeneration": generation,
                    "conditions": [{ "type": "Ready", "status": "True", "observedGeneration": observed }],
                },
            }))
        };
        assert!(view(2, 2).is_ready());
        assert!(!view(2, 1).is_ready());
        assert!(!ProfileView(json!({ "metadata": { "generation": 1 } })).is_ready());
    }
}
