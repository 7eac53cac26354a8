//! The generated tables are those of the extracts, and give what the extracts say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use syscalls::{Architecture, ArgumentType, Group, Libseccomp, Release, Syscall};

/// The columns of `libseccomp.tsv`.
const LIBRARIES: [&str; 4] = ["2.5.4", "debian-2.5.4", "2.6.0", "2.6.1"];
/// The width of a line of a table.
const WIDTH: usize = 118;

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(path(file)).unwrap()
}

/// The rows of an extract, without its comments.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect())
}

/// The extracts in one value.
struct Extracts {
    linux: String,
    libseccomp: String,
    differences: String,
    arguments: String,
    arguments_other: String,
    parameters: String,
    groups: String,
    releases: [String; 2],
}

impl Extracts {
    fn read() -> Self {
        Self {
            linux: read("data/linux.tsv"),
            libseccomp: read("data/libseccomp.tsv"),
            differences: read("data/libseccomp-numbers.tsv"),
            arguments: read("data/arguments.tsv"),
            arguments_other: read("data/arguments-other.tsv"),
            parameters: read("data/parameters.tsv"),
            groups: read("data/groups.tsv"),
            releases: ["data/releases.tsv", "data/releases-later.tsv"].map(read),
        }
    }

    /// The release of the headers, without the patch level: `7.2`.
    fn linux_release(&self) -> &str {
        let (_, end) = self.linux.lines().next().unwrap().split_once("(Linux ").unwrap();
        end.rsplit_once('.').and_then(|(rest, _)| rest.rsplit_once('.')).unwrap().0
    }

    /// The numbers of each name, by architecture.
    fn numbers(&self) -> BTreeMap<&str, Vec<Option<u32>>> {
        let number = |field: &&str| (*field != "-").then(|| field.parse().unwrap());
        rows(&self.linux).map(|row| (row[0], row[1..].iter().map(number).collect())).collect()
    }

    /// For each name, the libraries that know it.
    fn known(&self) -> BTreeMap<&str, Vec<bool>> {
        rows(&self.libseccomp)
            .map(|row| (row[0], row[1..].iter().map(|field| *field == "y").collect()))
            .collect()
    }

    /// The library, the architecture and the name of each call that a library treats as absent.
    fn unresolved(&self) -> Vec<(usize, usize, &str)> {
        let place = |list: &[&str], word: &str| list.iter().position(|it| *it == word).unwrap();
        let architectures = Architecture::ALL.map(Architecture::name);
        rows(&self.differences)
            .map(|row| {
                assert_eq!(row[3], "-", "a number of its own: {row:?}");
                (place(&LIBRARIES, row[0]), place(&architectures, row[1]), row[2])
            })
            .collect()
    }

    /// The types of the arguments of each call.
    fn arguments(&self) -> BTreeMap<&str, Vec<ArgumentType>> {
        let own = rows(&self.arguments).map(|row| (row[0], types(&row[1..])));
        let other = rows(&self.arguments_other).filter(|row| row[1] == "*");
        own.chain(other.map(|row| (row[0], types(&row[2..])))).collect()
    }

    /// The types of the arguments of calls that an architecture takes otherwise, by its place in the tables; `None` if they
    /// are not known.
    fn arguments_elsewhere(&self) -> BTreeMap<(&str, usize), Option<Vec<ArgumentType>>> {
        let mut found = BTreeMap::new();
        for row in rows(&self.arguments_other).filter(|row| row[1] != "*") {
            for name in row[1].split(',') {
                let at = Architecture::ALL.into_iter().position(|architecture| architecture.name() == name);
                let known = (row[2..] != ["?"]).then(|| types(&row[2..]));
                assert_eq!(found.insert((row[0], at.unwrap()), known), None, "two rows: {row:?}");
            }
        }
        found
    }

    /// The names of the arguments of each call.
    fn parameters(&self) -> BTreeMap<&str, Vec<&str>> {
        rows(&self.parameters).map(|row| (row[0], row[1..].to_vec())).collect()
    }

