//! The reader as a process of its own: it opens the files as a container runtime does, by their paths.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, io, thread};

use crate::files::{NAMES, STEADY, round_of};

pub(crate) const ROLE: &str = "reader";

/// The process, from outside.
pub(crate) struct Reader {
    process: Child,
    answers: BufReader<ChildStderr>,
}

impl Reader {
    pub(crate) fn start(directory: &Path) -> Self {
        let mut command = crate::started_as(ROLE, directory);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let answers = BufReader::new(process.stderr.take().unwrap());
        Self { process, answers }
    }

    /// Returns once it has read every file after this was called.
    pub(crate) fn has_read_all(&mut self) {
        self.passes();
    }

    /// Ends it; how often it has read all files.
    pub(crate) fn end(mut self) -> usize {
        let passes = self.passes();
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success());
        passes
    }

    fn passes(&mut self) -> usize {
        // One that has ended says why below.
        let _ = self.process.stdin.as_mut().unwrap().write_all(b"\n");
        let mut said = String::new();
        self.answers.read_line(&mut said).unwrap();
        said.trim_end().parse().unwrap_or_else(|_| {
            self.answers.read_to_string(&mut said).unwrap();
            panic!("the reader: {said}")
        })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Without its standard input it ends by itself; it may have ended already.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// What the process does: reads until its standard input ends, and answers each line there.
pub(crate) fn act(directory: PathBuf) {
    let asked = Arc::new(AtomicUsize::new(0));
    let asks = thread::spawn({
        let asked = Arc::clone(&asked);
        move || io::stdin().lines().for_each(|line| drop((line, asked.fetch_add(1, Ordering::SeqCst))))
    });
    let mut seen = Seen::default();
    let (mut passes, mut answered) = (0, 0);
    while !asks.is_finished() {
        let asks = asked.load(Ordering::SeqCst);
        for name in NAMES {
            seen.look(name, &directory);
        }
        passes += 1;
        for _ in answered..asks {
            io::stderr().write_all(format!("{passes}\n").as_bytes()).unwrap();
        }
        answered = asks;
    }
}

/// What was seen of each file: the round of its contents the last time that it was there, and whether it is.
#[derive(Default)]
struct Seen(BTreeMap<&'static str, (u64, bool)>);

impl Seen {
    fn look(&mut self, name: &'static str, directory: &Path) {
        match fs::read(directory.join(format!("{name}.json"))) {
            Ok(bytes) => {
                let round = round_of(name, &bytes).unwrap_or_else(|wrong| panic!("{wrong}"));
                if let Some((last, there)) = self.0.insert(name, (round, true)) {
                    assert!(round >= last, "{name} is of round {round} after {last}");
                    assert!(there || round > last, "{name} was missing and came back in round {round}");
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                assert_ne!(name, STEADY, "it is missing");
                self.0.entry(name).and_modify(|(_, there)| *there = false);
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
}
