//! One size after the other: every phase, every round, the floor beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use xtask::files;
use xtask::step::note;
use xtask::workspace::repository;

use super::bare_watchers::ClientVariant;
use super::observed::Reports;
use super::phases::{self, Phase};
use super::result::{FLOOR_EVENTS, Figures, Sample};
use super::rollout_floor::{self, Plan};
use super::testbed::{Size, Testbed};
use super::{bars, plot, separate_cpus, table};
use crate::BenchError;
use crate::api_server::build_operator;

/// What is measured.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Profiles
    #[arg(long, default_value_t = 20)]
    profiles: usize,
    /// Bytes of each profile's contents
    #[arg(long, default_value_t = 10_000)]
    bytes: usize,
    /// Pods that use some profile
    #[arg(long, default_value_t = 0)]
    pods: usize,
    /// Rounds of each phase, each after one that does not count
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of rest
    #[arg(long, default_value_t = 300)]
    rest: u64,
    /// The phases, all if none is named; profiles are applied and deleted in any case
    #[arg(long, value_delimiter = ',')]
    phases: Vec<Phase>,
    /// Measure no floor
    #[arg(long)]
    no_floor: bool,
    /// An operator that is built already; without, it is built as in the images
    #[arg(long)]
    operator: Option<PathBuf>,
    /// Where the JSON files go
    #[arg(long, default_value = "dist/bench")]
    out: PathBuf,
}

impl Options {
    fn operator(&self) -> Result<PathBuf, BenchError> {
        if let Some(operator) = &self.operator {
            return Ok(operator.clone());
        }
        note("building the operator as in the images");
        Ok(build_operator(true)?)
    }
}

/// What is measured at several sizes.
#[derive(Debug, Clone, Args)]
pub struct Sweep {
    /// Nodes
    #[arg(long, value_delimiter = ',', default_value = "100,250,500,1000")]
    nodes: Vec<usize>,
    #[command(flatten)]
    options: Options,
    /// The plot
    #[arg(long, default_value = "docs/images/scale.svg")]
    plot: PathBuf,
}

/// Measures one size, prints the table and writes the JSON file.
///
/// # Errors
/// Something fails, or a bar is not reached.
pub async fn measure(nodes: usize, options: &Options) -> Result<(), BenchError> {
    check_bars(&[figures(nodes, options).await?])
}

/// Measures several sizes, prints the tables and writes the JSON files and the plot.
///
/// # Errors
/// Something fails, or a bar is not reached.
pub async fn sweep(sweep: &Sweep) -> Result<(), BenchError> {
    let mut all = Vec::new();
    for nodes in &sweep.nodes {
        all.push(figures(*nodes, &sweep.options).await?);
    }
    write(&repository().join(&sweep.plot), &plot::of(&all))?;
    check_bars(&all)
}

/// Measures, on bare watchers alone, what other ways to learn of profiles and to report would cost, and prints a table.
///
/// # Errors
/// Something fails.
pub async fn ways(nodes: usize, options: &Options) -> Result<(), BenchError> {
    let size = Size { nodes, profiles: options.profiles, bytes: options.bytes, pods: options.pods };
    let mut testbed = Testbed::start(size, options.operator()?).await?;
    let rollout = Phase::Rollout.perform(&mut testbed, Duration::ZERO).await?;
    let plan = Plan::of(&testbed, &rollout).await?;
    Phase::Delete.perform(&mut testbed, Duration::ZERO).await?;
    testbed.stop_operator()?;
    testbed.agents_mut().stop_all().await?;
    let ways = ClientVariant::ALL.map(|(name, variant)| (name, variant, plan.clone()));
    let ways = ways.into_iter().chain([
        ("four events", ClientVariant::default(), plan.with_events(FLOOR_EVENTS)),
        ("one event, the status elsewhere", ClientVariant::default(), plan.with_events(1)),
    ]);
    let ways: Vec<_> = ways.collect();
    let mut samples = BTreeMap::<_, Vec<_>>::new();
    for round in 0..=options.rounds {
        for (index, (name, variant, plan)) in ways.iter().enumerate() {
            let sample =
                rollout_floor::measure(&mut testbed, plan, *variant, ways.len() * round + index).await?;
            say(name, &sample);
            testbed.delete_all_without_operator().await?;
            // The first is not warm.
            if round > 0 {
                samples.entry(*name).or_default().push(sample);
            }
        }
    }
    println!("{nodes} bare watchers, {} profiles, {} events each", options.profiles, plan.events);
    println!("{}", table::ways(nodes, &samples));
    Ok(())
}

fn check_bars(all: &[Figures]) -> Result<(), BenchError> {
    let missed: Vec<_> = all
        .iter()
        .flat_map(|figures| {
            bars::missed(figures).into_iter().map(|bar| format!("{} nodes: {bar}", figures.nodes))
        })
        .collect();
    if missed.is_empty() { Ok(()) } else { Err(BenchError::Bar(missed.join("\n  "))) }
}

