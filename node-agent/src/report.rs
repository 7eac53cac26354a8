//! The report: what is on the disk, as the custom resource has it. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use api::{FileProblem, MAX_FILES, MAX_PROBLEMS, ProblemKind, Report};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use profile::ShortHash;

use crate::budget::{CHANGED_BYTES, MAX_LISTED_BYTES, listed_bytes};
use crate::disk::{DiskError, FileTime};
use crate::goal::MISNAMED;

/// Longest message of a problem in characters, as the schema of the custom resource has it.
const MAX_MESSAGE_CHARS: usize = 1024;

/// Why a profile's file is not as it should be, as it goes into the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind of problem it is.
    pub state: ProblemKind,
    /// Why, in one word.
    pub reason: &'static str,
    /// Why, for a person.
    pub message: Box<str>,
}

impl From<&DiskError> for Problem {
    fn from(error: &DiskError) -> Self {
        Self { state: error.state(), reason: error.reason().as_str(), message: error.to_string().into() }
    }
}

/// The part of a report that is about one name.
#[derive(Debug, Clone, Copy)]
pub struct ReportEntry<'a> {
    /// The profile.
    pub name: &'a str,
    /// The hash of the bytes in its file, if there is one that can be read.
    pub hash: Option<ShortHash>,
    /// Since when these bytes have been in the place of others, if they are.
    pub replaced: Option<FileTime>,
    /// What is wrong with it.
    pub problem: Option<&'a Problem>,
}

/// Builds the report from its entries and from the profiles whose name no file can have, with what is wrong with it.
#[must_use]
pub fn build<'a>(
    directory: &Path,
    entries: impl Iterator<Item = ReportEntry<'a>>,
    misnamed: impl Iterator<Item = (&'a str, &'a str)>,
) -> Report {
    let mut report = Report {
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        directory: directory.to_string_lossy().into_owned(),
        changed: Some(BTreeMap::new()),
        ..Report::default()
    };
    let mut changed = Vec::new();
    for entry in entries {
        if let Some(hash) = entry.hash {
            report.files.insert(entry.name.to_owned(), hash.to_string());
            changed.extend(entry.replaced.map(|replaced| (replaced, entry.name)));
        }
        if let Some(Problem { state, reason, message }) = entry.problem {
            report.problems.push(problem(entry.name, *state, reason, message));
        }
    }
    for (name, message) in misnamed {
        report.problems.push(problem(name, ProblemKind::Rejected, MISNAMED, message));
    }
    report.problems.sort_by(|a, b| a.name.cmp(&b.name));
    shorten(&mut report.problems);
    // If the API server refused the report, no profile would be reported.
    let mut length = report.files.keys().map(|name| listed_bytes(name)).sum::<usize>();
    while (report.files.len() > MAX_FILES || length > MAX_LISTED_BYTES)
        && let Some((name, _)) = report.files.pop_last()
    {
        length -= listed_bytes(&name);
    }
    changed.retain(|(_, name)| report.files.contains_key(*name));
    report.changed = Some(latest(changed, MAX_LISTED_BYTES - length));
    report.file_count = i32::try_from(report.files.len()).unwrap_or(i32::MAX);
    report
}

/// The times of change for which there is room, the latest first: the containers that are older than an early change have
/// most likely ended.
fn latest(mut changed: Vec<(FileTime, &str)>, mut room: usize) -> BTreeMap<String, Time> {
    changed.sort_unstable_by_key(|(time, name)| (std::cmp::Reverse(*time), *name));
    let fits = |(_, name): &(FileTime, &str)| {
        let left = room.checked_sub(name.len() + CHANGED_BYTES);
        room = left.unwrap_or(room);
        left.is_some()
    };
    let changed = changed.into_iter().take_while(fits);
    changed.map(|(time, name)| (name.to_owned(), Time(timestamp(time)))).collect()
}

