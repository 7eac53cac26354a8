//! The modules of a crate have no cyclic dependencies: each can be read after those that it names, and moved with them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
mod sources;

/// A module by its path in the crate; the root has none.
type Module = Vec<String>;

/// Every module of the crate whose sources are in `folder`, with its code: without comments and tests.
fn modules(folder: &Path) -> BTreeMap<Module, String> {
    let mut found = BTreeMap::<Module, String>::new();
    for source in sources::below(folder, |name| sources::without_tests(name) && name != "bin") {
        let path = source.path.strip_prefix(folder).unwrap().with_extension("");
        let mut module: Module = path.iter().map(|name| name.to_string_lossy().into_owned()).collect();
        module.pop_if(|name| ["lib", "main", "mod"].contains(&name.as_str()));
        let lines = source.code().lines().map(|line| line.split("//").next().unwrap_or_default());
        found.entry(module).or_default().push_str(&lines.collect::<Vec<_>>().join("\n"));
    }
    found
}

/// The module that a path leads to from `from`, as far as its names are modules.
fn resolve(path: &[String], from: &Module, modules: &BTreeMap<Module, String>) -> Module {
    let mut at = from.clone();
    for name in path {
        match name.as_str() {
            "crate" => at.clear(),
            "super" => drop(at.pop()),
            "self" => {}
            _ => {
                at.push(name.clone());
                if !modules.contains_key(&at) {
                    at.pop();
                    break;
                }
            }
        }
    }
    at
}

/// The modules that can be reached from `start`, and lead back to it.
fn circle<'a>(start: &'a Module, named: &'a BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<&'a Module> {
    let reached = |start: &'a Module| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![start]);
        while let Some(module) = next.pop() {
            for other in &named[module] {
                if seen.insert(other) {
                    next.push(other);
                }
            }
        }
        seen
    };
    reached(start).into_iter().filter(|other| reached(other).contains(start)).collect()
}

fn names(modules: BTreeMap<Module, String>) -> BTreeMap<Module, BTreeSet<Module>> {
    let named = |module: &Module, text: &str| {
        let all = sources::paths(&["crate::", "super::"], text)
            .into_iter()
            .map(|path| resolve(&path, module, &modules));
        // A folder's own file names what is in it, and what is in it may name the folder: that is one room.
        all.filter(|other| other != module && !module.starts_with(other)).collect::<BTreeSet<_>>()
    };
    modules.iter().map(|(module, text)| (module.clone(), named(module, text))).collect()
}

#[test]
fn the_files_of_a_crate_form_no_circle() {
    let crates = [
        "profile", "syscalls", "strace", "audit", "filter", "lint", "convert", "files", "derive", "narrow",
        "registry", "image", "api", "link", "daemon",
    ]
    .map(|name| format!("crates/{name}"));
    let programs = [
        "node-agent",
        "operator",
        "admission",
        "observer",
        "cli",
        "xtask",
        "e2e/cluster",
        "e2e/bench",
        "e2e",
    ]
    .map(str::to_owned);
    let mut files = 0;
    for place in crates.into_iter().chain(programs) {
        let found = modules(&Path::new(&place).join("src"));
        files += found.len();
        let named = names(found);
        for module in named.keys() {
            let circle = circle(module, &named);
            assert!(circle.is_empty(), "{place}: these name each other: {circle:?}");
        }
    }
    assert!(files > 100, "{files} files");
}

#[test]
fn what_is_in_braces_is_one_path_each() {
    let text = "use crate::{a, b::{self, C as D}, e};\nlet x = super::f::g(); mycrate::h";
    let found: Vec<_> =
        sources::paths(&["crate::", "super::"], text).iter().map(|path| path.join(" ")).collect();
    assert_eq!(found, ["crate a", "crate b self", "crate b C", "crate e", "super f g"]);
}

#[test]
fn a_circle_of_three_is_found_and_a_room_that_names_itself_is_none() {
    let text = |text: &str| text.to_owned();
    let module = |path: &str| path.split('/').map(str::to_owned).collect::<Module>();
    let mut found = BTreeMap::from([
        (module("a"), text("use crate::b::B;")),
        (module("b"), text("use super::c::C;")),
        (module("c"), text("fn f() { crate::a::g() }")),
        (module("room"), text("use crate::room::desk::Desk;")),
        (module("room/desk"), text("use super::Room;")),
    ]);
    let named = names(found.clone());
    assert_eq!(circle(&module("b"), &named).len(), 3);
    assert_eq!(circle(&module("room"), &named).len(), 0);
    found.insert(module("c"), String::new());
    let named = names(found);
    assert_eq!(circle(&module("b"), &named).len(), 0);
}