    /// The group of each name, which has one row.
    fn groups(&self) -> BTreeMap<&str, Group> {
        let group = |word: &str| Group::ALL.into_iter().find(|group| group.name() == word);
        let mut groups = BTreeMap::new();
        for row in rows(&self.groups) {
            let group = group(row[1]).unwrap_or_else(|| panic!("no group {}", row[1]));
            assert_eq!(groups.insert(row[0], group), None, "two groups: {}", row[0]);
        }
        groups
    }

    fn releases(&self) -> BTreeMap<&str, [u8; 3]> {
        let release = |text: &str| {
            let mut numbers = text.split('.').map(|number| number.parse().unwrap());
            std::array::from_fn(|_| numbers.next().unwrap_or(0))
        };
        self.releases.iter().flat_map(|text| rows(text)).map(|row| (row[0], release(row[1]))).collect()
    }

    /// Every name, in the order of the tables.
    fn names(&self) -> BTreeSet<&str> {
        rows(&self.linux).chain(rows(&self.libseccomp)).map(|row| row[0]).collect()
    }
}

fn types(fields: &[&str]) -> Vec<ArgumentType> {
    fields.iter().map(|text| argument(text)).collect()
}

/// A type of C.
fn argument(text: &str) -> ArgumentType {
    match text {
        // The last three are names of pointers (`linux/capability.h`).
        "*" | "cap_user_header_t" | "cap_user_data_t" | "const cap_user_data_t" => ArgumentType::Pointer,
        "umode_t" | "old_uid_t" | "old_gid_t" => ArgumentType::Short,
        "loff_t" | "u64" => ArgumentType::Wide,
        "int"
        | "unsigned"
        | "unsigned int"
        | "u32"
        | "__u32"
        | "__s32"
        | "uint32_t"
        | "pid_t"
        | "uid_t"
        | "gid_t"
        | "clockid_t"
        | "timer_t"
        | "mqd_t"
        | "key_t"
        | "key_serial_t"
        | "rwf_t"
        | "qid_t"
        | "enum landlock_rule_type" => ArgumentType::Int,
        "long" | "unsigned long" | "size_t" | "off_t" | "aio_context_t" => ArgumentType::Word,
        other => panic!("unknown type {other}"),
    }
}

/// Items on lines of at most [`WIDTH`] characters.
fn list(items: impl IntoIterator<Item = String>) -> String {
    let mut lines = String::new();
    let mut line = String::from("   ");
    for item in items {
        if line.len() + item.len() + 2 > WIDTH {
            lines += &line;
            lines.push('\n');
            line = String::from("   ");
        }
        write!(line, " {item},").unwrap();
    }
    lines + &line + "\n"
}

