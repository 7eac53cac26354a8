//! The Events about refused calls that are to be published: few, one after the other.
//!
//! The watch of observations fills it, one task empties it. Events are hints: what has no room is dropped, and the counts
//! in the observations and in the metric have everything.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::Notify;

use crate::denied_call::DeniedCall;
use crate::unlisted::lock;

/// The most Events that wait.
const ROOM: usize = 1000;

/// Events that are to be published.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: Mutex<VecDeque<DeniedCall>>,
    added: Notify,
}

impl Outbox {
    /// Adds calls as far as there is room.
    pub fn add(&self, calls: Vec<DeniedCall>) {
        if calls.is_empty() {
            return;
        }
        let mut waiting = lock(&self.waiting);
        let room = ROOM.saturating_sub(waiting.len());
        waiting.extend(calls.into_iter().take(room));
        drop(waiting);
        self.added.notify_one();
    }

    /// The call that has waited longest; waits until there is one.
    pub async fn next(&self) -> DeniedCall {
        loop {
            let call = lock(&self.waiting).pop_front();
            match call {
                Some(call) => return call,
                None => self.added.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::denied_call::DenialReason;

    fn call(number: usize) -> DeniedCall {
        let text = || number.to_string();
        DeniedCall {
            namespace: text(),
            pod: text(),
            uid: text(),
            field: text(),
            container: text(),
            profile: text(),
            call: text(),
            reason: DenialReason::Refused,
        }
    }

    #[tokio::test]
    async fn calls_come_out_in_order_and_a_flood_of_them_stays_bounded() {
        let outbox = Outbox::default();
        assert_eq!(outbox.next().now_or_never(), None);
        outbox.add((0..5000).map(call).collect());
        outbox.add(vec![call(5000)]);
        for number in 0..ROOM {
            assert_eq!(outbox.next().now_or_never(), Some(call(number)));
        }
        assert_eq!(outbox.next().now_or_never(), None);
    }
}
