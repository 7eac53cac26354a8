//! The CustomResourceDefinitions as YAML.

use kube::CustomResourceExt;
use serde_json::{Number, Value, json};

use crate::{NodeProfileStatus, SeccompProfile};

/// File name and text of each definition, as the chart holds them.
///
/// # Errors
/// None in practice: a definition is always YAML.
pub fn files() -> Result<[(&'static str, String); 2], serde_saphyr::SerializeError> {
    let yaml = |crd| serde_saphyr::to_string(&as_stored(json!(crd))).map(|text| format!("{HEADER}{text}"));
    Ok([
        ("seccompprofiles.yaml", yaml(SeccompProfile::crd())?),
        ("nodeprofilestatuses.yaml", yaml(NodeProfileStatus::crd())?),
    ])
}

/// A definition as the API server gives it back, which leaves `nullable: false` out and writes whole numbers without a
/// fraction. Its list of versions is compared as a whole: with one such word in it, everybody but the first who applies the
/// same definition is told of a conflict (tried: Kubernetes 1.37.2, Helm 4.3.1, then kubectl), and whoever compares it with
/// Git finds a difference for ever.
fn as_stored(definition: Value) -> Value {
    match definition {
        Value::Object(fields) => {
            let kept =
                fields.into_iter().filter(|(name, value)| !(name == "nullable" && *value == json!(false)));
            kept.map(|(name, value)| (name, as_stored(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(as_stored).collect(),
        Value::Number(number) => whole(&number).map_or(Value::Number(number), Value::from),
        other => other,
    }
}

/// The integer that a number of a schema is, if it is one.
fn whole(number: &Number) -> Option<i64> {
    let text = number.is_f64().then(|| number.to_string())?;
    text.strip_suffix(".0")?.parse().ok()
}

const HEADER: &str = "# Generated from the types of the crate `api` by `make generate`; do not edit.\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_written_as_the_api_server_gives_it_back() {
        let written = json!({ "minimum": 0.0, "maximum": 4094.0, "multipleOf": 0.5, "properties": {
            "a": { "nullable": false, "enum": [1.0, "nullable"] }, "nullable": { "nullable": true },
        } });
        let stored = json!({ "minimum": 0, "maximum": 4094, "multipleOf": 0.5, "properties": {
            "a": { "enum": [1, "nullable"] }, "nullable": { "nullable": true },
        } });
        assert_eq!(as_stored(written), stored);
        for (name, text) in files().unwrap() {
            assert!(!text.contains("nullable: false") && !text.contains(".0\n"), "{name}");
        }
    }
}
