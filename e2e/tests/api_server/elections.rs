//! Several operators: one leads, another takes over whatever happens to it, and the first one's pending writes
//! do no harm.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bench::api_server::audit::{Log, Request};
use bench::api_server::{Account, Agents, Behaviour, OperatorOptions, OperatorProcess, Proxy};
use cluster::NAMESPACE;
use futures::future::join;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use xtask::files::tail;

use super::support::{Environment, LIMIT, contents, hash_of, operator, print_line, until};

/// A fault of the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum LeaderFault {
    /// It gets SIGTERM.
    Stopped,
    /// It crashes.
    Killed,
    /// It is paused for longer than its lease, and continues.
    Paused,
    /// It is paused while a write is pending, which arrives once another one leads.
    PausedInAWrite,
    /// Its connection to the API server is cut.
    CutOff,
}

const FAULTS: [LeaderFault; 5] = [
    LeaderFault::Stopped,
    LeaderFault::Killed,
    LeaderFault::Paused,
    LeaderFault::PausedInAWrite,
    LeaderFault::CutOff,
];

/// The timing of an election, and how soon there must be a new leader.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    lease: [Duration; 3],
    /// Less than the lease, which a leader that exits gives back.
    after_an_exit: Duration,
    after_a_crash: Duration,
    /// How soon an accepted late write must be corrected.
    correction: Duration,
}

/// As short as the machine's pauses allow.
const SHORT: Bounds = Bounds {
    lease: [Duration::from_secs(2), Duration::from_millis(1200), Duration::from_millis(200)],
    after_an_exit: Duration::from_millis(1500),
    after_a_crash: Duration::from_secs(8),
    correction: Duration::from_secs(1),
};

/// The chart's timing.
const DEFAULT: Bounds = Bounds {
    lease: [Duration::from_secs(15), Duration::from_secs(10), Duration::from_secs(2)],
    after_an_exit: Duration::from_secs(5),
    after_a_crash: Duration::from_secs(20),
    correction: Duration::from_secs(1),
};

/// The shortest timing with which the leader renews its lease in time even on a busy machine.
const SLOW: Bounds = Bounds {
    lease: [Duration::from_secs(12), Duration::from_secs(9), Duration::from_secs(1)],
    after_an_exit: Duration::from_secs(10),
    after_a_crash: LIMIT,
    correction: Duration::from_secs(10),
};

/// A lease that nobody waits for.
const LONG: Bounds =
    Bounds { lease: [Duration::from_secs(40), Duration::from_secs(30), Duration::from_secs(1)], ..SLOW };

const PROFILES: usize = 5;
const NODES: usize = 3;

/// The lease, as the chart names it.
const LEASE: &str = "seccomp-profile-operator";

/// What a replica logs when another one leads.
const NO_LONGER_LEADER: &str = "no longer the leader";

/// What it logs when a request about the lease is not answered in time.
const UNANSWERED: &str = "the lease cannot be read or written";

struct Replica {
    options: OperatorOptions,
    proxy: Proxy,
    process: Option<OperatorProcess>,
}

/// Operators that elect, agents that report, and profiles that change.
struct Election {
    /// First, so that they are dropped before the server's directory with their files.
    _agents: Agents,
    environment: Environment,
    replicas: Vec<Replica>,
    bounds: Bounds,
    workload: Workload,
    taken_over: BTreeMap<LeaderFault, Vec<Duration>>,
    /// Late writes that their preconditions refused, and accepted ones; without those of leases.
    late: (usize, usize),
}

impl Drop for Election {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for replica in &self.replicas {
                let name = uid(replica.options.number);
                let log = self.environment.server.directory().join(&name).with_extension("log");
                print_line(&format!("{name}:\n{}", tail(&log, 40)));
            }
        }
    }
}

/// Profiles that change one after the other.
#[derive(Default)]
struct Workload {
    /// The number of each profile's last contents.
    wanted: BTreeMap<String, usize>,
    next: usize,
}

