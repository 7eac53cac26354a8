//! What an image starts, and what is started in turn.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

#[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
mod machine;

use std::collections::BTreeMap;

use derive::{Because, DeriveError, FindingKind, Followed, Following, Started, follow};
use machine::{Machine, compile, derived, names};

/// A program without a library that makes one call: `mov eax, NUMBER; syscall; hlt`.
fn one_call(number: u8) -> Vec<u8> {
    derive::testing::program(&[0xb8, number, 0, 0, 0, 0x0f, 0x05, 0xf4])
}

/// An image with these files and nothing else.
fn image(files: &[(&str, &[u8])]) -> Machine {
    let instead = files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec()));
    // An empty directory, in which the files have their directories.
    let root = tempfile::tempdir().unwrap().keep();
    for (path, _) in files {
        std::fs::create_dir_all(root.join(path.trim_start_matches('/')).parent().unwrap()).unwrap();
    }
    Machine { root, instead: instead.collect::<BTreeMap<_, _>>() }
}

fn of(files: &Machine, arguments: &[&str]) -> Result<Followed, DeriveError> {
    let arguments = arguments.iter().map(|it| (*it).to_owned()).collect();
    let followed = follow(files, &Following { arguments, ..Following::default() }, &mut |_| {});
    std::fs::remove_dir_all(&files.root).unwrap();
    followed
}

fn programs(followed: &Followed) -> Vec<(&str, String)> {
    followed.programs.iter().map(|it| (&*it.derived.program, it.because.to_string())).collect()
}

#[test]
fn an_entry_point_that_is_a_script_brings_its_shell_and_the_programs_that_it_and_the_command_name() {
    let files = image(&[
        ("/entry.sh", b"#!/bin/sh -e\nif sort -c x; then missing; fi\nexec \"$@\"\n"),
        ("/bin/sh", &one_call(39)),
        ("/usr/bin/sort", &one_call(102)),
        ("/usr/sbin/server", &one_call(60)),
        ("/usr/bin/other", &one_call(57)),
        ("/usr/bin/x", b"no program"),
    ]);
    let followed = of(&files, &["/entry.sh", "server", "-g", "daemon off;"]).unwrap();
    assert_eq!(
        programs(&followed),
        [
            ("/usr/sbin/server", "the image starts it".to_owned()),
            ("/bin/sh", "interprets /entry.sh".to_owned()),
            ("/usr/bin/sort", "named in /entry.sh".to_owned()),
        ]
    );
    let notes: Vec<_> = followed.notes.iter().map(ToString::to_string).collect();
    assert!(notes.len() == 1 && notes[0].starts_with("/entry.sh: a script for /bin/sh:"), "{notes:?}");
}

#[test]
fn the_words_of_a_command_for_a_shell_are_looked_for() {
    let files = image(&[
        ("/bin/sh", &one_call(39)),
        ("/usr/bin/server", &one_call(60)),
        ("/opt/tool", &one_call(57)),
    ]);
    let followed = of(&files, &["/bin/sh", "-c", "exec server --with=/opt/tool"]).unwrap();
    let found: Vec<_> = programs(&followed).into_iter().map(|(path, _)| path).collect();
    assert_eq!(found, ["/bin/sh", "/usr/bin/server", "/opt/tool"]);
}

#[test]
fn an_interpreter_that_env_finds_is_followed_and_its_script_is_named() {
    let files = image(&[
        ("/app.py", b"#!/usr/bin/env python3\nimport os\n"),
        ("/usr/bin/env", &one_call(59)),
        ("/usr/local/bin/python3", &one_call(39)),
    ]);
    let followed = of(&files, &["/app.py"]).unwrap();
    assert_eq!(programs(&followed).len(), 2);
    let note = followed.notes[0].to_string();
    assert!(note.starts_with("/app.py: a script for python3: the profile has what python3 can do"), "{note}");
}