async fn figures(nodes: usize, options: &Options) -> Result<Figures, BenchError> {
    let size = Size { nodes, profiles: options.profiles, bytes: options.bytes, pods: options.pods };
    let mut testbed = Testbed::start(size, options.operator()?).await?;
    let mut figures = Figures {
        nodes,
        profiles: options.profiles,
        profile_bytes: options.bytes,
        pods: options.pods,
        ..Figures::default()
    };
    let name = format!("scale-{nodes}-{}-{}.json", options.profiles, options.pods);
    let path = repository().join(&options.out).join(name);
    for round in 1..=options.rounds {
        // Agents that are new do not know how many nodes there are before a first rollout.
        note("a round that does not count");
        for phase in [Phase::Rollout, Phase::Update, Phase::Delete] {
            say(phase.name(), &phase.perform(&mut testbed, Duration::ZERO).await?);
        }
        note(format_args!("round {round} of {}", options.rounds));
        Round { options, number: round, testbed: &mut testbed, figures: &mut figures }.perform().await?;
        let json = serde_json::to_string_pretty(&figures)
            .map_err(|error| BenchError::Unexpected(error.to_string()))?;
        write(&path, &json)?;
    }
    println!("{}", table::table(&figures));
    Ok(figures)
}

fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    let failed = |error: files::FileError| BenchError::io(path.display().to_string())(error.source);
    if let Some(directory) = path.parent() {
        files::create_dir(directory).map_err(failed)?;
    }
    files::write(path, text).map_err(failed)?;
    note(format_args!("wrote {}", path.display()));
    Ok(())
}

/// One round of every phase that is wanted.
struct Round<'a> {
    options: &'a Options,
    number: usize,
    testbed: &'a mut Testbed,
    figures: &'a mut Figures,
}

impl Round<'_> {
    async fn perform(&mut self) -> Result<(), BenchError> {
        let mut plans = BTreeMap::new();
        for phase in Phase::ALL {
            if !self.wants(phase) {
                continue;
            }
            let sample = phase.perform(self.testbed, Duration::from_secs(self.options.rest)).await?;
            say(phase.name(), &sample);
            if [Phase::Rollout, Phase::Update].contains(&phase) {
                self.figures.stored = self.testbed.stored().await?;
                plans.insert(phase, Plan::of(self.testbed, &sample).await?);
            }
            self.figures.phases.entry(phase).or_default().push(sample);
        }
        if !self.options.no_floor {
            self.floor(&plans).await?;
        }
        Ok(())
    }

    /// Rest is long; once is enough.
    fn wants(&self, phase: Phase) -> bool {
        let always = [Phase::Rollout, Phase::Delete].contains(&phase);
        let named = self.options.phases.is_empty() || self.options.phases.contains(&phase);
        (always || named) && (phase != Phase::Rest || self.number == self.options.rounds)
    }

    /// Agents and operator run before and after it.
    async fn floor(&mut self, plans: &BTreeMap<Phase, Plan>) -> Result<(), BenchError> {
        let Beside { floors, fixed, elsewhere } = beside(self.testbed, plans, self.number).await?;
        for (phase, floor) in floors {
            self.figures.floors.entry(phase).or_default().push(floor);
        }
        self.figures.fixed_floors.extend(fixed);
        self.figures.elsewhere.extend(elsewhere);
        if self.number == self.options.rounds {
            return Ok(());
        }
        self.testbed.start_operator()?;
        self.testbed.operator_ready().await?;
        let nodes = self.testbed.nodes().to_vec();
        phases::start_agents(self.testbed, &nodes).await?;
        let reports = Reports::follow(self.testbed.session().client.clone());
        let right = reports.until(|reports| reports.all_hold(self.testbed.nodes().iter(), 0));
        Testbed::within("every report being right again", right).await
    }
}

/// What stands beside a round.
#[derive(Debug)]
pub struct Beside {
    /// The floor of each phase that has a plan.
    pub floors: BTreeMap<Phase, Sample>,
    /// The floor of the rollout with [`FLOOR_EVENTS`] events per profile, if there is a plan of it.
    pub fixed: Option<Sample>,
    /// The rollout whose agents take their CPU time elsewhere, if there is a plan of it.
    pub elsewhere: Option<Sample>,
}

/// Measures what a round is compared with. Afterwards there are no profiles, and neither agents nor an operator run.
///
/// # Errors
/// It does not come about.
pub async fn beside(
    testbed: &mut Testbed,
    plans: &BTreeMap<Phase, Plan>,
    round: usize,
) -> Result<Beside, BenchError> {
    testbed.stop_operator()?;
    testbed.agents_mut().stop_all().await?;
    testbed.delete_all_without_operator().await?;
    let mut floors = BTreeMap::new();
    for (index, (phase, plan)) in plans.iter().enumerate() {
        let sample =
            rollout_floor::measure(testbed, plan, ClientVariant::default(), 3 * round + index).await?;
        say(&format!("floor of {}", phase.name()), &sample);
        floors.insert(*phase, sample);
    }
    testbed.delete_all_without_operator().await?;
    let (mut fixed, mut elsewhere) = (None, None);
    if let Some(plan) = plans.get(&Phase::Rollout) {
        let four = plan.with_events(FLOOR_EVENTS);
        let sample =
            rollout_floor::measure(testbed, &four, ClientVariant::default(), 3 * round + plans.len()).await?;
        say(&format!("floor of {FLOOR_EVENTS} events"), &sample);
        fixed = Some(sample);
        testbed.delete_all_without_operator().await?;
        let sample = separate_cpus::measure(testbed, plan).await?;
        say("rollout, agents elsewhere", &sample);
        elsewhere = Some(sample);
    }
    Ok(Beside { floors, fixed, elsewhere })
}

fn say(what: &str, sample: &Sample) {
    note(format_args!("{what}: {:.2} s, {} writes", sample.wall, sample.writes));
}
