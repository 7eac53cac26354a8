//! What the API server stores of an object that kubectl sends.

use std::sync::LazyLock;

use api::SeccompProfile;
use kube::CustomResourceExt;
use serde_json::{Map, Number, Value};

/// The schema of `spec`.
static SPEC: LazyLock<Value> = LazyLock::new(|| {
    let definition = serde_json::to_value(SeccompProfile::crd()).unwrap_or_default();
    let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec");
    schema.cloned().unwrap_or_default()
});

/// The numbers of an object as they arrive in the API server: those between -2^63 and 2^63-1 that are whole as whole
/// numbers, however they were written, all others as floating-point numbers, which lose digits.
///
/// kubectl writes them as Go's `encoding/json` does, in digits up to 10^21; the API server reads digits that fit into
/// 64 bits with a sign as an integer (`UnmarshalCaseSensitivePreserveInts` of sigs.k8s.io/json).
pub(crate) fn numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = whole(number) {
                *number = whole.into();
            } else if let Some(float) = number.as_f64().and_then(Number::from_f64) {
                *number = float;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(numbers),
        Value::Object(map) => map.values_mut().for_each(numbers),
        _ => {}
    }
}

/// The same for the numbers of a file that a runtime reads, which takes whole numbers up to 2^64-1 as they are.
pub(crate) fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = whole(number) {
                *number = whole.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(map) => map.values_mut().for_each(whole_numbers),
        _ => {}
    }
}

/// The first whole number that `kubectl apply` changes on its way, with where it stands, below `path`, and what becomes of it.
///
/// Where the object is there already, kubectl sends the difference as a JSON merge patch, for which it has read every number
/// as a floating-point one, and writes these in the fewest digits that mean them: 2^53+1 arrives as 2^53, and 2^60, which has
/// a floating-point number of its own, as 1152921504606847000. A new object and `--server-side` have the number as it is.
/// (Tried with kubectl 1.37.2.)
pub(crate) fn rounded(value: &Value, path: &str) -> Option<(String, i64, String)> {
    match value {
        Value::Number(number) => {
            let whole = number.as_i64()?;
            #[expect(clippy::cast_precision_loss, reason = "what is lost is what is asked for")]
            let sent = (whole as f64).to_string();
            (sent != whole.to_string()).then(|| (path.to_owned(), whole, sent))
        }
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(index, item)| rounded(item, &format!("{path}[{index}]")))
        }
        Value::Object(map) => map.iter().find_map(|(key, value)| rounded(value, &format!("{path}.{key}"))),
        _ => None,
    }
}

fn whole(number: &Number) -> Option<i64> {
    const END: f64 = 9_223_372_036_854_775_808.0;
    number.as_i64().or_else(|| {
        let float = number.as_f64().filter(|_| number.is_f64())?;
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and within the bounds")]
        let whole = (float.fract() == 0.0 && (-END..END).contains(&float)).then_some(float as i64);
        whole
    })
}

/// Takes out of a `spec` what the API server takes out: nulls in fields that may not be null. Unknown fields stay, and so
/// do nulls in lists. (`PruneNonNullableNullsWithoutDefaults` of k8s.io/apiextensions-apiserver 0.37.)
pub(crate) fn without_nulls(spec: &mut Map<String, Value>) {
    prune_map(spec, &SPEC);
}

/// The same for the profile alone.
pub(crate) fn contents_without_nulls(contents: &mut Value) {
    prune(contents, &SPEC["properties"]["contents"]);
}

fn prune(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(map) => prune_map(map, schema),
        Value::Array(items) => items.iter_mut().for_each(|item| prune(item, &schema["items"])),
        _ => {}
    }
}

fn prune_map(map: &mut Map<String, Value>, schema: &Value) {
    map.retain(|key, value| {
        let Some(schema) = schema["properties"].get(key) else { return true };
        prune(value, schema);
        !value.is_null() || schema["nullable"] == true
    });
}

/// A field of a `spec` that the schema does not have.
pub(crate) fn unknown_field(spec: &Map<String, Value>) -> Option<&str> {
    spec.keys().map(String::as_str).find(|key| SPEC["properties"].get(*key).is_none())
}
