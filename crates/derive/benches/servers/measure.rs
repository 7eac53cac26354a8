//! What is derived from a program's files, with its time and its memory.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use derive::{Link, Request};
use syscalls::{Architecture, Syscall};

use crate::machine::Machine;

/// What was derived, and what it took.
pub(crate) struct Measured {
    /// Each with how it is reached.
    pub(crate) calls: BTreeMap<String, String>,
    /// The numbers that are not known.
    pub(crate) open: Vec<String>,
    /// The files that are loaded, as paths in the root.
    pub(crate) objects: Vec<String>,
    /// Why nothing was derived: the reason as a word, and the error.
    pub(crate) refused: Option<String>,
    pub(crate) seconds: f64,
    /// The seconds of processor time.
    pub(crate) processor: f64,
    pub(crate) peak_kib: u64,
}

impl Measured {
    /// Derives in a process of its own, so that the memory is what this program takes.
    pub(crate) fn of(root: &Path, program: &str, modules: &[impl AsRef<OsStr>]) -> Self {
        let mut own = Command::new(env::current_exe().unwrap());
        let output = own.arg("--derive").arg(root).arg(program).args(modules).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let of = |name: &'static str| {
            text.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix(' '))
        };
        let number = |name| of(name).next().unwrap().parse::<f64>().unwrap();
        Self {
            calls: of("call")
                .filter_map(|it| it.split_once(' '))
                .map(|(name, how)| (name.into(), how.into()))
                .collect(),
            open: of("open").map(str::to_owned).collect(),
            objects: of("object").map(str::to_owned).collect(),
            refused: of("refused").next().map(str::to_owned),
            seconds: number("seconds"),
            processor: number("processor"),
            peak_kib: number("peak") as u64,
        }
    }
}

/// Derives and prints what [`Measured::of`] reads.
pub(crate) fn derive(root: &Path, program: &str, modules: &[String]) {
    let files = Machine { root: root.to_owned(), ..Machine::like_an_image() };
    let request = Request { program: program.to_owned(), modules: modules.to_vec(), ..Request::default() };
    let start = Instant::now();
    let derived = derive::derive(&files, &request);
    println!("seconds {}", start.elapsed().as_secs_f64());
    println!("processor {}", processor_seconds());
    println!("peak {}", peak_kib());
    let derived = match derived {
        Ok(derived) => derived,
        Err(error) => {
            println!("refused {} {error}", error.reason());
            return;
        }
    };
    derived.objects.iter().for_each(|it| println!("object {it}"));
    for call in &derived.calls {
        let Some(it) = Syscall::by_number(Architecture::X86_64, call.number) else { continue };
        let chain: Vec<_> = call.chain.iter().map(Link::to_string).collect();
        println!("call {} {}", it.name(), chain.join(" → "));
    }
    derived.findings.iter().filter(|it| it.is_open()).for_each(|it| println!("open {it}"));
}

/// The peak of the resident memory (`VmHWM`).
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The time that this process has run (the first field of `schedstat`, in nanoseconds).
fn processor_seconds() -> f64 {
    let text = fs::read_to_string("/proc/self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}
