//! What the failure of a watch means for the next request.

use kube_runtime::watcher;

use crate::backoff::Failure;

/// Whether the API server does not have the version from which to continue: it is too old (410), or in the future (504)
/// because the cluster was restored from a backup. Where that is the answer to the request, and not an event, kube's
/// watcher requests the same version again, so that a new watcher, which begins with a list, must replace it.
pub(super) fn is_lost(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => matches!(status.code, 410 | 504),
        watcher::Error::WatchError(status) => status.code == 410,
        _ => false,
    }
}

/// Whether the API server does not stream lists: it refuses the parameters as invalid.
pub(super) fn is_refused(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if matches!(status.code, 400 | 422))
}

pub(super) fn failure(error: &watcher::Error) -> Failure {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => error.into(),
        _ => Failure::Other,
    }
}
