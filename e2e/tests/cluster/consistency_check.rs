//! A witness of one profile: a thread that holds everything that is shown of it against the disks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cluster::{Cluster, Layout};
use e2e::view::{ProfileView, Watch, disk};

use super::support::{Applied, until};

/// The thread.
pub(crate) struct Witness {
    stop: Arc<AtomicBool>,
    /// How often each object of the name, by its uid, was shown Ready and right.
    ready: Arc<Mutex<BTreeMap<String, u32>>>,
    thread: JoinHandle<Vec<String>>,
}

impl Witness {
    /// Looks at everything that is shown of a profile, and of others that follow under its name, from now on.
    pub(crate) fn of(profile: &Applied<'_>) -> Self {
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
                match lie(&cluster, &view) {
                    Some(lie) => wrong.push(lie),
                    None => *lock(&seen).entry(view.text("/metadata/uid").to_owned()).or_insert(0) += 1,
                }
            }
            wrong
        });
        Self { stop, ready, thread }
    }

    /// Waits until the object that is there now was shown Ready, and was.
    pub(crate) fn sees_ready(&self, profile: &Applied<'_>, limit: Duration) {
        let view = profile.view();
        let uid = view.text("/metadata/uid");
        until(&format!("the witness seeing {} Ready", profile.name), limit, || {
            (self.thread.is_finished() || lock(&self.ready).contains_key(uid)).then_some(())
        });
    }

    /// Ends it; fails with what it saw that was not so, or when it saw fewer than `objects` of them Ready.
    pub(crate) fn close(self, objects: usize) {
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

/// What is wrong with a profile that is shown Ready: another hash than that of its contents, or more nodes counted
/// than there are disks that hold them.
fn lie(cluster: &Cluster, view: &ProfileView) -> Option<String> {
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
