//! The watches: each brings its kind's changes in their order, at its own pace, and lists anew when it has lost them.

use std::collections::BTreeSet;
use std::vec::IntoIter;

use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use kube_runtime::watcher::Event;
use serde_json::Value;

use super::server::{Change, Kind, Server};
use crate::index::Index;
use crate::watch::{Intake, WatchedKind};

/// One kind's watch, and the names that it has brought, as the controllers' stores keep them.
pub(super) struct Feed<W: WatchedKind> {
    kind: Kind,
    intake: Intake<W>,
    state: State,
    names: BTreeSet<String>,
    listing: BTreeSet<String>,
    listed: bool,
}

enum State {
    /// It must list.
    Lost,
    /// It has listed as of that many changes and brings the objects one by one.
    Listing(IntoIter<Value>, usize),
    /// It has brought that many changes.
    At(usize),
}

/// A [`Feed`] of any kind.
pub(super) trait AnyFeed {
    /// Brings the next event into the index, if there is one.
    fn next(&mut self, server: &Server, index: &mut Index, now: Timestamp) -> bool;
    /// Begins anew with a list. `told`: the failure is seen.
    fn lose(&mut self, index: &mut Index, told: bool);
    /// Brings the last few changes once more.
    fn rewind(&mut self, changes: usize);
    /// The names that are known to be there.
    fn names(&self) -> &BTreeSet<String>;
    /// Whether a first list is complete.
    fn has_listed(&self) -> bool;
}

impl<W: WatchedKind> Feed<W> {
    pub(super) fn new(kind: Kind, watched: W) -> Self {
        Self {
            kind,
            intake: Intake::new(watched),
            state: State::Lost,
            names: BTreeSet::new(),
            listing: BTreeSet::new(),
            listed: false,
        }
    }

    fn event(&mut self, server: &Server) -> Option<Event<W::Object>> {
        let decode = |object: Value| serde_json::from_value::<W::Object>(object).unwrap();
        let (event, next) = match &mut self.state {
            State::Lost => {
                let all: Vec<_> = server.all(self.kind).map(|(_, object)| object.clone()).collect();
                let at = server.log(self.kind).len();
                (Event::Init, State::Listing(all.into_iter(), at))
            }
            State::Listing(objects, at) => match objects.next() {
                Some(object) => return Some(Event::InitApply(decode(object))),
                None => (Event::InitDone, State::At(*at)),
            },
            State::At(at) => {
                let event = match server.log(self.kind).get(*at)?.clone() {
                    Change::Applied(object) => Event::Apply(decode(object)),
                    Change::Deleted(object) => Event::Delete(decode(object)),
                };
                (event, State::At(*at + 1))
            }
        };
        self.state = next;
        Some(event)
    }
}

impl<W: WatchedKind> AnyFeed for Feed<W> {
    fn next(&mut self, server: &Server, index: &mut Index, now: Timestamp) -> bool {
        let Some(event) = self.event(server) else { return false };
        let name = |object: &W::Object| object.meta().name.clone().unwrap_or_default();
        match &event {
            Event::Init => self.listing.clear(),
            Event::InitApply(object) => {
                self.listing.insert(name(object));
            }
            Event::InitDone => {
                self.names = std::mem::take(&mut self.listing);
                self.listed = true;
            }
            Event::Apply(object) => {
                self.names.insert(name(object));
            }
            Event::Delete(object) => {
                self.names.remove(&name(object));
            }
        }
        self.intake.take(index, event, now);
        true
    }

    fn lose(&mut self, index: &mut Index, told: bool) {
        if told {
            self.intake.failed(index);
        }
        self.state = State::Lost;
    }

    fn rewind(&mut self, changes: usize) {
        if let State::At(at) = &mut self.state {
            *at = at.saturating_sub(changes);
        }
    }

    fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    fn has_listed(&self) -> bool {
        self.listed
    }
}
