//! The bound on the length of a page of a list.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::client::Body;
use tower::BoxError;

/// The body of an answer.
pub(super) type Answer = UnsyncBoxBody<Bytes, BoxError>;

/// The bound on the length of a page of a list.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// In bytes; 0 for no bound.
    pub(super) longest: AtomicUsize,
    /// Whether each page has one object and so cannot be shorter.
    pub(super) have_one_object: AtomicBool,
    /// Whether a page was longer than the bound.
    pub(super) was_too_long: AtomicBool,
}

impl Pages {
    /// `page`, which fails if it is too long.
    pub(super) fn bound(self: &Arc<Self>, page: Body) -> Answer {
        let pages = Arc::clone(self);
        match pages.longest.load(Ordering::Relaxed) {
            longest if longest == 0 || pages.have_one_object.load(Ordering::Relaxed) => {
                page.map_err(Into::into).boxed_unsync()
            }
            longest => Limited::new(page, longest)
                .map_err(move |error| {
                    if error.is::<LengthLimitError>() {
                        pages.was_too_long.store(true, Ordering::Relaxed);
                    }
                    error
                })
                .boxed_unsync(),
        }
    }
}
