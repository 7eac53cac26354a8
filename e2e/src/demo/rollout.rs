//! Profiles are applied, edited and deleted, and every node's files change with them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cluster::ClusterError;
use cluster::wait::WaitError;
use xtask::interrupt;

use super::{Demo, PROFILES, folder};
use crate::view::{ProfileView, Watch};

/// How long a rollout may take; under a second on an idle machine.
const LIMIT: Duration = Duration::from_secs(30);

impl Demo<'_> {
    pub(super) fn profiles_become_ready(&mut self) -> Result<(), ClusterError> {
        self.story
            .section("Profiles are applied, and become Ready when every node has the bytes on its disk");
        let columns = Watch::lines(self.client, &["seccompprofiles"])?;
        let start = Instant::now();
        self.kubectl(&["apply", "--server-side", "-f", &folder("profiles")])?;
        self.story.command(&["get", "seccompprofiles", "--watch"]);
        let mut waiting: BTreeSet<&str> = PROFILES.into();
        while !waiting.is_empty() && start.elapsed() < LIMIT {
            interrupt::check().map_err(WaitError::from)?;
            let Some(line) = columns.next(Duration::from_millis(100)) else { continue };
            self.story.timed_line(&line, start);
            if let [name, ready, "Ready", ..] = line.split_whitespace().collect::<Vec<_>>()[..]
                && ready.split_once('/').is_some_and(|(held, desired)| held == desired)
            {
                waiting.remove(name);
            }
        }
        drop(columns);
        let claim = "the columns of all went to Ready";
        self.story.claim(claim, waiting.is_empty(), || format!("not {waiting:?}"));
        self.kubectl(&[
            "wait",
            "--for=condition=Ready",
            "seccompprofiles.seccomp.imjasonh.dev",
            "--all",
            "--timeout=30s",
        ])?;
        self.kubectl(&["get", "seccompprofiles", "-o", "wide"])?;
        self.kubectl(&["get", "nodeprofilestatuses"])?;
        PROFILES.iter().try_for_each(|name| self.every_node_holds(name).map(drop))
    }

    pub(super) fn a_profile_is_edited(&mut self) -> Result<(), ClusterError> {
        self.story.section("A profile is edited, and every node gets the new bytes");
        let before = self.shown("audit")?.content_hash().to_owned();
        let edit = r#"{"spec":{"contents":{"syscalls":[{"names":["ptrace"],"action":"SCMP_ACT_ERRNO"}]}}}"#;
        self.kubectl(&[
            "patch",
            "seccompprofiles.seccomp.imjasonh.dev",
            "audit",
            "--type=merge",
            "--patch",
            edit,
        ])?;
        self.kubectl(&[
            "wait",
            "--for=condition=Ready",
            "seccompprofiles.seccomp.imjasonh.dev/audit",
            "--timeout=30s",
        ])?;
        let after = self.every_node_holds("audit")?;
        self.kubectl(&["get", "seccompprofile", "audit", "-o", "wide"])?;
        self.story.say(&format!("{}:", self.evidence.source()));
        for held in self.evidence.of("audit")? {
            self.story.say(&format!("  {:<12} {}", held.node, held.hash.as_deref().unwrap_or("none")));
        }
        self.story.claim("the hash is a new one", after != before, || format!("still {before}"));
        Ok(())
    }

    pub(super) fn a_profile_is_deleted(&mut self) -> Result<(), ClusterError> {
        self.story.section("A profile is deleted, and its file is gone from every node");
        self.kubectl(&["delete", "seccompprofiles.seccomp.imjasonh.dev", "violation", "--timeout=60s"])?;
        let held = self.evidence.of("violation")?;
        let left: Vec<_> =
            held.iter().filter(|held| held.hash.is_some()).map(|held| held.node.as_str()).collect();
        let claim = format!("when kubectl returns, none of {} nodes has the file", held.len());
        self.story.claim(&claim, left.is_empty() && !held.is_empty(), || format!("{left:?} still do"));
        self.kubectl(&["get", "seccompprofiles"])?;
        for name in ["audit", "fine-grained", "runtime-default"] {
            self.every_node_holds(name)?;
        }
        Ok(())
    }

    /// Claims that every node holds the profile with the hash that its status shows, and returns the hash.
    pub(super) fn every_node_holds(&mut self, name: &str) -> Result<String, ClusterError> {
        let shown = self.shown(name)?;
        let hash = shown.content_hash().to_owned();
        let held = self.evidence.of(name)?;
        let unlike: Vec<_> = held.iter().filter(|held| !held.is(&hash)).map(|held| &held.node).collect();
        let holds = unlike.is_empty() && !held.is_empty() && shown.is_ready();
        let claim = format!("{name}: Ready, and all {} nodes hold the file with the hash shown", held.len());
        self.story
            .claim(&claim, holds, || format!("shown is {} {hash}, and not so on {unlike:?}", shown.state()));
        Ok(hash)
    }

    fn shown(&self, name: &str) -> Result<ProfileView, ClusterError> {
        Ok(ProfileView::get(self.client, name)?.unwrap_or_else(|| serde_json::Value::Null.into()))
    }
}
