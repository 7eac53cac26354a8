//! `docs/reference/api.md` equals the types: the tables are generated from the definitions that the chart installs.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's `allow-unwrap-in-tests` does not cover helper functions of integration tests"
)]

use std::fmt::Write;
use std::fs;

use e2e::rights::table;
use serde_json::Value;
use xtask::workspace::repository;

/// A definition: its kind, and a row for each field with type, whether it must be there, and what holds of it.
fn table_of(definition: &Value) -> (String, String) {
    let kind = definition["spec"]["names"]["kind"].as_str().unwrap().to_owned();
    let version = &definition["spec"]["versions"][0];
    let schema = &version["schema"]["openAPIV3Schema"];
    let mut text = format!("{}\n\n", sentence(schema));
    rules(schema).iter().for_each(|rule| text += &format!("Refused otherwise: {rule}.\n\n"));
    text += "| field | type | required | meaning |\n|---|---|---|---|\n";
    // Kubernetes' own reference describes everything else.
    for part in ["spec", "status"] {
        row(&mut text, part, &schema["properties"][part], is_required(schema, part));
    }
    text += "\n| column | shows | meaning |\n|---|---|---|\n";
    for column in version["additionalPrinterColumns"].as_array().unwrap() {
        let wide = if column["priority"].as_i64().unwrap_or(0) > 0 { " (`-o wide`)" } else { "" };
        let meaning = column["description"].as_str().unwrap_or_default();
        let (name, path) = (column["name"].as_str().unwrap(), column["jsonPath"].as_str().unwrap());
        let _ = writeln!(text, "| {name}{wide} | `{}` | {meaning} |", path.trim_start_matches('.'));
    }
    (kind, text)
}

/// A field, and those below it.
fn row(text: &mut String, path: &str, schema: &Value, required: bool) {
    let (kind, below) = kind_of(schema);
    let required = if required { "yes" } else { "" };
    let _ = writeln!(text, "| `{path}` | {kind} | {required} | {} |", meaning(schema).replace('|', "\\|"));
    let Some(properties) = below["properties"].as_object() else { return };
    let path = if std::ptr::eq(below, schema) { path.to_owned() } else { format!("{path}[]") };
    for (name, field) in properties {
        row(text, &format!("{path}.{name}"), field, is_required(below, name));
    }
}

/// A type in words, and the schema that holds the fields below.
fn kind_of(schema: &Value) -> (String, &Value) {
    let named = |schema: &Value| match schema["type"].as_str() {
        _ if schema["x-kubernetes-int-or-string"] == true => "integer or string".to_owned(),
        Some("string") if schema["format"] == "date-time" => "time".to_owned(),
        Some(kind) => kind.to_owned(),
        None => panic!("no type: {schema}"),
    };
    if schema["items"].is_object() {
        (format!("list of {}", named(&schema["items"])), &schema["items"])
    } else if schema["additionalProperties"].is_object() {
        (format!("map to {}", named(&schema["additionalProperties"])), schema)
    } else {
        (named(schema), schema)
    }
}

fn is_required(schema: &Value, name: &str) -> bool {
    schema["required"].as_array().into_iter().flatten().any(|required| required == name)
}

/// The schema's text for a field: its description, default, values, bounds and rules.
fn meaning(schema: &Value) -> String {
    let mut said = vec![sentence(schema)];
    let (items, of_each) = match &schema["items"] {
        Value::Null => (schema, false),
        items => (items, true),
    };
    if items["x-kubernetes-preserve-unknown-fields"] == true {
        said.push("Anything in it.".to_owned());
    }
    if !schema["default"].is_null() {
        said.push(format!("Default: `{}`.", schema["default"]));
    }
    if let Some(values) = items["enum"].as_array() {
        let values: Vec<_> = values.iter().map(|value| format!("`{}`", value.as_str().unwrap())).collect();
        said.push(format!("{}: {}.", if of_each { "Each is one of" } else { "One of" }, values.join(", ")));
    }
    if let Some(pattern) = items["pattern"].as_str() {
        said.push(format!("{} `{pattern}`.", if of_each { "Each matches" } else { "Matches" }));
    }
    if schema["minItems"] == 1 {
        said.push("Not empty.".to_owned());
    }
    for (schema, key, what) in [
        (schema, "maxItems", "At most {} entries."),
        (schema, "maxProperties", "At most {} entries."),
        (items, "maxLength", "At most {} characters."),
        (items, "minimum", "At least {}."),
        (items, "maximum", "At most {}."),
    ] {
        if let Some(bound) = schema[key].as_f64() {
            said.push(what.replace("{}", &bound.to_string()));
        }
    }
    let rules = rules(items);
    if !rules.is_empty() {
        said.push(format!("Refused otherwise: {}.", rules.join("; ")));
    }
    said.retain(|part| !part.is_empty());
    said.join(" ")
}

/// The description with a full stop, in one line.
fn sentence(schema: &Value) -> String {
    let text =
        schema["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() || text.ends_with('.') { text } else { format!("{text}.") }
}

/// The API server's message if a rule does not hold, with the field.
fn rules(schema: &Value) -> Vec<String> {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let rules = rules.map(|rule| {
        let message = rule["message"].as_str().unwrap();
        match rule["fieldPath"].as_str().map(|path| path.trim_start_matches('.')) {
            Some(field) if !message.starts_with(field) => format!("`{field}`: {message}"),
            _ => message.to_owned(),
        }
    });
    rules.collect()
}

/// With `UPDATE_DOCS=1` (`make generate`) it writes them.
#[test]
fn the_api_reference_in_the_docs_is_what_the_types_say() {
    let path = repository().join("docs/reference/api.md");
    let held = fs::read_to_string(&path).unwrap();
    let right = api::crds::files().unwrap().iter().fold(held.clone(), |text, (file, yaml)| {
        let (kind, table) = table_of(&serde_saphyr::from_str(yaml).unwrap());
        table::replace_marked(&text, &kind, &table).unwrap_or_else(|mark| panic!("{file}: no {mark}"))
    });
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &right).unwrap();
    } else {
        assert!(held == right, "docs/reference/api.md differs from the types: run `make generate`");
    }
}

#[test]
fn every_field_of_the_types_is_in_the_reference() {
    let text = fs::read_to_string(repository().join("docs/reference/api.md")).unwrap();
    for field in [
        "spec.contents.defaultAction",
        "spec.contents.syscalls[].args[].valueTwo",
        "status.conditions[].lastTransitionTime",
        "status.nodes.unreachable",
        "status.report.problems[].reason",
    ] {
        assert!(text.contains(&format!("| `{field}` | ")), "{field}");
    }
}
