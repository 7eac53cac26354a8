//! Completion of `kubectl seccomp` in a shell.
//!
//! kubectl runs a program `kubectl_complete-seccomp` with the words so far, the last of which is to be completed. It
//! expects a line for each candidate, with a description after a tab, and at the end a directive for the shell
//! (kubectl: `pkg/cmd/plugin/plugin_completion.go`; cobra: `ShellCompDirective`). That program is a link to this one.

use std::ffi::OsString;
use std::path::Path;

use clap::builder::StyledStr;
use clap::{Arg, Command, CommandFactory, ValueHint};

use crate::options::Options;

/// The link's name.
const LINK: &str = "kubectl_complete-seccomp";
/// The shell adds names of files.
const FILES: u8 = 0;
/// The shell adds nothing.
const NO_FILES: u8 = 4;

/// The output, if the program was run under the link's name. `arguments` begin with the program's name.
#[must_use]
pub fn answer(arguments: impl IntoIterator<Item = OsString>) -> Option<String> {
    let mut arguments = arguments.into_iter();
    if Path::new(&arguments.next()?).file_name()? != LINK {
        return None;
    }
    let mut words: Vec<_> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
    let begun = words.pop().unwrap_or_default();
    let mut options = Options::command();
    options.build();
    Some(complete(&options, &words, &begun))
}

fn complete(options: &Command, before: &[String], begun: &str) -> String {
    let (mut task, mut awaits, mut names) = (options, None, 0);
    for word in before {
        if awaits.take().is_some() {
            continue;
        }
        if word.starts_with('-') {
            awaits = option(task, word).filter(|option| option.get_action().takes_values());
        } else if let Some(named) = task.find_subcommand(word) {
            task = named;
        } else {
            names += 1;
        }
    }
    let value = awaits.or_else(|| positional(task, names));
    let fits: Vec<(String, String)> = if awaits.is_none() && begun.starts_with('-') {
        let long = |option: &Arg| Some((format!("--{}", option.get_long()?), first_line(option.get_help())));
        task.get_arguments().filter_map(long).collect()
    } else if awaits.is_none() && task.has_subcommands() {
        let line = |task: &Command| (task.get_name().to_owned(), first_line(task.get_about()));
        task.get_subcommands().map(line).collect()
    } else {
        let values = value.map(Arg::get_possible_values);
        let line =
            |value: clap::builder::PossibleValue| (value.get_name().to_owned(), first_line(value.get_help()));
        values.unwrap_or_default().into_iter().map(line).collect()
    };
    let option_begun = awaits.is_none() && begun.starts_with('-');
    let is_file = !option_begun && value.is_some_and(|value| value.get_value_hint() == ValueHint::AnyPath);
    let fits = fits.into_iter().filter(|(word, _)| word.starts_with(begun));
    let lines: String = fits.map(|(word, meaning)| format!("{word}\t{meaning}\n")).collect();
    format!("{lines}:{}\n", if is_file { FILES } else { NO_FILES })
}

/// The positional argument after some others; the last one if that may be repeated.
fn positional(task: &Command, before: usize) -> Option<&Arg> {
    let repeated = |value: &&Arg| value.get_num_args().is_some_and(|number| number.max_values() > 1);
    task.get_positionals().nth(before).or_else(|| task.get_positionals().last().filter(repeated))
}

/// The option of a command that a word names, unless its value is in the same word.
fn option<'a>(task: &'a Command, word: &str) -> Option<&'a Arg> {
    let is_long = |option: &&Arg| option.get_long().is_some_and(|long| word.strip_prefix("--") == Some(long));
    let is_short = |option: &&Arg| option.get_short().is_some_and(|short| word == format!("-{short}"));
    task.get_arguments().find(|option| is_long(option) || is_short(option))
}

fn first_line(text: Option<&StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The candidates and the directive.
    fn answered(words: &[&str]) -> Vec<String> {
        let arguments = ["/usr/bin/kubectl_complete-seccomp"].iter().chain(words).map(OsString::from);
        let answer = answer(arguments).unwrap();
        answer.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn under_its_own_name_the_program_completes_nothing() {
        assert_eq!(answer(["kubectl-seccomp", ""].map(OsString::from)), None);
    }

    #[test]
    fn the_tasks_come_first() {
        let tasks = [
            "status",
            "nodes",
            "wait",
            "users",
            "denials",
            "restart",
            "diff",
            "verify",
            "lint",
            "simulate",
            "merge",
            "convert",
            "derive",
            "learn",
            "explain",
            "inspect",
            "attach",
            "build",
            "copy",
            "rule",
            "completion",
            ":4",
        ];
        assert_eq!(answered(&[""]), tasks);
        assert_eq!(answered(&["--context", "prod", "v"]), ["verify", ":4"]);
        assert_eq!(answered(&["--context=prod", "v"]), ["verify", ":4"]);
        let answer = answer([LINK, "v"].map(OsString::from)).unwrap();
        assert_eq!(answer, "verify\tCompare every node's report with the contents in the spec\n:4\n");
    }

    #[test]
    fn a_tasks_options_and_their_values_follow() {
        assert_eq!(answered(&["users", "--n"]), ["--namespace", ":4"]);
        assert_eq!(answered(&["wait", "audit", "--for", ""]), ["ready", "deleted", ":4"]);
        assert_eq!(answered(&["status", "-o", "j"]), ["json", ":4"]);
        assert_eq!(answered(&["completion", "b"]), ["bash", ":4"]);
        assert_eq!(answered(&["rule", "errno"]), ["errno-zero", ":4"]);
        assert_eq!(answered(&["lint", "a.yaml", "--ignore", "dead"]), ["dead-rule", ":4"]);
        assert!(answered(&["status", "--"]).contains(&"--kubeconfig".to_owned()));
    }

    #[test]
    fn the_shell_completes_files_and_nothing_completes_profiles() {
        assert_eq!(answered(&["diff", "audit", "--filename", "a"]), [":0"]);
        assert_eq!(answered(&["diff", "a"]), [":0"]);
        assert_eq!(answered(&["merge", "--union", "a.json", "b"]), [":0"]);
        assert_eq!(answered(&["--kubeconfig", ""]), [":0"]);
        assert_eq!(answered(&["lint", "a"]), [":0"]);
        assert_eq!(answered(&["lint", "a.yaml", "b"]), [":0"]);
        assert_eq!(answered(&["lint", "a.yaml", "--ig"]), ["--ignore", ":4"]);
        assert_eq!(answered(&["status", "a"]), [":4"]);
        assert_eq!(answered(&["--context", ""]), [":4"]);
    }
}
