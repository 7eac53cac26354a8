//! Which libraries the loader loads, and from where.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

#[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
mod machine;

use std::path::Path;

use derive::{Following, Request, derive, follow};
use machine::{Machine, compile, names};

/// Compiles a library with one function, `answer`, that makes a call by its number.
fn library(folder: &Path, name: &str, number: u32, options: &[&str]) -> String {
    std::fs::create_dir_all(folder).unwrap();
    let source = format!(
        "long answer(void) {{ long it; __asm__ volatile(\"syscall\" : \"=a\"(it) : \"a\"({number}) : \"rcx\", \"r11\"); return it; }}"
    );
    compile(folder, name, &source, &[&["-shared", "-fPIC", "-O1"], options].concat())
}

/// A program that calls `answer` of a library.
const CALLING: &str = "long answer(void); int main(void) { return answer() == 0; }";

#[test]
fn a_library_that_is_preloaded_comes_first_and_one_that_is_absent_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let needed = library(folder.path(), "libneeded.so", 169, &[]);
    let preloaded = library(folder.path(), "libpreloaded.so", 170, &[]);
    let path = format!("-Wl,-rpath,{}", folder.path().display());
    let program = compile(folder.path(), "program", CALLING, &[&needed, &path]);
    let request = Request { program: program.clone(), ..Request::default() };
    let found = derive(&Machine::like_an_image(), &request).unwrap();
    assert!(names(&found).contains("reboot") && !names(&found).contains("sethostname"));

    // A name is looked for as the program's own libraries are.
    for preloaded in [&*preloaded, "libpreloaded.so"] {
        let preload = vec!["/none.so".to_owned(), preloaded.to_owned()];
        let following = Following { programs: vec![program.clone()], preload, ..Following::default() };
        let found = follow(&Machine::like_an_image(), &following, &mut |_| {}).unwrap();
        let found = names(&found.programs[0].derived);
        assert!(found.contains("sethostname") && !found.contains("reboot"), "{preloaded}: {found:?}");
    }
}
