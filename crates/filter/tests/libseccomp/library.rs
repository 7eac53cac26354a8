//! The libseccomp of this machine, in a C program.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::thread;

use crate::bpf::{self, Instruction};

/// What libseccomp did with a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Program(Vec<Instruction>),
    /// It returned this errno.
    Error(u32),
    /// It did not return in time, or crashed.
    Lost,
}

/// EEXIST
pub(crate) const CLASH: u32 = 17;

impl Outcome {
    pub(crate) fn parse(line: &str) -> Self {
        match line.split_once(' ') {
            Some(("bpf", hex)) => Self::Program(bpf::parse(hex)),
            Some(("error", number)) => Self::Error(u32::from_str_radix(number, 16).unwrap()),
            Some(("signal", _)) => Self::Lost,
            _ if line == "limit" => Self::Lost,
            _ => panic!("export.c prints no {line:?}"),
        }
    }
}

pub(crate) struct Exporter(&'static Path);

/// The program, which is written once: no test may start it while another one writes it.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/libseccomp/export.c");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("export");
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-Wall", "-Werror", "-o"]).arg(&program).arg(source).arg("-lseccomp");
    assert!(compiler.status().unwrap().success(), "libseccomp-dev and a C compiler are needed");
    program
});

impl Exporter {
    /// Compiles `export.c`. `LD_LIBRARY_PATH` can name the directory of another libseccomp.
    pub(crate) fn new() -> Self {
        Self(&PROGRAM)
    }

    /// The version, and the outcome for each set as a line of `export.c`.
    pub(crate) fn outcomes(&self, sets: impl Iterator<Item = String>) -> (String, Vec<String>) {
        let mut child = Command::new(self.0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let lines: Vec<String> = sets.map(|set| set + "\n").collect();
        let count = lines.len();
        let writer = thread::spawn(move || input.write_all(lines.concat().as_bytes()));
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let version = output.next().unwrap().strip_prefix("version ").unwrap().to_owned();
        let outcomes: Vec<_> = output.collect();
        writer.join().unwrap().unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(outcomes.len(), count);
        (version, outcomes)
    }
}
