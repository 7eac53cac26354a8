//! A program, from an image that someone else has made.
#![no_main]

use derive::{Entry, Files, Request};
use libfuzzer_sys::fuzz_target;

/// One program and nothing else.
struct Only<'b>(&'b [u8]);

impl Files for Only<'_> {
    fn entry(&self, path: &str) -> Option<Entry> {
        (path == "/program").then_some(Entry::File)
    }

    fn read(&self, _: &str, most: usize) -> Result<Vec<u8>, String> {
        if self.0.len() > most { Err("too large".to_owned()) } else { Ok(self.0.to_vec()) }
    }

    fn head(&self, _: &str, most: usize) -> Result<Vec<u8>, String> {
        Ok(self.0.get(..most).unwrap_or(self.0).to_vec())
    }

    fn names(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

fuzz_target!(|bytes: &[u8]| {
    let request = Request { program: "/program".to_owned(), examine_arguments: true, ..Request::default() };
    let Ok(found) = derive::derive(&Only(bytes), &request) else { return };
    for call in &found.calls {
        assert!(!call.chain.is_empty(), "each call has evidence");
        for argument in &call.arguments {
            let mut pairs = argument.values.windows(2);
            assert!(pairs.all(|it| it[0].value < it[1].value), "values have an order");
            assert!(argument.values.iter().all(|it| !it.chain.is_empty()), "each value has evidence");
        }
    }
    assert!(found.calls.is_sorted_by_key(|call| call.number), "calls have an order");
    let again = derive::derive(&Only(bytes), &request);
    assert_eq!(Ok(found), again, "the same bytes give the same result");
});
