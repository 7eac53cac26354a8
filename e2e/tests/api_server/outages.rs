//! An API server that is unavailable, fails or loses its history: the files stay, no program retries in a tight loop,
//! and changes arrive soon afterwards.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bench::api_server::{Agents, Behaviour, OperatorOptions, OperatorProcess, Proxy};
use http::StatusCode;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::{Instant as Time, sleep_until};

use super::disk_poller::{DiskPoller, Rule, cpu_time};
use super::support::{Environment, LIMIT, bytes_of, contents, hash_of, operator, print_line, until};

/// The short form of each outage.
const SHORT: Duration = Duration::from_secs(10);

/// Watches of one agent and of the operator.
const AGENT_WATCHES: u64 = 2;
const OPERATOR_WATCHES: u64 = 4;

/// What a program may take.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// How soon after an outage everything must be right.
    convergence: Duration,
    /// The largest share of a CPU for the operator during an outage.
    operator_busy: f64,
    /// The largest share for one agent, including its share of the proxy.
    agent_busy: f64,
}

impl Bounds {
    /// Those of the long outages, in which what the programs take for their start does not count; the short ones, which
    /// run beside a compiler, show that nothing hangs or spins. That nobody asks too often is counted in both.
    fn of(outage: Duration) -> Self {
        if outage > SHORT {
            return Self { convergence: LIMIT, operator_busy: 0.05, agent_busy: 0.02 };
        }
        Self { convergence: 2 * LIMIT, operator_busy: 0.5, agent_busy: 0.04 }
    }
}

/// Profiles that never change, in two pages of an agent's list: a small page and a large one.
const SMALL: usize = 8;
const LARGE: usize = 3;

/// The profile that changes.
const CHANGING: &str = "changing";

/// Agents that share a proxy to the API server.
struct Group {
    name: &'static str,
    proxy: Proxy,
    agents: Agents,
}

/// An operator and groups of agents, each with its own proxy to the API server.
struct Scene {
    /// First, so that the agents are dropped before the server's directory with their files.
    groups: Vec<Group>,
    environment: Environment,
    operator_proxy: Proxy,
    operator: OperatorProcess,
    /// The contents of [`CHANGING`] by number.
    number: usize,
    bounds: Bounds,
}

/// The counters at the beginning of an outage.
struct Baseline {
    start: Instant,
    poller: DiskPoller,
    requests: Vec<u64>,
    operator_requests: u64,
    busy: Duration,
    operator_busy: Duration,
}

