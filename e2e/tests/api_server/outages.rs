//! An API server that is away, ill or forgetful: the files stay, nobody spins, and what changed meanwhile arrives soon
//! after.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bench::api_server::{Agents, Behaviour, OperatorOptions, OperatorProcess, Proxy};
use http::StatusCode;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::{Instant as Time, sleep_until};

use super::disk_poller::{Eye, Rule, processor_time};
use super::support::{LIMIT, World, bytes_of, contents, hash_of, operator, say, until};

/// How soon after an outage everything must be as it should.
const CONVERGED: Duration = Duration::from_secs(30);

/// The short form of each outage.
const SHORT: Duration = Duration::from_secs(10);

/// Watches of one agent and of the operator.
const AGENT_WATCHES: u64 = 2;
const OPERATOR_WATCHES: u64 = 4;

/// Most of a processor that the operator may take while nothing can be done.
const OPERATOR_BUSY: f64 = 0.05;
/// The same for one agent, with its part of the proxy.
const AGENT_BUSY: f64 = 0.02;

/// Profiles that never change, in two pages of an agent's list: a small page and a large one.
const SMALL: usize = 8;
const LARGE: usize = 3;

/// The one that changes.
const CHANGING: &str = "changing";

/// Agents that go to the API server by the same way.
struct Group {
    name: &'static str,
    proxy: Proxy,
    agents: Agents,
}

/// An operator and groups of agents, each with a way of its own to the API server.
struct Scene {
    /// First: their agents end before the world goes, with their disks in it.
    groups: Vec<Group>,
    world: World,
    operator_proxy: Proxy,
    operator: OperatorProcess,
    /// The contents of [`CHANGING`] by number.
    number: usize,
}

/// What was counted at the beginning of an outage.
struct Before {
    start: Instant,
    eye: Eye,
    requests: Vec<u64>,
    operator_requests: u64,
    busy: Duration,
    operator_busy: Duration,
}

