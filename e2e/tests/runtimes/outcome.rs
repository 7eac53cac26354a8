//! What became of a call, and what the model says of it.

use std::fmt;

use filter::Verdict;

/// What became of a call, as the probe prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The kernel returned this.
    Returns(i64),
    /// The thread received SIGSYS.
    Trap,
    /// The thread ended.
    Thread,
    /// The process ended.
    Process,
    /// The process received another signal.
    Signal(i64),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Returns(value) => write!(f, "returns {value}"),
            Self::Trap => f.write_str("SIGSYS"),
            Self::Thread => f.write_str("the thread ends"),
            Self::Process => f.write_str("the process ends"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

impl Outcome {
    /// The outcomes of this many calls, out of what the probe printed.
    pub(crate) fn parse(printed: &str, count: usize) -> Result<Vec<Self>, String> {
        let mut lines = printed.lines();
        let mut outcomes = Vec::new();
        for index in 0..count {
            let line = lines.next().ok_or(format!("the probe ended before call {index}"))?;
            let words: Vec<_> = line.split(' ').collect();
            let value = || words.get(2).and_then(|word| word.parse().ok());
            let outcome = match (words.first(), words.get(1).copied()) {
                (Some(first), Some(what)) if *first == index.to_string() => match what {
                    "returns" => value().map(Self::Returns),
                    "signal" => value().map(Self::Signal),
                    "trap" => Some(Self::Trap),
                    "thread" => Some(Self::Thread),
                    "process" => Some(Self::Process),
                    _ => None,
                },
                _ => None,
            };
            outcomes.push(outcome.ok_or(format!("the probe printed {line:?} for call {index}"))?);
        }
        match lines.next() {
            Some("done") => Ok(outcomes),
            other => Err(format!("the probe printed {other:?} after its calls")),
        }
    }

    /// Whether this is the outcome of a call with this verdict, which without a filter has the outcome `bare`.
    pub(crate) fn is(self, verdict: Verdict, bare: Self) -> bool {
        match verdict {
            Verdict::Allow | Verdict::Log => match (self, bare) {
                // Process ids and the like differ from start to start.
                (Self::Returns(value), Self::Returns(other)) if value >= 0 => other >= 0,
                _ => self == bare,
            },
            Verdict::Errno(errno) => self == Self::Returns(-i64::from(errno)),
            // Nobody traces or listens.
            Verdict::Trace(_) | Verdict::Notify => self == Self::Returns(-38),
            Verdict::Trap => self == Self::Trap,
            Verdict::KillThread => self == Self::Thread,
            Verdict::KillProcess => self == Self::Process,
        }
    }
}
