//! A thread that compares every published status of one profile with the disks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cluster::{Cluster, Layout};
use e2e::view::{ProfileView, Watch, disk};

use super::support::{AppliedProfile, until};

/// The running check.
pub(crate) struct ConsistencyCheck {
    stop: Arc<AtomicBool>,
    /// How often each object of the name, by its uid, was Ready with the right files.
    ready: Arc<Mutex<BTreeMap<String, u32>>>,
    thread: JoinHandle<Vec<String>>,
}

impl ConsistencyCheck {
    /// Checks every status of a profile, and of later ones with its name, from now on.
    pub(crate) fn start(profile: &AppliedProfile<'_>) -> Self {
        let cluster = Cluster::attach(&Layout::from_environment()).unwrap();
        let watch = Watch::objects(cluster.client(), &["seccompprofile", &profile.name]).unwrap();
        let (stop, ready) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<BTreeMap<_, _>>>::default());
        let (stopped, seen) = (stop.clone(), Arc::clone(&ready));
        let thread = thread::spawn(move || {
            let mut wrong = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let Some(event) = watch.next(Duration::from_millis(100)) else { continue };
                let view = ProfileView::from(event.object);
                if event.kind == "DELETED" || !view.is_ready() {
                    continue;
                }
                match inconsistency(&cluster, &view) {
                    Some(inconsistency) => wrong.push(inconsistency),
                    None => *lock(&seen).entry(view.text("/metadata/uid").to_owned()).or_insert(0) += 1,
                }
            }
            wrong
        });
        Self { stop, ready, thread }
    }

    /// Waits until the present object was Ready with the right files.
    pub(crate) fn wait_seen_ready(&self, profile: &AppliedProfile<'_>, limit: Duration) {
        let view = profile.view();
        let uid = view.text("/metadata/uid");
        until(&format!("the witness seeing {} Ready", profile.name), limit, || {
            (self.thread.is_finished() || lock(&self.ready).contains_key(uid)).then_some(())
        });
    }

    /// Ends the check; fails if a status was wrong, or if another number of objects than `objects` was Ready.
    pub(crate) fn finish(self, objects: usize) {
        self.stop.store(true, Ordering::Relaxed);
        let wrong = self.thread.join().unwrap();
        assert_eq!(wrong, Vec::<String>::new());
        let ready = lock(&self.ready);
        assert_eq!(ready.len(), objects, "objects that were seen Ready: {ready:?}");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is wrong with a status that is Ready: another hash than that of its contents, or more nodes counted
/// than there are disks with these contents.
fn inconsistency(cluster: &Cluster, view: &ProfileView) -> Option<String> {
    let wanted = view.canonical().unwrap().hash().to_string();
    let nodes = cluster.nodes().unwrap();
    let found: Vec<_> =
        nodes.iter().map(|node| (node.name(), disk::hash(node, view.name()).unwrap())).collect();
    let right = found.iter().filter(|(_, hash)| hash.as_ref() == Some(&wanted)).count() as i64;
    let true_of_all =
        view.content_hash() == wanted && view.count("ready").is_some_and(|shown| shown <= right);
    (!true_of_all)
        .then(|| format!("{wanted} is wanted, {found:?} is there, shown is {}", view.json()["status"]))
}
