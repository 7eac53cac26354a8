//! `diff`: what a file would change about a profile, by what happens to each syscall.

use profile::{Change, Changes, Direction, Effect, Profile, SetChange, SyscallChange, Treatment};
use serde::Serialize;
use serde_json::Value;

use crate::show::{Paint, Tone};

/// What a file would change.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiffView {
    /// The profile on the cluster, and its hash.
    pub before: Side,
    /// What the file holds, and its hash.
    pub after: Side,
    /// Whether both are one filter.
    pub same: bool,
    /// What changes.
    pub changes: Changes,
}

/// One of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// The profile's name, or the file's.
    pub name: String,
    /// `sha256:…` of the canonical bytes.
    pub hash: String,
}

/// A file that holds no profile to compare with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It is neither YAML nor JSON.
    #[error("neither YAML nor JSON: {0}")]
    Syntax(String),
    /// It holds neither a `SeccompProfile` nor a profile as runtimes read it.
    #[error(
        "no SeccompProfile, and no profile in the form of the OCI runtime specification (with a defaultAction)"
    )]
    NoProfile,
    /// It holds several, none of which has the name that was asked for.
    #[error("several SeccompProfiles ({}), none of them named {wanted}", .found.join(", "))]
    Several {
        /// Their names.
        found: Vec<String>,
        /// The name that was asked for.
        wanted: String,
    },
    /// The profile is not valid.
    #[error("{0}")]
    Invalid(#[from] profile::ParseError),
}

impl DocumentError {
    /// One word of a bounded vocabulary.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Syntax(_) => "Syntax",
            Self::NoProfile => "NoProfile",
            Self::Several { .. } => "SeveralProfiles",
            Self::Invalid(error) => error.reason(),
        }
    }
}

/// The profile in a file: a `SeccompProfile` (if there are several, the one named `wanted`), or a profile as runtimes
/// read it.
///
/// # Errors
/// There is none, or it is not valid.
pub fn profile_in(text: &str, wanted: &str) -> Result<Profile, DocumentError> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| DocumentError::Syntax(error.to_string()))?;
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let listed = documents.iter().flat_map(|document| match (&document["kind"], &document["items"]) {
        (Value::String(kind), Value::Array(items)) if kind.ends_with("List") => items.iter().collect(),
        _ => vec![document],
    });
    let objects: Vec<_> = listed.filter(|object| object["kind"] == "SeccompProfile").collect();
    let object = match &objects[..] {
        [] => {
            let [document] = &documents[..] else { return Err(DocumentError::NoProfile) };
            if document.get("defaultAction").is_none() {
                return Err(DocumentError::NoProfile);
            }
            // A file that a runtime could read is read as strictly as one: a key that stands twice is an error.
            return Ok(match text.trim_start().starts_with('{') {
                true => Profile::from_slice(text.as_bytes())?,
                false => Profile::from_value(document)?,
            });
        }
        [only] => only,
        several => {
            several.iter().find(|object| name(object) == wanted).ok_or_else(|| DocumentError::Several {
                found: several.iter().map(|object| name(object)).collect(),
                wanted: wanted.to_owned(),
            })?
        }
    };
    let contents = object.pointer("/spec/contents").unwrap_or(&Value::Null);
    Ok(Profile::from_value(contents).map_err(|error| error.under("spec.contents"))?)
}

impl DiffView {
    /// Compares two profiles, with the names that they are shown under.
    #[must_use]
    pub fn of(before: (&str, &Profile), after: (&str, &Profile)) -> Self {
        let side = |(name, profile): (&str, &Profile)| Side {
            name: name.to_owned(),
            hash: profile.canonical().hash().to_string(),
        };
        let changes = Changes::between(before.1, after.1);
        Self { before: side(before), after: side(after), same: changes.is_empty(), changes }
    }

