//! The thread, with a real directory and a real watch on it.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use daemon::{Pulse, Readiness};
use prometheus::Registry;
use rustix::io::Errno;

use crate::disk::{Directory, Faults, SystemCall};
use crate::goal::Goal;
use crate::journal::Journal;
use crate::keeper::Keeper;
use crate::metrics::Metrics;
use crate::notify::{DirectoryEvent, DirectoryWatch};
use crate::worker::{self, Command, PassPacing, Worker};

fn journal() -> Journal {
    Journal::new("node-1".parse().unwrap(), Metrics::new(&Registry::new()).unwrap())
}

fn started(path: &Path) -> Worker {
    worker::start(Keeper::new(Directory::open(path).unwrap()), journal(), Pulse::default()).unwrap()
}

/// A file should be under the name.
async fn set_goal(worker: &Worker, name: &str) {
    let bytes = b"{}";
    let goal = Goal::file(bytes);
    let command = Command::Goal { name: name.parse().unwrap(), goal, at: Instant::now() };
    worker.commands.send(command).await.unwrap();
}

async fn list_complete(worker: &Worker) {
    worker.commands.send(Command::ListComplete).await.unwrap();
}

/// The report, once every earlier command is carried out.
async fn report(worker: &Worker) -> api::Report {
    worker.reports().report().await.unwrap()
}

#[tokio::test]
async fn there_is_nothing_to_report_before_the_first_complete_list_is_on_the_disk() {
    let root = tempfile::tempdir().unwrap();
    let worker = started(root.path());
    set_goal(&worker, "a").await;
    assert_eq!(report(&worker).await.file_count, 1);
    assert_eq!(*worker.revision.borrow(), 0);
    list_complete(&worker).await;
    report(&worker).await;
    assert_eq!(*worker.revision.borrow(), 1);
    assert_eq!(fs::read(root.path().join("a.json")).unwrap(), b"{}");
}

#[tokio::test]
async fn the_agents_own_writes_cause_no_further_event() {
    let root = tempfile::tempdir().unwrap();
    let worker = started(root.path());
    let watch = DirectoryWatch::new(fs::File::open(root.path()).unwrap().as_fd()).unwrap();
    for name in ["a", "b"] {
        set_goal(&worker, name).await;
    }
    list_complete(&worker).await;
    report(&worker).await;
    let revision = *worker.revision.borrow();
    let DirectoryEvent::Files(files) = watch.next().await.unwrap() else { panic!("only files have changed") };
    assert!(files.contains(&"a.json".to_owned()) && files.contains(&"b.json".to_owned()));
    worker.commands.send(Command::FilesChanged(files)).await.unwrap();
    report(&worker).await;
    worker.commands.send(Command::CheckAll).await.unwrap();
    report(&worker).await;
    assert!(futures::FutureExt::now_or_never(watch.next()).is_none(), "reading causes no event");
    assert_eq!(*worker.revision.borrow(), revision);
}

#[tokio::test]
async fn the_thread_ends_with_an_error_once_the_directory_is_replaced() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("profiles");
    let worker = started(&path);
    fs::rename(&path, root.path().join("aside")).unwrap();
    fs::create_dir(&path).unwrap();
    worker.commands.send(Command::Retry).await.unwrap();
    let error = worker.ended.await.unwrap().unwrap_err().why.to_string();
    assert!(error.contains("was replaced"), "{error}");
}

#[tokio::test]
async fn a_write_into_a_directory_that_is_gone_ends_the_thread_at_once() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("profiles");
    let worker = started(&path);
    fs::remove_dir(&path).unwrap();
    set_goal(&worker, "a").await;
    assert!(worker.ended.await.unwrap().is_err());
}

/// A disk that answers until its first write, and then only after a signal.
struct Hangs {
    disk: Pulse,
    answers: std::sync::mpsc::Receiver<()>,
}