/// A time that cannot be represented is not later than any container.
fn timestamp(time: FileTime) -> Timestamp {
    Timestamp::from_second(time.0).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Keeps the first problems. For the operator a profile that is neither among the files nor among the problems is still
/// on its way, so that the message of the last problem has to mention that there are more.
fn shorten(problems: &mut Vec<FileProblem>) {
    let more = problems.len().saturating_sub(MAX_PROBLEMS);
    problems.truncate(MAX_PROBLEMS);
    if more > 0
        && let Some(last) = problems.last_mut()
    {
        let more =
            format!("({more} profiles after it by name have problems, too, and no room in the report) ");
        last.message = more.chars().chain(last.message.chars()).take(MAX_MESSAGE_CHARS).collect();
    }
}

fn problem(name: &str, state: ProblemKind, reason: &str, message: &str) -> FileProblem {
    FileProblem {
        name: name.to_owned(),
        state: state.into(),
        reason: reason.to_owned(),
        message: message.chars().take(MAX_MESSAGE_CHARS).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use profile::ContentHash;

    fn failed(message: &str) -> Problem {
        Problem { state: ProblemKind::Failed, reason: "DiskFull", message: message.into() }
    }

    fn built(entries: &[ReportEntry<'_>], misnamed: &[(&str, &str)]) -> Report {
        build(
            Path::new("/var/lib/kubelet/seccomp/profiles"),
            entries.iter().copied(),
            misnamed.iter().copied(),
        )
    }

    #[test]
    fn a_report_lists_what_lies_on_the_disk() {
        let hash = ContentHash::of(b"{}").short();
        let report = built(
            &[
                ReportEntry { name: "b", hash: Some(hash), replaced: None, problem: None },
                ReportEntry { name: "a", hash: None, replaced: None, problem: Some(&failed("full")) },
            ],
            &[("../x", "no file name")],
        );
        assert_eq!(
            serde_json::to_value(report).unwrap(),
            serde_json::json!({
                "agentVersion": env!("CARGO_PKG_VERSION"),
                "directory": "/var/lib/kubelet/seccomp/profiles",
                "files": { "b": "44136fa355b3678a1146ad16f7e8649e" },
                "changed": {},
                "fileCount": 1,
                "problems": [
                    { "name": "../x", "state": "Rejected", "reason": "InvalidProfile", "message": "no file name" },
                    { "name": "a", "state": "Failed", "reason": "DiskFull", "message": "full" },
                ],
            })
        );
    }

    #[test]
    fn a_report_states_since_when_the_bytes_of_a_file_have_replaced_others() {
        let (hash, at) = (Some(ContentHash::of(b"{}").short()), Some(FileTime(1_800_000_000)));
        let entry = |name, hash, replaced| ReportEntry { name, hash, replaced, problem: None };
        let report = built(&[entry("a", hash, None), entry("b", hash, at), entry("c", None, at)], &[]);
        let changed = serde_json::to_value(report.changed).unwrap();
        assert_eq!(changed, serde_json::json!({ "b": "2027-01-15T08:00:00Z" }));
    }

    #[test]
    fn a_report_has_room_for_the_times_of_a_thousand_changes_and_drops_the_earliest_ones() {
        let hash = Some(ContentHash::of(b"{}").short());
        let names: Vec<_> = (0..MAX_FILES).map(|number| format!("p{number:0>49}")).collect();
        let second = |number: usize| Some(FileTime(1_800_000_000 + number as i64));
        for (count, most) in [(1000, 1000), (MAX_FILES, 1578)] {
            let entries: Vec<_> = (0..count)
                .map(|number| ReportEntry {
                    name: &names[number],
                    hash,
                    replaced: second(number),
                    problem: None,
                })
                .collect();
            let report = built(&entries, &[]);
            let changed = report.changed.unwrap();
            assert_eq!((report.files.len(), changed.len()), (count, most));
            assert!(changed.keys().eq(&names[count - most..count]), "the latest");
            let bytes = serde_json::to_vec(&report.files).unwrap().len()
                + serde_json::to_vec(&changed).unwrap().len();
            assert!(bytes <= MAX_LISTED_BYTES + 2, "{bytes}");
        }
    }

    #[test]
    fn a_report_stays_within_the_bounds_of_its_schema() {
        let problem = failed(&"é".repeat(5000));
        let names: Vec<String> = (0..150).rev().map(|i| format!("p{i:03}")).collect();
        let entries: Vec<_> = names
            .iter()
            .map(|name| ReportEntry { name, hash: None, replaced: None, problem: Some(&problem) })
            .collect();
        let report = built(&entries, &[]);
        assert_eq!(report.problems.len(), MAX_PROBLEMS);
        assert_eq!(report.problems[0].name, "p000");
        assert!(report.problems.iter().all(|problem| problem.message.chars().count() == MAX_MESSAGE_CHARS));
    }

    #[test]
    fn the_last_problem_of_a_full_report_says_how_many_more_there_are() {
        let problem = failed("full");
        let names: Vec<String> = (0..150).map(|i| format!("p{i:03}")).collect();
        for (count, message) in [
            (MAX_PROBLEMS, "full"),
            (150, "(50 profiles after it by name have problems, too, and no room in the report) full"),
        ] {
            let entry = |name| ReportEntry { name, hash: None, replaced: None, problem: Some(&problem) };
            let entries: Vec<_> = names[..count].iter().map(|name| entry(name)).collect();
            let problems = built(&entries, &[]).problems;
            assert_eq!(problems.len(), MAX_PROBLEMS);
            assert_eq!((&*problems[99].name, &*problems[99].message), ("p099", message));
            assert!(problems[..99].iter().all(|problem| problem.message == "full"));
        }
    }

    #[test]
    fn a_report_lists_no_more_files_than_its_schema_and_etcd_take_and_always_the_same() {
        let hash = Some(ContentHash::of(b"{}").short());
        for (width, most) in [(6, MAX_FILES), (240, MAX_LISTED_BYTES / (240 + 38))] {
            let names: Vec<_> = (0..MAX_FILES + 7).map(|number| format!("p{number:0>width$}")).collect();
            let entries: Vec<_> = names
                .iter()
                .rev()
                .map(|name| ReportEntry { name, hash, replaced: None, problem: None })
                .collect();
            let report = built(&entries, &[]);
            assert!(report.files.len().abs_diff(most) <= 20, "{}", report.files.len());
            assert_eq!(report.file_count as usize, report.files.len());
            assert!(report.files.keys().eq(&names[..report.files.len()]), "the first by name");
            assert!(serde_json::to_vec(&report.files).unwrap().len() <= MAX_LISTED_BYTES);
        }
    }
}