#[test]
fn a_program_that_is_not_there_is_an_error_if_the_image_starts_it() {
    let files = image(&[("/bin/sh", &one_call(39)), ("/entry.sh", b"#!/bin/absent\n")]);
    assert_eq!(
        of(&files, &["/bin/absent"]).unwrap_err().to_string(),
        "/bin/absent: no such file, although it would run: the image starts it"
    );
    let files = image(&[("/entry.sh", b"#!/bin/absent\n")]);
    assert_eq!(of(&files, &["/entry.sh"]).unwrap_err().reason(), "Unreadable");
}

#[test]
fn scripts_that_interpret_one_another_come_to_an_end() {
    let files = image(&[("/a", b"#!/b\n"), ("/b", b"#!/a\n")]);
    assert_eq!(of(&files, &["/a"]).unwrap().programs, []);
}

#[test]
fn programs_that_a_program_starts_by_constant_names_are_found_and_others_are_named() {
    let source = r#"
        #include <spawn.h>
        #include <stdlib.h>
        #include <unistd.h>
        int main(int count, char **arguments) {
            char *none[] = { 0 };
            switch (count) {
                case 1: execv("/opt/by-path", none); break;
                case 2: execlp("by-name", "x", (char *)0); break;
                case 3: posix_spawn(0, arguments[1] ? "/opt/one" : "/opt/other", 0, 0, none, none); break;
                case 4: return system("by-shell --now");
                default: execvp(arguments[1], arguments);
            }
            return 1;
        }"#;
    let folder = tempfile::tempdir().unwrap();
    let program = compile(folder.path(), "program", source, &["-O1"]);
    let found = derived(&Machine::like_an_image(), &program);
    let mut started: Vec<_> = found.starts.iter().map(|it| it.what.clone()).collect();
    started.sort();
    assert_eq!(
        started,
        [
            Started::Path("/opt/by-path".to_owned()),
            Started::Path("/opt/one".to_owned()),
            Started::Path("/opt/other".to_owned()),
            Started::Name("by-name".to_owned()),
            Started::Command("by-shell --now".to_owned()),
        ]
    );
    let open: Vec<_> = found.findings.iter().filter(|it| it.kind == FindingKind::OpenProgram).collect();
    assert_eq!(open.len(), 1, "{:?}", found.findings);

    let mut files = Machine::like_an_image();
    files.instead.insert("/opt/by-path".to_owned(), one_call(39));
    files.instead.insert("/usr/bin/by-shell".to_owned(), b"#!/opt/by-path\n".to_vec());
    let following = Following { programs: vec![program.clone()], ..Following::default() };
    let followed = follow(&files, &following, &mut |_| {}).unwrap();
    let because = |path: &str| {
        let found = followed.programs.iter().find(|it| it.derived.program == path);
        found.map(|it| it.because.clone())
    };
    assert_eq!(because("/opt/by-path"), Some(Because::Program(program.clone())));
    assert_eq!(because("/bin/sh"), Some(Because::Program(program.clone())));
    let notes: Vec<_> = followed.notes.iter().map(ToString::to_string).collect();
    assert!(notes.iter().any(|it| it.starts_with("by-name: is not in the files")), "{notes:#?}");
    assert!(
        notes.iter().any(|it| it.starts_with("/usr/bin/by-shell: a script for /opt/by-path")),
        "{notes:#?}"
    );

    let alone = Following { only_named: true, ..following };
    let alone = follow(&files, &alone, &mut |_| {}).unwrap();
    assert_eq!(programs(&alone), [(&*program, "named".to_owned())]);
    assert!(names(&alone.programs[0].derived).contains("execve"));
}

#[test]
fn a_program_that_starts_no_other_has_no_such_finding() {
    let folder = tempfile::tempdir().unwrap();
    let program = compile(folder.path(), "program", "int main(void) { return 0; }", &["-O1"]);
    let found = derived(&Machine::like_an_image(), &program);
    assert!(found.starts.is_empty(), "{:?}", found.starts);
    assert!(found.findings.iter().all(|it| it.kind != FindingKind::OpenProgram), "{:?}", found.findings);
}
