//! Several operators: one leads, another takes over whatever becomes of it, and what the first had begun to write
//! does no harm.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bench::api_server::audit::{Log, Request};
use bench::api_server::{Account, Agents, Behaviour, OperatorOptions, OperatorProcess, Proxy};
use cluster::NAMESPACE;
use futures::future::join;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use xtask::files::tail;

use super::support::{LIMIT, World, contents, hash_of, operator, say, until};

/// What becomes of a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// It is asked to end.
    Stopped,
    /// It crashes.
    Killed,
    /// It stands still beyond its lease, and goes on.
    Paused,
    /// It stands still while what it has sent has not arrived yet; that arrives once another one leads.
    PausedInAWrite,
    /// The API server does not hear it, nor it the API server.
    CutOff,
}

const FATES: [Fate; 5] = [Fate::Stopped, Fate::Killed, Fate::Paused, Fate::PausedInAWrite, Fate::CutOff];

/// How an election is timed, and how soon somebody must lead again.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    lease: [Duration; 3],
    after_an_exit: Duration,
    after_a_crash: Duration,
}

/// As short as the machine's pauses allow.
const SHORT: Bounds = Bounds {
    lease: [Duration::from_millis(2000), Duration::from_millis(1200), Duration::from_millis(200)],
    // Less than the lease, which a leader that exits gives back.
    after_an_exit: Duration::from_millis(1500),
    after_a_crash: Duration::from_secs(8),
};

/// The chart's.
const DEFAULT: Bounds = Bounds {
    lease: [Duration::from_secs(15), Duration::from_secs(10), Duration::from_secs(2)],
    after_an_exit: Duration::from_secs(5),
    after_a_crash: Duration::from_secs(20),
};

/// As short as a test can be whose leader must not be too slow for its own lease on a busy machine.
const PATIENT: Bounds = Bounds {
    lease: [Duration::from_secs(12), Duration::from_secs(9), Duration::from_millis(500)],
    after_an_exit: Duration::from_secs(5),
    after_a_crash: Duration::from_secs(20),
};

/// How soon a late write that got through must be corrected.
const CORRECTED: Duration = Duration::from_secs(1);

const PROFILES: usize = 5;
const NODES: usize = 3;

/// The lease, as the chart names it.
const LEASE: &str = "seccomp-profile-operator";

/// What a replica says when it knows that another one leads.
const NO_LONGER_LEADER: &str = "no longer the leader";

/// What it says when a request about the lease is not answered in time.
const UNANSWERED: &str = "the lease cannot be read or written";

struct Replica {
    options: OperatorOptions,
    proxy: Proxy,
    process: Option<OperatorProcess>,
}

/// Operators that elect, agents that report, and profiles that change.
struct Election {
    /// First: they end before the world goes, with their disks in it.
    _agents: Agents,
    world: World,
    replicas: Vec<Replica>,
    bounds: Bounds,
    work: Work,
    taken_over: BTreeMap<Fate, Vec<Duration>>,
    /// Late writes that their preconditions refused, and those that got through; leases aside.
    late: (usize, usize),
}

impl Drop for Election {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for replica in &self.replicas {
                let name = uid(replica.options.number);
                let log = self.world.server.directory().join(&name).with_extension("log");
                say(&format!("{name}:\n{}", tail(&log, 40)));
            }
        }
    }
}

/// Profiles that change one after the other.
#[derive(Default)]
struct Work {
    /// The number of the contents that each profile was given last.
    wanted: BTreeMap<String, usize>,
    next: usize,
}

impl Work {
    async fn step(&mut self, world: &World) {
        self.next += 1;
        let name = format!("p{}", self.next % PROFILES);
        world.apply(&name, &contents(self.next)).await;
        self.wanted.insert(name, self.next);
    }

    async fn go_on(&mut self, world: &World, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow_and_update() {
            self.step(world).await;
            // A pace: the leader shall always be in the middle of something.
            let _ = timeout(Duration::from_millis(25), stop.changed()).await;
        }
    }
}

