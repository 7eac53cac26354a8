//! A model of an API server with watches and preconditions: objects, their versions, and the log of changes.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::labels::KindLabel;

/// One change of an object, with the object as it was then.
#[derive(Debug, Clone)]
pub(super) enum LoggedChange {
    Applied(Value),
    Deleted(Value),
}

/// A write did not happen.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused;

#[derive(Debug, Default)]
struct Store {
    objects: BTreeMap<String, Value>,
    log: Vec<LoggedChange>,
}

#[derive(Debug, Default)]
pub(super) struct Server {
    stores: [Store; 4],
    version: u64,
}

pub(super) fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

impl Server {
    /// How many changes there have been.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn get(&self, kind: KindLabel, name: &str) -> Option<&Value> {
        self.stores[kind as usize].objects.get(name)
    }

    pub(super) fn all(&self, kind: KindLabel) -> impl Iterator<Item = (&String, &Value)> {
        self.stores[kind as usize].objects.iter()
    }

    pub(super) fn log(&self, kind: KindLabel) -> &[LoggedChange] {
        &self.stores[kind as usize].log
    }

    /// Creates an object; name, uid, version and time are added to its metadata.
    pub(super) fn create(
        &mut self,
        kind: KindLabel,
        name: &str,
        created: &str,
        mut object: Value,
    ) -> Result<Value, Refused> {
        if self.get(kind, name).is_some() {
            return Err(Refused);
        }
        let uid = format!("{name}-{}", self.version + 1);
        let given = json!({ "name": name, "uid": uid, "creationTimestamp": created, "generation": 1 });
        let metadata = &mut object["metadata"];
        let Value::Object(given) = given else { return Err(Refused) };
        match metadata {
            Value::Object(metadata) => metadata.extend(given),
            metadata => *metadata = given.into(),
        }
        Ok(self.put(kind, name, object))
    }

    /// Changes an object; one that is being deleted is removed with its last finalizer.
    pub(super) fn change(
        &mut self,
        kind: KindLabel,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<Value, Refused> {
        let before = self.get(kind, name).ok_or(Refused)?;
        let mut object = before.clone();
        change(&mut object);
        if object == *before {
            return Ok(object);
        }
        if object["spec"] != before["spec"] {
            let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
            object["metadata"]["generation"] = json!(generation + 1);
        }
        Ok(self.put(kind, name, object))
    }

    /// Like [`Self::change`], for a write that is bound to a version.
    pub(super) fn change_version(
        &mut self,
        kind: KindLabel,
        name: &str,
        version: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<Value, Refused> {
        match self.get(kind, name) {
            Some(object) if text(object, "/metadata/resourceVersion") == version => {
                self.change(kind, name, change)
            }
            _ => Err(Refused),
        }
    }

    /// Deletes an object, or marks it as being deleted while it has finalizers.
    pub(super) fn delete(&mut self, kind: KindLabel, name: &str, now: Timestamp) -> Result<Value, Refused> {
        self.change(kind, name, |object| {
            let metadata = &mut object["metadata"];
            if metadata["deletionTimestamp"].is_null() {
                metadata["deletionTimestamp"] = json!(now.to_string());
            }
        })
    }

    fn put(&mut self, kind: KindLabel, name: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let metadata = &object["metadata"];
        let has_finalizers = metadata["finalizers"].as_array().is_some_and(|list| !list.is_empty());
        let Store { objects, log } = &mut self.stores[kind as usize];
        if metadata["deletionTimestamp"].is_null() || has_finalizers {
            objects.insert(name.to_owned(), object.clone());
            log.push(LoggedChange::Applied(object.clone()));
        } else {
            objects.remove(name);
            log.push(LoggedChange::Deleted(object.clone()));
        }
        object
    }
}
