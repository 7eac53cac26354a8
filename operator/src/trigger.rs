//! Names that are due for a look, each once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::Stream;
use tokio::sync::Notify;

/// A set of due names, filled by the watches and emptied by a controller.
///
/// A set and no queue: a burst of a thousand reports about twenty profiles is twenty names, so memory stays bounded
/// however far the controller falls behind.
#[derive(Debug, Clone, Default)]
pub struct Trigger {
    due: Arc<Mutex<BTreeSet<String>>>,
    wake: Arc<Notify>,
}

impl Trigger {
    /// Adds names.
    pub fn extend(&self, names: impl IntoIterator<Item = String>) {
        self.lock().extend(names);
        self.wake.notify_one();
    }

    /// The names as they become due, for ever.
    pub fn stream(self) -> impl Stream<Item = String> + Send {
        futures::stream::unfold(self, |trigger| async move {
            loop {
                let first = trigger.lock().pop_first();
                match first {
                    Some(name) => return Some((name, trigger)),
                    None => trigger.wake.notified().await,
                }
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // A set of names is whole after any panic.
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, StreamExt};

    #[tokio::test]
    async fn a_burst_about_one_name_is_one_look() {
        let trigger = Trigger::default();
        let mut stream = std::pin::pin!(trigger.clone().stream());
        assert_eq!(stream.next().now_or_never(), None);
        trigger.extend(["b".to_owned(), "a".to_owned()]);
        trigger.extend(["a".to_owned()]);
        assert_eq!(stream.next().await.as_deref(), Some("a"));
        assert_eq!(stream.next().await.as_deref(), Some("b"));
        assert_eq!(stream.next().now_or_never(), None);
    }
}
