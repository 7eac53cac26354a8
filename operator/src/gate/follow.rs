//! How each of the gate's watches is begun and followed.

use std::fmt::Debug;

use daemon::ReadyHandle;
use daemon::metrics::{Label, Watches};
use kube::{Client, Resource};
use kube_runtime::watcher::Config;
use link::chain;
use link::changes::{Change, Changes};
use link::watch::WatchStream;
use serde::de::DeserializeOwned;
use tracing::warn;

use super::metrics::GateKind;
use crate::watch::WATCH;

/// A watch of one kind, with the limit of time that all have.
pub(super) fn stream<K>(
    kind: GateKind,
    config: Config,
    client: Client,
    watches: &Watches<GateKind>,
) -> WatchStream<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    WatchStream::observed(client, config.timeout(WATCH.as_secs() as u32), watches.of(kind))
}

/// Hands every change to `on`, and `None` after a failure, for ever. `ready` is released when the first list is complete.
pub(super) async fn follow<K>(
    kind: GateKind,
    stream: WatchStream<K>,
    mut ready: Option<ReadyHandle>,
    on: impl Fn(Option<Change<K>>),
) where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut changes = Changes::new(stream);
    loop {
        match changes.next().await {
            Ok(change) => {
                let is_complete = matches!(change, Change::Complete);
                on(Some(change));
                if is_complete && let Some(ready) = ready.take() {
                    ready.ready();
                }
            }
            Err(error) => {
                // The watch starts again by itself, with back-off; what is known stays.
                warn!(kind = kind.as_str(), error = %chain(&error), "watch failed");
                on(None);
            }
        }
    }
}
