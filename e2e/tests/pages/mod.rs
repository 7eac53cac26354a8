//! The documentation as programs see it: its pages, and the shell commands on them with what they print.

use std::fs;
use std::ops::Range;

use xtask::workspace::repository;

/// A page of the documentation.
pub(crate) struct Page {
    /// Where it is, from the root of the repository.
    pub(crate) path: String,
    /// What it says.
    pub(crate) text: String,
}

/// Commands of a page, as its fences have them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Block {
    /// The heading that they stand under.
    pub(crate) heading: String,
    /// The commands.
    pub(crate) script: String,
    /// The options in the fence's first line.
    pub(crate) how: How,
    /// Where, right behind them, the page shows what they print.
    pub(crate) printed: Option<Range<usize>>,
}

/// The options of a fence of commands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum How {
    /// They end with this code; 0 by default.
    ExitsWith(i32),
    /// They are not run by the tests, for this reason.
    NotRun(String),
}

impl Page {
    /// Reads a page.
    pub(crate) fn read(path: &str) -> Self {
        let text = fs::read_to_string(repository().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        Self { path: path.to_owned(), text }
    }

    /// Its commands, in order.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let (mut blocks, mut heading) = (Vec::<Block>::new(), String::new());
        // Whether nothing but blank lines has come since the end of the last block.
        let mut behind = false;
        let mut lines = Lines { text: &self.text, at: 0 };
        while let Some(line) = lines.next() {
            let Some(info) = line.strip_prefix("```") else {
                behind &= line.trim().is_empty();
                if let Some(title) = line.strip_prefix('#') {
                    title.trim_start_matches('#').trim().clone_into(&mut heading);
                }
                continue;
            };
            let inside = lines.until_fence();
            match info.strip_prefix("sh") {
                Some(tag) if tag.is_empty() || tag.starts_with(' ') => blocks.push(Block {
                    heading: heading.clone(),
                    script: self.text[inside].to_owned(),
                    how: How::of(tag.trim()).unwrap_or_else(|| panic!("{}: ```sh{tag}", self.path)),
                    printed: None,
                }),
                _ if info == "text" && behind => {
                    blocks.last_mut().unwrap_or_else(|| panic!("{}: no commands", self.path)).printed =
                        Some(inside);
                }
                _ => {}
            }
            behind = info.starts_with("sh");
        }
        blocks
    }

    /// What the page shows there.
    pub(crate) fn shown(&self, printed: &Range<usize>) -> &str {
        &self.text[printed.clone()]
    }

    /// Compares the output with the page, or writes it there.
    #[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
    pub(crate) fn holds(&mut self, printed: Vec<(Range<usize>, String)>) {
        // From the end, so that earlier positions stay valid.
        for (at, printed) in printed.into_iter().rev() {
            // Spaces at the end of a line are invisible, and editors remove them.
            let lines: Vec<_> =
                printed.lines().filter(|line| !is_client_log(line)).map(str::trim_end).collect();
            let printed = format!("{}\n", lines.join("\n"));
            let differs = !is_shown(self.shown(&at), &printed);
            if update() && differs {
                self.text.replace_range(at, &printed);
            } else {
                assert!(
                    !differs,
                    "{} shows\n{}\nand this is printed:\n{printed}",
                    self.path,
                    self.shown(&at)
                );
            }
        }
        if update() {
            fs::write(repository().join(&self.path), &self.text).unwrap();
        }
    }

    /// Its fences marked `console`, in order: the commands of each, with what is shown of their output.
    #[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
    pub(crate) fn transcripts(&self) -> Vec<Vec<Exchange>> {
        let mut transcripts = Vec::new();
        let mut lines = Lines { text: &self.text, at: 0 };
        while let Some(line) = lines.next() {
            let Some(info) = line.strip_prefix("```") else { continue };
            let inside = lines.until_fence();
            if info == "console" {
                transcripts.push(exchanges(&self.text[inside]));
            }
        }
        transcripts
    }
}

/// A command in a transcript, and what is shown of its output: nothing if that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exchange {
    /// The command, with its comment.
    pub(crate) command: String,
    /// The lines behind it.
    pub(crate) shown: String,
}

/// The commands in a text, each behind `$ ` and with lines that begin with `> ` as its next ones.
fn exchanges(text: &str) -> Vec<Exchange> {
    let mut found = Vec::<Exchange>::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            found.push(Exchange { command: command.to_owned(), shown: String::new() });
        } else if let Some(last) = found.last_mut() {
            match line.strip_prefix("> ") {
                Some(more) if last.shown.is_empty() => last.command += &format!("\n{more}"),
                _ => last.shown += &format!("{line}\n"),
            }
        }
    }
    // Commands are parted by blank lines.
    for exchange in &mut found {
        exchange.shown.truncate(exchange.shown.trim_end().len());
    }
    found
}

/// Whether the pages are to be updated.
#[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
pub(crate) fn update() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some()
}

impl How {
    fn of(tag: &str) -> Option<Self> {
        match tag.split_once(": ") {
            None => tag.is_empty().then_some(How::ExitsWith(0)),
            Some(("exits-with", code)) => Some(How::ExitsWith(code.parse().ok()?)),
            Some(("not-run", why)) => Some(How::NotRun(why.to_owned())),
            Some(_) => None,
        }
    }
}

