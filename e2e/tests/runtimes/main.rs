//! The model of runtimes against real ones: containers that make calls under random profiles, what runc and crun
//! themselves need of a profile, and how they differ in what they accept; and the observer against the kernel's records
//! of their calls. As root, on x86_64; the long tests download Debian's runtimes and build other versions of runc.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's `allow-unwrap-in-tests` does not cover helper functions of integration tests"
)]

mod apart;
mod auditd;
#[allow(dead_code, reason = "the tests of the model use all of it")]
#[path = "../../../crates/filter/tests/libseccomp/bpf.rs"]
mod bpf;
mod calls;
mod clock;
mod container;
mod costs;
mod crun;
mod derived;
mod differences;
mod flags;
mod flood;
mod installed;
mod listeners;
mod observer;
mod outcome;
mod profiles;
mod records;
#[allow(dead_code, reason = "the tests of the model use all of it")]
#[path = "../../../crates/filter/tests/libseccomp/sets.rs"]
mod sets;
mod several;
mod short_lived;
mod startup;
mod verdicts;
mod words;
