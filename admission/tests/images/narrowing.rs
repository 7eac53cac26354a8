//! Random profiles in random places of images, through the whole path: a registry, the search, the intersection with the
//! baseline, and the contents that a pod would be given. None may be looser than the baseline.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use admission::images::choice::{Brings, choose};
use api::ProfileName;
use convert::Machine;
use fastrand::Rng;
use filter::{Filter, Library, Runtime, RuntimeDefault, Setting, numbers};
use futures::StreamExt;
use profile::Profile;
use registry::testing::{MANIFEST, RunningRegistry, TestRegistry};
use registry::{Carried, Finder, Keyring};
use serde_json::{Value, json};
use syscalls::Libseccomp;

use crate::{client, image, print_line};

/// How many images are looked at at once.
const AT_ONCE: usize = 4;

const MACHINES: [Machine; 2] = [Machine::Amd64, Machine::Arm64];

/// Names that the default of runtimes does not permit, or not for every capability, and names of no call.
const OTHERS: [&str; 16] = [
    "bpf",
    "mount",
    "umount2",
    "ptrace",
    "kexec_load",
    "init_module",
    "setns",
    "unshare",
    "clone",
    "clone3",
    "perf_event_open",
    "add_key",
    "userfaultfd",
    "io_uring_setup",
    "frobnicate",
    "arm_fadvise64_64",
];

/// Values that conditions of the default compare with, and their neighbours.
const VALUES: [u64; 14] = [
    0,
    1,
    7,
    8,
    9,
    40,
    131_072,
    131_080,
    0xffff_ffff,
    2_114_060_288,
    2_114_060_289,
    1 << 32,
    i64::MAX as u64,
    u64::MAX,
];

fn pick<T: Copy>(random: &mut Rng, of: &[T]) -> T {
    of[random.usize(..of.len())]
}

fn action(random: &mut Rng) -> &'static str {
    match random.u8(..64) {
        0 => "SCMP_ACT_TRACE",
        1 => "SCMP_ACT_NOTIFY",
        2..30 => "SCMP_ACT_ALLOW",
        30..46 => "SCMP_ACT_ERRNO",
        46..52 => "SCMP_ACT_LOG",
        52..56 => "SCMP_ACT_TRAP",
        56..60 => "SCMP_ACT_KILL",
        60..62 => "SCMP_ACT_KILL_THREAD",
        _ => "SCMP_ACT_KILL_PROCESS",
    }
}

fn condition(random: &mut Rng) -> Value {
    const OPERATORS: [&str; 7] = [
        "SCMP_CMP_NE",
        "SCMP_CMP_LT",
        "SCMP_CMP_LE",
        "SCMP_CMP_EQ",
        "SCMP_CMP_GE",
        "SCMP_CMP_GT",
        "SCMP_CMP_MASKED_EQ",
    ];
    let value = |random: &mut Rng| if random.u8(..4) == 0 { random.u64(..) } else { pick(random, &VALUES) };
    json!({
        "index": random.u8(..6), "op": pick(random, &OPERATORS),
        "value": value(random), "valueTwo": value(random),
    })
}

fn rule(random: &mut Rng, names: &[String]) -> Value {
    let name = |random: &mut Rng| match random.u8(..4) {
        0 => pick(random, &OTHERS).to_owned(),
        _ => names[random.usize(..names.len())].clone(),
    };
    let most = if random.bool() { 3 } else { 80 };
    let all: BTreeSet<_> = (0..random.usize(1..most)).map(|_| name(random)).collect();
    let mut rule = json!({ "names": all, "action": action(random) });
    if random.u8(..3) == 0 {
        rule["args"] = (0..random.usize(..4)).map(|_| condition(random)).collect();
    }
    if random.u8(..4) == 0 {
        rule["errnoRet"] = pick(random, &[0, 1, 38, 4094, 4096]).into();
    }
    rule
}

/// A profile as somebody may write it who can push an image.
fn profile(random: &mut Rng, names: &[String]) -> String {
    let rules: Vec<Value> = (0..random.usize(..12)).map(|_| rule(random, names)).collect();
    let mut profile = json!({ "defaultAction": action(random), "syscalls": rules });
    match random.u8(..8) {
        0 => {
            let all = ["X86_64", "X86", "X32", "AARCH64", "ARM"];
            let some: BTreeSet<_> = (0..random.usize(..4)).map(|_| pick(random, &all)).collect();
            profile["architectures"] = some.iter().map(|name| format!("SCMP_ARCH_{name}")).collect();
        }
        // The dialect of Docker.
        1 => {
            profile["archMap"] = json!([
                { "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"] },
                { "architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"] },
            ]);
            let capability = pick(random, &["CAP_SYS_ADMIN", "CAP_CHOWN"]);
            let side = pick(random, &["includes", "excludes"]);
            for rule in profile["syscalls"].as_array_mut().unwrap() {
                if random.bool() {
                    rule[side] = json!({ "caps": [capability] });
                }
            }
        }
        2 => {
            let flag = pick(random, &["LOG", "SPEC_ALLOW", "TSYNC"]);
            profile["flags"] = json!([format!("SECCOMP_FILTER_FLAG_{flag}")]);
        }
        _ => {}
    }
    let mut text = profile.to_string();
    if random.u8(..40) == 0 {
        text.truncate(random.usize(..text.len()));
    }
    text
}

/// The default of runtimes, as each of them loads it with each library.
struct Baseline {
    machine: Machine,
    names: Vec<String>,
    loaded: Vec<(Runtime, Libseccomp, Filter)>,
}

