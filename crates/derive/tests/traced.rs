//! Everything that programs do under strace is derived from their files.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

#[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
mod machine;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use derive::{Derived, Request};
use machine::{Machine, compile, derived, names, run};
use strace::{Event, Reader};
use syscalls::{Architecture, Syscall};

/// A call and what is known of its arguments.
type Made = (String, Vec<(u64, u64)>);

/// The calls that a program makes, without the execve that starts it: the runtime makes that one.
fn traced(folder: &Path, program: &[&str]) -> BTreeSet<Made> {
    let log = folder.join("log");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(&log).args(program).env_clear().env("PATH", "/usr/bin:/bin");
    strace.current_dir(folder).env("LANG", "C.UTF-8");
    let output = strace.output().unwrap_or_else(|error| panic!("strace: {error}: is it installed?"));
    let text = fs::read(&log).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let mut reader = Reader::new(Architecture::X86_64);
    let mut found = BTreeSet::new();
    for line in text.split(|byte| *byte == b'\n').skip(1) {
        if let Event::Call(call) = reader.line(line) {
            let arguments = call.arguments().iter().map(|it| (it.value, it.known)).collect();
            found.insert((call.name.to_owned(), arguments));
        }
    }
    assert!(!found.is_empty(), "{program:?}: {output:?}");
    found
}

/// Whether an argument of a call was derived to have certain values, and has none of them.
fn is_contradicted(found: &Derived, (name, made): &Made) -> bool {
    let number = Syscall::from_name(name).and_then(|it| it.number(Architecture::X86_64));
    let call = found.calls.iter().find(|it| Some(it.number) == number);
    call.into_iter().flat_map(|it| &it.arguments).filter(|it| it.is_bounded()).any(|it| {
        let (value, known) = made[usize::from(it.index)];
        let known = known as u32;
        it.values.iter().all(|one| one.value & known != value as u32 & known)
    })
}

/// Traces a program and compares.
fn all_are_derived(folder: &Path, program: &[&str]) {
    let request = Request { program: program[0].to_owned(), examine_arguments: true, ..Request::default() };
    let found = derive::derive(&Machine::default(), &request).unwrap();
    let allowed = names(&found);
    let made = traced(folder, program);
    let missing: Vec<_> = made.iter().filter(|(name, _)| !allowed.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "{program:?} makes calls that were not derived: {missing:?}");
    let contradicted: Vec<_> = made.iter().filter(|call| is_contradicted(&found, call)).collect();
    assert!(contradicted.is_empty(), "{program:?} makes calls with other arguments: {contradicted:x?}");
    let of_an_image = derived(&Machine::like_an_image(), program[0]);
    let open: Vec<_> =
        of_an_image.findings.iter().filter(|it| it.is_open()).map(ToString::to_string).collect();
    assert!(open.is_empty(), "{program:?}: {open:#?}");
}

const C: &str = r#"
    #include <iconv.h>
    #include <netdb.h>
    #include <pthread.h>
    #include <signal.h>
    #include <spawn.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/socket.h>
    #include <sys/syscall.h>
    #include <sys/wait.h>
    #include <time.h>
    #include <unistd.h>
    static void handle(int number) { (void)number; }
    static void *work(void *it) { usleep(1000); return it; }
    int main(void) {
        char text[64], *in = "abc", *out = text;
        size_t left = 3, room = sizeof text;
        pthread_t thread;
        struct addrinfo *found = NULL;
        pthread_create(&thread, NULL, work, text);
        setgid(getgid());
        setuid(getuid());
        pthread_join(thread, NULL);
        iconv_t to = iconv_open("UTF-16", "UTF-8");
        if (to != (iconv_t)-1) iconv(to, &in, &left, &out, &room);
        getaddrinfo("localhost", "80", NULL, &found);
        printf("%ld %ld\n", syscall(SYS_gettid), (long)time(NULL));
        char *arguments[] = { "none", NULL };
        pid_t child = fork();
        if (child == 0) { execv("/none", arguments); _exit(1); }
        waitpid(child, NULL, 0);
        posix_spawn(&child, "/none", NULL, NULL, arguments, arguments);
        signal(SIGUSR1, handle);
        raise(SIGUSR1);
        qsort(text, 8, 8, (int (*)(const void *, const void *))memcmp);
        void *block = malloc(1 << 20);
        block = realloc(block, 1 << 24);
        return block == NULL;
    }
