//! 50 network programs of Debian 12, drawn by a seed: of how many it is known which families of sockets they make, and
//! whether anything that they do when they are started contradicts what is known of arguments.
//!
//! `-- --draw-network` draws `network.txt` anew, `-- --network` measures.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use derive::{Argument, Call, Derived, FindingKind, Request};
use syscalls::{Architecture, Syscall};

use crate::arguments::compares;
use crate::draw::Drawn;
use crate::index::Index;
use crate::machine::Machine;
use crate::namespaces;
use crate::room::Room;
use crate::store::Store;

const SOCKET: u32 = 41;
/// `AF_PACKET`, `AF_ALG` and `AF_VSOCK`.
const NEVER: [u32; 3] = [17, 38, 40];

/// What is known of the families of a program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// It has none of [`NEVER`], and everything that can run was followed.
    Proven,
    /// It has none of [`NEVER`], and something can run that was not followed.
    Followed,
    /// It makes sockets of such a family itself.
    Uses,
    /// It can be any.
    Open,
    /// Nothing is derived, or not all of it.
    Refused,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Followed => "followed",
            Self::Uses => "uses",
            Self::Open => "open",
            Self::Refused => "refused",
        }
    }
}

/// Measures the programs that were drawn.
pub(crate) fn measure() -> ExitCode {
    namespaces::bring_loopback_up();
    let (index, store) = (Index::of_this_machine(), Store::new());
    let (mut outcomes, mut places, mut wrong) = (BTreeMap::new(), BTreeMap::new(), 0);
    println!(
        "package\tversion\tprogram\toutcome\tfamilies\tplaces of other families\tbounded arguments\tcalls compared"
    );
    for drawn in crate::draw::network() {
        let packages: Vec<_> = index.loaded(&drawn.package).iter().map(|it| &index.packages[*it]).collect();
        let room = Room::new(&store.folder, &packages.iter().map(|it| store.place(it)).collect::<Vec<_>>());
        let files = Machine { root: room.root.clone(), ..Machine::like_an_image() };
        let request =
            Request { program: drawn.program.clone(), examine_arguments: true, ..Request::default() };
        let found = derive::derive(&files, &request);
        let made = room.run(&drawn.program).map(|it| it.made).unwrap_or_default();
        let outcome = found.as_ref().map_or(Outcome::Refused, outcome);
        *outcomes.entry(outcome).or_insert(0) += 1;
        let Drawn { package, version, program } = &drawn;
        let Ok(found) = found else {
            println!("{package}\t{version}\t{program}\t{}\t\t\t\t", outcome.name());
            continue;
        };
        let compared = made.iter().filter(|it| compares(&found, it).is_some()).count();
        for call in made.iter().filter(|it| compares(&found, it) == Some(false)) {
            wrong += 1;
            eprintln!("{package}: contradicted: {call:x?}");
        }
        let of = if outcome == Outcome::Open { open_places(&found) } else { BTreeSet::new() };
        for place in &of {
            *places.entry(place.clone()).or_insert(0) += 1;
        }
        let of: Vec<_> = of.into_iter().collect();
        println!(
            "{package}\t{version}\t{program}\t{}\t{}\t{}\t{}\t{compared}",
            outcome.name(),
            families(&found)
                .iter()
                .flat_map(|it| &it.values)
                .map(|it| it.value.to_string())
                .collect::<Vec<_>>()
                .join(","),
            of.join(", "),
            bounded(&found),
        );
    }
    for (outcome, count) in &outcomes {
        eprintln!("{}: {count}", outcome.name());
    }
    let mut places: Vec<_> = places.into_iter().collect();
    places.sort_by_key(|(place, count)| (std::cmp::Reverse(*count), place.clone()));
    places.iter().for_each(|(place, count)| eprintln!("families from {place}: {count} programs"));
    ExitCode::from(u8::from(wrong > 0))
}

fn families(found: &Derived) -> Option<&Argument> {
    let call = found.calls.iter().find(|it| it.number == SOCKET)?;
    call.arguments.iter().find(|it| it.index == 0)
}

fn outcome(found: &Derived) -> Outcome {
    let is_unknown = found.findings.iter().any(|it| !matches!(it.kind, FindingKind::NoSuchCall(_)));
    let has_socket = found.calls.iter().any(|it| it.number == SOCKET);
    match families(found) {
        _ if !found.is_complete() => Outcome::Refused,
        None if has_socket => Outcome::Open,
        Some(argument) if !argument.is_bounded() => Outcome::Open,
        Some(argument) if argument.values.iter().any(|it| NEVER.contains(&it.value)) => Outcome::Uses,
        _ if is_unknown => Outcome::Followed,
        _ => Outcome::Proven,
    }
}

/// The files, and the functions of libc, in which families are lost.
fn open_places(found: &Derived) -> BTreeSet<String> {
    let Some(argument) = families(found) else { return BTreeSet::from(["an interpreter".to_owned()]) };
    let place = |at: &derive::Link| {
        let object = at.object.rsplit('/').next().unwrap_or_default();
        match &at.function {
            _ if at.object == found.program => "the program".to_owned(),
            Some(function) if object == "libc.so.6" => format!("{object}: {function}"),
            None if object == "libc.so.6" => format!("{object}: {:#x}", at.address),
            _ => object.to_owned(),
        }
    };
    argument.open.iter().map(|it| place(&it.at)).collect()
}

/// The arguments that are bounded, as calls with the places of their arguments.
fn bounded(found: &Derived) -> String {
    let name = |call: &Call| Syscall::by_number(Architecture::X86_64, call.number).map_or("", Syscall::name);
    let of = |call: &Call| -> Vec<String> {
        let bounded = call.arguments.iter().filter(|it| it.is_bounded());
        bounded.map(|it| format!("{}[{}]", name(call), it.index)).collect()
    };
    found.calls.iter().flat_map(of).collect::<Vec<_>>().join(" ")
}