impl Workload {
    async fn step(&mut self, environment: &Environment) {
        self.next += 1;
        let name = format!("p{}", self.next % PROFILES);
        environment.apply(&name, &contents(self.next)).await;
        self.wanted.insert(name, self.next);
    }

    async fn run(&mut self, environment: &Environment, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow_and_update() {
            self.step(environment).await;
            // Changes follow each other fast, so that the leader is always reconciling.
            let _ = timeout(Duration::from_millis(25), stop.changed()).await;
        }
    }
}

impl Election {
    async fn new(replicas: usize, bounds: Bounds) -> Self {
        let environment = Environment::new().await;
        let mut agents = environment.agents(None).await;
        for number in 0..NODES {
            agents.join(&format!("n{number}")).await.unwrap();
        }
        let mut started = Vec::new();
        for number in 0..replicas {
            let proxy = Proxy::start(&environment.server).await.unwrap();
            let url = Some(proxy.url().to_owned());
            let options = OperatorOptions { number, url, lease: Some(bounds.lease) };
            let process = Some(OperatorProcess::start(&operator(), &environment.server, &options).unwrap());
            started.push(Replica { options, proxy, process });
        }
        let mut election = Self {
            environment,
            replicas: started,
            bounds,
            workload: Workload::default(),
            _agents: agents,
            taken_over: BTreeMap::new(),
            late: (0, 0),
        };
        // The first writes of a kind take seconds on a new API server.
        for _ in 0..PROFILES {
            election.workload.step(&election.environment).await;
        }
        election.wait_ready(LIMIT).await;
        election
    }

    /// Causes the fault while the leader reconciles, after `delay`.
    async fn round(&mut self, kind: LeaderFault, delay: Duration) {
        let old = leader(&self.environment, None, LIMIT).await;
        let log = self.environment.server.audit();
        let replica = &mut self.replicas[old];
        let mut process = replica.process.take().unwrap();
        let count_before = process.program.log().matches(NO_LONGER_LEADER).count();
        let limit = match kind {
            LeaderFault::Stopped => self.bounds.after_an_exit,
            _ => self.bounds.after_a_crash,
        };
        let (stop, stopped) = watch::channel(false);
        let fault = async {
            sleep(delay).await;
            let start = Instant::now();
            match kind {
                LeaderFault::Stopped => process.program.terminate().unwrap(),
                LeaderFault::Killed => process.program.kill().unwrap(),
                LeaderFault::Paused => process.program.pause().unwrap(),
                LeaderFault::PausedInAWrite => {
                    replica.proxy.behave(Behaviour::HoldWrites);
                    // Statuses and finalizers are patched, leases and Events are not.
                    until("a write on its way", LIMIT, async || {
                        (replica.proxy.held_patches() > 0).then_some(())
                    })
                    .await;
                    process.program.pause().unwrap();
                }
                LeaderFault::CutOff => replica.proxy.behave(Behaviour::Cut),
            }
            let new = leader(&self.environment, Some(old), limit).await;
            let took = start.elapsed();
            // The workload may have ended.
            let _ = stop.send(true);
            (new, took)
        };
        let ((), (new, took)) = join(self.workload.run(&self.environment, stopped), fault).await;
        self.taken_over.entry(kind).or_default().push(took);
        self.wait_ready(LIMIT).await;

        // The old leader continues, or its pending write arrives.
        let replica = &mut self.replicas[old];
        match kind {
            LeaderFault::Stopped | LeaderFault::Killed => {
                drop(process);
                process =
                    OperatorProcess::start(&operator(), &self.environment.server, &replica.options).unwrap();
            }
            LeaderFault::Paused | LeaderFault::PausedInAWrite | LeaderFault::CutOff => {
                let wait_not_leader = async |process: &OperatorProcess| {
                    until("the old leader knowing it", LIMIT, async || {
                        (process.program.log().matches(NO_LONGER_LEADER).count() > count_before).then_some(())
                    })
                    .await;
                };
                if kind == LeaderFault::CutOff {
                    // By its own clock: it gets no answer.
                    wait_not_leader(&process).await;
                }
                replica.proxy.behave(Behaviour::Pass);
                if kind == LeaderFault::PausedInAWrite {
                    until("what was on its way arriving", LIMIT, async || {
                        late(&log, old, new).into_iter().next()
                    })
                    .await;
                }
                if kind != LeaderFault::CutOff {
                    process.program.resume().unwrap();
                }
                wait_not_leader(&process).await;
            }
        }
        process.program.expect_running().unwrap();
        replica.process = Some(process);
        self.wait_ready(self.bounds.correction).await;
        self.check_late_writes(&log, old, new);
        self.check_single_writer(new).await;
    }

