//! What one report costs the operator's index, as the cluster grows: `cargo bench -p bench --bench index`.
//!
//! A report comes in of which one profile differs from the last one, as when a file is repaired, or all, as after an
//! update; the keys that are due are taken, and one profile is decided. One more node lacks every profile, and each has
//! its status, as in the middle of a rollout. Each report is of another node, so that nothing is in the CPU's
//! caches. Instructions are of the first kind; where they are counted (`--instructions`, which needs valgrind), it
//! fails if they grow by more than the bar.

mod clock;

use std::collections::BTreeMap;
use std::hint::black_box;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use operator::facts::{NodeFacts, ObjectVersion, ProfileFacts, ProfileOrigin, ReportFacts, UpdateSource};
use operator::index::{Index, ProfileOperation, WorkKey};
use profile::{ContentHash, ShortHash};

const NODES: [usize; 4] = [10, 100, 1_000, 5_000];
const PROFILES: [usize; 3] = [10, 100, 500];
/// Reports that are measured together.
const REPORTS: usize = 1_000;
const ROUNDS: usize = 5;
/// Reports whose instructions are counted.
const COUNTED: usize = 100;
/// So many times as much a report may cost in the largest cluster as in the smallest.
const BAR: f64 = 1.5;

fn main() -> Result<(), String> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    // The program calls itself so under valgrind.
    if let [word, nodes, profiles, reports] = arguments.as_slice()
        && word == "once"
    {
        let number = |text: &String| text.parse().unwrap_or_default();
        let mut fixture = Fixture::new(number(nodes), number(profiles));
        // As many are made whatever is taken, so that making them is not part of the difference.
        let mut all = fixture.reports(1 + COUNTED, Change::One);
        all.truncate(number(reports));
        fixture.take(all);
        return Ok(());
    }
    let count = arguments.iter().any(|argument| argument == "--instructions");
    println!(
        "{:<10}{:>8}{:>16}{:>16}{:>18}",
        "profiles", "nodes", "µs, one differs", "µs, all differ", "instructions, one"
    );
    let mut missed = Vec::new();
    for profiles in PROFILES {
        let mut growth = Vec::new();
        for nodes in NODES {
            let mut fixture = Fixture::new(nodes, profiles);
            let [one, all] = [Change::One, Change::All].map(|change| fixture.least(change));
            let mut cell = String::new();
            if count {
                let instructions =
                    each(nodes, profiles).ok_or("callgrind counted nothing; is valgrind installed?")?;
                growth.push(instructions);
                cell = instructions.to_string();
            }
            println!("{profiles:<10}{nodes:>8}{one:>16.2}{all:>16.2}{cell:>18}");
        }
        if let [smallest, .., largest] = growth[..]
            && largest as f64 > BAR * smallest as f64
        {
            missed.push(format!("{profiles} profiles: {smallest} instructions became {largest}"));
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(format!("more than {BAR} times: {}", missed.join("; "))) }
}

/// Instructions of one report: of two runs that differ by some, the difference.
fn each(nodes: usize, profiles: usize) -> Option<u64> {
    let run = |reports: u64| {
        let numbers = [nodes as u64, profiles as u64, reports].map(|number| number.to_string());
        clock::instructions(&[vec!["once".to_owned()], numbers.to_vec()].concat())
    };
    Some(run(1 + COUNTED as u64)?.checked_sub(run(1)?)? / COUNTED as u64)
}

/// What differs between a node's report and its last one.
#[derive(Debug, Clone, Copy)]
enum Change {
    One,
    All,
}

struct Fixture {
    index: Index,
    nodes: usize,
    profiles: usize,
    now: Timestamp,
    version: u64,
    /// Makes the next reports differ.
    turn: usize,
}

