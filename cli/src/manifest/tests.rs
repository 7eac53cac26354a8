use proptest::collection::vec;
use proptest::prelude::{any, prop_assert_eq, proptest};
use proptest::sample::select;
use serde::Deserialize;
use serde_json::{Value, json};

use super::position::Positions;
use super::{DocumentError, Fault, Position, SyntaxError, profile_in, profiles_in, stored, stream};

fn documents(text: &str) -> Result<Vec<Value>, SyntaxError> {
    Ok(stream::documents(text)?.into_iter().map(|document| document.value).collect())
}

/// A text, and kubectl's result for it: objects, or an error.
#[derive(Deserialize)]
struct Row {
    text: String,
    #[serde(default)]
    gives: Vec<Value>,
    refused: Option<String>,
}

/// Recorded by a program that reads as `kubectl apply -f` does: `YAMLOrJSONDecoder` and `UnstructuredJSONScheme` of
/// k8s.io/apimachinery 0.37.0 over sigs.k8s.io/yaml 1.6.0 and go.yaml.in/yaml/v2 2.4.4, which kubectl 1.37.2 is built
/// with; the objects are as it sends them. Those with a name are what kubectl 1.37.2 itself prints of the text with
/// `kubectl annotate --local -f FILE none- -o json`, which needs no API server.
const KUBECTL: &str = include_str!("kubectl.jsonl");

/// Texts that kubectl accepts and the parser does not support: a dash as text in brackets, half of a surrogate pair.
const NOT_READ: [&str; 3] = [
    "apiVersion: v1\nkind: X\nv: [-]\n",
    r#"{"apiVersion":"v1","kind":"X","v":-}"#,
    r#"{"apiVersion":"v1","kind":"X","v":"\ud83d"}"#,
];

fn rows() -> impl Iterator<Item = Row> {
    KUBECTL.lines().map(|line| serde_json::from_str(line).unwrap())
}

#[test]
fn a_text_is_read_as_kubectl_reads_it_or_refused() {
    let mut wrong = Vec::new();
    let mut read = 0;
    for Row { text, gives, refused } in rows() {
        let ours = documents(&text).map(|mut ours| {
            ours.iter_mut().for_each(stored::normalize_numbers);
            ours
        });
        let mut gives = gives;
        gives.iter_mut().for_each(stored::normalize_numbers);
        match (ours, refused) {
            (Ok(ours), None) if ours == gives => read += 1,
            (Err(_), Some(_)) => read += 1,
            // A text that only kubectl accepts is refused with advice, which another test checks.
            (Err(error), None) if !matches!(error.fault, Fault::Syntax(_)) => read += 1,
            (Err(_), None) if NOT_READ.contains(&&*text) => read += 1,
            (ours, refused) => wrong.push(format!("{text:?}: {ours:?}, kubectl: {gives:?} {refused:?}")),
        }
    }
    assert!(wrong.is_empty(), "{read} right: {wrong:#?}");
}

#[test]
fn a_text_that_only_kubectl_accepts_is_refused_with_advice() {
    let refused = rows().filter(|row| row.refused.is_none()).filter_map(|row| {
        let error = documents(&row.text).err()?;
        let text = row.text.replace("apiVersion: v1\nkind: X\n", "");
        (!NOT_READ.contains(&&*row.text)).then(|| format!("{text:?}\n  {error}\n"))
    });
    insta::assert_snapshot!(refused.collect::<String>());
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>(), braces in any::<bool>()) {
        let text = if braces { format!("{{{text}") } else { text };
        let _ = (documents(&text), profiles_in(&text));
    }

    /// Text that looks like YAML reaches further.
    #[test]
    fn no_yaml_makes_the_reader_panic(parts in vec(select(PARTS), 0..40)) {
        let text = parts.concat();
        let _ = (documents(&text), profiles_in(&text));
        // Here the positions are read in documents without a profile too.
        for document in stream::documents(&text).into_iter().flatten() {
            let _ = Positions::read(&document);
        }
    }

    #[test]
    fn json_is_read_as_json(texts in vec(any::<String>(), 1..4), number in any::<i64>(), yes in any::<bool>()) {
        let value = json!({ "a": { "t": texts, "n": [number, 1.5, null], "y": yes } });
        prop_assert_eq!(documents(&value.to_string()).unwrap(), [value.clone()]);
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(documents(&format!("{pretty}\n{pretty}")).unwrap(), [value.clone(), value]);
    }
}

