//! The runtimes of the tests: runc as the local cluster runs it, and runc and crun of Debian 12.

use std::path::{Path, PathBuf};
use std::process::Command;

use filter::{Library, Runtime, Setting};
use profile::Architecture;
use syscalls::Libseccomp;
use xtask::command::output;
use xtask::programs::Programs;
use xtask::workspace::repository;

/// A runtime on this machine.
pub(crate) struct Installed {
    /// Its name, for file names and messages.
    pub(crate) name: &'static str,
    program: PathBuf,
    /// Where the libraries are that the machine lacks.
    libraries: Option<PathBuf>,
    /// What the model knows of it.
    pub(crate) model: Runtime,
}

impl Installed {
    /// runc 1.5.2, as the local cluster runs it: `cargo run -p xtask -- programs` builds it.
    pub(crate) fn runc() -> Self {
        let program = Programs::in_cache().path("runc");
        Self { name: "runc-1.5.2", program, libraries: None, model: Runtime::RUNC_1_2 }
    }

    /// runc 1.1.5 and crun 1.8.1 of Debian 12, which are downloaded first if they are missing.
    pub(crate) fn of_debian() -> [Self; 2] {
        let root = output(&mut Command::new(repository().join("e2e/debian-runtimes.sh"))).unwrap();
        let root = Path::new(root.trim_end());
        let libraries = Some(root.join("usr/lib/x86_64-linux-gnu"));
        let (runc, crun) = (root.join("usr/sbin/runc"), root.join("usr/bin/crun"));
        [
            Self { name: "runc-1.1.5", program: runc, libraries: None, model: Runtime::RUNC_1_1 },
            Self { name: "crun-1.8.1", program: crun, libraries, model: Runtime::CRUN },
        ]
    }

    /// A command that runs it.
    pub(crate) fn words(&self) -> Vec<PathBuf> {
        let libraries = self.libraries.iter().map(|path| format!("LD_LIBRARY_PATH={}", path.display()));
        [PathBuf::from("env")]
            .into_iter()
            .chain(libraries.map(PathBuf::from))
            .chain([self.program.clone()])
            .collect()
    }

    /// What it prints as its version.
    pub(crate) fn version(&self) -> String {
        let words = self.words();
        output(Command::new(&words[0]).args(&words[1..]).arg("--version")).unwrap()
    }

    /// The same runtime, with the model of another one.
    pub(crate) fn mistaken_for(self, model: Runtime) -> Self {
        Self { model, ..self }
    }

    /// What a profile is under this runtime on this machine.
    pub(crate) fn setting<'a>(
        &self,
        libseccomp: Libseccomp,
        number: &'a dyn Fn(&str, Architecture) -> Option<u32>,
    ) -> Setting<'a> {
        let library = Library::from(libseccomp);
        Setting { runtime: self.model, library, native: Architecture::X86_64, number }
    }
}

/// The libseccomp of this machine, which all these runtimes use; runc prints its version. `None` if it was not measured:
/// then it is not known which names it knows.
pub(crate) fn libseccomp() -> Option<Libseccomp> {
    let version = Installed::runc().version();
    match version.lines().find_map(|line| line.strip_prefix("libseccomp: ")).unwrap() {
        "2.5.4" => Some(Libseccomp::V2_5_4Debian12),
        "2.6.0" => Some(Libseccomp::V2_6_0),
        "2.6.1" => Some(Libseccomp::V2_6_1),
        other => {
            println!("nothing is compared, because it is not known which names libseccomp {other} knows");
            None
        }
    }
}