    /// With all replicas running, only the leader writes.
    async fn check_single_writer(&mut self, leader: usize) {
        let log = self.environment.server.audit();
        for _ in 0..PROFILES {
            self.workload.step(&self.environment).await;
        }
        self.wait_ready(LIMIT).await;
        let (by_leader, by_others): (Vec<_>, Vec<_>) = log
            .writes()
            .unwrap()
            .into_iter()
            .filter(|write| write.user.uid.starts_with("operator-"))
            .partition(|write| write.user.uid == uid(leader));
        assert!(!by_leader.is_empty(), "the audit log shows nothing");
        assert_eq!(by_others, [], "operator-{leader} leads");
    }

    /// Every late write was refused, or corrected in time.
    fn check_late_writes(&mut self, log: &Log, old: usize, new: usize) {
        let requests = log.requests().unwrap();
        for write in late(log, old, new) {
            if !write.was_accepted() {
                // 504: the client did not wait for the answer, as a candidate waits for the lease one retry period
                // only. Had it taken the lease nevertheless, the new leader would not be the one that writes below.
                let gave_up = write.response_status.code == 504 && write.object_ref.resource == "leases";
                assert!(gave_up || write.response_status.code == 409, "{write:?}");
                self.late.0 += usize::from(write.is_write());
                continue;
            }
            assert_ne!(write.object_ref.resource, "leases", "a lease of another one was taken: {write:?}");
            self.late.1 += 1;
            let by_new = |request: &&Request| {
                request.object_ref == write.object_ref
                    && request.user.uid == uid(new)
                    && request.changes()
                    && request.was_accepted()
            };
            // An object that was written meanwhile has another version than the late write's precondition.
            let between = requests
                .iter()
                .filter(by_new)
                .find(|request| request.stage_timestamp < write.request_received_timestamp);
            assert_eq!(between, None, "it should have been refused: {write:?}");
            // It wrote the same as the new leader, or the new leader corrected it.
            let corrected = requests
                .iter()
                .filter(by_new)
                .find(|request| request.stage_timestamp > write.stage_timestamp);
            if let Some(corrected) = corrected {
                let after = corrected.stage_timestamp.duration_since(write.stage_timestamp);
                assert!(after.unsigned_abs() <= self.bounds.correction, "{write:?}, corrected after {after}");
            }
        }
    }

    /// Waits until every profile is Ready with its last contents.
    async fn wait_ready(&self, limit: Duration) {
        for (name, number) in &self.workload.wanted {
            let hash = hash_of(&contents(*number));
            until(&format!("{name} being Ready with contents {number}"), limit, async || {
                let status = self.environment.get(name).await.unwrap()["status"].take();
                let all = status["ready"] == format!("{NODES}/{NODES}");
                (status["state"] == "Ready" && all && status["contentHash"] == hash).then_some(())
            })
            .await;
        }
    }

    fn summary(&self) -> String {
        let mut text = String::new();
        for (kind, times) in &self.taken_over {
            let most = times.iter().max().unwrap().as_secs_f64();
            text.push_str(&format!(
                "\n  {kind:?}: {} times, a new leader after at most {most:.2} s",
                times.len()
            ));
        }
        let (refused, accepted) = self.late;
        format!("{text}\n  late writes: {refused} refused, {accepted} accepted")
    }
}