/// A filter as a node of such a machine loads it; `None` where it cannot be loaded.
fn load(profile: &Profile, runtime: Runtime, libseccomp: Libseccomp, machine: Machine) -> Option<Filter> {
    let number = numbers(libseccomp);
    let (library, native) = (Library::from(libseccomp), machine.native());
    Filter::new(profile, &Setting { runtime, library, native, number: &number }).ok()
}

impl Baseline {
    fn of(machine: Machine) -> Self {
        let profile = RuntimeDefault::CONTAINERD.profile(machine.native()).unwrap();
        let names = profile
            .rules()
            .iter()
            .flat_map(|rule| rule.names())
            .map(|name| name.as_str().to_owned())
            .collect();
        let places =
            Runtime::ALL.into_iter().flat_map(|runtime| Libseccomp::ALL.map(|library| (runtime, library)));
        let loaded = places.filter_map(|(runtime, libseccomp)| {
            Some((runtime, libseccomp, load(&profile, runtime, libseccomp, machine)?))
        });
        Self { machine, names, loaded: loaded.collect() }
    }

    /// Where these contents permit what the baseline does not: decided for every call and all values of arguments.
    fn looser(&self, contents: &Profile) -> Option<String> {
        self.loaded.iter().find_map(|(runtime, libseccomp, baseline)| {
            let filter = load(contents, *runtime, *libseccomp, self.machine)?;
            let found = filter.more_permissive(baseline);
            (!matches!(found, Ok(None))).then(|| format!("{runtime:?}, {libseccomp:?}: {found:?}"))
        })
    }
}

/// Images with random profiles, in each place that needs no other repository; for each its baseline and its text.
async fn serve(
    random: &mut Rng,
    baselines: &[Baseline],
    number: usize,
) -> (RunningRegistry, Vec<(usize, String)>) {
    let (mut registry, mut images) = (TestRegistry::new("team/app"), Vec::new());
    for tag in 0..number {
        let at = random.usize(..baselines.len());
        let text = profile(random, &baselines[at].names);
        let architecture = baselines[at].machine.name();
        let image = match random.u8(..3) {
            0 => registry.image(architecture, Some(&text), ""),
            1 => {
                let annotation = format!(r#""seccomp.imjasonh.dev/profile":{}"#, Value::from(text.as_str()));
                registry.image(architecture, None, &annotation)
            }
            _ => {
                let image = registry.image(architecture, None, &format!(r#""number":"{tag}""#));
                registry.attach(&image, &text);
                image
            }
        };
        registry.manifest(MANIFEST, image.clone());
        registry.tag(&tag.to_string(), MANIFEST, image);
        images.push((at, text));
    }
    (registry.start().await, images)
}

/// What an image brings, in words, after it was compared with the baseline. `name` is for messages.
fn outcome(baseline: &Baseline, carried: &Carried, name: &str) -> String {
    match choose(carried).unwrap() {
        Brings::Profile { profile, place } => {
            let contents = Profile::from_value(&serde_json::from_str(&profile.contents).unwrap()).unwrap();
            assert_eq!(profile.name, ProfileName::stating(contents.canonical().hash()));
            assert_eq!(baseline.looser(&contents), None, "{name}");
            format!("profile from {place}")
        }
        Brings::Unusable(why) => why.reason.to_owned(),
        other => panic!("{other:?}: {name}"),
    }
}

/// Looks at this many images; how many brought what.
async fn try_images(number: usize, seed: u64) -> BTreeMap<String, usize> {
    let baselines = Arc::new(MACHINES.map(Baseline::of));
    let mut random = Rng::with_seed(seed);
    let (registry, images) = serve(&mut random, &*baselines, number).await;
    let (client, logins) = (client(&registry), Keyring::default());
    let looks = images.into_iter().enumerate().map(|(tag, (at, text))| {
        let (baselines, reference) = (Arc::clone(&baselines), image(&registry, tag));
        let finder = Finder::new(&client, &logins);
        async move {
            let architecture = [baselines[at].machine.name().to_owned()];
            let carried = finder.find(&reference, &architecture, None).await.unwrap();
            let name = format!("seed {seed}, image {tag}: {text}");
            tokio::task::spawn_blocking(move || outcome(&baselines[at], &carried, &name)).await.unwrap()
        }
    });
    let mut outcomes = futures::stream::iter(looks).buffer_unordered(AT_ONCE);
    let mut counts = BTreeMap::<String, usize>::new();
    while let Some(outcome) = outcomes.next().await {
        *counts.entry(outcome).or_default() += 1;
    }
    counts
}

/// Most bring a profile, so that there is something to compare.
fn check(counts: &BTreeMap<String, usize>, number: usize) {
    let given = counts.iter().filter(|(what, _)| what.starts_with("profile")).map(|(_, count)| count);
    let given = given.sum::<usize>();
    assert_eq!(counts.values().sum::<usize>(), number);
    assert!(given * 2 > number, "{counts:?}");
}

#[tokio::test]
async fn no_image_brings_a_profile_that_is_looser_than_the_baseline() {
    let counts = try_images(60, fastrand::u64(..)).await;
    check(&counts, 60);
}

#[tokio::test]
#[ignore = "long: 10,000 images"]
async fn none_of_ten_thousand_images_brings_a_profile_that_is_looser_than_the_baseline() {
    let (start, number) = (std::time::Instant::now(), 10_000);
    let counts = try_images(number, 19).await;
    print_line(&format!("{counts:?} in {:.0} s", start.elapsed().as_secs_f64()));
    check(&counts, number);
}