    /// The view for a person; empty where not even a byte differs, as diff(1) has it.
    #[must_use]
    pub fn render(&self, paint: Paint) -> String {
        if self.same && self.before.hash == self.after.hash {
            return String::new();
        }
        let head = |mark: &str, side: &Side| {
            paint.text(&format!("{mark} {} {}", side.name, side.hash), Tone::Heading) + "\n"
        };
        let mut text = head("---", &self.before) + &head("+++", &self.after);
        if self.same {
            return text
                + "The same filter in other bytes: to apply it writes the file anew on every node.\n";
        }
        if let Some(change) = &self.changes.default {
            let what = "every syscall that no rule is about";
            text += &block(paint, change.direction(), what, &lines_of_default(change));
        }
        text += &set(paint, "architectures", &self.changes.architectures, |it| it.word());
        text += &set(paint, "flags", &self.changes.flags, |it| it.word());
        for change in &self.changes.syscalls {
            let names: Vec<_> = change.names.iter().map(|name| name.as_str()).collect();
            text += &block(paint, change.direction, &names.join(", "), &lines_of(change));
        }
        text
    }
}

/// What changes, and which way it goes, with the lines that go and come.
fn block(
    paint: Paint,
    direction: Direction,
    what: &str,
    (gone, come): &(Vec<String>, Vec<String>),
) -> String {
    let (word, tone) = match direction {
        Direction::Looser => ("looser", Tone::Bad),
        Direction::Tighter => ("tighter", Tone::Good),
        Direction::Other => ("changed", Tone::Waiting),
    };
    let mut text = format!("{}: {}\n", paint.text(word, tone), paint.text(what, Tone::Plain));
    for (mark, tone, lines) in [('-', Tone::Bad, gone), ('+', Tone::Good, come)] {
        for line in lines {
            text += &paint.text(&format!("  {mark} {line}"), tone);
            text.push('\n');
        }
    }
    text
}

fn lines_of_default(change: &Change<Effect>) -> (Vec<String>, Vec<String>) {
    (vec![change.before.to_string()], vec![change.after.to_string()])
}

/// A line for each branch and one for the rest.
fn lines_of(change: &SyscallChange) -> (Vec<String>, Vec<String>) {
    let lines = |treatment: &Treatment| {
        let mut lines: Vec<_> = treatment.branches.iter().map(ToString::to_string).collect();
        let rest = Treatment { branches: Vec::new(), ..treatment.clone() };
        lines.push(if lines.is_empty() { rest.to_string() } else { format!("else {rest}") });
        lines
    };
    let (before, after) = (lines(&change.change.before), lines(&change.change.after));
    // What both have needs no word, unless it is the order that differs.
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    let (gone, come) = (only(&before, &after), only(&after, &before));
    if gone.is_empty() && come.is_empty() { (before, after) } else { (gone, come) }
}

