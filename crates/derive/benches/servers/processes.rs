//! Which processes of a log run the program, and which run another one that it has started.

use std::collections::BTreeMap;

/// What is known of the processes of a log.
#[derive(Default)]
pub(crate) struct Processes<'l> {
    /// Whether a process runs another program.
    is_other: BTreeMap<&'l str, bool>,
    /// The programs of calls of `execve` that have not ended.
    begun: BTreeMap<&'l str, bool>,
}

impl<'l> Processes<'l> {
    /// Takes the next line, and returns whether it is of a process that runs another program than this one.
    pub(crate) fn line(&mut self, line: &'l str, program: &str) -> bool {
        let Some((pid, rest)) = line.split_once(' ') else { return false };
        let rest = rest.trim_start();
        let is_other = self.is_other.get(pid).copied().unwrap_or_default();
        if let Some(started) = rest.strip_prefix("execve(\"") {
            let is_program = started.split('"').next() == Some(program);
            self.begun.insert(pid, !is_program);
        }
        let result = rest.rsplit_once(" = ").map(|(_, it)| it);
        if rest.contains("execve") && result == Some("0") {
            let started = self.begun.remove(pid).unwrap_or(is_other);
            self.is_other.insert(pid, started);
        }
        // A new process runs what the one that made it runs.
        let makes = ["clone", "fork", "vfork", "<... clone", "<... fork", "<... vfork"];
        if let Some(made) = result.filter(|it| makes.iter().any(|name| rest.starts_with(name)) && *it != "0")
        {
            self.is_other.entry(made).or_insert(is_other);
        }
        is_other
    }
}
