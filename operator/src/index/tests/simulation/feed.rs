//! The watches: each delivers the changes of its kind in order, at its own pace, and lists again after it broke.

use std::vec::IntoIter;

use k8s_openapi::jiff::Timestamp;
use kube_runtime::watcher::Event;
use link::changes::{Change as Changed, KnownObjects};
use serde_json::Value;

use super::server::{LoggedChange, Server};
use crate::index::Index;
use crate::labels::KindLabel;
use crate::watch::{WatchedKind, apply, interrupt};

/// One kind's watch.
pub(super) struct Feed<W> {
    kind: KindLabel,
    watched: W,
    existing: KnownObjects,
    state: State,
    listed: bool,
}

enum State {
    /// The next event is the start of a list.
    MustList,
    /// It has listed after this many changes and delivers the objects one by one.
    Listing(IntoIter<Value>, usize),
    /// It has delivered this many changes.
    At(usize),
}

/// A [`Feed`] of any kind.
pub(super) trait AnyFeed {
    /// Delivers the next event to the index, if there is one.
    fn next(&mut self, server: &Server, index: &mut Index, now: Timestamp) -> bool;
    /// Begins again with a list. `reports_error`: whether the watch reports an error.
    fn break_watch(&mut self, index: &mut Index, reports_error: bool);
    /// Delivers the last few changes once more.
    fn rewind(&mut self, changes: usize);
    /// Whether a first list is complete.
    fn has_listed(&self) -> bool;
}

impl<W: WatchedKind> Feed<W> {
    pub(super) fn new(kind: KindLabel, watched: W) -> Self {
        Self { kind, watched, existing: KnownObjects::default(), state: State::MustList, listed: false }
    }

    fn event(&mut self, server: &Server) -> Option<Event<W::Object>> {
        let decode = |object: Value| serde_json::from_value::<W::Object>(object).unwrap();
        let (event, next) = match &mut self.state {
            State::MustList => {
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
                    LoggedChange::Applied(object) => Event::Apply(decode(object)),
                    LoggedChange::Deleted(object) => Event::Delete(decode(object)),
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
        for change in self.existing.take(event) {
            self.listed |= matches!(change, Changed::Complete);
            apply(&self.watched, index, change, now);
        }
        true
    }

    fn break_watch(&mut self, index: &mut Index, reports_error: bool) {
        if reports_error {
            interrupt::<W>(index);
        }
        self.state = State::MustList;
    }

    fn rewind(&mut self, changes: usize) {
        if let State::At(at) = &mut self.state {
            *at = at.saturating_sub(changes);
        }
    }

    fn has_listed(&self) -> bool {
        self.listed
    }
}
