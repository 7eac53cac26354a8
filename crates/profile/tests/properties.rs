//! Properties of every profile, and of every invalid input.

use profile::{Action, Architecture, Canonical, Comparison, Flag, PlainProfile, Profile};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = Value> {
    select(words).prop_map(Value::from)
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u64>().prop_map(Value::from),
        any::<u64>().prop_map(|n| n.to_string().into()),
        any::<u64>().prop_map(|n| format!("{n:#x}").into()),
    ]
}

fn argument(index: u8) -> impl Strategy<Value = Value> {
    (number(), proptest::option::of(number()), one_of(Comparison::NAMES)).prop_map(
        move |(value, second, op)| {
            let mut argument = json!({ "index": index, "value": value, "op": op });
            if let Some(second) = second {
                argument["valueTwo"] = second;
            }
            argument
        },
    )
}

/// Comparisons of some arguments in any order, each once.
fn arguments() -> impl Strategy<Value = Vec<Value>> {
    subsequence(vec![0, 1, 2, 3, 4, 5], 0..4)
        .prop_shuffle()
        .prop_flat_map(|indexes| indexes.into_iter().map(argument).collect::<Vec<_>>())
}

fn action(words: &'static [&'static str]) -> impl Strategy<Value = (Value, Option<u16>)> {
    (select(words), proptest::option::of(any::<u16>())).prop_map(|(word, errno)| {
        let highest = Action::from_name(word).and_then(Action::highest_errno);
        (word.into(), errno.zip(highest).map(|(errno, highest)| errno.min(highest)))
    })
}

fn rule() -> impl Strategy<Value = Value> {
    (vec("[a-z0-9_]{1,64}", 1..5), action(Action::NAMES), arguments()).prop_map(
        |(names, (action, errno), args)| {
            let mut rule = json!({ "names": names, "action": action });
            if let Some(errno) = errno {
                rule["errnoRet"] = errno.into();
            }
            if !args.is_empty() {
                rule["args"] = args.into();
            }
            rule
        },
    )
}

/// Rules of which no two with comparisons name the same syscall, because these might clash.
fn rules() -> impl Strategy<Value = Vec<Value>> {
    vec(rule(), 0..6).prop_map(|mut rules| {
        for (i, rule) in rules.iter_mut().enumerate().filter(|(_, rule)| rule.get("args").is_some()) {
            for name in rule["names"].as_array_mut().into_iter().flatten() {
                // Replaces the end, so that the name does not exceed its length.
                let text = name.as_str().unwrap_or_default();
                *name = format!("{}_{i}", &text[..text.len().min(62)]).into();
            }
        }
        rules
    })
}

/// Some architectures of one byte order.
fn architectures() -> impl Strategy<Value = Vec<&'static str>> {
    any::<bool>().prop_flat_map(|big| {
        let is = |word: &&str| Architecture::from_name(word).is_some_and(|a| a.is_big_endian() == big);
        vec(select(Architecture::NAMES.iter().copied().filter(is).collect::<Vec<_>>()), 0..4)
    })
}

/// A valid profile as a person might write it.
fn document() -> impl Strategy<Value = Value> {
    let lists = (architectures(), vec(select(Flag::NAMES), 0..3), rules());
    let listener = ("(/[a-z.]{3,9}){1,3}", proptest::option::of(".{0,20}"));
    (action(Action::DEFAULT_NAMES), lists, listener).prop_map(
        |((action, errno), (architectures, mut flags, rules), (path, metadata))| {
            let listens = rules.iter().any(|rule| rule["action"] == Action::Notify.name());
            flags.retain(|flag| listens || *flag != Flag::WaitKillableRecv.name());
            let mut profile = json!({ "defaultAction": action, "architectures": architectures, "flags": flags, "syscalls": rules });
            if listens {
                profile["listenerPath"] = path.into();
                if let Some(metadata) = metadata {
                    profile["listenerMetadata"] = metadata.into();
                }
            }
            if let Some(errno) = errno {
                profile["defaultErrnoRet"] = errno.into();
            }
            profile
        },
    )
}

/// The same value as text, with the keys of every object in the order that `seed` gives.
fn shuffled(value: &Value, seed: u64) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| shuffled(item, seed.rotate_left(7))).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| {
                key.bytes().fold(seed, |h, b| h.wrapping_mul(0x0100_0000_01b3) ^ u64::from(b))
            });
            let entries: Vec<_> =
                entries.iter().map(|(k, v)| format!(" {k:?} : {}", shuffled(v, seed))).collect();
            format!("{{{}}}", entries.join(","))
        }
        scalar => scalar.to_string(),
    }
}

/// `names: ["x"]` written as `name: "x"`, and `name: ""` added beside longer lists.
fn older_spelling(mut value: Value) -> Value {
    for rule in value["syscalls"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        let names = rule["names"].as_array().cloned().unwrap_or_default();
        match names.as_slice() {
            [only] => {
                rule.remove("names");
                rule.insert("name".into(), only.clone());
            }
            _ => {
                rule.insert("name".into(), "".into());
            }
        }
    }
    value
}