impl Scene {
    /// Starts `groups`, by name and number of agents, and waits until every profile is Ready.
    async fn new(groups: &[(&'static str, usize)], bounds: Bounds) -> Self {
        let environment = Environment::new().await;
        let operator_proxy = Proxy::start(&environment.server).await.unwrap();
        let operator = start_operator(&environment, &operator_proxy);
        for (name, contents) in unchanging_profiles() {
            environment.apply(&name, &contents).await;
        }
        environment.apply(CHANGING, &contents(0)).await;
        let mut scene = Self { environment, operator_proxy, operator, groups: Vec::new(), number: 0, bounds };
        for (name, size) in groups {
            let proxy = Proxy::start(&scene.environment.server).await.unwrap();
            let mut agents = scene.environment.agents(Some(proxy.url())).await;
            for number in 0..*size {
                agents.join(&format!("{}-{number}", name.to_lowercase())).await.unwrap();
            }
            scene.groups.push(Group { name, proxy, agents });
        }
        scene.wait_everything_ready(LIMIT).await;
        scene
    }

    fn files<'a>(&'a self, profile: &str) -> impl Iterator<Item = PathBuf> + use<'a> {
        let file = format!("{profile}.json");
        let files = |group: &'a Group, file: String| {
            group.agents.names().map(move |node| group.agents.directory(node).join(&file))
        };
        self.groups.iter().flat_map(move |group| files(group, file.clone()))
    }

    fn nodes(&self) -> usize {
        self.groups.iter().map(|group| group.agents.names().count()).sum()
    }

    /// Waits until the profiles that never change are Ready.
    async fn wait_everything_ready(&self, limit: Duration) {
        let all = unchanging_profiles().into_iter().chain([(CHANGING.to_owned(), contents(self.number))]);
        for (name, contents) in all {
            self.wait_ready(&name, &contents, limit).await;
        }
    }

    /// Waits until the status counts these contents on every node.
    async fn wait_ready(&self, name: &str, contents: &Value, limit: Duration) {
        let (hash, ready) = (hash_of(contents), format!("{0}/{0}", self.nodes()));
        until(&format!("{name} being Ready"), limit, async || {
            let status = self.environment.get(name).await?["status"].clone();
            (status["contentHash"] == hash.as_str()
                && status["ready"] == ready.as_str()
                && status["state"] == "Ready")
                .then_some(())
        })
        .await;
    }

    /// Begins an outage: from now on files are polled and requests are counted. [`CHANGING`] may change on the nodes if
    /// `changes` is true.
    fn begin(&self, changes: bool) -> Baseline {
        let mut files: Vec<_> = unchanging_profiles()
            .iter()
            .flat_map(|(name, _)| self.files(name).collect::<Vec<_>>())
            .map(|path| (path, Rule::Untouched))
            .collect();
        let rule = match changes {
            true => Rule::OneOf([0, 1].map(|more| bytes_of(&contents(self.number + more))).to_vec()),
            false => Rule::Untouched,
        };
        files.extend(self.files(CHANGING).map(|path| (path, rule.clone())));
        Baseline {
            start: Instant::now(),
            poller: DiskPoller::start(files),
            requests: self.groups.iter().map(|group| group.proxy.requests()).collect(),
            operator_requests: self.operator_proxy.requests(),
            busy: cpu_time("/proc/self/stat"),
            operator_busy: self.operator_busy(),
        }
    }

    fn operator_busy(&self) -> Duration {
        cpu_time(&format!("/proc/{}/stat", self.operator.program.id()))
    }

    /// Checks at the end of an outage that nothing crashed, no file changed, and no program sent more requests than the
    /// back-off allows.
    fn end(&mut self, before: Baseline) {
        self.operator.program.expect_running().unwrap();
        let took = before.start.elapsed();
        let seen = before.poller.finish();
        let seconds = took.as_secs_f64();
        print_line(&format!("  {seconds:.0} s, {} looks at {} nodes", seen.looks, self.nodes()));
        for (group, before) in self.groups.iter().zip(&before.requests) {
            group.agents.expect_running().unwrap();
            let asked = group.proxy.requests() - before;
            let agents = group.agents.names().count() as u64;
            let most = agents * AGENT_WATCHES * most_of_one(took);
            print_line(&format!(
                "  {}: {asked} requests, {:.2} a second and agent",
                group.name,
                asked as f64 / seconds / agents as f64
            ));
            assert!(asked <= most, "{}: {asked} requests, at most {most}", group.name);
        }
        let asked = self.operator_proxy.requests() - before.operator_requests;
        let most = OPERATOR_WATCHES * most_of_one(took) + 20;
        let busy = (self.operator_busy() - before.operator_busy).as_secs_f64() / seconds;
        print_line(&format!(
            "  operator: {asked} requests, {:.2} a second, {:.1} % of a CPU",
            asked as f64 / seconds,
            100.0 * busy
        ));
        assert!(asked <= most, "the operator: {asked} requests, at most {most}");
        assert!(busy <= self.bounds.operator_busy, "the operator takes {busy:.3} of a CPU");
        let busy = cpu_time("/proc/self/stat") - before.busy - seen.cpu;
        let busy = busy.as_secs_f64() / seconds / self.nodes() as f64;
        print_line(&format!("  an agent: {:.2} % of a CPU", 100.0 * busy));
        assert!(busy <= self.bounds.agent_busy, "an agent takes {busy:.4} of a CPU");
    }

    /// Changes [`CHANGING`].
    async fn change(&mut self) {
        self.number += 1;
        self.environment.apply(CHANGING, &contents(self.number)).await;
    }

    /// Waits until the change is on every disk and in the status, as soon as the bounds say, and prints the time.
    async fn wait_converged(&self) {
        let limit = self.bounds.convergence;
        let start = Instant::now();
        let wanted = bytes_of(&contents(self.number));
        until("the change being on every disk", limit, async || {
            self.files(CHANGING).all(|file| fs::read(file).is_ok_and(|bytes| bytes == wanted)).then_some(())
        })
        .await;
        let files = start.elapsed();
        self.wait_ready(CHANGING, &contents(self.number), limit.saturating_sub(files)).await;
        print_line(&format!(
            "  converged: files after {:.1} s, status after {:.1} s",
            files.as_secs_f64(),
            start.elapsed().as_secs_f64()
        ));
        self.wait_everything_ready(limit).await;
        self.check_deletion().await;
    }

    /// Checks that an unused profile is deleted as usual.
    async fn check_deletion(&self) {
        let limit = self.bounds.convergence;
        let (name, contents) = ("passing", contents(7));
        self.environment.apply(name, &contents).await;
        self.wait_ready(name, &contents, limit).await;
        let start = Instant::now();
        self.environment.profiles.delete(name, &DeleteParams::default()).await.unwrap();
        until("the deletion being over", limit, async || {
            self.environment.get(name).await.is_none().then_some(())
        })
        .await;
        print_line(&format!("  a profile deleted: gone after {:.1} s", start.elapsed().as_secs_f64()));
    }

    /// All proxies to the API server.
    fn proxies(&self) -> impl Iterator<Item = &Proxy> {
        self.groups.iter().map(|group| &group.proxy).chain([&self.operator_proxy])
    }
}

