//! From the events of the watch to the directory: a profile that is deleted and recreated.

use std::fs;

use kube_runtime::watcher::Event as WatchEvent;
use link::changes::KnownObjects;
use serde_json::json;

use super::testing::World;
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

/// All of the way that a profile takes in an agent.
struct Way {
    existing: KnownObjects,
    profiles: Profiles,
    world: World,
}

impl Way {
    fn new() -> Self {
        Self { existing: KnownObjects::default(), profiles: Profiles::default(), world: World::new() }
    }

    /// Whatever an event of the watch comes to is brought to the disk at once.
    fn event(&mut self, event: WatchEvent<WatchedProfile>) {
        for change in self.existing.take(event) {
            match self.profiles.take(change, Instant::now()) {
                Outcome::Goal(name, goal) => self.world.keeper.set_goal(name, goal, Instant::now()),
                Outcome::ListComplete => self.world.keeper.list_complete(),
                Outcome::Rollout | Outcome::Nothing => {}
                other @ Outcome::Misnamed { .. } => panic!("{other:?}"),
            }
            self.world.sync();
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
        let mut way = Way::new();
        way.list(profile("1", log));
        way.world.script.log();
        let path = way.world.path("a.json");
        way.world.script.on(move |call, name| {
            assert!(fs::read(&path).is_ok_and(|bytes| !bytes.is_empty()), "before {call} {name}");
            Ok(())
        });
        way.list(profile("2", action));
        // The end of the earlier one may come late.
        way.event(WatchEvent::Delete(profile("1", log)));
        assert_eq!(way.world.read("a.json"), Some(format!(r#"{{"defaultAction":"{action}"}}"#)));
        let calls = way.world.script.log();
        assert!(calls.iter().all(|(call, _)| *call != SystemCall::Unlink), "{calls:?}");
        assert_eq!(calls.iter().any(|(call, _)| *call == SystemCall::Rename), action == allow);
        way.world.script.calm();
        way.event(WatchEvent::Delete(profile("2", action)));
        assert_eq!(way.world.read("a.json"), None);
    }
}