fn set<T: Copy>(paint: Paint, what: &str, change: &SetChange<T>, word: impl Fn(T) -> &'static str) -> String {
    if change.is_empty() {
        return String::new();
    }
    let words = |items: &[T]| items.iter().map(|it| word(*it).to_owned()).collect();
    block(paint, Direction::Other, what, &(words(&change.removed), words(&change.added)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r"
apiVersion: seccomp.imjasonh.dev/v1alpha1
kind: SeccompProfile
metadata: { name: web }
spec:
  contents:
    defaultAction: SCMP_ACT_ERRNO
    architectures: [SCMP_ARCH_X86_64]
    syscalls:
      - names: [read, write, bpf, ptrace]
        action: SCMP_ACT_ALLOW
      - names: [clone]
        action: SCMP_ACT_ALLOW
        args: [{ index: 0, value: 2114060288, valueTwo: 0, op: SCMP_CMP_MASKED_EQ }]
";
    const AFTER: &str = r"
defaultAction: SCMP_ACT_KILL_PROCESS
architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
syscalls:
  - names: [write, read, io_uring_setup]
    action: SCMP_ACT_ALLOW
  - names: [clone]
    action: SCMP_ACT_ALLOW
    args: [{ index: 0, value: 2114060288, valueTwo: 0, op: SCMP_CMP_MASKED_EQ }]
  - names: [clone]
    action: SCMP_ACT_LOG
    args: [{ index: 0, value: 17, op: SCMP_CMP_EQ }]
";

    fn view(before: &str, after: &str) -> DiffView {
        let parse = |text| profile_in(text, "web").unwrap();
        DiffView::of(("web", &parse(before)), ("web.yaml", &parse(after)))
    }

    #[test]
    fn a_change_is_shown_by_syscall_and_which_way_it_goes() {
        insta::assert_snapshot!(view(BEFORE, AFTER).render(Paint::Plain));
    }

    #[test]
    fn lines_that_go_are_red_and_lines_that_come_are_green() {
        insta::assert_snapshot!(view(BEFORE, AFTER).render(Paint::Colours).replace('\x1b', "ESC"));
    }

    #[test]
    fn programs_read_the_same_as_people() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&view(BEFORE, AFTER)).unwrap());
    }

    #[test]
    fn what_does_not_differ_is_not_shown() {
        assert_eq!(view(BEFORE, BEFORE).render(Paint::Plain), "");
        let other = BEFORE.replace("[read, write, bpf, ptrace]", "[ptrace, read, bpf, write]");
        let view = view(BEFORE, &other);
        assert!(view.same);
        assert!(view.render(Paint::Plain).ends_with(
            "\nThe same filter in other bytes: to apply it writes the file anew on every node.\n"
        ));
    }

    #[test]
    fn a_file_may_hold_the_object_one_among_others_or_what_a_runtime_reads() {
        let plain = r#"{ "defaultAction": "SCMP_ACT_LOG" }"#;
        let named = |name: &str| {
            format!("kind: SeccompProfile\nmetadata: {{ name: {name} }}\nspec: {{ contents: {plain} }}\n")
        };
        let list = format!(
            r#"{{ "kind": "List", "items": [{{ "kind": "SeccompProfile", "spec": {{ "contents": {plain} }} }}] }}"#
        );
        for text in [
            plain.to_owned(),
            "defaultAction: SCMP_ACT_LOG".to_owned(),
            named("another"),
            format!("kind: ConfigMap\n---\n{}---\n{}", named("other"), named("web")),
            list,
        ] {
            let profile = profile_in(&text, "web").unwrap();
            assert_eq!(profile.canonical().bytes(), plain.replace(' ', "").as_bytes(), "{text}");
        }
    }

    #[test]
    fn a_file_without_the_profile_says_what_it_holds() {
        let error = |text: &str| profile_in(text, "web").unwrap_err().to_string();
        insta::assert_snapshot!(error("kind: ConfigMap"), @"no SeccompProfile, and no profile in the form of the OCI runtime specification (with a defaultAction)");
        insta::assert_snapshot!(error(""), @"no SeccompProfile, and no profile in the form of the OCI runtime specification (with a defaultAction)");
        let two =
            "kind: SeccompProfile\nmetadata: { name: a }\n---\nkind: SeccompProfile\nmetadata: { name: b }\n";
        insta::assert_snapshot!(error(two), @"several SeccompProfiles (a, b), none of them named web");
        insta::assert_snapshot!(error("kind: SeccompProfile\nspec: { contents: { defaultAction: ALLOW } }"),
            @"spec.contents.defaultAction: unknown action \"ALLOW\"; expected one of SCMP_ACT_KILL, SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_THREAD, SCMP_ACT_TRAP, SCMP_ACT_ERRNO, SCMP_ACT_TRACE, SCMP_ACT_ALLOW, SCMP_ACT_LOG");
        assert!(
            error(r#"{ "defaultAction": "SCMP_ACT_LOG", "defaultAction": "SCMP_ACT_ALLOW" }"#)
                .contains("defaultAction")
        );
        assert!(matches!(profile_in("a: [", "web"), Err(DocumentError::Syntax(_))));
    }

    #[test]
    fn a_whole_64_bit_value_arrives() {
        let text = "defaultAction: SCMP_ACT_LOG\nsyscalls: [{ names: [a], action: SCMP_ACT_TRAP, args: [{ index: 0, value: 18446744073709551615, op: SCMP_CMP_EQ }] }]";
        assert_eq!(profile_in(text, "web").unwrap().rules()[0].arguments()[0].value(), u64::MAX);
    }
}
