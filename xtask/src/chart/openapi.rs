//! Converts the OpenAPI documents of Kubernetes into JSON schemas that reject what the API server would drop or reject.
//!
//! Kubernetes describes its built-in kinds as OpenAPI v2, where an unknown field is not an error, and a definition of a
//! custom resource by a schema of its own in `openAPIV3Schema`. Both become one schema per kind that rejects unknown
//! fields at every level and replaces formats by explicit types.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// Where definitions are in a document.
const DEFINITIONS: &str = "#/definitions/";

/// A kind with its schema, by the file name that kubeconform asks for: `deployment-apps-v1.json`.
pub(super) type Schemas = BTreeMap<String, Value>;

/// The file that kubeconform looks for: for a group it uses the first label.
pub(super) fn file_name(group: &str, version: &str, kind: &str) -> String {
    let group = group.split('.').next().unwrap_or_default();
    let group = if group.is_empty() { String::new() } else { format!("-{group}") };
    format!("{}{group}-{version}.json", kind.to_lowercase())
}

/// A schema for each kind that an OpenAPI v2 document of Kubernetes (`swagger.json`) names, with what it refers to.
/// Empty if it is not such a document.
pub(super) fn kinds(swagger: &Value) -> Schemas {
    let definitions = swagger["definitions"].as_object();
    let closed: BTreeMap<&str, Value> =
        definitions.into_iter().flatten().map(|(name, schema)| (name.as_str(), definition(schema))).collect();
    let mut kinds = Schemas::new();
    for (name, schema) in definitions.into_iter().flatten() {
        let of = schema["x-kubernetes-group-version-kind"].as_array();
        // Options and the like belong to many groups, and no file contains them.
        let Some([of]) = of.map(Vec::as_slice) else { continue };
        let text = |field: &str| of[field].as_str().unwrap_or_default();
        let mut schema = closed[name.as_str()].clone();
        schema["definitions"] = used(&schema, &closed);
        let group = if text("group").is_empty() { String::new() } else { format!("{}/", text("group")) };
        named(&mut schema, &format!("{group}{}", text("version")), text("kind"));
        kinds.insert(file_name(text("group"), text("version"), text("kind")), schema);
    }
    kinds
}

/// A schema for each version of a custom resource, from its CustomResourceDefinition.
pub(super) fn custom(definition: &Value) -> Schemas {
    let (group, kind) = (&definition["spec"]["group"], &definition["spec"]["names"]["kind"]);
    let (group, kind) = (group.as_str().unwrap_or_default(), kind.as_str().unwrap_or_default());
    let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
    let schemas = versions.map(|version| {
        let name = version["name"].as_str().unwrap_or_default();
        let mut schema = closed(&version["schema"]["openAPIV3Schema"]);
        schema["properties"]["metadata"] = json!({ "type": "object" });
        named(&mut schema, &format!("{group}/{name}"), kind);
        (file_name(group, name, kind), schema)
    });
    schemas.collect()
}

/// Requires the version and the kind of an object to be these.
fn named(schema: &mut Value, version: &str, kind: &str) {
    schema["properties"]["apiVersion"] = json!({ "enum": [version] });
    schema["properties"]["kind"] = json!({ "enum": [kind] });
}

/// Every definition that a schema leads to.
fn used(schema: &Value, all: &BTreeMap<&str, Value>) -> Value {
    let mut found = BTreeSet::new();
    let mut left = vec![schema];
    while let Some(schema) = left.pop() {
        if let Some(name) = schema["$ref"].as_str().and_then(|to| to.strip_prefix(DEFINITIONS))
            && found.insert(name)
        {
            left.extend(all.get(name));
        }
        match schema {
            Value::Object(fields) => left.extend(fields.values()),
            Value::Array(items) => left.extend(items),
            _ => {}
        }
    }
    found.into_iter().filter_map(|name| Some((name.to_owned(), all.get(name)?.clone()))).collect()
}

/// A definition of Kubernetes, closed. A quantity may be written as a number, which its type does not say.
fn definition(schema: &Value) -> Value {
    if schema["description"].as_str().is_some_and(|text| text.starts_with("Quantity is a fixed-point")) {
        return json!({ "type": ["string", "number"] });
    }
    closed(schema)
}

