//! What a program starts is found or named, by whichever function it starts it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

#[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
mod machine;

use derive::{Finding, FindingKind, Started};
use machine::{Machine, compile, derived};

const HEAD: &str = r"
    #define _GNU_SOURCE
    #include <fcntl.h>
    #include <spawn.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    #include <wordexp.h>
    char *none[] = { 0 };
";

/// What a program starts that does nothing else, and how many findings say that it starts something else.
fn started(code: &str) -> (Vec<Started>, usize) {
    let folder = tempfile::tempdir().unwrap();
    let source = format!("{HEAD} int main(int count, char **arguments) {{ {code} return count; }}");
    let program = compile(folder.path(), "program", &source, &["-O1", "-w"]);
    let found = derived(&Machine::like_an_image(), &program);
    let mut started: Vec<_> = found.starts.into_iter().map(|it| it.what).collect();
    started.sort();
    (started, found.findings.iter().filter(|it| it.kind == FindingKind::OpenProgram).count())
}

fn path(path: &str) -> Started {
    Started::Path(path.to_owned())
}

fn command(text: &str) -> Started {
    Started::Command(text.to_owned())
}

#[test]
fn a_constant_path_is_followed_by_whichever_function_it_is_started() {
    let old = "__asm__(\".symver posix_spawn, posix_spawn@GLIBC_2.2.5\"); posix_spawn(0, \"/opt/it\", 0, 0, none, none);";
    for code in [
        "execveat(AT_FDCWD, \"/opt/it\", none, none, 0);",
        "syscall(SYS_execve, \"/opt/it\", none, none);",
        "syscall(SYS_execveat, AT_FDCWD, \"/opt/it\", none, none, 0);",
        old,
    ] {
        assert_eq!(started(code), (vec![path("/opt/it")], 0), "{code}");
    }
    assert_eq!(started("wordexp_t it; wordexp(\"$(app)\", &it, 0);"), (vec![command("$(app)")], 0));
}

#[test]
fn a_program_whose_name_is_not_known_is_named_by_whichever_function_it_is_started() {
    for code in [
        "fexecve(open(\"/opt/it\", O_RDONLY), none, none);",
        "execveat(count, \"\", none, none, AT_EMPTY_PATH);",
        "execveat(count, \"it\", none, none, 0);",
        "syscall(SYS_execve, arguments[1], none, none);",
        "wordexp_t it; wordexp(arguments[1], &it, 0);",
        "int (*volatile pointer)(int, char **, char **) = fexecve; pointer(0, none, none);",
    ] {
        assert_eq!(started(code), (vec![], 1), "{code}");
    }
}

#[test]
fn the_command_that_a_shell_is_started_with_is_followed_or_named() {
    let shell = "execl(\"/bin/sh\", \"sh\", \"-c\", \"app --now\", (char *)0);";
    assert_eq!(started(shell), (vec![path("/bin/sh"), command("app --now")], 0));
    let script = "execlp(\"bash\", \"bash\", \"/opt/script\", (char *)0);";
    assert_eq!(started(script), (vec![Started::Name("bash".to_owned()), command("/opt/script")], 0));
    let any = "execl(\"/bin/sh\", \"sh\", \"-c\", arguments[1], (char *)0);";
    assert_eq!(started(any), (vec![path("/bin/sh")], 1));
    // What is in memory is not followed.
    assert_eq!(started("execv(\"/bin/sh\", arguments);"), (vec![path("/bin/sh")], 1));
    assert_eq!(started("execl(\"/opt/it\", \"it\", arguments[1], (char *)0);"), (vec![path("/opt/it")], 0));
}

#[test]
fn libraries_and_functions_that_are_found_through_pointers_are_named() {
    let source = r#"
        #include <dlfcn.h>
        static const struct { void *(*open)(const char *, int); void *(*find)(void *, const char *); } by = { dlopen, dlsym };
        const void *volatile which = &by;
        int main(void) {
            const __typeof__(by) *all = which;
            return all->find(all->open("libz.so.1", RTLD_NOW), "deflate") != 0;
        }"#;
    let folder = tempfile::tempdir().unwrap();
    let path = compile(folder.path(), "program", source, &["-O1", "-w"]);
    let found = derived(&Machine::like_an_image(), &path).findings;
    for kind in [FindingKind::OpenLibrary, FindingKind::OpenSymbol] {
        let of_program = |it: &&Finding| it.kind == kind && it.place.object.ends_with("program");
        assert_eq!(found.iter().filter(of_program).count(), 1, "{found:?}");
    }
}