/// Waits for a leader other than `but`.
async fn leader(environment: &Environment, but: Option<usize>, limit: Duration) -> usize {
    let leases: Api<Lease> = Api::namespaced(environment.admin.clone(), NAMESPACE);
    until(&format!("a leader (not {but:?})"), limit, async || {
        let holder = leases.get_opt(LEASE).await.unwrap()?.spec?.holder_identity?;
        let number = holder.strip_prefix("operator-")?.split('_').next()?.parse().ok()?;
        (Some(number) != but).then_some(number)
    })
    .await
}

/// The write requests of `old`, also of leases, after `new` had the lease.
fn late(log: &Log, old: usize, new: usize) -> Vec<Request> {
    let requests = log.requests().unwrap();
    let took = |request: &&Request| {
        let lease = request.object_ref.resource == "leases" && request.user.uid == uid(new);
        lease && request.changes() && request.was_accepted()
    };
    let Some(since) = requests.iter().find(took).map(|request| request.stage_timestamp) else {
        return Vec::new();
    };
    let is_late = |request: &Request| {
        request.user.uid == uid(old) && request.changes() && request.request_received_timestamp > since
    };
    requests.into_iter().filter(is_late).collect()
}

fn uid(number: usize) -> String {
    Account::Operator(number).uid()
}

/// Every fault in turn, `rounds` in all.
async fn elections(replicas: usize, rounds: usize, bounds: Bounds) {
    let mut election = Election::new(replicas, bounds).await;
    for (round, kind) in (0..rounds).zip(FAULTS.iter().cycle()) {
        // At different points of the reconciliations and the renewals.
        election.round(*kind, Duration::from_millis(100 + 37 * u64::try_from(round).unwrap() % 400)).await;
    }
    print_line(&format!("{replicas} operators, {rounds} elections:{}", election.summary()));
    assert!(election.late.0 > 0, "no late write was refused, so that nothing was tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_a_leader_another_one_takes_over_and_its_late_writes_do_no_harm() {
    elections(2, 5, SLOW).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_renewals_are_answered_too_late_goes_on_as_long_as_they_arrive() {
    let election = Election::new(1, LONG).await;
    let leases: Api<Lease> = Api::namespaced(election.environment.admin.clone(), NAMESPACE);
    let lease = async || leases.get(LEASE).await.unwrap();
    let replica = &election.replicas[0];
    let log = || replica.process.as_ref().unwrap().program.log();
    let transitions = lease().await.spec.unwrap().lease_transitions;
    for _ in 0..3 {
        let before = lease().await.metadata.resource_version;
        let unanswered = log().matches(UNANSWERED).count();
        replica.proxy.behave(Behaviour::HoldAnswers);
        until("a renewal that gets no answer", LIMIT, async || {
            let arrived = lease().await.metadata.resource_version != before;
            (arrived && log().matches(UNANSWERED).count() > unanswered).then_some(())
        })
        .await;
        replica.proxy.behave(Behaviour::Pass);
        let mut last = lease().await.metadata.resource_version;
        for _ in 0..3 {
            last = until("another renewal", LIMIT, async || {
                Some(lease().await.metadata.resource_version).filter(|version| *version != last)
            })
            .await;
        }
    }
    assert!(!log().contains(NO_LONGER_LEADER), "{}", log());
    assert_eq!(lease().await.spec.unwrap().lease_transitions, transitions);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: fifty elections take some minutes"]
async fn two_operators_elect_fifty_times() {
    elections(2, 50, SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: fifty elections take some minutes"]
async fn three_operators_elect_fifty_times() {
    elections(3, 50, SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: the chart's lease lasts 15 s"]
async fn the_charts_timing_gives_a_new_leader_within_20_s_of_a_crash() {
    elections(2, 5, DEFAULT).await;
}
