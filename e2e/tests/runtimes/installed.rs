//! The runtimes of the tests: runc as the local cluster runs it, runc and crun of Debian 12, and other versions of both.

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
    libraries: Libraries,
    /// What the model knows of it.
    pub(crate) model: Runtime,
    /// Its libseccomp, if that is not the machine's.
    other_libseccomp: Option<Libseccomp>,
}

/// The libraries that a runtime uses.
enum Libraries {
    /// Those of the machine.
    OfMachine,
    /// Those of the machine, and those in this directory.
    More(PathBuf),
    /// Only those in this directory, with a C library of their own.
    Other(PathBuf),
}

/// Where Debian has its libraries.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

impl Installed {
    /// runc 1.5.2, as the local cluster runs it: `cargo run -p xtask -- programs` builds it.
    pub(crate) fn runc() -> Self {
        let program = Programs::in_cache().path("runc");
        Self {
            name: "runc-1.5.2",
            program,
            libraries: Libraries::OfMachine,
            model: Runtime::RUNC_1_2,
            other_libseccomp: None,
        }
    }

    /// runc 1.1.5 and crun 1.8.1 of Debian 12, which are downloaded first if they are missing.
    pub(crate) fn of_debian() -> [Self; 2] {
        let root = unpacked("bookworm").unwrap();
        let libraries = Libraries::More(root.join(LIBRARIES));
        let (runc, crun) = (root.join("usr/sbin/runc"), root.join("usr/bin/crun"));
        [
            Self { name: "runc-1.1.5", program: runc, model: Runtime::RUNC_1_1, ..Self::runc() },
            Self { name: "crun-1.8.1", program: crun, libraries, model: Runtime::CRUN, ..Self::runc() },
        ]
    }

    /// Versions of runc between and after these, built first if they are missing, with the machine's libseccomp.
    pub(crate) fn other_runc() -> [Self; 3] {
        let programs = Programs::other_runc();
        programs.build_other_runc().unwrap();
        let versions = [
            ("runc-1.1.15", Runtime::RUNC_1_1_15),
            ("runc-1.3.6", Runtime::RUNC_1_2),
            ("runc-1.6.0-rc.1", Runtime::RUNC_1_2),
        ];
        versions.map(|(name, model)| Self { name, program: programs.path(name), model, ..Self::runc() })
    }

    /// crun of Debian 13 and of its development branch, each with the libraries of its release. The latter is left out
    /// when Debian does not have it any more, as it keeps a version there only until the next one.
    pub(crate) fn other_crun() -> Vec<Self> {
        let releases =
            [("crun-1.21", "trixie", Libseccomp::V2_6_0), ("crun-1.28", "sid", Libseccomp::V2_6_1)];
        let of = |(name, suite, libseccomp)| {
            let Some(root) = unpacked(suite) else {
                println!("{name} is left out, because Debian's suite {suite} does not have it any more");
                return None;
            };
            Some(Self {
                name,
                program: root.join("usr/bin/crun"),
                libraries: Libraries::Other(root.join(LIBRARIES)),
                model: Runtime::CRUN,
                other_libseccomp: Some(libseccomp),
            })
        };
        releases.into_iter().filter_map(of).collect()
    }

    /// A command that runs it in a mount namespace of its own.
    pub(crate) fn words(&self) -> Vec<PathBuf> {
        let more = match &self.libraries {
            Libraries::More(path) => Some(format!("LD_LIBRARY_PATH={}", path.display())),
            Libraries::OfMachine | Libraries::Other(_) => None,
        };
        let words = [PathBuf::from("env")].into_iter().chain(more.map(PathBuf::from));
        words.chain([self.program.clone()]).collect()
    }

    /// The directory to mount in place of the machine's libraries, if any.
    pub(crate) fn mounted_libraries(&self) -> Option<&Path> {
        match &self.libraries {
            Libraries::Other(path) => Some(path),
            Libraries::OfMachine | Libraries::More(_) => None,
        }
    }

    /// The libseccomp that it uses; `None` as for [`libseccomp`].
    pub(crate) fn libseccomp(&self) -> Option<Libseccomp> {
        self.other_libseccomp.or_else(libseccomp)
    }

    pub(crate) fn is_crun(&self) -> bool {
        self.model == Runtime::CRUN
    }

    /// What it prints as its version.
    fn version(&self) -> String {
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

/// The directory of the runtimes of a Debian suite, downloaded first if they are missing; `None` if Debian has another
/// version now.
fn unpacked(suite: &str) -> Option<PathBuf> {
    let mut script = Command::new(repository().join("e2e/debian-runtimes.sh"));
    let found = script.arg(suite).output().unwrap();
    let messages = String::from_utf8_lossy(&found.stderr);
    match found.status.code() {
        Some(0) => Some(String::from_utf8(found.stdout).unwrap().trim_end().into()),
        Some(2) => None,
        _ => panic!("{suite}: {messages}"),
    }
}

/// The libseccomp of this machine, which most of these runtimes use; runc prints its version. `None` if it was not measured:
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