impl Election {
    async fn new(replicas: usize, bounds: Bounds) -> Self {
        let world = World::new().await;
        let mut agents = world.agents(None).await;
        for number in 0..NODES {
            agents.join(&format!("n{number}")).await.unwrap();
        }
        let mut started = Vec::new();
        for number in 0..replicas {
            let proxy = Proxy::start(&world.server).await.unwrap();
            let url = Some(proxy.url().to_owned());
            let options = OperatorOptions { number, url, lease: Some(bounds.lease) };
            let process = Some(OperatorProcess::start(&operator(), &world.server, &options).unwrap());
            started.push(Replica { options, proxy, process });
        }
        let mut election = Self {
            world,
            replicas: started,
            bounds,
            work: Work::default(),
            _agents: agents,
            taken_over: BTreeMap::new(),
            late: (0, 0),
        };
        // A new API server takes seconds for the first writes of a kind.
        for _ in 0..PROFILES {
            election.work.step(&election.world).await;
        }
        election.settled(LIMIT).await;
        election
    }

    /// One leader meets its fate in the middle of its work, after `delay`.
    async fn round(&mut self, fate: Fate, delay: Duration) {
        let old = leader(&self.world, None, LIMIT).await;
        let log = self.world.server.audit();
        let replica = &mut self.replicas[old];
        let mut process = replica.process.take().unwrap();
        let told = process.program.log().matches(NO_LONGER_LEADER).count();
        let limit = match fate {
            Fate::Stopped => self.bounds.after_an_exit,
            _ => self.bounds.after_a_crash,
        };
        let (stop, stopped) = watch::channel(false);
        let fault = async {
            sleep(delay).await;
            let start = Instant::now();
            match fate {
                Fate::Stopped => process.program.terminate().unwrap(),
                Fate::Killed => process.program.kill().unwrap(),
                Fate::Paused => process.program.pause().unwrap(),
                Fate::PausedInAWrite => {
                    replica.proxy.behave(Behaviour::HoldWrites);
                    // Statuses and finalizers are patched, leases and Events are not.
                    until("a write on its way", LIMIT, async || {
                        (replica.proxy.held_patches() > 0).then_some(())
                    })
                    .await;
                    process.program.pause().unwrap();
                }
                Fate::CutOff => replica.proxy.behave(Behaviour::Cut),
            }
            let new = leader(&self.world, Some(old), limit).await;
            let took = start.elapsed();
            // Whoever waits for it may have ended.
            let _ = stop.send(true);
            (new, took)
        };
        let ((), (new, took)) = join(self.work.go_on(&self.world, stopped), fault).await;
        self.taken_over.entry(fate).or_default().push(took);
        self.settled(LIMIT).await;

        // The old one comes back, or what it had in hand does.
        let replica = &mut self.replicas[old];
        match fate {
            Fate::Stopped | Fate::Killed => {
                drop(process);
                process = OperatorProcess::start(&operator(), &self.world.server, &replica.options).unwrap();
            }
            Fate::Paused | Fate::PausedInAWrite | Fate::CutOff => {
                let knows = async |process: &OperatorProcess| {
                    until("the old leader knowing it", LIMIT, async || {
                        (process.program.log().matches(NO_LONGER_LEADER).count() > told).then_some(())
                    })
                    .await;
                };
                if fate == Fate::CutOff {
                    // By itself: nobody can tell it.
                    knows(&process).await;
                }
                replica.proxy.behave(Behaviour::Pass);
                if fate == Fate::PausedInAWrite {
                    until("what was on its way arriving", LIMIT, async || {
                        late(&log, old, new).into_iter().next()
                    })
                    .await;
                }
                if fate != Fate::CutOff {
                    process.program.resume().unwrap();
                }
                knows(&process).await;
            }
        }
        process.program.expect_running().unwrap();
        replica.process = Some(process);
        self.settled(CORRECTED).await;
        self.no_harm(&log, old, new);
        self.one_writes(new).await;
    }

