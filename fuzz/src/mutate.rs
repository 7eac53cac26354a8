//! Changes JSON as JSON.
//!
//! A change of a byte mostly ends the document there, and then the parser of JSON is tried, not ours. So three in
//! four changes are made to the tree of values: something goes, comes twice, becomes a word of the dictionary or what
//! stands elsewhere. The rest is left to libFuzzer, for what has no tree: duplicate keys, text that is not text.

use std::sync::LazyLock;

use libfuzzer_sys::fuzzer_mutate;
use serde_json::{Map, Value};

/// Words that the readers know, in the form of libFuzzer's dictionaries, which it takes itself with `-dict`.
const DICTIONARY: &str = include_str!("../dictionary.txt");

static WORDS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    DICTIONARY.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"')).collect()
});

/// Ends the program if the dictionary lacks one of `words`.
///
/// # Panics
/// It does.
pub fn assert_known(words: &[&str]) {
    for word in words {
        assert!(WORDS.contains(word), "fuzz/dictionary.txt lacks {word}");
    }
}

/// libFuzzer's custom mutator: changes the first `size` bytes of `data`, which has room for `max_size`, and says how
/// many they are then. The same `seed` makes the same change.
#[must_use]
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut random = Random(u64::from(seed) << 1 | 1);
    let document = data.get(..size).and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
    if let Some(mut document) = document.filter(|_| random.below(4) > 0) {
        for _ in 0..=random.below(3) {
            change(&mut document, &mut random);
        }
        let bytes = document.to_string().into_bytes();
        if bytes.len() <= max_size {
            data[..bytes.len()].copy_from_slice(&bytes);
            return bytes.len();
        }
    }
    fuzzer_mutate(data, size, max_size)
}

/// Random enough: `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap_or(0)
    }

    fn word(&mut self) -> String {
        WORDS[self.below(WORDS.len())].to_owned()
    }
}

fn change(document: &mut Value, random: &mut Random) {
    let places = count(document);
    let from = random.below(places);
    let elsewhere = nth(document, from).cloned();
    let to = random.below(places);
    let Some(place) = nth_mut(document, to) else { return };
    match (random.below(4), &mut *place) {
        (0, _) => *place = elsewhere.unwrap_or_default(),
        (1, _) => *place = scalar(random),
        (_, Value::Array(items)) => change_list(items, elsewhere, random),
        (_, Value::Object(map)) => change_object(map, elsewhere, random),
        (_, Value::String(text)) => change_text(text, random),
        (_, Value::Number(number)) => {
            let one = if random.below(2) == 0 { 1 } else { u64::MAX };
            *place = number.as_u64().map_or_else(|| scalar(random), |n| n.wrapping_add(one).into());
        }
        (_, Value::Null | Value::Bool(_)) => *place = scalar(random),
    }
}

fn change_list(items: &mut Vec<Value>, elsewhere: Option<Value>, random: &mut Random) {
    let (one, other) = (random.below(items.len().max(1)), random.below(items.len().max(1)));
    match random.below(4) {
        _ if items.is_empty() => items.push(elsewhere.unwrap_or_default()),
        0 => items.insert(one, elsewhere.unwrap_or_default()),
        1 => items.insert(one, items[other].clone()),
        2 => items.swap(one, other),
        _ => drop(items.remove(one)),
    }
}

fn change_object(map: &mut Map<String, Value>, elsewhere: Option<Value>, random: &mut Random) {
    let key = map.keys().nth(random.below(map.len().max(1))).cloned().unwrap_or_default();
    match random.below(4) {
        0 => drop(map.remove(&key)),
        1 => {
            if let Some(value) = map.remove(&key) {
                map.insert(random.word(), value);
            }
        }
        2 => drop(map.insert(random.word(), scalar(random))),
        _ => drop(map.insert(random.word(), elsewhere.unwrap_or_default())),
    }
}

fn change_text(text: &mut String, random: &mut Random) {
    match random.below(3) {
        0 => *text = random.word(),
        1 => text.push_str(&random.word()),
        _ => {
            let (size, room) = (text.len(), text.len() + 16);
            let mut bytes = std::mem::take(text).into_bytes();
            bytes.resize(room, 0);
            let size = fuzzer_mutate(&mut bytes, size, room);
            *text = String::from_utf8_lossy(&bytes[..size]).into_owned();
        }
    }
}

fn scalar(random: &mut Random) -> Value {
    const NUMBERS: [u64; 13] =
        [0, 1, 2, 5, 6, 38, 4094, 4095, 65_535, 65_536, 1 << 32, i64::MAX as u64, u64::MAX];
    match random.below(8) {
        0 => Value::Null,
        1 => Value::Bool(true),
        2 => Value::Array(Vec::new()),
        3 => Value::Object(Map::new()),
        4 => NUMBERS[random.below(NUMBERS.len())].into(),
        5 => NUMBERS[random.below(NUMBERS.len())].to_string().into(),
        _ => random.word().into(),
    }
}

/// How many values a document has, itself among them.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

/// The value at place `n`, itself being at 0.
fn nth(value: &Value, n: usize) -> Option<&Value> {
    fn walk<'v>(value: &'v Value, n: &mut usize) -> Option<&'v Value> {
        if *n == 0 {
            return Some(value);
        }
        *n -= 1;
        match value {
            Value::Array(items) => items.iter().find_map(|item| walk(item, n)),
            Value::Object(map) => map.values().find_map(|item| walk(item, n)),
            _ => None,
        }
    }
    walk(value, &mut { n })
}

/// As [`nth`].
fn nth_mut(value: &mut Value, n: usize) -> Option<&mut Value> {
    fn walk<'v>(value: &'v mut Value, n: &mut usize) -> Option<&'v mut Value> {
        if *n == 0 {
            return Some(value);
        }
        *n -= 1;
        match value {
            Value::Array(items) => items.iter_mut().find_map(|item| walk(item, n)),
            Value::Object(map) => map.values_mut().find_map(|item| walk(item, n)),
            _ => None,
        }
    }
    walk(value, &mut { n })
}
