//! Resolves a YAML scalar as kubectl does.
//!
//! kubectl 1.37 reads YAML with `sigs.k8s.io/yaml` 1.6.0, which is `go.yaml.in/yaml/v2` 2.4.4: mostly YAML 1.1. There
//! `04000` is octal, `0b101` and `1_000` are numbers and `yes`, `on` and `y` are booleans; unlike in YAML 1.1, `1:30`
//! is a string. This is that library's `resolve` (resolve.go); `tests.rs` compares the two.

use serde_json::{Number, Value};

/// An invalid scalar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScalarError {
    /// A number that JSON does not have.
    #[error("{0} is a number that JSON does not have; write the number in digits")]
    NotFinite(String),
    /// The tag does not match the text.
    #[error("{text:?} does not match its tag !!{tag}; leave the tag out")]
    Tag {
        /// The text.
        text: String,
        /// The tag's name.
        tag: String,
    },
    /// Bytes in base64.
    #[error("!!binary is not supported; write the text itself")]
    Binary,
}

/// The value of a plain scalar: `go.yaml.in/yaml/v2` decides by the text alone.
///
/// # Errors
/// It is an infinity or NaN, which kubectl also refuses.
pub(crate) fn plain(text: &str) -> Result<Value, ScalarError> {
    let Some(first) = text.chars().next() else { return Ok(Value::Null) };
    if !matches!(first, '+' | '-' | '.' | '0'..='9') {
        return Ok(keyword(text).unwrap_or_else(|| text.into()));
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

/// The value of a scalar with a tag of YAML itself (`!!int`); all other tags leave it a string.
///
/// # Errors
/// The text does not match the tag.
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

fn keyword(text: &str) -> Option<Value> {
    Some(match text {
        "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => true.into(),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => false.into(),
        _ => return None,
    })
}

/// A number without underscores, as Go's `ParseInt` and `ParseUint` with base 0 and the library's pattern of floats
/// accept it, in this order.
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
    // `from_str_radix` would accept a second sign, which Go does not.
    let whole = digits.chars().all(|c| c.is_digit(radix)).then(|| i128::from_str_radix(digits, radix).ok());
    let whole = whole.flatten().map(|whole| if negative { -whole } else { whole });
    let small = || i64::try_from(whole?).ok().map(Number::from);
    let large = || u64::try_from(whole?).ok().filter(|_| !signed).map(Number::from);
    // The library's code for binary numbers also accepts a sign after the prefix.
    let binary = || i64::from_str_radix(text.strip_prefix("0b")?, 2).ok().map(Number::from);
    small().or_else(large).or_else(|| float(text)).or_else(binary)
}

/// Whether each underscore is between two digits, as Go's `ParseFloat` requires.
fn between_digits(text: &str) -> bool {
    let parts: Vec<_> = text.split('_').collect();
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    parts.windows(2).all(|two| digit(two[0].chars().next_back()) && digit(two[1].chars().next()))
}

/// A decimal number that matches the library's pattern: `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`. A
/// number that is too large is a string.
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