fn tables(extracts: &Extracts) -> String {
    let names: Vec<&str> = extracts.names().into_iter().collect();
    let (numbers, known, releases) = (extracts.numbers(), extracts.known(), extracts.releases());
    let index = |name: &str| names.binary_search(&name).unwrap();
    let number = |name: &str, architecture: usize| numbers.get(name).and_then(|them| them[architecture]);
    let count = names.len();
    let variants: BTreeSet<String> = Group::ALL.iter().map(|group| format!("{group:?}")).collect();
    let variants: Vec<String> = variants.into_iter().collect();
    let mut text = format!(
        "//! The tables. Generated from `data/` by `make generate`; do not edit.\n\n\
         #![allow(clippy::unreadable_literal, reason = \"generated\")]\n\n\
         use crate::ArgumentType::{{Int, Pointer, Short, Wide, Word}};\n\
         use crate::Group::{{self, {}}};\n\n\
         /// The release of Linux whose headers have the numbers.\n\
         pub const LINUX: &str = \"{}\";\n\n\
         /// The number of a call that an architecture does not have.\n\
         pub(crate) const ABSENT: u32 = u32::MAX;\n\n\
         /// Every name, sorted; the other tables have the same order.\n\
         pub(crate) static NAMES: [&str; {count}] = [\n{}];\n",
        variants.join(", "),
        extracts.linux_release(),
        list(names.iter().map(|name| format!("{name:?}"))),
    );
    text +=
        &format!("\n/// The numbers, by architecture.\npub(crate) static NUMBERS: [[u32; {count}]; 9] = [\n");
    for architecture in Architecture::ALL {
        let at = architecture as usize;
        let items =
            names.iter().map(|name| number(name, at).map_or("ABSENT".to_owned(), |it| it.to_string()));
        text += &format!("    // {architecture}\n    [\n{}    ],\n", list(items));
    }
    text += "];\n\n/// The calls of each architecture, by number.\npub(crate) static BY_NUMBER: [&[u16]; 9] = [\n";
    for architecture in Architecture::ALL {
        let at = architecture as usize;
        let order: BTreeMap<u32, usize> =
            names.iter().filter_map(|name| Some((number(name, at)?, index(name)))).collect();
        text += &format!(
            "    // {architecture}\n    &[\n{}    ],\n",
            list(order.values().map(ToString::to_string))
        );
    }
    let known = names.iter().map(|name| {
        let bits = known.get(name).into_iter().flatten().enumerate();
        bits.fold(0_u8, |bits, (bit, known)| bits | u8::from(*known) << bit).to_string()
    });
    text += &format!(
        "];\n\n/// Which libseccomp knows each name: a bit for each of `Libseccomp::ALL`.\n\
         pub(crate) static KNOWN: [u8; {count}] = [\n{}];\n",
        list(known)
    );
    let unresolved: Vec<_> = extracts
        .unresolved()
        .into_iter()
        .map(|(library, architecture, name)| format!("({library}, {architecture}, {})", index(name)))
        .collect();
    text += &format!(
        "\n/// A libseccomp, an architecture, and a call that it knows and treats as absent there.\n\
         pub(crate) static UNRESOLVED: [(u8, u8, u16); {}] = [\n{}];\n",
        unresolved.len(),
        list(unresolved)
    );
    let arguments = extracts.arguments();
    let arguments = names.iter().map(|name| match arguments.get(name) {
        Some(types) => format!("Some(&{types:?})"),
        None => "None".to_owned(),
    });
    text += &format!(
        "\n/// The types of the arguments of each call; `None` if they are not known.\n\
         pub(crate) static ARGUMENTS: [Option<&[crate::ArgumentType]>; {count}] = [\n{}];\n",
        list(arguments)
    );
    let elsewhere = extracts.arguments_elsewhere();
    let elsewhere: Vec<_> = elsewhere
        .iter()
        .map(|((name, at), known)| match known {
            Some(types) => format!("({}, {at}, Some(&{types:?}))", index(name)),
            None => format!("({}, {at}, None)", index(name)),
        })
        .collect();
    text += &format!(
        "\n/// A call, an architecture, and the types of the arguments there if they are not those of 64-bit x86; `None` if they\n\
         /// are not known.\n\
         pub(crate) static ARGUMENTS_ELSEWHERE: [(u16, u8, Option<&[crate::ArgumentType]>); {}] = [\n{}];\n",
        elsewhere.len(),
        list(elsewhere)
    );
    let releases = names.iter().map(|name| format!("{:?}", releases.get(name).unwrap_or(&[0; 3])));
    text += &format!(
        "\n/// The release of Linux in which each call appeared; zeros if it is not known.\n\
         pub(crate) static RELEASES: [[u8; 3]; {count}] = [\n{}];\n",
        list(releases)
    );
    let parameters = extracts.parameters();
    let parameters = names.iter().map(|name| format!("&{:?}", parameters.get(name).unwrap_or(&Vec::new())));
    text += &format!(
        "\n/// The names of the arguments of each call, as far as they are known.\n\
         pub(crate) static PARAMETERS: [&[&str]; {count}] = [\n{}];\n",
        list(parameters)
    );
    let groups = extracts.groups();
    let groups = names.iter().map(|name| match groups.get(name) {
        Some(group) => format!("{group:?}"),
        None => panic!("{name} has no row in data/groups.tsv"),
    });
    text += &format!(
        "\n/// What each call is about.\n\
         pub(crate) static GROUPS: [Group; {count}] = [\n{}];\n",
        list(groups)
    );
    text
}