    /// With everybody there, one operator writes, and the others write nothing.
    async fn one_writes(&mut self, leader: usize) {
        let log = self.world.server.audit();
        for _ in 0..PROFILES {
            self.work.step(&self.world).await;
        }
        self.settled(LIMIT).await;
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
    fn no_harm(&mut self, log: &Log, old: usize, new: usize) {
        let requests = log.requests().unwrap();
        for write in late(log, old, new) {
            if !write.was_accepted() {
                // 504: whoever asked did not wait for the answer, as a candidate waits for the lease one retry period
                // only. Had it taken the lease all the same, the new leader would not be the one that writes below.
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
            // An object that was written meanwhile has another version than the late write asks for.
            let between = requests
                .iter()
                .filter(by_new)
                .find(|request| time(&request.stage_timestamp) < time(&write.request_received_timestamp));
            assert_eq!(between, None, "it should have been refused: {write:?}");
            // It judged as the new leader does, or the new leader said so.
            let corrected = requests
                .iter()
                .filter(by_new)
                .find(|request| time(&request.stage_timestamp) > time(&write.stage_timestamp));
            if let Some(corrected) = corrected {
                let after = time(&corrected.stage_timestamp).duration_since(time(&write.stage_timestamp));
                assert!(after.unsigned_abs() <= CORRECTED, "{write:?}, corrected after {after}");
            }
        }
    }

    /// Waits until every profile is shown as it should be.
    async fn settled(&self, limit: Duration) {
        for (name, number) in &self.work.wanted {
            let hash = hash_of(&contents(*number));
            until(&format!("{name} being Ready with contents {number}"), limit, async || {
                let status = self.world.get(name).await.unwrap()["status"].take();
                let all = status["ready"] == format!("{NODES}/{NODES}");
                (status["state"] == "Ready" && all && status["contentHash"] == hash).then_some(())
            })
            .await;
        }
    }

    fn summary(&self) -> String {
        let mut text = String::new();
        for (fate, times) in &self.taken_over {
            let most = times.iter().max().unwrap().as_secs_f64();
            text.push_str(&format!(
                "\n  {fate:?}: {} times, a new leader after at most {most:.2} s",
                times.len()
            ));
        }
        let (refused, accepted) = self.late;
        format!("{text}\n  late writes: {refused} refused, {accepted} accepted")
    }
}

/// Who leads, once somebody other than `but` does.
async fn leader(world: &World, but: Option<usize>, limit: Duration) -> usize {
    let leases: Api<Lease> = Api::namespaced(world.admin.clone(), NAMESPACE);
    until(&format!("a leader (not {but:?})"), limit, async || {
        let holder = leases.get_opt(LEASE).await.unwrap()?.spec?.holder_identity?;
        let number = holder.strip_prefix("operator-")?.split('_').next()?.parse().ok()?;
        (Some(number) != but).then_some(number)
    })
    .await
}

/// What `old` asked to write, leases too, after `new` had the lease.
fn late(log: &Log, old: usize, new: usize) -> Vec<Request> {
    let requests = log.requests().unwrap();
    let took = |request: &&Request| {
        let lease = request.object_ref.resource == "leases" && request.user.uid == uid(new);
        lease && request.changes() && request.was_accepted()
    };
    let Some(since) = requests.iter().find(took).map(|request| time(&request.stage_timestamp)) else {
        return Vec::new();
    };
    let is_late = |request: &Request| {
        request.user.uid == uid(old) && request.changes() && time(&request.request_received_timestamp) > since
    };
    requests.into_iter().filter(is_late).collect()
}

fn uid(number: usize) -> String {
    Account::Operator(number).uid()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Every fate in turn, `rounds` in all.
async fn elections(replicas: usize, rounds: usize, bounds: Bounds) {
    let mut election = Election::new(replicas, bounds).await;
    for (round, fate) in (0..rounds).zip(FATES.iter().cycle()) {
        // Not always at the same place of its work or of its renewals.
        election.round(*fate, Duration::from_millis(100 + 37 * u64::try_from(round).unwrap() % 400)).await;
    }
    say(&format!("{replicas} operators, {rounds} elections:{}", election.summary()));
    assert!(election.late.0 > 0, "no late write was refused, so that nothing was tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_a_leader_another_one_takes_over_and_its_late_writes_do_no_harm() {
    elections(2, 5, SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_renewals_are_answered_too_late_goes_on_as_long_as_they_arrive() {
    let election = Election::new(1, PATIENT).await;
    let leases: Api<Lease> = Api::namespaced(election.world.admin.clone(), NAMESPACE);
    let lease = async || leases.get(LEASE).await.unwrap();
    let replica = &election.replicas[0];
    let log = || replica.process.as_ref().unwrap().program.log();
    let transitions = lease().await.spec.unwrap().lease_transitions;
    for _ in 0..3 {
        let before = lease().await.metadata.resource_version;
        let unanswered = log().matches(UNANSWERED).count();
        replica.proxy.behave(Behaviour::HoldAnswers);
        until("a renewal that nobody hears of", LIMIT, async || {
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
