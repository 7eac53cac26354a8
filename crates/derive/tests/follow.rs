//! What an image starts, and what is started in turn.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

#[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
mod machine;

use derive::{Because, DeriveError, FindingKind, Followed, Following, Started, follow};
use machine::{Machine, compile, derived, names};

/// A program without a library that makes one call: `mov eax, NUMBER; syscall; hlt`.
fn one_call(number: u8) -> Vec<u8> {
    derive::testing::program(&[0xb8, number, 0, 0, 0, 0x0f, 0x05, 0xf4])
}

/// An image with these files and nothing else.
fn image(files: &[(&str, &[u8])]) -> Machine {
    let root = tempfile::tempdir().unwrap().keep();
    for (path, bytes) in files {
        let place = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, bytes).unwrap();
    }
    Machine { root, ..Machine::default() }
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

fn paths(files: &Machine, arguments: &[&str]) -> Vec<String> {
    of(files, arguments).unwrap().programs.into_iter().map(|it| it.derived.program).collect()
}

#[test]
fn a_shells_command_is_looked_through_wherever_it_stands() {
    let files = || {
        image(&[
            ("/bin/sh", &one_call(39)),
            ("/bin/busybox", &one_call(39)),
            ("/tini", &one_call(102)),
            ("/usr/bin/app", &one_call(60)),
        ])
    };
    for arguments in [
        &["/tini", "--", "/bin/sh", "-c", "exec app --x"][..],
        &["/bin/sh", "-e", "-c", "exec app"],
        &["/bin/sh", "--login", "-c", "app"],
        &["busybox", "sh", "-c", "app; x"],
    ] {
        assert!(paths(&files(), arguments).contains(&"/usr/bin/app".to_owned()), "{arguments:?}");
    }
}

#[test]
fn a_script_without_a_first_line_and_what_a_script_reads_are_looked_through() {
    let files = image(&[
        ("/bin/sh", &one_call(39)),
        ("/start", b". /opt/lib.sh\nfor f in /entry.d/*; do \"$f\"; done\n"),
        ("/opt/lib.sh", b"one\n"),
        ("/entry.d/10.sh", b"#!/bin/sh\ntwo\n"),
        ("/entry.d/readme", b"three\n"),
        ("/usr/bin/one", &one_call(60)),
        ("/usr/bin/two", &one_call(57)),
        ("/usr/bin/three", &one_call(58)),
    ]);
    let followed = of(&files, &["/bin/sh", "/start"]).unwrap();
    let found: Vec<_> = programs(&followed).into_iter().map(|(path, _)| path.to_owned()).collect();
    assert_eq!(found, ["/bin/sh", "/usr/bin/one", "/usr/bin/two"]);
    let notes: Vec<_> = followed.notes.iter().map(ToString::to_string).collect();
    for script in ["/start: a script", "/opt/lib.sh: a script", "/entry.d/10.sh: a script"] {
        assert!(notes.iter().any(|it| it.starts_with(script)), "{notes:#?}");
    }
}

#[test]
fn a_script_for_another_interpreter_is_named_also_if_it_has_no_first_line() {
    let files =
        image(&[("/usr/bin/python3", &one_call(39)), ("/srv/app.py", b"import os\n"), ("/etc/c", b"x\n")]);
    let followed = of(&files, &["python3", "/srv/app.py"]).unwrap();
    assert!(
        followed.notes[0].to_string().starts_with("/srv/app.py: a script for python3"),
        "{:?}",
        followed.notes
    );
    let files = image(&[("/usr/bin/server", &one_call(39)), ("/etc/c", b"x\n")]);
    assert_eq!(of(&files, &["server", "/etc/c"]).unwrap().notes, []);
}

#[test]
fn a_word_of_a_script_that_is_no_usable_program_is_named_and_hinders_nothing() {
    let files = image(&[
        ("/entry.sh", b"#!/bin/sh\n# broken or perlish\napp\n"),
        ("/bin/sh", &one_call(39)),
        ("/usr/bin/broken", b"\x7fELF and no more"),
        ("/usr/bin/perlish", b"#!/usr/bin/absent\n"),
        ("/usr/bin/app", &one_call(60)),
    ]);
    let followed = of(&files, &["/entry.sh"]).unwrap();
    assert_eq!(programs(&followed).len(), 2);
    let notes: Vec<_> = followed.notes.iter().map(ToString::to_string).collect();
    for left_out in
        ["/usr/bin/broken: left out: ", "/usr/bin/perlish: left out: /usr/bin/absent: no such file"]
    {
        assert!(notes.iter().any(|it| it.starts_with(left_out)), "{notes:#?}");
    }
}

#[test]
fn a_program_can_be_left_out_by_its_name_or_path() {
    for without in ["sort", "/usr/bin/sort"] {
        let files = image(&[
            ("/entry.sh", b"#!/bin/sh\nsort\n"),
            ("/bin/sh", &one_call(39)),
            ("/usr/bin/sort", &one_call(60)),
        ]);
        let (arguments, without) = (vec!["/entry.sh".to_owned()], vec![without.to_owned()]);
        let following = Following { arguments, without, ..Following::default() };
        let followed = follow(&files, &following, &mut |_| {}).unwrap();
        std::fs::remove_dir_all(&files.root).unwrap();
        assert_eq!(programs(&followed).len(), 1);
        let note = followed.notes[1].to_string();
        assert_eq!(
            note,
            "/usr/bin/sort: left out: as was asked for; it would run because: named in /entry.sh"
        );
    }
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
