//! What kubectl takes a YAML scalar for.
//!
//! kubectl 1.37 reads YAML with `sigs.k8s.io/yaml` 1.6.0, which is `go.yaml.in/yaml/v2` 2.4.4: mostly YAML 1.1. There
//! `04000` is octal, `0b101` and `1_000` are numbers and `yes`, `on` and `y` are booleans; unlike in YAML 1.1, `1:30` is
//! text. This is that library's `resolve` (resolve.go), held against it in `tests.rs`.

use serde_json::{Number, Value};

/// A scalar that has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScalarError {
    /// A number that JSON does not have.
    #[error("{0} is a number that JSON does not have; write the number in digits")]
    NotFinite(String),
    /// The tag says something else than the text.
    #[error("{text:?} is not what its tag !!{tag} says; leave the tag out")]
    Tag {
        /// The text.
        text: String,
        /// The tag's name.
        tag: String,
    },
    /// Bytes in base64.
    #[error("!!binary is not read here; write the text itself")]
    Binary,
}

/// What a plain scalar is: `go.yaml.in/yaml/v2` decides by the text alone.
///
/// # Errors
/// It is an infinity or no number, which kubectl refuses, too.
pub(crate) fn plain(text: &str) -> Result<Value, ScalarError> {
    let Some(first) = text.chars().next() else { return Ok(Value::Null) };
    if !matches!(first, '+' | '-' | '.' | '0'..='9') {
        return Ok(word(text).unwrap_or_else(|| text.into()));
    }
    if matches!(text.trim_start_matches(['+', '-']), ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return Err(ScalarError::NotFinite(text.to_owned()));
    }
    let number = match first {
        '.' => between_digits(text).then(|| float(&text.replace('_', ""))).flatten(),
        _ => number(&text.replace('_', "")),
    };
    Ok(number.map_or_else(|| text.into(), Value::Number))
}

/// What a scalar with a tag of YAML's own (`!!int`) is; all other tags leave text as it is.
///
/// # Errors
/// The text is not what the tag says.
pub(crate) fn tagged(text: &str, tag: &str) -> Result<Value, ScalarError> {
    let value = match tag {
        "binary" => return Err(ScalarError::Binary),
        "null" | "bool" | "int" | "float" => plain(text)?,
        _ => return Ok(text.into()),
    };
    let fits = match tag {
        "null" => value.is_null(),
        "bool" => value.is_boolean(),
        "int" => value.is_i64() || value.is_u64(),
        _ => value.is_number(),
    };
    if fits { Ok(value) } else { Err(ScalarError::Tag { text: text.to_owned(), tag: tag.to_owned() }) }
}

fn word(text: &str) -> Option<Value> {
    Some(match text {
        "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => true.into(),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => false.into(),
        _ => return None,
    })
}

/// A number without underscores, as Go's `ParseInt` and `ParseUint` with base 0 and the library's pattern of floats take
/// it, in this order.
fn number(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let signed = digits.len() < text.len();
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // A second sign is none of Go's, though it is one of `from_str_radix`.
    let whole = digits.chars().all(|c| c.is_digit(radix)).then(|| i128::from_str_radix(digits, radix).ok());
    let whole = whole.flatten().map(|whole| if negative { -whole } else { whole });
    let small = || i64::try_from(whole?).ok().map(Number::from);
    let large = || u64::try_from(whole?).ok().filter(|_| !signed).map(Number::from);
    // The library's own way of reading binary numbers takes a sign behind the prefix, too.
    let binary = || i64::from_str_radix(text.strip_prefix("0b")?, 2).ok().map(Number::from);
    small().or_else(large).or_else(|| float(text)).or_else(binary)
}

/// Whether each underscore stands between two digits, as Go's `ParseFloat` wants it.
fn between_digits(text: &str) -> bool {
    let parts: Vec<_> = text.split('_').collect();
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    parts.windows(2).all(|two| digit(two[0].chars().next_back()) && digit(two[1].chars().next()))
}

/// A decimal number as the library's pattern has it: `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`. One that
/// is too large is text.
fn float(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let some = |text: &str| !text.is_empty() && digits(text);
    let is_float = match mantissa.split_once('.') {
        Some(("", fraction)) => some(fraction),
        Some((whole, fraction)) => some(whole) && digits(fraction),
        None => some(mantissa),
    };
    if !is_float || !exponent.is_none_or(some) {
        return None;
    }
    Number::from_f64(text.parse().ok()?)
}
