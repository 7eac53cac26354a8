//! The differences as text.

use filter::{Direction, Origin, Verdict};
use profile::Listener;

use super::{CallDifference, Calls, DiffView, Example, Side, Treatment, Uncompared, WrittenRule};
use crate::node_settings::{named, short};
use crate::show::{Paint, Tone, notes};

/// Names are continued in another line from here on.
const WIDTH: usize = 100;

impl DiffView {
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
        text += &format!("compared {}\n", named(&self.nodes));
        if self.same {
            text += "The same filter in other bytes: applying it rewrites the file on every node.\n";
        }
        for failure in &self.starts {
            let consequence = if failure.is_certain { "no container starts" } else { "not compared" };
            text += &heading(paint, &format!("{consequence} {}", named(&failure.places)), Tone::Bad);
            for (side, why) in [(&self.before, &failure.before), (&self.after, &failure.after)] {
                if let Some(why) = why {
                    text +=
                        &format!("  with {}\n", paint.text(&format!("{}: {why}", side.name), Tone::Plain));
                }
            }
        }
        let mut direction = None;
        for difference in &self.calls {
            if direction.replace(difference.change.direction) != Some(difference.change.direction) {
                let (words, tone) = words(difference.change.direction);
                text += &heading(paint, words, tone);
            }
            text += &rendered(difference, paint);
        }
        for flags in &self.flags {
            text += &heading(paint, &with("flags", &flags.only), Tone::Waiting);
            let lines =
                |flags: &[profile::Flag]| flags.iter().map(|flag| flag.name().to_owned()).collect::<Vec<_>>();
            text += &lines_of(paint, "  ", &lines(&flags.removed), &lines(&flags.added));
        }
        if let Some(listener) = &self.listener {
            text += &heading(paint, "listener", Tone::Waiting);
            let line = |side: &Option<Listener>| side.iter().map(ToString::to_string).collect::<Vec<_>>();
            text += &lines_of(paint, "  ", &line(&listener.before), &line(&listener.after));
        }
        for uncompared in &self.uncompared {
            text += &heading(paint, "not compared", Tone::Waiting);
            text += &format!("  {}\n", paint.text(&explained(uncompared), Tone::Plain));
        }
        text + &notes(&self.notes, paint)
    }
}

fn heading(paint: Paint, text: &str, tone: Tone) -> String {
    paint.text(&format!("{text}:"), tone) + "\n"
}

fn words(direction: Direction) -> (&'static str, Tone) {
    match direction {
        Direction::MorePermissive => ("more permissive", Tone::Bad),
        Direction::LessPermissive => ("less permissive", Tone::Good),
        Direction::Other => ("different", Tone::Waiting),
    }
}

/// A text with what restricts it.
fn with(text: &str, only: &str) -> String {
    if only.is_empty() { text.to_owned() } else { format!("{text} (only {only})") }
}

fn explained(uncompared: &Uncompared) -> String {
    match uncompared {
        Uncompared::UnknownNames { names } => {
            let names: Vec<_> = names.iter().map(|name| name.as_str()).collect();
            format!(
                "The rules for {} differ. No libseccomp of the comparison knows the name, so that runtimes ignore it.",
                names.join(", ")
            )
        }
        Uncompared::FlagSupport => {
            "Only one of the two names flags, and runc before 1.2 starts no container under a \
                                    profile that names any."
                .to_owned()
        }
    }
}

fn rendered(difference: &CallDifference, paint: Paint) -> String {
    let CallDifference { calls, change, only, .. } = difference;
    let mut text = String::new();
    for line in wrapped(&with(&subject(calls), only)) {
        text += &format!("  {}\n", paint.text(&line, Tone::Plain));
    }
    let (before, after) = (lines(&change.before, calls), lines(&change.after, calls));
    // Lines of both sides are not shown, unless their order differs.
    let missing = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    let (gone, come) = (missing(&before, &after), missing(&after, &before));
    let (gone, come) = if gone.is_empty() && come.is_empty() { (before, after) } else { (gone, come) };
    text += &lines_of(paint, "    ", &gone, &come);
    for example in &change.examples {
        text += &format!("    {}\n", paint.text(&concrete(example), Tone::Plain));
    }
    text
}

fn subject(calls: &Calls) -> String {
    match calls {
        Calls::Unnamed => "every call that no rule names".to_owned(),
        Calls::Names(names) => names.join(", "),
        Calls::Numbers { from: u32::MAX, .. } => {
            "the number -1, which a tracer sets to skip a call".to_owned()
        }
        Calls::Numbers { from, to } if from == to => format!("the number {from}, which Linux does not use"),
        // Up to the numbers of x32, or to the last one.
        Calls::Numbers { from, to } if *to >= (1 << 30) - 1 => format!("every number from {from} on"),
        Calls::Numbers { from, to } => format!("the numbers {from} to {to}, which Linux does not use"),
        Calls::Architecture(architecture) => format!("every call of {} programs", short(*architecture)),
    }
}

/// The lines of a text, broken between words.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn lines_of(paint: Paint, indent: &str, gone: &[String], come: &[String]) -> String {
    let mut text = String::new();
    for (mark, tone, lines) in [('-', Tone::Bad, gone), ('+', Tone::Good, come)] {
        for line in lines {
            text += &paint.text(&format!("{indent}{mark} {line}"), tone);
            text.push('\n');
        }
    }
    text
}

/// What happens to calls: a line for each rule, and one for what applies otherwise.
fn lines(treatment: &Treatment, calls: &Calls) -> Vec<String> {
    if let Some(otherwise) = treatment.otherwise {
        let otherwise = format!("else {otherwise} by default");
        return treatment.rules.iter().map(rule).chain([otherwise]).collect();
    }
    let verdicts: Vec<_> = treatment.verdicts.iter().map(Verdict::to_string).collect();
    let several = match calls {
        _ if verdicts.len() < 2 => "",
        Calls::Architecture(_) => ", depending on the call",
        _ => ", depending on the arguments",
    };
    let why = match treatment.by {
        Origin::Rules => "",
        Origin::Default => " by default",
        Origin::Stub => " by runc, above the numbers of all calls that rules name",
        Origin::Architecture => ", because the filter does not cover the architecture",
    };
    vec![format!("{}{several}{why}", verdicts.join(" or "))]
}

fn rule(rule: &WrittenRule) -> String {
    let when: Vec<_> = rule.when.iter().map(ToString::to_string).collect();
    if when.is_empty() {
        rule.effect.to_string()
    } else {
        format!("{} if {}", rule.effect, when.join(" and "))
    }
}

/// A concrete call. Arguments that are 0 need not be named beside others.
fn concrete(example: &Example) -> String {
    let arguments = example.arguments.iter().enumerate().filter(|(_, argument)| **argument != 0);
    let arguments: Vec<_> =
        arguments.map(|(index, argument)| format!("arg{index} = {argument:#x}")).collect();
    let of = example.call.as_deref().map(|call| format!("{call} ")).unwrap_or_default();
    let arguments = match &arguments[..] {
        [] => "all arguments 0".to_owned(),
        some if some.len() == example.arguments.len() => some.join(", "),
        some => format!("{} and the others 0", some.join(", ")),
    };
    format!("for example {of}with {arguments}: {} becomes {}", example.before, example.after)
}
