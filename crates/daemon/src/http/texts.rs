//! The metrics as text, with a limit on the number of such texts in memory.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use prometheus::{Registry, TextEncoder};

/// The maximum number of texts that are being sent. An operator's text has some 600 bytes for each profile, and a
/// client that reads it byte by byte keeps it in memory for the life of its connection.
const MOST: usize = 3;

/// The texts that are being sent, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Texts {
    sent: Mutex<Vec<Weak<[u8]>>>,
}

impl Texts {
    /// The current metrics of `registry`. If too many texts are still being sent, it returns the newest of these, which
    /// is at most as old as a connection can be.
    pub(super) fn of(&self, registry: &Registry) -> Result<Bytes, prometheus::Error> {
        // The list is consistent after any panic.
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.retain(|text| text.strong_count() > 0);
        if sent.len() >= MOST
            && let Some(youngest) = sent.last().and_then(Weak::upgrade)
        {
            return Ok(Bytes::from_owner(youngest));
        }
        let text: Arc<[u8]> = TextEncoder::new().encode_to_string(&registry.gather())?.into_bytes().into();
        sent.push(Arc::downgrade(&text));
        Ok(Bytes::from_owner(text))
    }
}

#[cfg(test)]
mod tests {
    use prometheus::IntCounter;

    use super::*;

    #[test]
    fn texts_that_are_not_read_to_the_end_are_shared_and_others_are_new() {
        let registry = Registry::new();
        let counter =
            crate::metrics::register(&registry, IntCounter::new("asked", "How often.").unwrap()).unwrap();
        let texts = Texts::default();
        let ask = || {
            counter.inc();
            let text = texts.of(&registry).unwrap();
            let value = String::from_utf8_lossy(&text).trim_end().rsplit(' ').next().unwrap().to_owned();
            (text, value)
        };
        for number in 1..=5 {
            assert_eq!(ask().1, number.to_string(), "each was read to the end");
        }
        let mut unread: Vec<_> = (6..=8).map(|_| ask()).collect();
        assert_eq!(unread.iter().map(|(_, value)| &**value).collect::<Vec<_>>(), ["6", "7", "8"]);
        let shared = ask();
        assert_eq!(shared.1, "8");
        assert!(std::ptr::eq(shared.0.as_ptr(), unread[2].0.as_ptr()));
        unread.remove(0);
        assert_eq!(ask().1, "10", "there is room again");
    }
}
