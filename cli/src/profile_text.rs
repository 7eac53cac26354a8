//! A profile as text: a `SeccompProfile` as YAML, in the form of the examples in `profiles/` (names in lines, not one a
//! line), and the JSON that runtimes read.

use std::fmt::Write;

use profile::{Argument, Profile, Rule};

use crate::manifest::API_VERSION;
use crate::output::json_lines;

/// Where a line ends.
const WIDTH: usize = 120;
/// The highest number that `kubectl apply` never changes: it compares objects in floating point.
const EXACT: u64 = 1 << 53;

/// The profile as runtimes read it, in lines.
pub(crate) fn oci_json(profile: &Profile) -> String {
    json_lines(profile)
}

/// A `SeccompProfile` of this name. kubectl reads exactly the profile from it.
pub(crate) fn seccomp_profile(name: &str, profile: &Profile) -> String {
    let mut text =
        format!("apiVersion: {API_VERSION}\nkind: SeccompProfile\nmetadata:\n  name: {}\n", plain(name));
    text += "spec:\n  contents:\n";
    let mut field = |key: &str, value: &str| _ = writeln!(text, "    {key}: {value}");
    field("defaultAction", profile.default_action().name());
    if let Some(errno) = profile.default_errno_ret() {
        field("defaultErrnoRet", &errno.to_string());
    }
    let list = |words: Vec<&str>| format!("[{}]", words.join(", "));
    if !profile.architectures().is_empty() {
        field("architectures", &list(profile.architectures().iter().map(|it| it.name()).collect()));
    }
    if !profile.flags().is_empty() {
        field("flags", &list(profile.flags().iter().map(|it| it.name()).collect()));
    }
    if let Some(listener) = profile.listener() {
        field("listenerPath", &quoted(listener.path()));
        if !listener.metadata().is_empty() {
            field("listenerMetadata", &quoted(listener.metadata()));
        }
    }
    if !profile.rules().is_empty() {
        text += "    syscalls:\n";
        profile.rules().iter().for_each(|it| rule(&mut text, it));
    }
    text
}

fn rule(text: &mut String, rule: &Rule) {
    _ = writeln!(text, "      - action: {}", rule.action().name());
    if let Some(errno) = rule.errno_ret() {
        _ = writeln!(text, "        errnoRet: {errno}");
    }
    let names: Vec<_> = rule.names().iter().map(|name| plain(name.as_str())).collect();
    let line = format!("        names: [{}]", names.join(", "));
    if line.len() <= WIDTH {
        *text += &line;
    } else {
        *text += "        names: [\n";
        let mut line = "         ".to_owned();
        for (i, name) in names.iter().enumerate() {
            let end = if i + 1 == names.len() { "]" } else { "," };
            if line.len() + 1 + name.len() + end.len() > WIDTH {
                _ = writeln!(text, "{line}");
                "         ".clone_into(&mut line);
            }
            _ = write!(line, " {name}{end}");
        }
        *text += &line;
    }
    *text += "\n";
    if !rule.arguments().is_empty() {
        *text += "        args:\n";
        rule.arguments().iter().for_each(|it| argument(text, *it));
    }
}

fn argument(text: &mut String, argument: Argument) {
    let number = |value: u64| if value > EXACT { format!("\"{value}\"") } else { value.to_string() };
    let (index, op) = (argument.index(), argument.comparison().name());
    _ = write!(text, "          - {{index: {index}, op: {op}, value: {}", number(argument.value()));
    if argument.value_two() > 0 {
        _ = write!(text, ", valueTwo: {}", number(argument.value_two()));
    }
    *text += "}\n";
}

/// A word of lower-case letters, digits and punctuation of names, quoted where a reader of YAML could take it for
/// something else.
fn plain(word: &str) -> String {
    const KEYWORDS: [&str; 9] = ["null", "y", "yes", "true", "on", "n", "no", "false", "off"];
    let begins = word.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if begins && !KEYWORDS.contains(&word) { word.to_owned() } else { quoted(word) }
}

/// Text in double quotes, in escapes that YAML 1.1 and 1.2 have.
fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            _ if c.is_alphanumeric() => quoted.push(c),
            _ if u32::from(c) <= 0xffff => _ = write!(quoted, "\\u{:04x}", u32::from(c)),
            _ => _ = write!(quoted, "\\U{:08x}", u32::from(c)),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::manifest::profiles_in;

    fn written(name: &str, contents: &Value) -> (Profile, String) {
        let profile = Profile::from_value(contents).unwrap();
        let text = seccomp_profile(name, &profile);
        (profile, text)
    }

    #[test]
    fn an_object_is_written_in_lines() {
        let names: Vec<_> = (0..20).map(|i| format!("quite_a_long_name_{i}")).collect();
        let (_, text) = written(
            "web",
            &json!({
                "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "architectures": ["SCMP_ARCH_X86_64"],
                "flags": ["SECCOMP_FILTER_FLAG_LOG"], "listenerPath": "/run/agent.sock", "listenerMetadata": "a\nb",
                "syscalls": [
                    {"names": names, "action": "SCMP_ACT_ALLOW"},
                    {"names": ["on", "_sysctl"], "action": "SCMP_ACT_NOTIFY", "args": [
                        {"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": u64::MAX, "valueTwo": 7}]},
                ],
            }),
        );
        insta::assert_snapshot!(text);
    }

    fn contents() -> impl Strategy<Value = Value> {
        let number = prop_oneof![0_u64..300, any::<u64>(), Just(EXACT), Just(EXACT + 1)];
        let argument = (0_u8..6, number.clone(), number).prop_map(|(index, value, two)| {
            json!({"index": index, "op": "SCMP_CMP_MASKED_EQ", "value": value, "valueTwo": two})
        });
        let name = prop_oneof!["[a-z0-9_]{1,30}", "y|n|on|off|null|true|1e3|0x10|0o7|1_000"];
        let rule = (vec(name, 1..30), proptest::option::of(argument)).prop_map(|(names, argument)| {
            json!({"names": names, "action": "SCMP_ACT_NOTIFY", "args": Vec::from_iter(argument)})
        });
        (vec(rule, 1..4), ".{0,40}").prop_map(|(rules, metadata)| {
            json!({"defaultAction": "SCMP_ACT_LOG", "syscalls": rules, "listenerPath": "/run/a",
                   "listenerMetadata": metadata})
        })
    }

    proptest! {
        #[test]
        fn kubectl_reads_the_profile_that_was_written(
            contents in contents(),
            name in "[a-z0-9]([-.]?[a-z0-9]){0,20}|null|1\\.5|0x1f",
        ) {
            // Not every name and metadata is allowed.
            prop_assume!(Profile::from_value(&contents).is_ok());
            let (profile, text) = written(&name, &contents);
            let read = profiles_in(&text).unwrap();
            prop_assert_eq!(&read[0].profile, &profile);
            prop_assert_eq!(read[0].name.as_deref(), Some(&*name));
            let is_short = |line: &str| line.len() <= WIDTH || line.contains("listenerMetadata");
            prop_assert!(text.lines().all(is_short), "{}", text);
        }
    }
}