impl Faults for Hangs {
    fn before(&mut self, call: SystemCall, name: &str) -> Result<(), Errno> {
        self.disk.before(call, name)?;
        if call == SystemCall::Write {
            // A sender that is gone answers, too.
            let _ = self.answers.recv();
        }
        Ok(())
    }
}

#[tokio::test]
async fn while_the_disk_hangs_the_agent_is_soon_not_ready_and_much_later_not_alive() {
    let root = tempfile::tempdir().unwrap();
    let readiness = Readiness::default();
    let disk = readiness.pulse("disk");
    let (answer, answers) = std::sync::mpsc::channel();
    let directory = Directory::with_faults(root.path(), Hangs { disk: disk.clone(), answers }).unwrap();
    let keeper = Keeper::new(directory);
    disk.ends();
    let worker = worker::start(keeper, journal(), disk).unwrap();
    let after = |minutes: u64| {
        let now = Instant::now() + Duration::from_secs(60 * minutes);
        (readiness.pending(now).len(), readiness.stuck(now).len())
    };
    assert_eq!(after(60), (0, 0), "a thread that waits for something to do is well");
    set_goal(&worker, "a").await;
    let hangs = async {
        while after(2) == (0, 0) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), hangs).await.unwrap();
    assert_eq!(after(2), (1, 0));
    assert_eq!(after(11), (1, 1));
    drop(answer);
    report(&worker).await;
    let well = async {
        while after(60) != (0, 0) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), well).await.unwrap();
}

#[tokio::test]
async fn the_thread_ends_when_no_command_can_come_any_more() {
    let root = tempfile::tempdir().unwrap();
    let worker = started(root.path());
    set_goal(&worker, "a").await;
    drop(worker.commands);
    assert_eq!(worker.ended.await.unwrap(), Ok(()));
    assert!(root.path().join("a.json").exists(), "every command is carried out");
}

#[test]
fn a_change_that_comes_alone_does_not_wait_and_one_right_after_a_pass_waits_for_those_behind_it() {
    let mut pacing = PassPacing { gather: Duration::from_millis(100), earliest: None };
    let start = Instant::now();
    assert_eq!(pacing.pause(start), Duration::ZERO);
    pacing.passed(start);
    let after = |milliseconds| pacing.pause(start + Duration::from_millis(milliseconds)).as_millis();
    assert_eq!([0, 5, 99, 100, 1000].map(after), [100, 95, 1, 0, 0]);
}

#[tokio::test]
async fn who_requests_the_report_does_not_wait_for_the_time_of_the_next_pass() {
    let root = tempfile::tempdir().unwrap();
    let keeper = Keeper::new(Directory::open(root.path()).unwrap());
    let pacing = PassPacing { gather: Duration::from_hours(1), earliest: None };
    let worker = worker::start_with(keeper, journal(), Pulse::default(), pacing).unwrap();
    let reports = async {
        for name in ["a", "b", "c"] {
            set_goal(&worker, name).await;
            report(&worker).await;
            assert!(root.path().join(format!("{name}.json")).exists());
        }
    };
    tokio::time::timeout(Duration::from_mins(1), reports).await.unwrap();
}

#[tokio::test]
async fn a_change_does_not_wait_after_passes_that_changed_nothing() {
    let root = tempfile::tempdir().unwrap();
    let keeper = Keeper::new(Directory::open(root.path()).unwrap());
    let pacing = PassPacing { gather: Duration::from_hours(1), earliest: None };
    let worker = worker::start_with(keeper, journal(), Pulse::default(), pacing).unwrap();
    for _ in 0..2 {
        worker.commands.send(Command::Retry).await.unwrap();
        // Once it is answered, the pass before it has ended.
        report(&worker).await;
    }
    list_complete(&worker).await;
    let mut revision = worker.revision.clone();
    let listed = revision.wait_for(|revision| *revision > 0);
    tokio::time::timeout(Duration::from_mins(1), listed).await.unwrap().unwrap();
}
