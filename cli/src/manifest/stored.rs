//! Converts an object that kubectl sends into what the API server stores.

use std::sync::LazyLock;

use api::SeccompProfile;
use kube::CustomResourceExt;
use profile::Segment;
use serde_json::{Map, Number, Value};

/// The schema of `spec`.
static SPEC_SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let definition = serde_json::to_value(SeccompProfile::crd()).unwrap_or_default();
    let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec");
    schema.cloned().unwrap_or_default()
});

/// Converts the numbers of an object as kubectl and the API server do: whole numbers between -2^63 and 2^63-1 become
/// integers, however they are written, and all others become floating-point numbers, which lose digits.
///
/// kubectl writes a float as Go's `encoding/json` does, without an exponent below 10^21; the API server reads such
/// digits as an integer if they fit into 64 bits with a sign (`UnmarshalCaseSensitivePreserveInts` of
/// sigs.k8s.io/json).
pub(crate) fn normalize_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = whole(number) {
                *number = whole.into();
            } else if let Some(float) = number.as_f64().and_then(Number::from_f64) {
                *number = float;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalize_numbers),
        Value::Object(map) => map.values_mut().for_each(normalize_numbers),
        _ => {}
    }
}

/// Like [`normalize_numbers`], for a file in the runtimes' format, but leaves every number that is not such an integer
/// as it is: runtimes accept whole numbers up to 2^64-1.
pub(crate) fn normalize_whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = whole(number) {
                *number = whole.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalize_whole_numbers),
        Value::Object(map) => map.values_mut().for_each(normalize_whole_numbers),
        _ => {}
    }
}

/// The first whole number that `kubectl apply` would change: its path, the number, and what kubectl would send.
///
/// If the object exists, kubectl sends the difference as a JSON merge patch. For this it reads every number as a
/// floating-point number, and writes it with the fewest digits that identify it: 2^53+1 arrives as 2^53, and 2^60,
/// which is exact as a floating-point number, as 1152921504606847000. With a new object and with `--server-side` the
/// number is unchanged. (Verified with kubectl 1.37.2.)
pub(crate) fn first_rounded_number(value: &Value) -> Option<(Vec<Segment>, i64, String)> {
    let below = |segment: Segment, value| {
        let (path, number, sent) = first_rounded_number(value)?;
        Some(([segment].into_iter().chain(path).collect(), number, sent))
    };
    match value {
        Value::Number(number) => {
            let whole = number.as_i64()?;
            #[expect(clippy::cast_precision_loss, reason = "the lost precision is what this looks for")]
            let sent = (whole as f64).to_string();
            (sent != whole.to_string()).then(|| (Vec::new(), whole, sent))
        }
        Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| below(index.into(), item)),
        Value::Object(map) => map.iter().find_map(|(key, value)| below(key.as_str().into(), value)),
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
pub(crate) fn prune_nulls(spec: &mut Map<String, Value>) {
    // The schema takes longer than all else.
    if spec.values().any(has_null) {
        drop_nulls_in_map(spec, &SPEC_SCHEMA);
    }
}

/// Like [`prune_nulls`], for `spec.contents` alone.
pub(crate) fn prune_contents_nulls(contents: &mut Value) {
    if has_null(contents) {
        drop_nulls(contents, &SPEC_SCHEMA["properties"]["contents"]);
    }
}

/// Whether there is a null in it.
fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(map) => map.values().any(has_null),
        _ => false,
    }
}

fn drop_nulls(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(map) => drop_nulls_in_map(map, schema),
        Value::Array(items) => items.iter_mut().for_each(|item| drop_nulls(item, &schema["items"])),
        _ => {}
    }
}

fn drop_nulls_in_map(map: &mut Map<String, Value>, schema: &Value) {
    map.retain(|key, value| {
        let Some(schema) = schema["properties"].get(key) else { return true };
        drop_nulls(value, schema);
        !value.is_null() || schema["nullable"] == true
    });
}

/// The first field of a `spec` that the schema does not have.
pub(crate) fn unknown_field(spec: &Map<String, Value>) -> Option<&str> {
    spec.keys().map(String::as_str).find(|key| SPEC_SCHEMA["properties"].get(*key).is_none())
}