fn any_json() -> impl Strategy<Value = Value> {
    const WORDS: &[&str] = &[
        "defaultAction",
        "syscalls",
        "names",
        "args",
        "action",
        "op",
        "SCMP_ACT_ERRNO",
        "SCMP_CMP_EQ",
        "index",
        "value",
        "errnoRet",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        select(WORDS).prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        let key = prop_oneof![select(WORDS).prop_map(String::from), any::<String>()];
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Value::from),
            vec((key, inner), 0..8)
                .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// What is decoded without a tree, if the text is spelled so that it can be. The tree parser always agrees with it.
fn plain(text: &str) -> Option<Canonical> {
    let decoded = serde_json::from_str::<PlainProfile<'_>>(text).ok()?.canonical();
    let value: Option<Value> = serde_json::from_str(text).ok();
    let canonical = value.and_then(|value| Some(Profile::from_value(&value).ok()?.canonical()));
    assert_eq!(canonical.as_ref(), Some(&decoded));
    Some(decoded)
}

/// Whether a valid profile is in a usual spelling: without a listener, and with numbers as numbers.
fn is_usual(document: &Value) -> bool {
    let arguments =
        document["syscalls"].as_array().into_iter().flatten().filter_map(|rule| rule["args"].as_array());
    let are_numbers = |argument: &Value| ["value", "valueTwo"].iter().all(|key| !argument[key].is_string());
    document.get("listenerPath").is_none() && arguments.flatten().all(are_numbers)
}

/// The rules of both profiles in one, which may clash or be too many, with the architectures and flags of both.
fn joined(mut one: Value, other: &Value) -> Value {
    for list in ["syscalls", "architectures", "flags"] {
        let added = other[list].as_array().cloned().unwrap_or_default();
        one[list].as_array_mut().into_iter().for_each(|items| items.extend(added.clone()));
    }
    one
}

proptest! {
    #[test]
    fn a_usual_spelling_is_decoded_without_a_tree_and_gives_the_same_bytes(document in document(), seed: u64) {
        for spelling in [document.clone(), older_spelling(document)] {
            let decoded = plain(&shuffled(&spelling, seed));
            prop_assert!(!is_usual(&spelling) || decoded.is_some());
        }
    }

    #[test]
    fn whatever_is_decoded_without_a_tree_is_valid_and_gives_the_same_bytes(
        one in document(), other in document(), any in any_json(), at: prop::sample::Index, byte in 0..0x80_u8
    ) {
        plain(&joined(one.clone(), &other).to_string());
        plain(&any.to_string());
        // Valid as a whole, with something else in one place.
        let mut wrong = one.clone();
        let fields = wrong.as_object_mut().unwrap();
        let field = at.index(fields.len());
        fields.values_mut().skip(field).take(1).for_each(|value| *value = any.clone());
        plain(&wrong.to_string());
        for rule in wrong["syscalls"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            let field = at.index(rule.len().max(1));
            rule.values_mut().skip(field).take(1).for_each(|value| *value = any.clone());
        }
        plain(&wrong.to_string());
        let mut bytes = one.to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(text) = String::from_utf8(bytes) {
            plain(&text);
        }
    }

    #[test]
    fn parsing_the_canonical_bytes_gives_the_profile_back(document in document()) {
        let profile = Profile::from_value(&document).unwrap();
        prop_assert_eq!(Profile::from_slice(profile.canonical().bytes()).unwrap(), profile);
    }

    #[test]
    fn canonical_bytes_are_a_fixed_point(document in document()) {
        let canonical = Profile::from_value(&document).unwrap().canonical();
        prop_assert_eq!(Profile::from_slice(canonical.bytes()).unwrap().canonical(), canonical);
    }

    #[test]
    fn the_order_of_keys_does_not_change_the_hash(document in document(), seed: u64) {
        let text = shuffled(&document, seed);
        let hash = Profile::from_slice(text.as_bytes()).unwrap().canonical().hash();
        prop_assert_eq!(hash, Profile::from_value(&document).unwrap().canonical().hash());
    }

    #[test]
    fn name_and_names_give_the_same_hash(document in document()) {
        let older = older_spelling(document.clone());
        let hash = Profile::from_value(&older).unwrap().canonical().hash();
        prop_assert_eq!(hash, Profile::from_value(&document).unwrap().canonical().hash());
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in vec(any::<u8>(), 0..256)) {
        let _ = Profile::from_slice(&bytes);
    }

    #[test]
    fn no_json_makes_the_parser_panic(value in any_json()) {
        let from_value = Profile::from_value(&value);
        let from_text = Profile::from_slice(value.to_string().as_bytes());
        prop_assert_eq!(from_value.is_ok(), from_text.is_ok());
    }

    #[test]
    fn a_changed_byte_never_panics_and_never_parses_to_another_meaning(document in document(), at: prop::sample::Index, byte: u8) {
        let mut bytes = document.to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(profile) = Profile::from_slice(&bytes) {
            let value: Value = serde_json::from_slice(&bytes).unwrap();
            prop_assert_eq!(Profile::from_value(&value).unwrap(), profile);
        }
    }
}