const PARTS: &[&str] = &[
    "a", "b: 1", "- ", "? ", "k: ", "  ", "\n", "{", "}", "[", "]", ",", ": ", "'q'", "\"d\"", "\"\\u", "#c",
    "&x ", "*x", "!!int ", "|\n", ">\n", "<<: ", "---\n", "...\n", "04000", "1e9", "~", "yes", "\t",
    "\u{85}", "\u{feff}", "%",
];

const PLAIN: &str = r#"{ "defaultAction": "SCMP_ACT_LOG" }"#;

fn manifest(name: &str, contents: &str) -> String {
    format!(
        "apiVersion: seccomp.imjasonh.dev/v1alpha1\nkind: SeccompProfile\nmetadata: {{ name: {name} }}\nspec:\n  contents: {contents}\n"
    )
}

fn argument(value: &str) -> String {
    format!(
        "{{ defaultAction: SCMP_ACT_LOG, syscalls: [{{ names: [clone], action: SCMP_ACT_TRAP, args: [{{ index: 0, op: SCMP_CMP_EQ, {value} }}] }}] }}"
    )
}

fn error(text: &str) -> String {
    profile_in(text, "web").unwrap_err().to_string()
}

#[test]
fn a_value_is_what_the_api_server_stores_of_it() {
    let stored = |text: &str| profile_in(&manifest("web", &argument(text)), "web");
    for (text, value) in [
        ("value: 04000", 2048),
        ("value: 0o4000", 2048),
        ("value: 0x800", 2048),
        ("value: 2_048", 2048),
        ("value: 2.114060288e+09", 2_114_060_288),
        ("value: 2048.0", 2048),
        ("value: 1e18", 1_000_000_000_000_000_000),
        ("value: -0.0", 0),
        ("value: 2048, valueTwo: null", 2048),
        ("value: 2048, valueTwo: ~", 2048),
        ("value: 2048, valueTwo:", 2048),
        ("value: 9007199254740992", 1 << 53),
        ("value: \"18446744073709551615\"", u64::MAX),
        ("value: \"0x800\"", 2048),
    ] {
        let profile = stored(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(profile.rules()[0].arguments()[0].value(), value, "{text}");
    }
    for text in [
        "value: 18446744073709551615",
        "value: 9223372036854775808",
        "value: 1e19",
        "value: 1.5",
        "value: -1",
        "value: yes",
        "value: 1:30",
        "value: \"04000\"",
        "value: null",
        "value: 1, unknown: null",
    ] {
        assert!(matches!(stored(text), Err(DocumentError::Invalid { .. })), "{text}: {:?}", stored(text));
    }
}

#[test]
fn a_number_that_kubectl_rounds_on_its_way_is_refused_with_the_text_to_write() {
    let stored = |text: &str| profile_in(&manifest("web", &argument(text)), "web");
    for (number, sent) in [
        ("9007199254740993", "9007199254740992"),
        ("1152921504606846976", "1152921504606847000"),
        ("9223372036854775807", "9223372036854776000"),
    ] {
        let error = stored(&format!("value: {number}")).unwrap_err();
        let said = error.to_string();
        let made = "spec.contents.syscalls[0].args[0].value: kubectl apply makes ";
        assert!(said.starts_with(made) && said.ends_with(&format!("as text: \"{number}\"")), "{said}");
        assert!(said.contains(&format!("makes {sent} of {number}")), "{said}");
        let text = stored(&format!("value: \"{number}\"")).unwrap();
        assert_eq!(text.rules()[0].arguments()[0].value().to_string(), number);
    }
}

#[test]
fn a_json_file_is_held_to_the_same_rules() {
    let json = |contents: &str| {
        format!(
            r#"{{"apiVersion":"seccomp.imjasonh.dev/v1alpha1","kind":"SeccompProfile","spec":{{"contents":{contents}}}}}"#
        )
    };
    let rule = r#"{"names":["clone"],"name":null,"action":"SCMP_ACT_ERRNO","errnoRet":1.0,"args":null}"#;
    let text = json(&format!(
        r#"{{"defaultAction":"SCMP_ACT_LOG","defaultErrnoRet":null,"architectures":null,"flags":null,"syscalls":[{rule}]}}"#
    ));
    let written = profile_in(&text, "web").unwrap().canonical();
    assert_eq!(
        String::from_utf8_lossy(written.bytes()),
        r#"{"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["clone"],"action":"SCMP_ACT_ERRNO","errnoRet":1}]}"#
    );
    // This is not JSON, so kubectl reads it as YAML.
    let octal = json(r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":011}"#);
    assert_eq!(profile_in(&octal, "web").unwrap().default_errno_ret(), Some(9));
    insta::assert_snapshot!(error(&json(r#"{"defaultAction":"SCMP_ACT_LOG","syscalls":[null]}"#)),
        @"spec.contents.syscalls[0]: expected an object, found null");
    insta::assert_snapshot!(error(&json(r#"{"defaultAction":null}"#)), @"spec.contents.defaultAction: is required");
    for nothing in ["null", "{}", r#"{"contents":null}"#] {
        let text = format!(
            r#"{{"apiVersion":"seccomp.imjasonh.dev/v1alpha1","kind":"SeccompProfile","spec":{nothing}}}"#
        );
        assert_eq!(profile_in(&text, "web"), Err(DocumentError::NoContents), "{nothing}");
    }
    let misspelt = text.replace("contents", "content");
    assert_eq!(error(&misspelt), "spec.content: unknown field; kubectl refuses it");
}

#[test]
fn a_profile_outside_an_object_may_hold_whole_numbers_of_64_bits() {
    let text = argument("value: 18446744073709551615");
    for text in [
        text.clone(),
        // The same fields without the outer braces, one a line.
        text[1..text.len() - 1]
            .replace(", syscalls", "\nsyscalls")
            .replace(" defaultAction", "defaultAction"),
    ] {
        let profile = profile_in(&text, "web").unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(profile.rules()[0].arguments()[0].value(), u64::MAX);
    }
    assert!(
        error(&argument("value: 18446744073709551616")).contains("expected a whole number from 0 to 2^64-1")
    );
}

#[test]
fn a_file_may_hold_the_object_one_among_others_or_what_a_runtime_reads() {
    let items = |kind: &str, items: &str| {
        format!(
            r#"{{ "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "{kind}", "items": [{items}] }}"#
        )
    };
    let object = r#"{ "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "SeccompProfile", "spec": { "contents": { "defaultAction": "SCMP_ACT_LOG" } } }"#;
    let of_the_list =
        object.replace(r#""apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "SeccompProfile", "#, "");
    for text in [
        PLAIN.to_owned(),
        "defaultAction: SCMP_ACT_LOG".to_owned(),
        format!("{PLAIN}\n"),
        // The only profile of a file may have another name than `web`.
        manifest("another", PLAIN),
        format!(
            "apiVersion: v1\nkind: ConfigMap\n---\n{}---\n{}",
            manifest("other", PLAIN),
            manifest("web", PLAIN)
        ),
        format!("# a comment\n---\n{}---\n# another\n", manifest("web", PLAIN)),
        manifest("web", "*c").replace("kind:", "x: &c { defaultAction: SCMP_ACT_LOG }\nkind:"),
        format!("{object}\n{}", r#"{"apiVersion": "v1", "kind": "ConfigMap"}"#),
        items("List", object),
        items("List", &items("List", object)),
        items("SeccompProfileList", &of_the_list),
    ] {
        let profile = profile_in(&text, "web").unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(profile.canonical().bytes(), PLAIN.replace(' ', "").as_bytes(), "{text}");
    }
}

#[test]
fn an_error_about_a_file_without_the_profile_lists_its_objects() {
    let two = format!("{}---\n{}", manifest("a", PLAIN), manifest("b", PLAIN));
    let files = [
        ("nothing", String::new()),
        ("a kind alone", "kind: ConfigMap".to_owned()),
        ("no kind", "data: {}".to_owned()),
        ("another kind", "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web }".to_owned()),
        ("another version", manifest("web", PLAIN).replace("v1alpha1", "v1")),
        ("many", "apiVersion: v1\nkind: Secret\n---\n".repeat(7)),
        ("two of ours", two),
        (
            "a key twice",
            r#"{ "defaultAction": "SCMP_ACT_LOG", "defaultAction": "SCMP_ACT_ALLOW" }"#.to_owned(),
        ),
        ("no YAML", "a: [".to_owned()),
        ("text", "hello".to_owned()),
        ("a fault in the second document", "a: 1\n---\nb: 1\nb: 2".to_owned()),
    ];
    let said = files.map(|(what, text)| format!("{what}: {}\n", error(&text)));
    insta::assert_snapshot!(said.concat());
    let unknown = error(&manifest("web", "{ defaultAction: ALLOW }"));
    assert!(
        unknown.starts_with(
            "spec.contents.defaultAction: unknown action \"ALLOW\"; did you mean SCMP_ACT_ALLOW?"
        )
    );
    // Docker's format has fields that runtimes ignore.
    assert!(error(r#"{ "defaultAction": "SCMP_ACT_LOG", "archMap": [] }"#).starts_with("archMap: "));
}

#[test]
fn a_profile_of_the_security_profiles_operator_is_refused_with_the_conversion() {
    let theirs = "
apiVersion: security-profiles-operator.x-k8s.io/v1beta1
kind: SeccompProfile
metadata: { name: web, namespace: shop }
spec:
  defaultAction: SCMP_ACT_ERRNO
  baseProfileName: runc-v1.1.5
  syscalls: [{ names: [read], action: SCMP_ACT_ALLOW }]
";
    insta::assert_snapshot!(error(theirs));
    // Beside a SeccompProfile of this project it is ignored.
    let both = format!("{theirs}---\n{}", manifest("web", PLAIN));
    assert!(profile_in(&both, "web").is_ok());
}

#[test]
fn anchors_within_each_other_do_not_grow_without_bound() {
    let anchors: String = (0..200).map(|i| format!("&a{i} [")).collect();
    let text = format!("a: {anchors}{}{}\n", "x, ".repeat(5_000), "]".repeat(200));
    let fault = documents(&text).unwrap_err().fault;
    assert!(matches!(fault, Fault::TooLarge(_)), "{fault}");
}

#[test]
fn aliases_do_not_grow_without_bound() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..9 {
        let alias = format!("*a{}, ", i - 1).repeat(9);
        text += &format!("a{i}: &a{i} [{alias}]\n");
    }
    let fault = documents(&text).unwrap_err().fault;
    assert!(matches!(fault, Fault::TooLarge(_)), "{fault}");
}

/// The text at a position, which must be on one line.
fn at(text: &str, position: Position) -> String {
    let line = text.lines().nth(position.line - 1).unwrap();
    assert_eq!(position.line, position.end_line, "{position:?}");
    line.chars().skip(position.column - 1).take(position.end_column - position.column).collect()
}

#[test]
fn every_field_of_every_profile_in_a_file_is_found_in_its_text() {
    let plain =
        "# é\ndefaultAction: SCMP_ACT_LOG\nsyscalls:\n- {names: [read, \"write\"], action: SCMP_ACT_TRAP}\n";
    let own = "apiVersion: seccomp.imjasonh.dev/v1alpha1\nkind: SeccompProfile\nmetadata: {name: a}\nspec:\n  contents:\n    \
               defaultAction: SCMP_ACT_LOG\n    syscalls:\n    - names:\n      - read\n      - write\n      action: SCMP_ACT_TRAP\n";
    let list = format!(
        "---\nkind: ConfigMap\n---\napiVersion: v1\nkind: List\nitems:\n- kind: ConfigMap\n- {}\n",
        own.trim_end().replace('\n', "\n  ")
    );
    let json = r#"{"kind":"ConfigMap"} {"apiVersion":"seccomp.imjasonh.dev/v1alpha1","kind":"SeccompProfile","spec":{
        "contents":{"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["read","write"],"action":"SCMP_ACT_TRAP"}]}}}"#;
    let two = format!("{own}---\n{own}");
    for (text, count) in [(plain, 1), (own, 1), (&list, 1), (json, 1), (&two, 2)] {
        let profiles = profiles_in(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(profiles.len(), count);
        for profile in &profiles {
            let of = |path: &[&str]| {
                let segment = |step: &&str| step.parse::<usize>().map_or_else(|_| (*step).into(), Into::into);
                at(text, profile.position(&path.iter().map(segment).collect()))
            };
            assert_eq!(of(&["defaultAction"]).trim_matches('"'), "SCMP_ACT_LOG", "{text}");
            assert_eq!(of(&["syscalls", "0", "names", "1"]).trim_matches('"'), "write", "{text}");
            assert_eq!(of(&["syscalls", "0", "action"]).trim_matches('"'), "SCMP_ACT_TRAP", "{text}");
        }
        let lines: Vec<_> = profiles
            .iter()
            .map(|it| it.position(&["defaultAction".into()].into_iter().collect()).line)
            .collect();
        assert!(lines.is_sorted_by(|one, other| one < other), "{lines:?}");
    }
}

#[test]
fn a_field_that_is_not_in_the_text_is_found_where_it_would_be() {
    let text = "defaultAction: SCMP_ACT_LOG\nsyscalls: [{name: read, action: SCMP_ACT_TRAP}]\n";
    let profile = &profiles_in(text).unwrap()[0];
    let path = ["syscalls".into(), 0.into(), "names".into(), 0.into()].into_iter().collect();
    assert_eq!(at(text, profile.position(&path)), "{name: read, action: SCMP_ACT_TRAP}");
    assert_eq!(profile.position(&profile::FieldPath::default()).line, 1);
}
