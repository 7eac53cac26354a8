//! What glibc does only for programs that ask for it is derived only for those.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

#[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
mod machine;

use std::path::Path;

use machine::{Machine, compile, derived, names};

const PRIORITIES: &[&str] = &[
    "sched_setparam",
    "sched_getparam",
    "sched_setscheduler",
    "sched_getscheduler",
    "sched_get_priority_max",
    "sched_get_priority_min",
];
const OF_THE_STARTED: &[&str] = &["setpgid", "setsid", "setresuid", "setresgid"];

/// A program that has threads, a lock, and a shell that it starts.
fn program(asking: &str) -> String {
    format!(
        r#"
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <pthread.h>
        #include <sched.h>
        #include <spawn.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <unistd.h>
        static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
        static void *work(void *it) {{ pthread_mutex_lock(&lock); pthread_mutex_unlock(&lock); return it; }}
        void *volatile any;
        int main(void) {{
            pthread_t thread;
            pthread_attr_t attribute;
            pthread_attr_init(&attribute);
            {asking}
            pthread_create(&thread, &attribute, work, NULL);
            pthread_join(thread, NULL);
            FILE *all = popen("true", "r");
            if (all) pclose(all);
            return system("true");
        }}"#
    )
}

/// Which of some calls are derived from a program that asks so.
fn found<'a>(asking: &str, options: &[&str], calls: &[&'a str]) -> Vec<&'a str> {
    let folder = tempfile::tempdir().unwrap();
    let options = [&["-O1", "-pthread", "-w"], options].concat();
    let path = compile(folder.path(), "program", &program(asking), &options);
    let names = names(&derived(&Machine::like_an_image(), &path));
    calls.iter().copied().filter(|it| names.contains(it)).collect()
}

#[test]
fn a_program_that_asks_for_nothing_sets_no_priorities_processors_sessions_or_users() {
    assert!(found("", &[], PRIORITIES).is_empty());
    assert!(found("", &[], OF_THE_STARTED).is_empty());
    assert!(found("", &[], &["sched_setaffinity", "fchdir", "getpgid", "close_range"]).is_empty());
}

#[test]
fn each_way_to_ask_for_priorities_gives_all_calls_for_them() {
    for asking in [
        "pthread_attr_setinheritsched(&attribute, PTHREAD_EXPLICIT_SCHED);",
        "pthread_mutexattr_t of; pthread_mutexattr_init(&of); pthread_mutexattr_setprotocol(&of, PTHREAD_PRIO_PROTECT);",
        "any = pthread_mutexattr_setprotocol;",
        "any = dlsym(NULL, \"pthread_attr_setinheritsched\");",
        "posix_spawnattr_t of; posix_spawnattr_init(&of); posix_spawnattr_setflags(&of, POSIX_SPAWN_SETSCHEDULER);",
    ] {
        assert_eq!(found(asking, &[], PRIORITIES), PRIORITIES, "{asking}");
    }
}

#[test]
fn what_the_program_calls_itself_is_derived() {
    for (asking, call) in [
        ("struct sched_param of = {0}; sched_setscheduler(0, SCHED_FIFO, &of);", "sched_setscheduler"),
        ("setsid();", "setsid"),
        ("any = setsid;", "setsid"),
        ("fchdir(0);", "fchdir"),
        ("close_range(3, ~0U, 0);", "close_range"),
        ("syscall(145, 0);", "sched_getscheduler"),
        ("setresuid(1, 1, 1);", "setresuid"),
        ("daemon(0, 0);", "setsid"),
        ("cpu_set_t of; CPU_ZERO(&of); sched_setaffinity(0, sizeof of, &of);", "sched_setaffinity"),
    ] {
        assert_eq!(found(asking, &[], &[call]), [call], "{asking}");
    }
}

#[test]
fn what_a_started_program_gets_is_derived_if_it_is_asked_for() {
    let flags = "posix_spawnattr_t of; posix_spawnattr_init(&of); posix_spawnattr_setflags(&of, 128);";
    assert_eq!(found(flags, &[], OF_THE_STARTED), OF_THE_STARTED);
    for (action, call) in [
        ("addfchdir_np(&steps, 0)", "fchdir"),
        ("addclosefrom_np(&steps, 3)", "close_range"),
        ("addtcsetpgrp_np(&steps, 0)", "getpgid"),
    ] {
        let asking = format!("posix_spawn_file_actions_t steps; posix_spawn_file_actions_{action};");
        assert_eq!(found(&asking, &[], &[call]), [call], "{asking}");
    }
}

/// A library of a program: its path, and the option by which the program finds it.
fn library_of(folder: &Path, source: &str) -> (String, String) {
    let options = ["-shared", "-fPIC", "-Wl,-soname,liblibrary.so"];
    let library = compile(folder, "liblibrary.so", source, &options);
    (library, format!("-Wl,-rpath,{}", folder.to_str().unwrap()))
}

