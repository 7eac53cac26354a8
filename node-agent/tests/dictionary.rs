//! The dictionary from which the bytes that an agent keeps are compressed: generated, like the tables of syscalls.

#![allow(clippy::unwrap_used, reason = "this file is a test")]

use std::collections::BTreeSet;
use std::path::Path;

use syscalls::{Architecture, Syscall};

/// What stands around the names in canonical bytes, the most usual last: LZ4 finds what is near the end most cheaply.
const AROUND: &str = concat!(
    r#"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_MASKED_EQ"}]},"#,
    r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"architectures":["SCMP_ARCH_X86_64","#,
    r#""SCMP_ARCH_X86","SCMP_ARCH_X32"],"syscalls":[{"names":["#,
);

fn dictionary() -> String {
    let names: BTreeSet<_> = Syscall::all()
        .filter(|call| call.number(Architecture::X86_64).is_some())
        .map(|call| format!("{:?},", call.name()))
        .collect();
    names.into_iter().collect::<String>() + AROUND
}

/// With `UPDATE_TABLES=1` (`make generate`) it writes it.
#[test]
fn the_dictionary_has_the_names_of_all_calls_of_x86_64() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dictionary.txt");
    if std::env::var_os("UPDATE_TABLES").is_some() {
        std::fs::write(&path, dictionary()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), dictionary(), "run `make generate`");
}