/// With `UPDATE_TABLES=1` (`make generate`) it writes them.
#[test]
fn the_tables_are_those_of_the_extracts() {
    let right = tables(&Extracts::read());
    if std::env::var_os("UPDATE_TABLES").is_some() {
        std::fs::write(path("src/tables.rs"), &right).unwrap();
    }
    assert!(read("src/tables.rs") == right, "src/tables.rs differs from the extracts: run `make generate`");
}

#[test]
fn every_answer_is_that_of_the_extracts() {
    let extracts = Extracts::read();
    let (numbers, known, releases) = (extracts.numbers(), extracts.known(), extracts.releases());
    let (arguments, parameters) = (extracts.arguments(), extracts.parameters());
    let elsewhere = extracts.arguments_elsewhere();
    assert_eq!(Syscall::all().map(Syscall::name).collect::<BTreeSet<_>>(), extracts.names());
    assert_eq!(syscalls::LINUX, extracts.linux_release());
    for call in Syscall::all() {
        let name = call.name();
        assert_eq!(Syscall::from_name(name), Some(call));
        for architecture in Architecture::ALL {
            let number = numbers.get(name).and_then(|them| them[architecture as usize]);
            assert_eq!(call.number(architecture), number, "{name} on {architecture}");
            if let Some(number) = number {
                assert_eq!(
                    Syscall::by_number(architecture, number),
                    Some(call),
                    "{number} on {architecture}"
                );
            }
        }
        for library in Libseccomp::ALL {
            let knows = known.get(name).is_some_and(|them| them[library as usize]);
            assert_eq!(call.known_to(library), knows, "{name} in {library}");
        }
        let release = releases.get(name).map(|[major, minor, patch]| Release::new(*major, *minor, *patch));
        assert_eq!(call.appeared_in(), release, "{name}");
        assert_eq!(call.arguments(), arguments.get(name).map(Vec::as_slice), "{name}");
        for architecture in Architecture::ALL {
            let types = elsewhere.get(&(name, architecture as usize)).cloned();
            let types = types.unwrap_or_else(|| arguments.get(name).cloned());
            let registers = call.registers(architecture);
            let is_known = call.number(architecture).is_some() && types.is_some();
            assert_eq!(registers.is_some(), is_known, "{name} on {architecture}");
            assert!(registers.is_none_or(|them| them.len() <= 6), "{name} on {architecture}");
        }
        let parameters = parameters.get(name).map_or(&[][..], Vec::as_slice);
        assert_eq!(call.parameters(), parameters, "{name}");
        assert!(call.arguments().is_none_or(|types| parameters.len() <= types.len()), "{name}");
    }
}

#[test]
fn each_name_is_in_one_group_and_each_group_has_names() {
    let extracts = Extracts::read();
    let groups = extracts.groups();
    assert_eq!(groups.keys().copied().collect::<BTreeSet<_>>(), extracts.names());
    for call in Syscall::all() {
        assert_eq!(Some(&call.group()), groups.get(call.name()), "{}", call.name());
    }
    let used: BTreeSet<Group> = groups.into_values().collect();
    assert_eq!(used, Group::ALL.into_iter().collect());
}

proptest! {
    #[test]
    fn no_other_name_or_number_is_found(name in "[a-z0-9_]{0,12}", number in any::<u32>()) {
        if let Some(call) = Syscall::from_name(&name) {
            prop_assert_eq!(call.name(), name);
        }
        for architecture in Architecture::ALL {
            if let Some(call) = Syscall::by_number(architecture, number) {
                prop_assert_eq!(call.number(architecture), Some(number));
            }
        }
    }
}
