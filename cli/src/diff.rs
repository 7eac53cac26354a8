//! `diff`: what a file would change about a profile, for each syscall.

use filter::{Change, Changes, Direction, SetChange, SyscallChange, Treatment, Uncompared};
use profile::{Effect, Listener, Profile, SyscallName};
use serde::Serialize;

use crate::show::{Paint, Tone};

/// The changes that a file would make.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiffView {
    /// The profile on the cluster, and its hash.
    pub before: Side,
    /// The profile in the file, and its hash.
    pub after: Side,
    /// Whether both are known to be the same filter; false if something could not be compared.
    pub same: bool,
    /// The changes, and the effects that could not be compared.
    pub changes: Changes,
}

/// One side of the comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// The profile's name, or the file's.
    pub name: String,
    /// `sha256:…` of the canonical bytes.
    pub hash: String,
}

impl DiffView {
    /// Compares two profiles, each with its name for the output.
    #[must_use]
    pub fn of(before: (&str, &Profile), after: (&str, &Profile)) -> Self {
        let side = |(name, profile): (&str, &Profile)| Side {
            name: name.to_owned(),
            hash: profile.canonical().hash().to_string(),
        };
        let changes = Changes::between(before.1, after.1);
        Self { before: side(before), after: side(after), same: changes.is_empty(), changes }
    }

    /// The view as text; empty if the bytes are equal, like diff(1).
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
            return text + "The same filter in other bytes: applying it rewrites the file on every node.\n";
        }
        if let Some(change) = &self.changes.default {
            let what = "every syscall that no rule names";
            text += &block(paint, change.direction(), what, &lines_of_default(change));
        }
        text += &set(paint, "architectures", &self.changes.architectures, |it| it.name());
        text += &set(paint, "flags", &self.changes.flags, |it| it.name());
        if let Some(change) = &self.changes.listener {
            let line = |side: &Option<Listener>| side.iter().map(ToString::to_string).collect();
            text += &block(paint, Direction::Other, "listener", &(line(&change.before), line(&change.after)));
        }
        for change in &self.changes.syscalls {
            let names: Vec<_> = change.names.iter().map(|name| name.as_str()).collect();
            text += &block(paint, change.direction, &names.join(", "), &lines_of(change));
        }
        for uncompared in &self.changes.uncompared {
            let (what, why) = explained(uncompared);
            let word = paint.text("not compared", Tone::Waiting);
            text +=
                &format!("{word}: {}\n  {}\n", paint.text(what, Tone::Plain), paint.text(&why, Tone::Plain));
        }
        text
    }
}

/// The text for an effect that was not compared: the effect, and why it may differ.
fn explained(uncompared: &Uncompared) -> (&'static str, String) {
    match uncompared {
        Uncompared::EnosysBorder { added, removed } => {
            let changed = [("now name", added), ("no longer name", removed)]
                .into_iter()
                .filter(|(_, names)| !names.is_empty())
                .map(|(verb, names)| format!("{verb} {}", some(names)));
            let why = format!(
                "runc returns ENOSYS instead of the default for every call with a number above the highest that the \
                 rules name, including rules that repeat the default. The rules {}: the highest may be another one.",
                changed.collect::<Vec<_>>().join(" and ")
            );
            ("for which calls runc returns ENOSYS", why)
        }
        Uncompared::FlagSupport => {
            let why = "Only one of the two names flags. runc before 1.2 starts no container under a profile that names any.";
            ("whether containers start", why.to_owned())
        }
    }
}

/// Names in a sentence, at most `MAX_NAMED` of them.
fn some(names: &[SyscallName]) -> String {
    const MAX_NAMED: usize = 8;
    let mut shown: Vec<_> = names.iter().take(MAX_NAMED).map(|name| name.as_str().to_owned()).collect();
    if names.len() > MAX_NAMED {
        shown.push(format!("{} more", names.len() - MAX_NAMED));
    }
    shown.join(", ")
}

/// A change with its direction and the removed and added lines.
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
    // Branches of both sides are not shown, unless their order differs.
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
    use crate::manifest::profile_in;

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
    fn a_change_is_shown_by_syscall_with_its_direction() {
        insta::assert_snapshot!(view(BEFORE, AFTER).render(Paint::Plain));
    }

    #[test]
    fn removed_lines_are_red_and_added_lines_are_green() {
        insta::assert_snapshot!(view(BEFORE, AFTER).render(Paint::Colours).replace('\x1b', "ESC"));
    }

    #[test]
    fn programs_read_the_same_as_people() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&view(BEFORE, AFTER)).unwrap());
    }

    /// A possible difference must not count as equality, neither in text nor in JSON nor in the exit code.
    #[test]
    fn uncompared_effects_are_listed_and_do_not_count_as_the_same() {
        let more = BEFORE.replace("[read, write, bpf, ptrace]", "[read, write, bpf, ptrace, statx]");
        let repeated = format!("{BEFORE}      - {{ names: [clone3], action: SCMP_ACT_ERRNO }}\n");
        let many = (0..20).map(|i| format!("call_{i:02}")).collect::<Vec<_>>().join(", ");
        let many = format!("{BEFORE}      - {{ names: [{many}], action: SCMP_ACT_ERRNO }}\n");
        let named =
            BEFORE.replace("    syscalls:", "    flags: [SECCOMP_FILTER_FLAG_SPEC_ALLOW]\n    syscalls:");
        let log = named.replace("SPEC_ALLOW", "LOG");
        let mut shown = String::new();
        for (one, other) in [
            (BEFORE, &*more),
            (BEFORE, &repeated),
            (&repeated, &more),
            (BEFORE, &many),
            (BEFORE, &named),
            (&log, BEFORE),
        ] {
            let view = view(one, other);
            assert!(!view.same && !view.changes.uncompared.is_empty(), "{other}");
            let text = view.render(Paint::Plain);
            // After the two lines with the hashes.
            shown += text.splitn(3, '\n').nth(2).unwrap_or_default();
            shown.push('\n');
        }
        insta::assert_snapshot!(shown);
        insta::assert_snapshot!(
            "uncompared_for_programs",
            serde_json::to_string_pretty(&view(BEFORE, &repeated)).unwrap()
        );
    }

    #[test]
    fn another_listener_is_shown() {
        let notifying = |metadata: &str| {
            let syscalls = "syscalls: [{ names: [mkdir], action: SCMP_ACT_NOTIFY }]";
            format!("defaultAction: SCMP_ACT_ALLOW\nlistenerPath: /run/a.sock\n{metadata}\n{syscalls}\n")
        };
        let text = view(&notifying(""), &notifying("listenerMetadata: b")).render(Paint::Plain);
        let shown = "changed: listener\n  - /run/a.sock\n  + /run/a.sock (metadata \"b\")\n";
        assert!(text.ends_with(shown), "{text}");
    }

    #[test]
    fn equal_parts_are_not_shown() {
        assert_eq!(view(BEFORE, BEFORE).render(Paint::Plain), "");
        let other = BEFORE.replace("[read, write, bpf, ptrace]", "[ptrace, read, bpf, write]");
        let view = view(BEFORE, &other);
        assert!(view.same);
        assert!(
            view.render(Paint::Plain).ends_with(
                "\nThe same filter in other bytes: applying it rewrites the file on every node.\n"
            )
        );
    }
}