"#;

#[test]
fn everything_that_programs_of_c_do_is_derived() {
    let folder = tempfile::tempdir().unwrap();
    for (name, options) in
        [("dynamic", &["-O2"][..]), ("fixed", &["-no-pie", "-O0"]), ("static", &["-static"])]
    {
        let program = compile(folder.path(), name, C, &[options, &["-pthread", "-w"]].concat());
        all_are_derived(folder.path(), &[&program]);
    }
}

#[test]
fn everything_that_glibc_does_for_a_program_that_asks_is_derived() {
    const ASKING: &str = r#"
        #define _GNU_SOURCE
        #include <pthread.h>
        #include <sched.h>
        #include <spawn.h>
        #include <sys/wait.h>
        static pthread_mutex_t lock;
        static void *work(void *it) { pthread_mutex_lock(&lock); pthread_mutex_unlock(&lock); return it; }
        int main(void) {
            pthread_t thread;
            pthread_attr_t attribute;
            pthread_mutexattr_t with;
            cpu_set_t processors;
            pthread_mutexattr_init(&with);
            pthread_mutexattr_setprotocol(&with, PTHREAD_PRIO_PROTECT);
            pthread_mutex_init(&lock, &with);
            sched_getaffinity(0, sizeof processors, &processors);
            pthread_attr_init(&attribute);
            pthread_attr_setinheritsched(&attribute, PTHREAD_EXPLICIT_SCHED);
            pthread_attr_setaffinity_np(&attribute, sizeof processors, &processors);
            pthread_create(&thread, &attribute, work, 0);
            pthread_join(thread, 0);
            posix_spawnattr_t of;
            posix_spawn_file_actions_t actions;
            posix_spawnattr_init(&of);
            posix_spawnattr_setflags(&of, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSCHEDULER | POSIX_SPAWN_RESETIDS);
            posix_spawn_file_actions_init(&actions);
            posix_spawn_file_actions_addfchdir_np(&actions, 0);
            posix_spawn_file_actions_addclosefrom_np(&actions, 3);
            char *arguments[] = { "none", 0 };
            pid_t child;
            return posix_spawn(&child, "/none", &actions, &of, arguments, arguments) == 0;
        }"#;
    let folder = tempfile::tempdir().unwrap();
    let program = compile(folder.path(), "program", ASKING, &["-O2", "-pthread", "-w"]);
    all_are_derived(folder.path(), &[&program]);
}

#[test]
fn everything_that_a_stripped_program_of_rust_does_is_derived() {
    let folder = tempfile::tempdir().unwrap();
    let (code, program) = (folder.path().join("program.rs"), folder.path().join("program"));
    let source = r#"
        use std::io::{Read, Write};
        use std::net::{TcpListener, TcpStream};
        fn main() {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let server = std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"it").unwrap());
            let mut text = String::new();
            TcpStream::connect(address).unwrap().read_to_string(&mut text).unwrap();
            server.join().unwrap();
            let (sender, receiver) = std::sync::mpsc::channel();
            std::thread::spawn(move || sender.send(std::fs::read("/etc/passwd").unwrap().len()));
            println!("{text} {}", receiver.recv().unwrap());
            let caught = std::panic::catch_unwind(|| std::fs::read("/none").unwrap());
            std::process::exit(if caught.is_err() { 0 } else { 1 });
        }"#;
    fs::write(&code, source).unwrap();
    run(Command::new("rustc").args(["-O", "-Cstrip=symbols", "-o"]).arg(&program).arg(&code));
    all_are_derived(folder.path(), &[program.to_str().unwrap()]);
}

#[test]
fn everything_that_a_program_of_go_does_is_derived() {
    let folder = tempfile::tempdir().unwrap();
    let source = r#"
        package main
        import ("fmt"; "net"; "os"; "os/exec"; "syscall"; "time")
        func main() {
            listener, _ := net.Listen("tcp", "127.0.0.1:0")
            go func() { c, _ := listener.Accept(); c.Write([]byte("it")); c.Close() }()
            c, _ := net.Dial("tcp", listener.Addr().String())
            b := make([]byte, 2)
            c.Read(b)
            exec.Command("/none").Run()
            syscall.Exec("/none", nil, nil)
            os.WriteFile("file", b, 0o600)
            os.Rename("file", "other")
            time.Sleep(time.Millisecond)
            fmt.Println(string(b))
        }"#;
    fs::write(folder.path().join("main.go"), source).unwrap();
    for (name, flags) in [("program", ""), ("stripped", "-s -w")] {
        let program = folder.path().join(name);
        let mut go = Command::new("go");
        go.args(["build", "-ldflags", flags, "-o"]).arg(&program).arg("main.go").current_dir(folder.path());
        run(go.env("CGO_ENABLED", "0").env("GO111MODULE", "off"));
        all_are_derived(folder.path(), &[program.to_str().unwrap()]);
    }
}