/// A program that looks up functions by a name that it gets from outside.
const BY_ANY_NAME: &str = "extern char **environ; any = dlsym(NULL, environ[0]);";

#[test]
fn a_program_that_looks_up_functions_by_names_that_no_file_has_asks_for_nothing() {
    assert!(found(BY_ANY_NAME, &[], PRIORITIES).is_empty());
    assert!(found(BY_ANY_NAME, &[], OF_THE_STARTED).is_empty());
    // A function that nothing calls has a name that only the loader looks up.
    let folder = tempfile::tempdir().unwrap();
    let library = "#include <pthread.h>
        int used = 1;
        int unused(pthread_attr_t *it) { return pthread_attr_setinheritsched(it, PTHREAD_EXPLICIT_SCHED); }";
    let (library, path) = library_of(folder.path(), library);
    let asking = format!("extern int used; {BY_ANY_NAME} any = (void *)(long)used;");
    assert!(found(&asking, &[&library, &path], PRIORITIES).is_empty());
}

#[test]
fn a_program_that_looks_up_functions_by_a_name_that_one_of_its_files_has_may_ask_by_it() {
    let pointer = "static struct { void *(*volatile find)(void *, const char *); } of = { dlsym };";
    let names = "{ \"malloc\", \"pthread_attr_setinheritsched\" }; any = dlsym(NULL, known[getpid() & 1]);";
    for asking in [
        format!("{pointer} any = of.find(NULL, \"pthread_attr_setinheritsched\");"),
        format!("static const char *const volatile known[] = {names}"),
        format!("static char known[][40] = {names}"),
        // Without an end, as in Rust and Go.
        "static const char known[34] = \"<pthread_attr_setinheritschedfree\"; char name[40] = {0};
         for (int at = 0; at < 28; at++) name[at] = known[at + 1]; any = dlsym(NULL, name);"
            .to_owned(),
    ] {
        assert_eq!(found(&asking, &[], PRIORITIES), PRIORITIES, "{asking}");
        assert!(found(&asking, &[], OF_THE_STARTED).is_empty(), "{asking}");
    }
    let flags = format!("{BY_ANY_NAME} any = \"posix_spawnattr_setflags\";");
    assert_eq!(found(&flags, &[], OF_THE_STARTED), OF_THE_STARTED);
}

#[test]
fn a_library_has_the_name_that_the_program_looks_up() {
    let folder = tempfile::tempdir().unwrap();
    let library =
        "char asking[] = \"pthread_attr_setinheritsched\"; const char *name(void) { return asking; }";
    let (library, path) = library_of(folder.path(), library);
    let asking = "extern const char *name(void); any = dlsym(NULL, name());";
    assert_eq!(found(asking, &[&library, &path], PRIORITIES), PRIORITIES);
}

#[test]
fn a_script_can_give_an_interpreter_any_name() {
    let folder = tempfile::tempdir().unwrap();
    for (name, is_any) in [("python3.11", true), ("luajit", true), ("pythonista", false)] {
        let source = program(BY_ANY_NAME);
        let path = compile(folder.path(), name, &source, &["-O1", "-pthread", "-w"]);
        let names = names(&derived(&Machine::like_an_image(), &path));
        assert_eq!(PRIORITIES.iter().all(|it| names.contains(it)), is_any, "{name}");
        assert_eq!(OF_THE_STARTED.iter().all(|it| names.contains(it)), is_any, "{name}");
    }
}

#[test]
fn a_program_that_an_interpreter_is_linked_into_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let (has, has_not) =
        ("int luaopen_ffi(void *it) { return 1; }", "int luaopen_first(void *it) { return 1; }");
    for (function, is_any) in [(has, true), (has_not, false)] {
        for options in [&["-rdynamic", "-s"][..], &[]] {
            let source = format!("{} {function}", program(BY_ANY_NAME));
            let options = [&["-O1", "-pthread", "-w"], options].concat();
            let path = compile(folder.path(), "program", &source, &options);
            let names = names(&derived(&Machine::like_an_image(), &path));
            assert_eq!(PRIORITIES.iter().all(|it| names.contains(it)), is_any, "{function} {options:?}");
        }
    }
}

#[test]
fn each_version_of_a_function_asks() {
    let old = "__asm__(\".symver pthread_attr_setaffinity_np, pthread_attr_setaffinity_np@GLIBC_2.3.3\");";
    for version in ["", old] {
        let asking = format!("{version} pthread_attr_setaffinity_np(&attribute, 0, NULL);");
        assert_eq!(found(&asking, &[], &["sched_setaffinity"]), ["sched_setaffinity"], "{asking}");
    }
}

#[test]
fn a_program_that_has_glibc_in_itself_has_no_internal_functions_to_tell_apart() {
    assert!(!found("", &["-static", "-s"], PRIORITIES).is_empty());
}
