//! From the events of the watch to the directory: a profile that is deleted and recreated.

use std::fs;

use kube_runtime::watcher::Event as WatchEvent;
use link::changes::KnownObjects;
use serde_json::json;

use super::testing::KeeperFixture;
use super::*;
use crate::disk::SystemCall;
use crate::profiles::{Outcome, Profiles};
use crate::watched_profile::WatchedProfile;

fn profile(uid: &str, action: &str) -> WatchedProfile {
    let object = json!({
        "metadata": { "name": "a", "uid": uid }, "spec": { "contents": { "defaultAction": action } }
    });
    serde_json::from_value(object).unwrap()
}

/// Everything from a watch event to the disk.
struct Pipeline {
    existing: KnownObjects,
    profiles: Profiles,
    fixture: KeeperFixture,
}

impl Pipeline {
    fn new() -> Self {
        Self {
            existing: KnownObjects::default(),
            profiles: Profiles::default(),
            fixture: KeeperFixture::new(),
        }
    }

    /// Applies a watch event and its changes to the disk at once.
    fn event(&mut self, event: WatchEvent<WatchedProfile>) {
        for change in self.existing.take(event) {
            match self.profiles.take(change, Instant::now()) {
                Outcome::Goal(name, goal) => self.fixture.keeper.set_goal(name, goal, Instant::now()),
                Outcome::ListComplete => self.fixture.keeper.list_complete(),
                Outcome::Rollout | Outcome::Nothing => {}
                other @ Outcome::Misnamed { .. } => panic!("{other:?}"),
            }
            self.fixture.sync();
        }
    }

    fn list(&mut self, listed: WatchedProfile) {
        for event in [WatchEvent::Init, WatchEvent::InitApply(listed), WatchEvent::InitDone] {
            self.event(event);
        }
    }
}

#[test]
fn the_file_of_a_profile_recreated_while_nobody_watched_is_there_before_every_system_call() {
    let (log, allow) = ("SCMP_ACT_LOG", "SCMP_ACT_ALLOW");
    for action in [log, allow] {
        let mut pipeline = Pipeline::new();
        pipeline.list(profile("1", log));
        pipeline.fixture.script.log();
        let path = pipeline.fixture.path("a.json");
        pipeline.fixture.script.on(move |call, name| {
            assert!(fs::read(&path).is_ok_and(|bytes| !bytes.is_empty()), "before {call} {name}");
            Ok(())
        });
        pipeline.list(profile("2", action));
        // The end of the earlier one may come late.
        pipeline.event(WatchEvent::Delete(profile("1", log)));
        assert_eq!(pipeline.fixture.read("a.json"), Some(format!(r#"{{"defaultAction":"{action}"}}"#)));
        let calls = pipeline.fixture.script.log();
        assert!(calls.iter().all(|(call, _)| *call != SystemCall::Unlink), "{calls:?}");
        assert_eq!(calls.iter().any(|(call, _)| *call == SystemCall::Rename), action == allow);
        pipeline.fixture.script.calm();
        pipeline.event(WatchEvent::Delete(profile("2", action)));
        assert_eq!(pipeline.fixture.read("a.json"), None);
    }
}
