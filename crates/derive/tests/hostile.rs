//! Files that someone made to do harm: an error or a result each, bounded in time and memory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

use std::collections::BTreeMap;

use derive::{DeriveError, Entry, Files, Request, derive};
use proptest::prelude::*;

/// Files in memory.
#[derive(Default)]
struct Root {
    files: BTreeMap<String, Vec<u8>>,
    links: BTreeMap<String, String>,
}

impl Files for Root {
    fn entry(&self, path: &str) -> Option<Entry> {
        if let Some(target) = self.links.get(path) {
            return Some(Entry::Link(target.clone()));
        }
        if self.files.contains_key(path) {
            return Some(Entry::File);
        }
        let folder = format!("{path}/");
        let is_folder = self.files.keys().chain(self.links.keys()).any(|it| it.starts_with(&folder));
        is_folder.then_some(Entry::Directory)
    }

    fn read(&self, path: &str, most: usize) -> Result<Vec<u8>, String> {
        let bytes = self.files.get(path).ok_or("none")?;
        if bytes.len() > most { Err("too large".to_owned()) } else { Ok(bytes.clone()) }
    }

    fn head(&self, path: &str, most: usize) -> Result<Vec<u8>, String> {
        let mut bytes = self.read(path, usize::MAX)?;
        bytes.truncate(most);
        Ok(bytes)
    }

    fn names(&self, path: &str) -> Vec<String> {
        let folder = format!("{path}/");
        self.files.keys().filter_map(|it| it.strip_prefix(&folder)).map(str::to_owned).collect()
    }
}

fn request(program: &str) -> Request {
    Request { program: program.to_owned(), examine_arguments: true, ..Request::default() }
}

fn program(bytes: Vec<u8>) -> Root {
    Root { files: BTreeMap::from([("/program".to_owned(), bytes)]), ..Root::default() }
}

fn real() -> Vec<u8> {
    std::fs::read("/bin/true").unwrap()
}

#[test]
fn what_is_no_program_for_this_architecture_is_an_error_that_says_what_it_is() {
    let mut other = real();
    other[18..20].copy_from_slice(&183u16.to_le_bytes());
    let cases = [
        (Vec::new(), "no ELF program or library"),
        (b"text".to_vec(), "no ELF program or library"),
        (b"#!/bin/sh -e\nexit\n".to_vec(), "a script for /bin/sh -e"),
        (b"\x7fELF\x01\x01".to_vec(), "only programs for x86_64"),
        (b"\x7fELF\x02\x01".to_vec(), "truncated header"),
        (other, "for aarch64; only programs for x86_64 can be derived yet"),
    ];
    for (bytes, message) in cases {
        let error = derive(&program(bytes), &request("/program")).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.to_string().starts_with("/program: "), "{error}");
    }
}

#[test]
fn a_library_that_is_absent_is_named_with_who_needs_it() {
    let mut root = program(real());
    let loader = std::fs::read("/lib64/ld-linux-x86-64.so.2").unwrap();
    root.files.insert("/lib64/ld-linux-x86-64.so.2".to_owned(), loader);
    let error = derive(&root, &request("/program")).unwrap_err();
    let expected = DeriveError::Missing { object: "libc.so.6".to_owned(), needed_by: "/program".to_owned() };
    assert_eq!(error, expected);
}

#[test]
fn links_lead_neither_out_of_the_root_nor_in_a_circle() {
    let mut root = program(real());
    for (path, target) in
        [("/one", "/two"), ("/two", "one"), ("/out", "../../../../program"), ("/self", "self/x")]
    {
        root.links.insert(path.to_owned(), target.to_owned());
    }
    for path in ["/one", "/two", "/self", "/program/x", "/none"] {
        let error = derive(&root, &request(path)).unwrap_err();
        assert_eq!(error.reason(), "Unreadable", "{path}: {error}");
    }
    // Above the root is the root.
    let error = derive(&root, &request("/out")).unwrap_err();
    assert_ne!(error.to_string(), "/out: no such file");
}

/// A header and a program that ends itself: `mov eax, 60; syscall; hlt`.
fn small() -> Vec<u8> {
    derive::testing::program(&[0xb8, 60, 0, 0, 0, 0x0f, 0x05, 0xf4])
}

#[test]
fn a_program_without_sections_symbols_and_libraries_is_derived() {
    let found = derive(&program(small()), &request("/program")).unwrap();
    assert!(found.is_complete());
    assert_eq!(found.calls.iter().map(|call| call.number).collect::<Vec<_>>(), [60]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_truncated_or_changed_program_is_an_error_or_a_result(
        length in 0usize..40_000,
        changes in prop::collection::vec((0usize..0x1000, any::<u8>()), 0..24),
        late in prop::collection::vec((0usize..40_000, any::<u8>()), 0..8),
    ) {
        let mut bytes = real();
        for (place, value) in changes.into_iter().chain(late) {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = value;
            }
        }
        bytes.truncate(length.max(64));
        drop(derive(&program(bytes), &request("/program")));
    }

    #[test]
    fn any_bytes_of_code_are_an_error_or_a_result(code in prop::collection::vec(any::<u8>(), 0..512)) {
        let mut bytes = small();
        bytes.truncate(0x78);
        bytes.extend(&code);
        let size = (bytes.len() as u64).to_le_bytes();
        bytes[96..104].copy_from_slice(&size);
        bytes[104..112].copy_from_slice(&size);
        if let Ok(found) = derive(&program(bytes), &request("/program")) {
            prop_assert!(found.calls.iter().all(|call| !call.chain.is_empty()));
        }
    }
}
