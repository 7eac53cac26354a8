//! Packages that are downloaded and unpacked, each in a directory of its own.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::index::Package;
use crate::machine::run;

/// What no program loads. It takes most of the space.
const LEFT_OUT: &[&str] = &["doc", "man", "locale", "info", "lintian", "help", "gtk-doc"];

/// The directory of unpacked packages, beside the other programs that the project's tests and benches use.
pub(crate) struct Store {
    pub(crate) folder: PathBuf,
}

impl Store {
    pub(crate) fn new() -> Self {
        let home = || PathBuf::from(env::var_os("HOME").expect("HOME is set"));
        let cache = env::var_os("XDG_CACHE_HOME").map_or_else(|| home().join(".cache"), PathBuf::from);
        let cache =
            env::var_os("SECCOMP_E2E_CACHE").map_or_else(|| cache.join("seccomp-profile-e2e"), PathBuf::from);
        let folder = cache.join("tools/derive-breadth");
        fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    /// Where a package is or would be.
    pub(crate) fn place(&self, package: &Package) -> PathBuf {
        self.folder.join(format!("{}_{}", package.name, package.version.replace(':', "%3a")))
    }

    /// Downloads and unpacks those that are not there yet.
    pub(crate) fn fill<'p>(&self, packages: impl IntoIterator<Item = &'p Package>) {
        /// So that a list of arguments is not too long, and little is on the disk twice.
        const AT_ONCE: usize = 100;
        let mut names = BTreeSet::new();
        let absent = |it: &&Package| names.insert(it.name.clone()) && !self.place(it).exists();
        let absent: Vec<_> = packages.into_iter().filter(absent).collect();
        for (index, some) in absent.chunks(AT_ONCE).enumerate() {
            eprintln!("packages: {} of {} are there", index * AT_ONCE, absent.len());
            let folder = tempfile::tempdir_in(&self.folder).unwrap();
            let mut download = Command::new("apt-get");
            download.args(["--quiet", "-o", "APT::Sandbox::User=root", "download"]);
            download.args(some.iter().map(|it| format!("{}={}", it.name, it.version)));
            run(download.current_dir(&folder));
            for entry in fs::read_dir(&folder).unwrap() {
                self.unpack(&entry.unwrap().path());
            }
        }
    }

    fn unpack(&self, file: &Path) {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let (name, _) = name.rsplit_once('_').expect("NAME_VERSION_ARCHITECTURE.deb");
        let folder = tempfile::tempdir_in(&self.folder).unwrap();
        run(Command::new("dpkg-deb").arg("--extract").arg(file).arg(folder.path().join("it")));
        for path in LEFT_OUT {
            _ = fs::remove_dir_all(folder.path().join("it/usr/share").join(path));
        }
        fs::rename(folder.path().join("it"), self.folder.join(name)).unwrap();
        fs::remove_file(file).unwrap();
    }
}