fn start_operator(environment: &Environment, proxy: &Proxy) -> OperatorProcess {
    let options = OperatorOptions { number: 0, url: Some(proxy.url().to_owned()), lease: None };
    OperatorProcess::start(&operator(), &environment.server, &options).unwrap()
}

/// The profiles that never change.
fn unchanging_profiles() -> Vec<(String, Value)> {
    let large = |number: usize| {
        let names: Vec<_> = (0..1000).map(|call| format!("never_called_{number}_{call}")).collect();
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": names, "action": "SCMP_ACT_LOG" }] })
    };
    let small = (0..SMALL).map(|number| (format!("a-{number}"), contents(100 + number)));
    small.chain((0..LARGE).map(|number| (format!("b-{number}"), large(number)))).collect()
}

/// More than the page of small profiles, less than that of large ones.
const BETWEEN: usize = 48_000;

/// The most requests of one watch, and what is written besides, in an outage: each attempt is a page of a list or two,
/// or a list and a watch; there are five until the pause is at its longest, and then one every ten seconds at most.
fn most_of_one(outage: Duration) -> u64 {
    2 * (5 + outage.as_secs() / 10)
}

async fn wait_for_end(start: Instant, outage: Duration) {
    sleep_until(Time::from_std(start) + outage).await;
}

