//! Which libraries the loader loads, and from where.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

#[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
mod machine;

use std::path::Path;
use std::process::Command;

use derive::{FindingKind, Following, Request, derive, follow};
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

/// The library that the real loader finds for a program.
fn loaded(program: &str, given: Option<&Path>, library: &str) -> String {
    let mut loader = Command::new("/lib64/ld-linux-x86-64.so.2");
    loader.arg("--list").arg(program).env_clear();
    if let Some(given) = given {
        loader.env("LD_LIBRARY_PATH", given);
    }
    let output = loader.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line =
        text.lines().find(|it| it.trim_start().starts_with(library)).unwrap_or_else(|| panic!("{text}"));
    line.split_whitespace().nth(2).unwrap().to_owned()
}

#[test]
fn libraries_are_looked_for_in_the_order_of_the_loader() {
    let folder = tempfile::tempdir().unwrap();
    let (own, given) = (folder.path().join("own"), folder.path().join("given"));
    let needed = library(&own, "libanswer.so", 169, &["-Wl,-soname,libanswer.so"]);
    library(&given, "libanswer.so", 170, &["-Wl,-soname,libanswer.so"]);
    let path = format!("-Wl,-rpath,{}", own.display());
    for tags in ["-Wl,--enable-new-dtags", "-Wl,--disable-new-dtags"] {
        let program = compile(folder.path(), "program", CALLING, &[&needed, &path, tags]);
        for given in [None, Some(&*given)] {
            let directories: Vec<_> = given.iter().map(|it| it.to_str().unwrap().to_owned()).collect();
            let request = Request { program: program.clone(), directories, ..Request::default() };
            let found = derive(&Machine::like_an_image(), &request).unwrap().objects;
            let found: Vec<_> = found.iter().filter(|it| it.ends_with("/libanswer.so")).collect();
            assert_eq!(found, [&loaded(&program, given, "libanswer.so")], "{tags} {given:?}");
        }
    }
}

#[test]
fn a_library_that_another_one_failed_to_load_is_loaded_when_it_is_opened_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = format!("-Wl,-rpath,{}", folder.path().display());
    let bad = library(folder.path(), "libbad.so", 169, &["-Wl,-soname,libbad.so"]);
    let source =
        "int sethostname(const char *, unsigned long); int answer(void) { return sethostname(\"\", 0); }";
    let shared = ["-shared", "-fPIC", "-O1"];
    let options = [&shared[..], &["-Wl,-soname,libgood.so"]].concat();
    let good = compile(folder.path(), "libgood.so", source, &options);
    let options = [&shared[..], &["-Wl,--no-as-needed", &good, &bad, &path]].concat();
    let broken = compile(folder.path(), "libbroken.so", "int unused;", &options);
    // A header, and nothing that it promises.
    std::fs::write(&bad, &std::fs::read(&good).unwrap()[..64]).unwrap();
    let source = format!(
        "#include <dlfcn.h>
        int main(void) {{ return dlopen(\"{broken}\", 1) == dlopen(\"{good}\", 1); }}"
    );
    let program = compile(folder.path(), "program", &source, &["-O1"]);
    let found = derive(&Machine::like_an_image(), &Request { program, ..Request::default() }).unwrap();
    assert!(found.findings.iter().any(|it| matches!(it.kind, FindingKind::UnreadableLibrary(_))));
    assert!(found.objects.contains(&good) && !found.objects.contains(&broken), "{:?}", found.objects);
    assert!(names(&found).contains("sethostname"));
}

#[test]
fn libraries_for_each_level_of_processors_count() {
    let folder = tempfile::tempdir().unwrap();
    let needed = library(folder.path(), "libanswer.so", 169, &["-Wl,-soname,libanswer.so"]);
    let levels = folder.path().join("glibc-hwcaps");
    library(&levels.join("x86-64-v2"), "libanswer.so", 170, &["-Wl,-soname,libanswer.so"]);
    library(&levels.join("x86-64-v4"), "libanswer.so", 171, &["-Wl,-soname,libanswer.so"]);
    let path = format!("-Wl,-rpath,{}", folder.path().display());
    let program = compile(folder.path(), "program", CALLING, &[&needed, &path]);
    let found = derive(&Machine::like_an_image(), &Request { program, ..Request::default() }).unwrap();
    assert!(
        found.objects.iter().filter(|it| it.ends_with("/libanswer.so")).count() == 3,
        "{:?}",
        found.objects
    );
    for call in ["reboot", "sethostname", "setdomainname"] {
        assert!(names(&found).contains(call), "{call}");
    }
}

#[test]
fn an_old_glibc_opens_its_default_name_services_without_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path.trim_start_matches('/'));
    let libraries = at("/lib");
    for (name, number) in [("libnss_files.so.2", 169), ("libnss_dns.so.2", 170), ("libnss_ldap.so.2", 171)] {
        library(&libraries, name, number, &["-nostdlib"]);
    }
    library(&libraries, "ld.so", 39, &["-nostdlib"]);
    for (version, services) in [("GLIBC_2.2.5", 2), ("GLIBC_2.34", 0)] {
        let script = folder.path().join("versions");
        std::fs::write(&script, format!("{version} {{ global: *; }};")).unwrap();
        let script = format!("-Wl,--version-script={}", script.display());
        let source =
            "const char *gnu_get_libc_version(void) { return \"\"; } void __libc_start_main(void) {}";
        let options = ["-shared", "-fPIC", "-nostdlib", "-Wl,-soname,libc.so.6", &*script];
        let libc = compile(&libraries, "libc.so.6", source, &options);
        let source = "void __libc_start_main(void); void _start(void) { __libc_start_main(); }";
        compile(folder.path(), "program", source, &["-nostdlib", "-Wl,--dynamic-linker=/lib/ld.so", &libc]);
        let files = Machine { root: folder.path().to_owned(), ..Machine::default() };
        let request = Request { program: "/program".to_owned(), ..Request::default() };
        let found = derive(&files, &request).unwrap().objects;
        let found: Vec<_> = found.iter().filter(|it| it.contains("libnss_")).collect();
        assert_eq!(found.len(), services, "{version}: {found:?}");
        assert!(found.iter().all(|it| !it.contains("ldap")), "{found:?}");
    }
}