impl Scene {
    /// `groups` by name and number of agents; every profile is Ready.
    async fn new(groups: &[(&'static str, usize)]) -> Self {
        let world = World::new().await;
        let operator_proxy = Proxy::start(&world.server).await.unwrap();
        let operator = start_operator(&world, &operator_proxy);
        for (name, contents) in steady() {
            world.apply(&name, &contents).await;
        }
        world.apply(CHANGING, &contents(0)).await;
        let mut scene = Self { world, operator_proxy, operator, groups: Vec::new(), number: 0 };
        for (name, size) in groups {
            let proxy = Proxy::start(&scene.world.server).await.unwrap();
            let mut agents = scene.world.agents(Some(proxy.url())).await;
            for number in 0..*size {
                agents.join(&format!("{}-{number}", name.to_lowercase())).await.unwrap();
            }
            scene.groups.push(Group { name, proxy, agents });
        }
        scene.everything_ready(LIMIT).await;
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
    async fn everything_ready(&self, limit: Duration) {
        let all = steady().into_iter().chain([(CHANGING.to_owned(), contents(self.number))]);
        for (name, contents) in all {
            self.ready(&name, &contents, limit).await;
        }
    }

    /// Waits until the status says of these contents that every node has them.
    async fn ready(&self, name: &str, contents: &Value, limit: Duration) {
        let (hash, ready) = (hash_of(contents), format!("{0}/{0}", self.nodes()));
        until(&format!("{name} being Ready"), limit, async || {
            let status = self.world.get(name).await?["status"].clone();
            (status["contentHash"] == hash.as_str()
                && status["ready"] == ready.as_str()
                && status["state"] == "Ready")
                .then_some(())
        })
        .await;
    }

    /// An outage begins: from now on files are looked at and requests are counted. [`CHANGING`] may change on the
    /// nodes if `changes` says so.
    fn begin(&self, changes: bool) -> Before {
        let mut files: Vec<_> = steady()
            .iter()
            .flat_map(|(name, _)| self.files(name).collect::<Vec<_>>())
            .map(|path| (path, Rule::Untouched))
            .collect();
        let rule = match changes {
            true => Rule::OneOf([0, 1].map(|more| bytes_of(&contents(self.number + more))).to_vec()),
            false => Rule::Untouched,
        };
        files.extend(self.files(CHANGING).map(|path| (path, rule.clone())));
        Before {
            start: Instant::now(),
            eye: Eye::open(files),
            requests: self.groups.iter().map(|group| group.proxy.requests()).collect(),
            operator_requests: self.operator_proxy.requests(),
            busy: processor_time("/proc/self/stat"),
            operator_busy: self.operator_busy(),
        }
    }

    fn operator_busy(&self) -> Duration {
        processor_time(&format!("/proc/{}/stat", self.operator.program.id()))
    }

    /// The outage is about to end: nothing crashed, no file changed, and nobody asked more often than the back-off
    /// allows.
    fn end(&mut self, before: Before) {
        self.operator.program.expect_running().unwrap();
        let took = before.start.elapsed();
        let seen = before.eye.close();
        let seconds = took.as_secs_f64();
        say(&format!("  {seconds:.0} s, {} looks at {} nodes", seen.looks, self.nodes()));
        for (group, before) in self.groups.iter().zip(&before.requests) {
            group.agents.expect_running().unwrap();
            let asked = group.proxy.requests() - before;
            let agents = group.agents.names().count() as u64;
            let most = agents * AGENT_WATCHES * most_of_one(took);
            say(&format!(
                "  {}: {asked} requests, {:.2} a second and agent",
                group.name,
                asked as f64 / seconds / agents as f64
            ));
            assert!(asked <= most, "{}: {asked} requests, at most {most}", group.name);
        }
        let asked = self.operator_proxy.requests() - before.operator_requests;
        let most = OPERATOR_WATCHES * most_of_one(took) + 20;
        let busy = (self.operator_busy() - before.operator_busy).as_secs_f64() / seconds;
        say(&format!(
            "  operator: {asked} requests, {:.2} a second, {:.1} % of a processor",
            asked as f64 / seconds,
            100.0 * busy
        ));
        assert!(asked <= most, "the operator: {asked} requests, at most {most}");
        assert!(busy <= OPERATOR_BUSY, "the operator takes {busy:.3} of a processor");
        let busy = processor_time("/proc/self/stat") - before.busy - seen.processor;
        let busy = busy.as_secs_f64() / seconds / self.nodes() as f64;
        say(&format!("  an agent: {:.2} % of a processor", 100.0 * busy));
        assert!(busy <= AGENT_BUSY, "an agent takes {busy:.4} of a processor");
    }

    /// Changes [`CHANGING`].
    async fn change(&mut self) {
        self.number += 1;
        self.world.apply(CHANGING, &contents(self.number)).await;
    }

    /// Waits until the change is on every disk and in the status, for [`CONVERGED`] at most, and says how long it took.
    async fn converged(&self) {
        let start = Instant::now();
        let wanted = bytes_of(&contents(self.number));
        until("the change being on every disk", CONVERGED, async || {
            self.files(CHANGING).all(|file| fs::read(file).is_ok_and(|bytes| bytes == wanted)).then_some(())
        })
        .await;
        let files = start.elapsed();
        self.ready(CHANGING, &contents(self.number), CONVERGED.saturating_sub(files)).await;
        say(&format!(
            "  converged: files after {:.1} s, status after {:.1} s",
            files.as_secs_f64(),
            start.elapsed().as_secs_f64()
        ));
        self.everything_ready(CONVERGED).await;
        self.deletes().await;
    }

    /// What nobody uses goes when it is deleted, as if nothing had been.
    async fn deletes(&self) {
        let (name, contents) = ("passing", contents(7));
        self.world.apply(name, &contents).await;
        self.ready(name, &contents, CONVERGED).await;
        let start = Instant::now();
        self.world.profiles.delete(name, &DeleteParams::default()).await.unwrap();
        until("the deletion being over", CONVERGED, async || {
            self.world.get(name).await.is_none().then_some(())
        })
        .await;
        say(&format!("  a profile deleted: gone after {:.1} s", start.elapsed().as_secs_f64()));
    }

    /// All ways to the API server.
    fn proxies(&self) -> impl Iterator<Item = &Proxy> {
        self.groups.iter().map(|group| &group.proxy).chain([&self.operator_proxy])
    }
}

fn start_operator(world: &World, proxy: &Proxy) -> OperatorProcess {
    let options = OperatorOptions { number: 0, url: Some(proxy.url().to_owned()), lease: None };
    OperatorProcess::start(&operator(), &world.server, &options).unwrap()
}

/// The profiles that never change.
fn steady() -> Vec<(String, Value)> {
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

async fn lasts(start: Instant, outage: Duration) {
    sleep_until(Time::from_std(start) + outage).await;
}

/// The API server is killed, and comes back.
async fn away(outage: Duration) {
    let mut scene = Scene::new(&[("Agents", 12)]).await;
    say(&format!("away for {} s", outage.as_secs()));
    let before = scene.begin(false);
    let start = before.start;
    scene.world.server.kill_server();
    lasts(start, outage).await;
    scene.end(before);
    scene.world.server.start_server().unwrap();
    scene.change().await;
    scene.converged().await;
    if outage > SHORT {
        return;
    }

    say("etcd away");
    let before = scene.begin(false);
    let start = before.start;
    scene.world.server.kill_etcd();
    lasts(start, outage / 2).await;
    scene.end(before);
    scene.world.server.start_etcd().unwrap();
    until("the API server's answers", LIMIT, async || {
        scene.world.profiles.get_opt(CHANGING).await.ok().flatten().map(drop)
    })
    .await;
    scene.change().await;
    scene.converged().await;

    say("compacted while nobody watches");
    let before = scene.begin(false);
    for proxy in scene.proxies() {
        proxy.behave(Behaviour::Refuse);
    }
    scene.change().await;
    // Nobody hears of its end but by a list in which it is not.
    let gone = steady().remove(0).0;
    let lift = json!({ "metadata": { "finalizers": null } });
    scene.world.profiles.delete(&gone, &DeleteParams::default()).await.unwrap();
    scene.world.profiles.patch(&gone, &PatchParams::default(), &Patch::Merge(lift)).await.unwrap();
    until("the profile being gone", LIMIT, async || scene.world.get(&gone).await.is_none().then_some(()))
        .await;
    scene.world.server.kill_server();
    scene.world.server.compact_etcd().await.unwrap();
    // Its cache knows no more than etcd does.
    scene.world.server.start_server().unwrap();
    scene.end(before);
    let log = scene.world.server.audit();
    let back = Instant::now();
    for proxy in scene.proxies() {
        proxy.behave(Behaviour::Pass);
    }
    until("the file being gone from every disk", CONVERGED, async || {
        scene.files(&gone).all(|file| !file.exists()).then_some(())
    })
    .await;
    say(&format!(
        "  the file of a profile that went meanwhile: gone after {:.1} s",
        back.elapsed().as_secs_f64()
    ));
    scene.world.apply(&gone, &steady()[0].1).await;
    scene.converged().await;
    let lists = log.requests().unwrap();
    let lists =
        lists.iter().filter(|asked| asked.verb == "list" && asked.object_ref.resource == "seccompprofiles");
    assert!(lists.count() >= scene.nodes(), "nobody had to list anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_api_server_is_away_every_file_stays_and_soon_after_everything_is_right() {
    away(SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: the API server is away for five minutes"]
async fn after_five_minutes_without_an_api_server_everything_is_right_within_half_a_minute() {
    away(Duration::from_secs(300)).await;
}

/// What the agents of a group meet, and whether what they had begun goes on.
struct Illness {
    name: &'static str,
    behaviour: Behaviour,
    severed: bool,
}

fn illnesses() -> Vec<Illness> {
    let illness = |name, behaviour, severed| Illness { name, behaviour, severed };
    vec![
        illness("Throttled", Behaviour::Answer(StatusCode::TOO_MANY_REQUESTS), true),
        illness("Broken", Behaviour::Answer(StatusCode::INTERNAL_SERVER_ERROR), true),
        illness("Gone", Behaviour::Answer(StatusCode::GONE), true),
        // Watches go on, and nothing else is answered.
        illness("Deaf", Behaviour::Answer(StatusCode::INTERNAL_SERVER_ERROR), false),
        illness("Expired", Behaviour::Expire, true),
        // Each list breaks off in its second page.
        illness("Truncated", Behaviour::TruncateLists(BETWEEN), true),
        illness("Refused", Behaviour::Refuse, false),
        illness("Cut", Behaviour::Cut, false),
    ]
}

fn fall_ill(proxy: &Proxy, illness: &Illness) {
    proxy.behave(illness.behaviour);
    if illness.severed {
        proxy.sever();
    }
}

/// Each group of agents meets another illness at the same time, while the operator sees everything.
async fn ill_for_agents(outage: Duration) {
    let mut groups: Vec<_> = illnesses().iter().map(|illness| (illness.name, 2)).collect();
    groups.push(("Well", 2));
    let mut scene = Scene::new(&groups).await;
    say("an API server that is ill, for agents");
    let before = scene.begin(true);
    let start = before.start;
    for (group, illness) in scene.groups.iter().zip(illnesses()) {
        fall_ill(&group.proxy, &illness);
    }
    scene.change().await;
    lasts(start, outage).await;
    // Only the well have told of the new contents; lists work for the expired, and watches for the deaf.
    let holding = |scene: &Scene| {
        let holds = |group: &&Group| {
            let file = |node| group.agents.directory(node).join(format!("{CHANGING}.json"));
            let wanted = bytes_of(&contents(scene.number));
            group.agents.names().all(|node| fs::read(file(node)).is_ok_and(|bytes| bytes == wanted))
        };
        scene.groups.iter().filter(holds).map(|group| group.name).collect::<Vec<_>>()
    };
    assert_eq!(holding(&scene), ["Deaf", "Expired", "Well"]);
    let status = scene.world.get(CHANGING).await.unwrap()["status"].clone();
    assert_eq!(
        (&status["state"], &status["ready"]),
        (&json!("Progressing"), &json!(format!("4/{}", scene.nodes())))
    );
    scene.end(before);
    for proxy in scene.proxies() {
        proxy.behave(Behaviour::Pass);
    }
    scene.converged().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_failing_api_server_answers_agents_keep_their_files_and_catch_up() {
    ill_for_agents(SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: the API server is ill for two minutes"]
async fn after_two_minutes_of_bad_answers_agents_catch_up_within_half_a_minute() {
    ill_for_agents(Duration::from_secs(120)).await;
}

/// The operator meets one illness after the other, while agents see everything.
async fn ill_for_operator(outage: Duration) {
    let mut scene = Scene::new(&[("Agents", 4)]).await;
    let from_the_start = Illness {
        name: "Truncated from the start",
        behaviour: Behaviour::TruncateLists(BETWEEN / 10),
        severed: false,
    };
    let started_ill = from_the_start.name;
    for illness in illnesses().into_iter().chain([from_the_start]) {
        say(&format!("an API server that is ill, for the operator: {}", illness.name));
        let started = illness.name == started_ill;
        if started {
            // One that lists for the first time.
            scene.operator.program.kill().unwrap();
        }
        fall_ill(&scene.operator_proxy, &illness);
        if started {
            scene.operator = start_operator(&scene.world, &scene.operator_proxy);
        }
        let before = scene.begin(true);
        let start = before.start;
        let log = scene.world.server.audit();
        scene.change().await;
        let wanted = bytes_of(&contents(scene.number));
        until("the change being on every disk without an operator", LIMIT, async || {
            scene.files(CHANGING).all(|file| fs::read(file).is_ok_and(|bytes| bytes == wanted)).then_some(())
        })
        .await;
        lasts(start, outage).await;
        // One that hears of reports goes on. But what it knows only in part it does not judge.
        let hears = matches!(illness.behaviour, Behaviour::Expire | Behaviour::TruncateLists(_));
        let written = log.writes().unwrap();
        let written = written.iter().filter(|write| write.account().ends_with("-operator"));
        assert!(hears && !started || written.count() == 0, "{}: it writes", illness.name);
        scene.end(before);
        scene.operator_proxy.behave(Behaviour::Pass);
        scene.converged().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_failing_api_server_answers_the_operator_continues_and_agents_work_without_it() {
    ill_for_operator(Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: nine illnesses of half a minute each"]
async fn after_half_a_minute_of_each_bad_answer_the_operator_is_right_within_half_a_minute() {
    ill_for_operator(Duration::from_secs(30)).await;
}