/// The schema without descriptions, rejecting unnamed fields.
fn closed(schema: &Value) -> Value {
    let Value::Object(fields) = schema else { return schema.clone() };
    let mut out = Map::new();
    for (key, value) in fields {
        let value = match key.as_str() {
            // Each is a schema by name.
            "properties" => {
                let properties = value.as_object().into_iter().flatten();
                properties.map(|(name, schema)| (name.clone(), closed(schema))).collect()
            }
            "items" | "additionalProperties" => closed(value),
            // These only constrain fields that the enclosing schema names.
            "allOf" | "anyOf" | "oneOf" | "not" => value.clone(),
            "type" | "required" | "enum" | "$ref" | "pattern" | "minimum" | "maximum" | "minLength"
            | "maxLength" | "minItems" | "maxItems" | "uniqueItems" | "minProperties" | "maxProperties" => {
                value.clone()
            }
            _ => continue,
        };
        out.insert(key.clone(), value);
    }
    let either = fields.get("x-kubernetes-int-or-string").is_some_and(|set| *set == true);
    if either || fields.get("format").is_some_and(|format| format == "int-or-string") {
        out.insert("type".into(), json!(["integer", "string"]));
    }
    if fields.get("nullable").is_some_and(|set| *set == true)
        && let Some(Value::String(kind)) = out.get("type").cloned()
    {
        out.insert("type".into(), json!([kind, "null"]));
    }
    let open = fields.get("x-kubernetes-preserve-unknown-fields").is_some_and(|set| *set == true);
    if out.contains_key("properties") && !out.contains_key("additionalProperties") && !open {
        out.insert("additionalProperties".into(), false.into());
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swagger() -> Value {
        json!({ "definitions": {
            "v1.Thing": {
                "description": "text",
                "type": "object",
                "required": ["spec"],
                "properties": {
                    "apiVersion": { "type": "string" },
                    "kind": { "type": "string" },
                    "spec": { "$ref": "#/definitions/v1.Spec", "description": "text" },
                },
                "x-kubernetes-group-version-kind": [{ "group": "a.k8s.io", "version": "v1", "kind": "Thing" }],
            },
            "v1.Spec": {
                "type": "object",
                "properties": {
                    "port": { "$ref": "#/definitions/IntOrString" },
                    "labels": { "type": "object", "additionalProperties": { "type": "string" } },
                    "memory": { "$ref": "#/definitions/Quantity" },
                    "self": { "$ref": "#/definitions/v1.Spec" },
                },
            },
            "IntOrString": { "type": "string", "format": "int-or-string" },
            "Quantity": { "type": "string", "description": "Quantity is a fixed-point representation" },
            "v1.Other": { "type": "object", "properties": {} },
            "v1.Options": { "type": "object", "x-kubernetes-group-version-kind": [{}, {}] },
        } })
    }

    #[test]
    fn each_kind_has_a_closed_schema_with_all_that_it_leads_to_and_no_more() {
        let kinds = kinds(&swagger());
        assert_eq!(kinds.keys().collect::<Vec<_>>(), ["thing-a-v1.json"]);
        let thing = &kinds["thing-a-v1.json"];
        assert_eq!(thing["additionalProperties"], false);
        assert_eq!(thing["required"], json!(["spec"]));
        assert_eq!(thing["properties"]["apiVersion"], json!({ "enum": ["a.k8s.io/v1"] }));
        assert_eq!(thing["properties"]["kind"], json!({ "enum": ["Thing"] }));
        let definitions = thing["definitions"].as_object().unwrap();
        assert_eq!(definitions.keys().collect::<Vec<_>>(), ["IntOrString", "Quantity", "v1.Spec"]);
        assert_eq!(definitions["v1.Spec"]["additionalProperties"], false);
        assert_eq!(definitions["v1.Spec"]["properties"]["labels"]["additionalProperties"]["type"], "string");
    }

    #[test]
    fn ports_and_quantities_may_be_numbers_or_text() {
        let kinds = kinds(&swagger());
        let definitions = &kinds["thing-a-v1.json"]["definitions"];
        assert_eq!(definitions["IntOrString"], json!({ "type": ["integer", "string"] }));
        assert_eq!(definitions["Quantity"], json!({ "type": ["string", "number"] }));
    }

    #[test]
    fn a_custom_resource_is_closed_but_where_it_keeps_unknown_fields() {
        let definition = json!({ "spec": {
            "group": "example.org",
            "names": { "kind": "Thing" },
            "versions": [{ "name": "v1", "schema": { "openAPIV3Schema": {
                "type": "object",
                "properties": {
                    "spec": { "type": "object", "nullable": true, "properties": {
                        "open": { "type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {} },
                        "either": { "x-kubernetes-int-or-string": true },
                    } },
                },
            } } }],
        } });
        let schemas = custom(&definition);
        let thing = &schemas["thing-example-v1.json"];
        assert_eq!(thing["additionalProperties"], false);
        assert_eq!(thing["properties"]["metadata"], json!({ "type": "object" }));
        let spec = &thing["properties"]["spec"];
        assert_eq!(
            (&spec["additionalProperties"], &spec["type"]),
            (&json!(false), &json!(["object", "null"]))
        );
        assert_eq!(spec["properties"]["open"]["additionalProperties"], Value::Null);
        assert_eq!(spec["properties"]["either"]["type"], json!(["integer", "string"]));
    }

    #[test]
    fn the_core_group_has_no_name_in_a_file_name() {
        assert_eq!(file_name("", "v1", "Pod"), "pod-v1.json");
        assert_eq!(file_name("rbac.authorization.k8s.io", "v1", "Role"), "role-rbac-v1.json");
    }
}
