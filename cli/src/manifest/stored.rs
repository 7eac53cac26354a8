//! Converts an object that kubectl sends into what the API server stores.

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

/// Converts the numbers of an object as on the way to the API server: whole numbers between -2^63 and 2^63-1 become
/// integers, however they are written, and all others become floating-point numbers, which lose digits.
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

/// The same for a file in the runtimes' format; runtimes accept whole numbers up to 2^64-1 unchanged.
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

/// The first whole number that `kubectl apply` would change: its path below `path`, the number, and what kubectl would
/// send.
///
/// If the object exists, kubectl sends the difference as a JSON merge patch. For this it reads every number as a
/// floating-point number, and writes it with the fewest digits that identify it: 2^53+1 arrives as 2^53, and 2^60,
/// which is exact as a floating-point number, as 1152921504606847000. With a new object and with `--server-side` the
/// number is unchanged. (Tried with kubectl 1.37.2.)
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

/// Removes from a `spec` what the API server removes: nulls in fields that are not nullable. Unknown fields and nulls
/// in lists stay. (`PruneNonNullableNullsWithoutDefaults` of k8s.io/apiextensions-apiserver 0.37.)
pub(crate) fn without_nulls(spec: &mut Map<String, Value>) {
    prune_map(spec, &SPEC);
}

/// The same for the contents alone.
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

/// A field of a `spec` that is not in the schema.
pub(crate) fn unknown_field(spec: &Map<String, Value>) -> Option<&str> {
    spec.keys().map(String::as_str).find(|key| SPEC["properties"].get(*key).is_none())
}