/// The lines of a text, and where they are.
struct Lines<'a> {
    text: &'a str,
    at: usize,
}

impl Lines<'_> {
    /// The range up to the fence that ends a block.
    fn until_fence(&mut self) -> Range<usize> {
        let begin = self.at;
        loop {
            let end = self.at;
            match self.next() {
                Some(line) if line.starts_with("```") => return begin..end,
                Some(_) => {}
                None => panic!("a fence without an end"),
            }
        }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = &self.text[self.at..];
        let line = rest.split_inclusive('\n').next()?;
        self.at += line.len();
        Some(line.trim_end_matches('\n'))
    }
}

/// Whether a page shows what was printed, but for what differs from run to run: times, ages, versions of objects, the
/// ends of generated names, the width of columns. Events are left out: how often and when one is told varies. `…` on
/// the page stands for anything within a line, and alone on a line for any number of lines. What kubectl logs about its
/// own watches is left out too.
pub(crate) fn is_shown(shown: &str, printed: &str) -> bool {
    let [shown, printed] = [shown, printed].map(without_what_varies);
    all_match(&shown, &printed)
}

fn all_match(shown: &[String], printed: &[String]) -> bool {
    match shown {
        [] => printed.is_empty(),
        [first, shown @ ..] if first == "…" => {
            (0..=printed.len()).any(|at| all_match(shown, &printed[at..]))
        }
        [first, shown @ ..] => printed
            .split_first()
            .is_some_and(|(line, printed)| matches(first, line) && all_match(shown, printed)),
    }
}

/// Whether a text has the pieces of a pattern between its `…` in their order.
fn matches(pattern: &str, text: &str) -> bool {
    let (first, rest) = pattern.split_once('…').map_or((pattern, None), |(first, rest)| (first, Some(rest)));
    match (text.strip_prefix(first), rest) {
        (Some(text), None) => text.is_empty(),
        (Some(text), Some(rest)) => {
            text.char_indices().any(|(at, _)| matches(rest, &text[at..])) || rest.is_empty()
        }
        (None, _) => false,
    }
}

fn without_what_varies(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut events = false;
    for line in text.lines() {
        events = line.starts_with("Events:") || events && line.starts_with("  ");
        if !events && !is_client_log(line) {
            lines.push(line.split_whitespace().map(masked).collect::<Vec<_>>().join(" "));
        }
    }
    lines
}

/// Whether kubectl's client library says something about itself, as in `I0102 03:04:05.678901   123 reflector.go:664]
/// "Warning: …"`. kubectl 1.37 does at times when it has waited for a deletion: the end of its own watch races with
/// what the watch still brings.
fn is_client_log(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let severity = words.next().and_then(|word| word.strip_prefix(['I', 'W', 'E', 'F']));
    severity.is_some_and(|date| date.len() == 4 && digits(date))
        && words.next().is_some_and(|time| time.split([':', '.']).map(str::len).eq([2, 2, 2, 6]))
        && words.next().is_some_and(digits)
        && words.next().is_some_and(|place| place.contains(".go:") && place.ends_with(']'))
}

fn masked(word: &str) -> String {
    let ends = |c: char| !c.is_ascii_alphanumeric();
    let within = |c: char| !(c.is_ascii_alphanumeric() || "-._:".contains(c));
    let mut masked = String::new();
    for piece in word.split_inclusive(within) {
        let token = piece.trim_matches(ends);
        let held = match token {
            token if is_time(token) || is_uid(token) || is_age(token) || is_large(token) => "…".to_owned(),
            token => without_generated_end(token),
        };
        masked += &if token.is_empty() { piece.to_owned() } else { piece.replacen(token, &held, 1) };
    }
    masked
}

/// `2026-01-01T00:00:00Z`
fn is_time(token: &str) -> bool {
    token.len() >= 20 && token.ends_with('Z') && token.as_bytes()[4] == b'-' && token.as_bytes()[10] == b'T'
}

fn is_uid(token: &str) -> bool {
    token.len() == 36 && token.split('-').map(str::len).eq([8, 4, 4, 4, 12])
}

/// `5s`, `2m3s`, `0.3s`
fn is_age(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_digit())
        && token.ends_with(['s', 'm', 'h', 'd'])
        && token.chars().all(|c| c.is_ascii_digit() || "smhd.".contains(c))
}

/// The version of an object; what is worth comparing has fewer digits.
fn is_large(token: &str) -> bool {
    token.len() >= 3 && token.chars().all(|c| c.is_ascii_digit())
}

/// `web-7c9498897b-5gn4m`, `seccomp-profile-node-agent-5gn4m`
fn without_generated_end(token: &str) -> String {
    let random =
        |part: &str| part.len() == 5 && part.chars().all(|c| "bcdfghjklmnpqrstvwxz2456789".contains(c));
    match token.rsplit_once('-') {
        Some((name, end)) if random(end) => match name.rsplit_once('-') {
            Some((name, hash)) if hash.len() >= 8 && hash.contains(|c: char| c.is_ascii_digit()) => {
                format!("{name}-…")
            }
            _ => format!("{name}-…"),
        },
        _ => token.to_owned(),
    }
}
