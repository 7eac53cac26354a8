//! What a program opens while it runs: libraries whose names are constants, and what the C library opens by the root's
//! configuration (name services, character sets, the unwinder).

use std::collections::BTreeSet;

use iced_x86::Register;

use crate::arguments::{Arguments, Texts, sites, taken};
use crate::chain::Step;
use crate::error::DeriveError;
use crate::files::{Files, directory, text};
use crate::reach::Reach;
use crate::space::{ObjectId, Space};

/// The functions that open a library; its name is the argument at this place.
const OPENING: &[(&str, Register)] =
    &[("dlopen", Register::RDI), ("dlmopen", Register::RSI), ("__libc_dlopen_mode", Register::RDI)];
/// The functions that find a function by its name.
const FINDING: &[(&str, Register)] =
    &[("dlsym", Register::RSI), ("dlvsym", Register::RSI), ("__libc_dlsym", Register::RSI)];
/// What glibc opens to end threads and for backtraces.
const UNWINDER: &str = "libgcc_s.so.1";
/// Where glibc's modules for character sets are.
const CHARACTER_SETS: &[&str] = &["/usr/lib/x86_64-linux-gnu/gconv", "/usr/lib64/gconv"];

/// The name services of glibc for databases that are not configured.
const DEFAULT_SERVICES: &[&str] = &["files", "dns"];
/// Others, of a glibc that was built with `--enable-obsolete-nsl`, if there is no configuration.
const DEFAULT_WITHOUT_FILE: &[&str] = &["compat", "nis"];

/// A place that opens or finds something, and the names that this can have.
pub(crate) struct Named {
    pub(crate) step: Step,
    pub(crate) at: u64,
    /// The object that does it.
    pub(crate) by: ObjectId,
    pub(crate) names: Vec<String>,
    /// Whether it can have others.
    pub(crate) is_open: bool,
}

/// What opens libraries.
pub(crate) fn opened(space: &Space, reach: &Reach) -> Vec<Named> {
    named(space, reach, OPENING)
}

/// What finds functions.
pub(crate) fn found(space: &Space, reach: &Reach) -> Vec<Named> {
    named(space, reach, FINDING)
}

/// The calls of functions, with the names that an argument of them can be, and what has the address of these functions.
fn named(space: &Space, reach: &Reach, functions: &[(&str, Register)]) -> Vec<Named> {
    let mut arguments = Arguments::new(space, reach);
    let mut found = Vec::new();
    for (name, register) in functions {
        for site in sites(space, reach, name) {
            // Without a name it is the program itself.
            let Texts { known: names, is_open, .. } = arguments.texts(&site, *register);
            found.push(Named { step: Step::Call, at: site.at, by: site.by, names, is_open });
        }
        for at in taken(space, reach, name).into_iter().map(|it| it.at) {
            let Some((by, _)) = space.at(at) else { continue };
            found.push(Named { step: Step::Address, at, by, names: Vec::new(), is_open: true });
        }
    }
    found
}

/// What glibc opens on its own account, by the configuration of the root; nothing if the program has another C library.
pub(crate) fn configured(files: &dyn Files, space: &mut Space) -> Result<Vec<ObjectId>, DeriveError> {
    let Some((libc, _)) = space.find("__libc_early_init").or_else(|| space.find("gnu_get_libc_version"))
    else {
        return Ok(Vec::new());
    };
    let mut names = vec![UNWINDER.to_owned()];
    let (mut services, mut is_configured) = (BTreeSet::new(), false);
    for line in text(files, "/etc/nsswitch.conf").lines() {
        let line = line.split('#').next().unwrap_or_default();
        let Some((_, found)) = line.split_once(':') else { continue };
        is_configured = true;
        // What is in brackets says what to do if a service has no answer.
        let found = found.split_whitespace().filter(|it| !it.contains(['[', ']', '=', '/']));
        services.extend(found.map(str::to_owned));
    }
    // For databases without a line. From 2.34 on, these services are in the C library itself.
    let has_services = space.find_in(libc, b"__libc_start_main", Some("GLIBC_2.34")).is_some();
    let default = DEFAULT_SERVICES.iter().filter(|_| !has_services);
    let old = DEFAULT_WITHOUT_FILE.iter().filter(|_| !has_services && !is_configured);
    services.extend(default.chain(old).map(|it| (*it).to_owned()));
    names.extend(services.into_iter().map(|service| format!("libnss_{service}.so.2")));
    for place in CHARACTER_SETS.iter().filter_map(|it| directory(files, it)) {
        let modules = files.names(&place);
        names.extend(modules.iter().filter(|it| it.ends_with(".so")).map(|it| format!("{place}/{it}")));
    }
    names.sort();
    names.dedup();
    let mut new = Vec::new();
    for name in names {
        // What the root does not have cannot be opened.
        new.extend(space.open(files, &name, Some(libc))?.into_iter().flatten());
    }
    Ok(new)
}