/// The API server is killed, and comes back.
async fn stop_and_restart(outage: Duration) {
    let mut scene = Scene::new(&[("Agents", 12)], Bounds::of(outage)).await;
    print_line(&format!("away for {} s", outage.as_secs()));
    let before = scene.begin(false);
    let start = before.start;
    scene.environment.server.kill_server();
    wait_for_end(start, outage).await;
    scene.end(before);
    scene.environment.server.start_server().unwrap();
    scene.change().await;
    scene.wait_converged().await;
    if outage > SHORT {
        return;
    }

    print_line("etcd away");
    let before = scene.begin(false);
    let start = before.start;
    scene.environment.server.kill_etcd();
    wait_for_end(start, outage / 2).await;
    scene.end(before);
    scene.environment.server.start_etcd().unwrap();
    until("the API server's answers", LIMIT, async || {
        scene.environment.profiles.get_opt(CHANGING).await.ok().flatten().map(drop)
    })
    .await;
    scene.change().await;
    scene.wait_converged().await;

    print_line("compacted while nobody watches");
    let before = scene.begin(false);
    for proxy in scene.proxies() {
        proxy.behave(Behaviour::Refuse);
    }
    scene.change().await;
    // Its deletion is visible only in a list without it.
    let gone = unchanging_profiles().remove(0).0;
    let lift = json!({ "metadata": { "finalizers": null } });
    scene.environment.profiles.delete(&gone, &DeleteParams::default()).await.unwrap();
    scene.environment.profiles.patch(&gone, &PatchParams::default(), &Patch::Merge(lift)).await.unwrap();
    until("the profile being gone", LIMIT, async || {
        scene.environment.get(&gone).await.is_none().then_some(())
    })
    .await;
    scene.environment.server.kill_server();
    scene.environment.server.compact_etcd().await.unwrap();
    // Its cache has no more versions than etcd.
    scene.environment.server.start_server().unwrap();
    scene.end(before);
    let log = scene.environment.server.audit();
    let back = Instant::now();
    for proxy in scene.proxies() {
        proxy.behave(Behaviour::Pass);
    }
    until("the file being gone from every disk", scene.bounds.convergence, async || {
        scene.files(&gone).all(|file| !file.exists()).then_some(())
    })
    .await;
    print_line(&format!(
        "  the file of a profile that went meanwhile: gone after {:.1} s",
        back.elapsed().as_secs_f64()
    ));
    scene.environment.apply(&gone, &unchanging_profiles()[0].1).await;
    scene.wait_converged().await;
    let requests = log.requests().unwrap();
    let of_profiles = requests.iter().filter(|asked| asked.object_ref.resource == "seccompprofiles");
    // The agents request a list as a stream.
    let lists =
        of_profiles.filter(|asked| asked.verb == "list" || asked.uri.contains("sendInitialEvents=true"));
    assert!(lists.count() >= scene.nodes(), "no program had to relist");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_api_server_is_away_every_file_stays_and_soon_after_everything_is_right() {
    stop_and_restart(SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: the API server is away for five minutes"]
async fn after_five_minutes_without_an_api_server_everything_is_right_within_half_a_minute() {
    stop_and_restart(Duration::from_mins(5)).await;
}

/// A failure of the API server, and whether it ends open connections.
struct Failure {
    name: &'static str,
    behaviour: Behaviour,
    severed: bool,
}

fn failures() -> Vec<Failure> {
    let failure = |name, behaviour, severed| Failure { name, behaviour, severed };
    vec![
        failure("Throttled", Behaviour::Answer(StatusCode::TOO_MANY_REQUESTS), true),
        failure("Broken", Behaviour::Answer(StatusCode::INTERNAL_SERVER_ERROR), true),
        failure("Gone", Behaviour::Answer(StatusCode::GONE), true),
        // Watches continue, and every other request fails.
        failure("Deaf", Behaviour::Answer(StatusCode::INTERNAL_SERVER_ERROR), false),
        failure("Expired", Behaviour::Expire, true),
        // Each list ends in its second page.
        failure("Truncated", Behaviour::TruncateLists(BETWEEN), true),
        failure("Refused", Behaviour::Refuse, false),
        failure("Cut", Behaviour::Cut, false),
    ]
}

fn start_failure(proxy: &Proxy, failure: &Failure) {
    proxy.behave(failure.behaviour);
    if failure.severed {
        proxy.sever();
    }
}

/// Each group of agents gets another failure at the same time; the operator gets none.
async fn fail_for_agents(outage: Duration) {
    let mut groups: Vec<_> = failures().iter().map(|failure| (failure.name, 2)).collect();
    groups.push(("Well", 2));
    let mut scene = Scene::new(&groups, Bounds::of(outage)).await;
    print_line("an API server that is ill, for agents");
    let before = scene.begin(true);
    let start = before.start;
    for (group, failure) in scene.groups.iter().zip(failures()) {
        start_failure(&group.proxy, &failure);
    }
    scene.change().await;
    wait_for_end(start, outage).await;
    // Only the group `Well` has reported the new contents; lists work for `Expired`, and watches for `Deaf`.
    let holding = |scene: &Scene| {
        let holds = |group: &&Group| {
            let file = |node| group.agents.directory(node).join(format!("{CHANGING}.json"));
            let wanted = bytes_of(&contents(scene.number));
            group.agents.names().all(|node| fs::read(file(node)).is_ok_and(|bytes| bytes == wanted))
        };
        scene.groups.iter().filter(holds).map(|group| group.name).collect::<Vec<_>>()
    };
    // `Expired` relists after a pause, and the operator gathers counts; the others get there in no time.
    let progressing = format!("4/{}", scene.nodes());
    until("the new contents where the API server answers", LIMIT, async || {
        let status = scene.environment.get(CHANGING).await?["status"].take();
        let counted = status["state"] == "Progressing" && status["ready"] == progressing.as_str();
        (counted && holding(&scene) == ["Deaf", "Expired", "Well"]).then_some(())
    })
    .await;
    scene.end(before);
    for proxy in scene.proxies() {
        proxy.behave(Behaviour::Pass);
    }
    scene.wait_converged().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_failing_api_server_answers_agents_keep_their_files_and_catch_up() {
    fail_for_agents(SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: the API server is ill for two minutes"]
async fn after_two_minutes_of_bad_answers_agents_catch_up_within_half_a_minute() {
    fail_for_agents(Duration::from_mins(2)).await;
}

/// The operator gets one failure after the other; the agents get none.
async fn fail_for_operator(outage: Duration) {
    let mut scene = Scene::new(&[("Agents", 4)], Bounds::of(outage)).await;
    let from_the_start = Failure {
        name: "Truncated from the start",
        behaviour: Behaviour::TruncateLists(BETWEEN / 10),
        severed: false,
    };
    let failing_from_the_start = from_the_start.name;
    for failure in failures().into_iter().chain([from_the_start]) {
        print_line(&format!("an API server that is ill, for the operator: {}", failure.name));
        let started = failure.name == failing_from_the_start;
        if started {
            // An operator that lists for the first time.
            scene.operator.program.kill().unwrap();
        }
        // What the API server already has is no write of an operator that gets the failure.
        scene.operator_proxy.drain_writes().await;
        let log = scene.environment.server.audit();
        start_failure(&scene.operator_proxy, &failure);
        if started {
            scene.operator = start_operator(&scene.environment, &scene.operator_proxy);
        }
        let before = scene.begin(true);
        let start = before.start;
        scene.change().await;
        let wanted = bytes_of(&contents(scene.number));
        until("the change being on every disk without an operator", LIMIT, async || {
            scene.files(CHANGING).all(|file| fs::read(file).is_ok_and(|bytes| bytes == wanted)).then_some(())
        })
        .await;
        wait_for_end(start, outage).await;
        // An operator that receives reports continues, but it reconciles nothing while its caches are incomplete.
        let gets_reports = matches!(failure.behaviour, Behaviour::Expire | Behaviour::TruncateLists(_));
        let written = log.writes().unwrap();
        let mut written = written.iter().filter(|write| write.account().ends_with("-operator"));
        let first = written.next();
        assert!(
            gets_reports && !started || first.is_none(),
            "{}: it writes, at first {first:?}",
            failure.name
        );
        scene.end(before);
        scene.operator_proxy.behave(Behaviour::Pass);
        scene.wait_converged().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_failing_api_server_answers_the_operator_continues_and_agents_work_without_it() {
    fail_for_operator(Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: nine illnesses of half a minute each"]
async fn after_half_a_minute_of_each_bad_answer_the_operator_is_right_within_half_a_minute() {
    fail_for_operator(Duration::from_secs(30)).await;
}