#[test]
fn everything_that_programs_of_debian_do_is_derived() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "b\na\n").unwrap();
    let file = file.to_str().unwrap();
    let programs: &[&[&str]] = &[
        &["/bin/ls", "-laR", "/etc/apt"],
        &["/bin/cat", file],
        &["/bin/cp", "-a", file, "copy"],
        &["/bin/mv", "copy", "other"],
        &["/bin/rm", "-rf", "other"],
        &["/bin/mkdir", "-p", "one/two"],
        &["/bin/ln", "-sf", file, "link"],
        &["/bin/date"],
        &["/bin/df"],
        &["/bin/stat", file],
        &["/bin/touch", "touched"],
        &["/bin/dd", "if=/dev/zero", "of=zeros", "bs=4k", "count=4", "conv=fsync"],
        &["/usr/bin/id"],
        &["/usr/bin/sort", "--parallel=2", file],
        &["/usr/bin/sha256sum", file],
        &["/usr/bin/tail", "-n", "1", file],
        &["/usr/bin/timeout", "5", "true"],
        &["/usr/bin/env", "true"],
        &["/usr/bin/shuf", file],
        &["/usr/bin/tee", "teed"],
        &["/bin/busybox", "ls", "-l", "/etc"],
        &["/usr/bin/openssl", "rand", "-hex", "8"],
    ];
    for program in programs {
        // Where the machine does not have one, the others count.
        if Path::new(program[0]).exists() {
            all_are_derived(folder.path(), program);
        }
    }
}

#[test]
fn no_argument_that_was_derived_is_contradicted_where_it_is_known() {
    let source = r#"
        #define _GNU_SOURCE
        #include <fcntl.h>
        #include <sys/ioctl.h>
        #include <sys/personality.h>
        #include <sys/prctl.h>
        #include <sys/socket.h>
        #include <unistd.h>
        int main(int count, char **all) {
            int pair[2];
            socket(count > 1 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
            socket(AF_UNIX, count > 2 ? SOCK_STREAM : SOCK_STREAM | SOCK_NONBLOCK, 0);
            socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair);
            ioctl(0, FIONREAD, pair);
            ioctl(0, TIOCGPTN, pair);
            prctl(PR_SET_NAME, "name");
            personality(0xffffffff);
            return fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0;
        }"#;
    let folder = tempfile::tempdir().unwrap();
    for (name, options) in [("dynamic", &["-O2"][..]), ("static", &["-O2", "-static", "-s"])] {
        let program = compile(folder.path(), name, source, options);
        all_are_derived(folder.path(), &[&program]);
        all_are_derived(folder.path(), &[&program, "one", "two"]);
    }
    let request = Request {
        program: folder.path().join("static").to_str().unwrap().to_owned(),
        examine_arguments: true,
        ..Request::default()
    };
    let found = derive::derive(&Machine::like_an_image(), &request).unwrap();
    let bounded = |number: u32, index: u8| {
        let call = found.calls.iter().find(|it| it.number == number).unwrap();
        let argument = call.arguments.iter().find(|it| it.index == index).unwrap();
        argument.is_bounded().then(|| argument.values.iter().map(|it| it.value).collect::<Vec<_>>())
    };
    assert_eq!(bounded(41, 0), Some(vec![1, 2, 10]));
    assert_eq!(bounded(41, 1), Some(vec![1, 0x801, 0x80002]));
    assert_eq!(bounded(53, 0), Some(vec![1]));
    assert_eq!(bounded(157, 0), Some(vec![15]));
    assert_eq!(bounded(135, 0), Some(vec![u32::MAX]));
    assert!(bounded(16, 1).unwrap().contains(&0x541b));
}
