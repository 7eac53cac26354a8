//! How programs reach their calls.

use std::collections::BTreeSet;
use std::fmt::Write;

use derive::{Argument, Call, Link, OpenArgument, Program};
use serde::Serialize;
use syscalls::{Architecture, Syscall};

use crate::derive_error::DeriveCommandError;
use crate::output::json_lines;
use crate::show::escaped;

/// The evidence for a profile.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Evidence<'a> {
    programs: Vec<OfProgram<'a>>,
    /// Calls that the runtime makes before the program begins.
    by_runtime: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct OfProgram<'a> {
    program: &'a str,
    /// Why it may run.
    because: String,
    objects: &'a [String],
    calls: Vec<OfCall<'a>>,
    findings: Vec<OfFinding>,
}

#[derive(Debug, Serialize)]
struct OfCall<'a> {
    name: String,
    number: u32,
    chain: Vec<OfLink<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    arguments: Vec<OfArgument<'a>>,
}

/// What is known of an argument.
#[derive(Debug, Serialize)]
struct OfArgument<'a> {
    index: u8,
    /// Whether it has one of the values whenever the call is made.
    bounded: bool,
    /// Of its lower 32 bits.
    values: Vec<OfValue<'a>>,
    /// Where others may come from.
    open: Vec<OfOpen<'a>>,
}

#[derive(Debug, Serialize)]
struct OfValue<'a> {
    value: u32,
    /// The instruction that sets it.
    place: OfLink<'a>,
    chain: Vec<OfLink<'a>>,
}

#[derive(Debug, Serialize)]
struct OfOpen<'a> {
    why: &'static str,
    place: OfLink<'a>,
    kernel: OfLink<'a>,
}

#[derive(Debug, Serialize)]
struct OfLink<'a> {
    step: &'static str,
    object: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<&'a str>,
    address: String,
}

#[derive(Debug, Serialize)]
struct OfFinding {
    reason: &'static str,
    message: String,
}

impl<'a> Evidence<'a> {
    pub(super) fn of(all: &'a [Program], by_runtime: &BTreeSet<Syscall>) -> Self {
        let programs = all.iter().map(|Program { derived: it, because }| OfProgram {
            program: &it.program,
            because: because.to_string(),
            objects: &it.objects,
            calls: it.calls.iter().map(OfCall::of).collect(),
            findings: it
                .findings
                .iter()
                .map(|finding| OfFinding { reason: finding.kind.reason(), message: finding.to_string() })
                .collect(),
        });
        Self { programs: programs.collect(), by_runtime: by_runtime.iter().map(|call| call.name()).collect() }
    }

    pub(super) fn json(&self) -> String {
        json_lines(self)
    }
}

impl<'a> OfCall<'a> {
    fn of(call: &'a Call) -> Self {
        Self {
            name: name(call.number),
            number: call.number,
            chain: call.chain.iter().map(OfLink::of).collect(),
            arguments: call.arguments.iter().map(OfArgument::of).collect(),
        }
    }
}

impl<'a> OfArgument<'a> {
    fn of(argument: &'a Argument) -> Self {
        let value = |it: &'a derive::Value| OfValue {
            value: it.value,
            place: OfLink::of(&it.place),
            chain: it.chain.iter().map(OfLink::of).collect(),
        };
        let open = |it: &'a OpenArgument| OfOpen {
            why: it.why.text(),
            place: OfLink::of(&it.at),
            kernel: OfLink::of(&it.kernel),
        };
        Self {
            index: argument.index,
            bounded: argument.is_bounded(),
            values: argument.values.iter().map(value).collect(),
            open: argument.open.iter().map(open).collect(),
        }
    }
}

impl<'a> OfLink<'a> {
    fn of(it: &'a Link) -> Self {
        Self {
            step: it.step.name(),
            object: &it.object,
            function: it.function.as_deref(),
            address: format!("{:#x}", it.address),
        }
    }
}

fn name(number: u32) -> String {
    let known = Syscall::by_number(Architecture::X86_64, number);
    known.map_or_else(|| format!("syscall_{number:#x}"), |call| call.name().to_owned())
}

/// What is known of an argument, as text.
fn argument(text: &mut String, argument: &Argument) {
    let Argument { index, values, open } = argument;
    for it in values {
        _ = writeln!(text, "  argument {index}     is {:#x} by {}", it.value, escaped(&it.place));
    }
    for it in open {
        _ = writeln!(
            text,
            "  argument {index}     is not known: at {} it {}",
            escaped(&it.at),
            it.why.text()
        );
    }
}

/// The chains to some calls, as text.
pub(super) fn chains(all: &[Program], names: &[String]) -> Result<String, DeriveCommandError> {
    let mut text = String::new();
    for asked in names {
        let call = Syscall::from_name(asked).and_then(|call| call.number(Architecture::X86_64));
        let number = call.ok_or_else(|| DeriveCommandError::NoCall(asked.clone()))?;
        let mut found = false;
        for Program { derived, .. } in all {
            let Some(call) = derived.calls.iter().find(|call| call.number == number) else { continue };
            found = true;
            _ = writeln!(text, "why {asked}? {}", escaped(&derived.program));
            for link in &call.chain {
                _ = writeln!(text, "  {:<14} {}", link.step.name(), escaped(link));
            }
            call.arguments.iter().for_each(|it| argument(&mut text, it));
        }
        if !found {
            return Err(DeriveCommandError::Unreached(asked.clone()));
        }
    }
    Ok(text)
}
