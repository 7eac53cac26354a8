//! What it takes to check, to compare and to decide a default profile, beside the time in which libseccomp compiles it.
//! `cargo bench -p bench --bench filter`; it fails where something takes more than its bar.
//!
//! With KUBECTL_SECCOMP it also runs that program, and takes the wall-clock time from start to exit. libseccomp is measured
//! if this machine has it with its header and a C compiler.

mod clock;

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use filter::{Call, Filter, Library, Runtime, Setting, numbers};
use lint::Nodes;
use profile::{Action, Architecture, Argument, Comparison, Profile};
use serde_json::Value;
use syscalls::Libseccomp;

const ROUNDS: usize = 20;
const CALLS: u32 = 1_000_000;
/// Of libseccomp's time, `lint` may take one part in so many.
const PART: u32 = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("crates/filter/data/moby-amd64.json");
    let text = fs::read(&path)?;
    let profile = Profile::from_slice(&text)?;
    let mut changed: Value = serde_json::from_slice(&text)?;
    changed["syscalls"][0]["names"].as_array_mut().and_then(Vec::pop).ok_or("the profile has no names")?;
    let other = Profile::from_value(&changed)?;
    let number = numbers(Libseccomp::V2_6_1);
    let (library, native) = (Library::V2_6_1, Architecture::X86_64);
    let setting = Setting { runtime: Runtime::RUNC_1_2, library, native, number: &number };

    let nodes = Nodes::default();
    let lint = clock::least(ROUNDS, 1, || drop(black_box(lint::check(black_box(&profile), &nodes))));
    let one = Filter::new(&profile, &setting)?;
    let filter = clock::least(ROUNDS, 1, || drop(black_box(Filter::new(black_box(&profile), &setting))));
    let mut witness = None;
    let equal = clock::least(ROUNDS, 1, || {
        if let [Ok(one), Ok(other)] = [&profile, &other].map(|profile| Filter::new(profile, &setting)) {
            witness = black_box(one.unequal(&other)).ok().flatten();
        }
    });
    let same = clock::least(ROUNDS, 1, || {
        let _ = black_box(one.unequal(black_box(&one)));
    });
    let decide = clock::least(ROUNDS, 1, || {
        for number in 0..CALLS {
            let call = Call { architecture: native, number: number % 512, arguments: [u64::from(number); 6] };
            black_box(one.decide(black_box(&call)));
        }
    });
    if witness.is_none() {
        return Err("the changed copy is equal".into());
    }

    println!("{:<52}{:>10}{:>10}", "moby's default on x86_64, i386 and x32", "ms", "bar");
    let mut missed = Vec::new();
    let mut row = |what: &str, time: Duration, bar: Option<Duration>| {
        let shown = bar.map_or(String::new(), |bar| format!("{:.1}", bar.as_secs_f64() * 1e3));
        println!("{what:<52}{:>10.2}{shown:>10}", time.as_secs_f64() * 1e3);
        missed.extend(bar.filter(|bar| time > *bar).map(|_| what.to_owned()));
    };
    row("lint", lint, Some(Duration::from_millis(5)));
    row("the filter", filter, None);
    row("both filters, and whether they are equal", equal, Some(Duration::from_millis(20)));
    row("whether two filters are equal that are", same, None);
    row("to decide a million calls", decide, Some(Duration::from_millis(300)));
    match compiled(&profile)? {
        Some(libseccomp) => {
            row("libseccomp compiles it", libseccomp, None);
            row("lint, beside a tenth of that", lint, Some(libseccomp / PART));
        }
        None => println!("libseccomp was not measured: it needs libseccomp-dev and a C compiler"),
    }
    if let Some(program) = std::env::var_os("KUBECTL_SECCOMP").map(PathBuf::from) {
        let directory = tempfile::tempdir()?;
        let edited = directory.path().join("changed.json");
        fs::write(&edited, changed.to_string())?;
        let commands: [(&str, &[&Path], i32); 7] = [
            ("rule", &["rule".as_ref(), "dead-rule".as_ref()], 0),
            ("convert", &["convert".as_ref(), &path], 0),
            ("lint", &["lint".as_ref(), &path], 1),
            ("explain", &["explain".as_ref(), &path], 0),
            (
                "simulate",
                &["simulate".as_ref(), &path, "--".as_ref(), "openat".as_ref(), "mount".as_ref()],
                1,
            ),
            ("diff", &["diff".as_ref(), &path, &edited], 1),
            ("merge", &["merge".as_ref(), "--union".as_ref(), &path, &edited], 0),
        ];
        for (name, arguments, code) in commands {
            let what = format!("kubectl seccomp {name}, wall-clock time");
            row(&what, started(&program, arguments, code)?, Some(Duration::from_millis(30)));
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(format!("above the bar: {}", missed.join(", ")).into()) }
}

/// The least wall-clock time of a program that exits with this code.
fn started(program: &Path, arguments: &[&Path], code: i32) -> Result<Duration, Box<dyn Error>> {
    let mut least = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let status =
            Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        least = least.min(start.elapsed());
        if status.code() != Some(code) {
            return Err(format!("{} exited with {status}", program.display()).into());
        }
    }
    Ok(least)
}

/// The time in which the libseccomp of this machine compiles the profile; `None` if there is none.
fn compiled(profile: &Profile) -> Result<Option<Duration>, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let program = directory.path().join("compile");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/compile.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-o"]).arg(&program).arg(source).arg("-lseccomp").stderr(Stdio::null());
    if !compiler.status().is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let rules = directory.path().join("rules");
    fs::write(&rules, lines(profile))?;
    let output = Command::new(program).arg(ROUNDS.to_string()).stdin(fs::File::open(rules)?).output()?;
    let nanoseconds = String::from_utf8(output.stdout)?.trim().parse()?;
    Ok(Some(Duration::from_nanos(nanoseconds)))
}

/// The rules as `compile.c` reads them: the name, the action, and four numbers for each condition.
fn lines(profile: &Profile) -> String {
    let default = profile.default_effect();
    let mut text = String::new();
    for rule in profile.rules().iter().filter(|rule| rule.effect() != default) {
        let conditions: String = rule.arguments().iter().map(condition).collect();
        let action = match rule.action() {
            Action::Errno => 0x0005_0000 | u32::from(rule.effect().errno().unwrap_or_default()),
            Action::Log => 0x7ffc_0000,
            _ => 0x7fff_0000,
        };
        for name in rule.names() {
            text += &format!("{} {action}{conditions}\n", name.as_str());
        }
    }
    text
}

fn condition(argument: &Argument) -> String {
    // `enum scmp_compare`.
    let operator = match argument.comparison() {
        Comparison::NotEqual => 1,
        Comparison::Less => 2,
        Comparison::LessOrEqual => 3,
        Comparison::Equal => 4,
        Comparison::GreaterOrEqual => 5,
        Comparison::Greater => 6,
        Comparison::MaskedEqual => 7,
    };
    format!(" {} {operator} {} {}", argument.index(), argument.value(), argument.value_two())
}