impl Fixture {
    /// A cluster in which every node has reported every profile.
    fn new(nodes: usize, profiles: usize) -> Self {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(500_000);
        let mut fixture = Self { index: Index::new("profiles"), nodes, profiles, now, version: 1, turn: 0 };
        for profile in 0..profiles {
            let facts = ProfileFacts {
                name: name(profile),
                version: version(&name(profile), 1),
                generation: Some(1),
                text: hash(0),
                content: Ok(hash(0)),
                unchecked: None,
                node_selector: None,
                deletion: None,
                finalizer: Some(0),
                has_finalizers: true,
                without_report: None,
                origin: ProfileOrigin::User,
                delete_in_use: false,
                removal_approved: false,
                status: None,
            };
            fixture.index.apply_profile(facts, UpdateSource::List, now);
        }
        for node in 0..=nodes {
            let facts = NodeFacts {
                name: format!("node-{node:05}"),
                uid: format!("uid-{node}"),
                created: Timestamp::UNIX_EPOCH,
                selected: true,
                reachable: true,
                answers: true,
                architecture: None,
                labels: BTreeMap::new(),
            };
            fixture.index.apply_node(facts, now);
            let report = fixture.report(node, |_| usize::from(node == nodes));
            fixture.index.apply_report(report, UpdateSource::List, now);
        }
        for profile in 0..profiles {
            fixture.store_status(&name(profile));
        }
        fixture.index.take_dirty();
        fixture
    }

    /// Writes the status of a profile, as the operator would.
    fn store_status(&mut self, profile: &str) {
        let decision = self.index.decide_profile(profile, self.now);
        let Some(ProfileOperation::WriteStatus { status, .. }) = decision.map(|decision| decision.operation)
        else {
            return;
        };
        if let Some(facts) = self.index.profile(profile).cloned() {
            let facts = ProfileFacts { status: Some((*status).clone()), ..facts };
            self.index.apply_profile(facts, UpdateSource::Answer, self.now);
            self.index.status_written(profile, &status, self.now);
        }
    }

    fn report(&mut self, node: usize, content: impl Fn(usize) -> usize) -> ReportFacts {
        self.version += 1;
        let files: BTreeMap<String, ShortHash> =
            (0..self.profiles).map(|profile| (name(profile), hash(content(profile)).short())).collect();
        let name = format!("node-{node:05}");
        ReportFacts {
            version: version(&name, self.version),
            node: name,
            owner: Some(format!("uid-{node}")),
            files: Some(files),
            changed: None,
            problems: BTreeMap::new(),
            excluded: BTreeMap::new(),
            has_status: true,
            ready: None,
            containers_start: None,
            start_failures: Vec::new(),
        }
    }

    /// Reports of all nodes in turn, each to and fro, so that each changes how its node stands.
    fn reports(&mut self, count: usize, change: Change) -> Vec<ReportFacts> {
        (0..count)
            .map(|_| {
                let (node, lap) = (self.turn % self.nodes, self.turn / self.nodes + 1);
                self.turn += 1;
                match change {
                    Change::One => self.report(node, |profile| if profile == 0 { lap % 2 } else { 0 }),
                    Change::All => self.report(node, |_| lap % 2),
                }
            })
            .collect()
    }

    fn take(&mut self, reports: Vec<ReportFacts>) {
        for report in reports {
            self.index.apply_report(report, UpdateSource::Watch, self.now);
            if let Some(WorkKey::Profile(name)) = self.index.take_dirty().into_iter().next() {
                black_box(self.index.decide_profile(&name, self.now));
            }
        }
    }

    /// The least microseconds of CPU time for one report.
    fn least(&mut self, change: Change) -> f64 {
        let times = (0..ROUNDS).map(|_| {
            let reports = self.reports(REPORTS, change);
            clock::cpu_time(|| self.take(reports)).as_secs_f64() * 1e6 / REPORTS as f64
        });
        times.fold(f64::INFINITY, f64::min)
    }
}

fn name(profile: usize) -> String {
    format!("profile-{profile:04}")
}

fn hash(content: usize) -> ContentHash {
    ContentHash::of(&content.to_le_bytes())
}

fn version(uid: &str, version: u64) -> ObjectVersion {
    ObjectVersion { uid: uid.to_owned(), resource_version: version.to_string() }
}
