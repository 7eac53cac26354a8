//! What an image carries, for people and for programs.

use std::collections::BTreeSet;

use convert::Machine;
use filter::{Dependence, Filter, Library, Narrower, Runtime, Setting, numbers};
use narrow::Narrowed;
use profile::{Profile, SyscallName};
use registry::{Carried, ForPlatform, Found, Reference, Unsigned, Unusable};
use serde::Serialize;
use syscalls::Libseccomp;

use crate::call::name_of;
use crate::image::{Baseline, platform};
use crate::merge_error::called;
use crate::profile_text::oci_json;
use crate::show::{Cell, Paint, Table, Tone, count, escaped};

/// What an image carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InspectView {
    /// The image.
    image: String,
    /// The digest to which a pod would be pinned.
    digest: String,
    /// The baseline.
    baseline: String,
    /// By platform.
    platforms: Vec<PlatformView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct PlatformView {
    platform: String,
    manifest: String,
    places: Vec<PlaceView>,
    /// Absent if the image carries no profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<ResultView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct PlaceView {
    place: String,
    /// Whether it is the place that counts.
    counts: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
    /// Whether it is signed by one of the keys; absent without keys, or if it cannot be used for another reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed: Option<bool>,
    /// Why what is there cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem {
    reason: &'static str,
    message: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum ResultView {
    /// The profile within the baseline.
    Narrowed {
        /// The hash of the canonical bytes.
        hash: String,
        /// The calls that the profile permits and the baseline does not.
        #[serde(rename = "takenAway")]
        taken_away: Vec<String>,
        /// What was left out or assumed in a conversion, and where the profile permits less than both.
        remarks: Vec<String>,
        /// What a node would run.
        profile: Box<Profile>,
    },
    /// The profile cannot be used.
    Unusable(Problem),
}

impl InspectView {
    /// `signed`: nothing was to be found without a signature.
    pub(super) fn of(image: &Reference, carried: &Carried, baseline: &Baseline, signed: bool) -> Self {
        Self {
            image: image.to_string(),
            digest: carried.digest.to_string(),
            baseline: baseline.name.clone(),
            platforms: carried.platforms.iter().map(|it| PlatformView::of(it, baseline, signed)).collect(),
        }
    }

    /// Whether no profile that counts is unusable.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        !self.platforms.iter().any(|it| matches!(it.result, Some(ResultView::Unusable(_))))
    }

    /// What nodes would run: one document a profile, as runtimes read it, without repetitions.
    #[must_use]
    pub fn contents(&self) -> String {
        let results = self.platforms.iter().filter_map(|it| match &it.result {
            Some(ResultView::Narrowed { profile, .. }) => Some(oci_json(profile)),
            _ => None,
        });
        let mut all: Vec<String> = Vec::new();
        for text in results {
            if !all.contains(&text) {
                all.push(text);
            }
        }
        all.concat()
    }

    /// The text.
    #[must_use]
    pub fn render(&self, paint: Paint) -> String {
        let mut text = format!("{}\n{}\n", paint.text(&self.image, Tone::Heading), self.digest);
        for platform in &self.platforms {
            text.push('\n');
            text += &platform.render(&self.baseline, paint);
        }
        text
    }
}

impl PlatformView {
    fn of(found: &ForPlatform, baseline: &Baseline, signed: bool) -> Self {
        let platform = platform(&found.architecture);
        let places = found.found.iter().enumerate();
        let places = places.map(|(i, it)| PlaceView::of(it, i == 0, signed)).collect();
        let result = found.winner().map(|it| ResultView::of(it, &found.architecture, baseline));
        Self { platform, manifest: found.manifest.to_string(), places, result }
    }

    fn render(&self, baseline: &str, paint: Paint) -> String {
        let mut text = format!("{}  {}\n", paint.text(&self.platform, Tone::Heading), self.manifest);
        if !self.places.is_empty() {
            let mut table = Table::new(["PLACE", "STATE", "WHAT"]);
            self.places.iter().for_each(|it| table.row(it.row()));
            text += &table.render(paint);
        }
        match &self.result {
            None => {
                let baseline = escaped(baseline);
                text += &format!("The image carries no profile: a container runs under {baseline}.\n");
            }
            Some(ResultView::Unusable(problem)) => {
                let line = format!("The profile cannot be used ({}): {}", problem.reason, problem.message);
                text += &paint.text(&line, Tone::Bad);
                text.push('\n');
            }
            Some(ResultView::Narrowed { hash, taken_away, remarks, .. }) => {
                let baseline = escaped(baseline);
                text += &format!("A container runs under the profile within {baseline}: {hash}\n");
                if !taken_away.is_empty() {
                    let calls = count(taken_away.len(), "call");
                    text += &format!("The baseline takes away {calls}: {}\n", taken_away.join(", "));
                }
                remarks.iter().for_each(|it| text += &format!("note: {}\n", paint.text(it, Tone::Plain)));
            }
        }
        text
    }
}

impl PlaceView {
    fn of(found: &Found, counts: bool, signed: bool) -> Self {
        let is_signed = match &found.contents {
            Ok(_) => Some(true),
            Err(Unusable::Unsigned(Unsigned::Bare(_) | Unsigned::Invalid { .. })) => Some(false),
            Err(_) => None,
        };
        let problem = found.contents.as_ref().err();
        let problem = problem.map(|it| Problem { reason: it.reason(), message: it.to_string() });
        Self {
            place: found.place.to_string(),
            counts,
            artifact: found.artifact.clone(),
            bytes: found.contents.as_ref().ok().map(String::len),
            signed: is_signed.filter(|_| signed),
            problem,
        }
    }

    fn row(&self) -> [Cell; 3] {
        let state = match (&self.problem, self.counts) {
            (Some(_), true) => Cell::toned("counts, unusable", Tone::Bad),
            (Some(_), false) => Cell::toned("unusable", Tone::Waiting),
            (None, true) => Cell::toned("counts", Tone::Good),
            (None, false) => Cell::from("outranked"),
        };
        let size = self.bytes.map(|bytes| format!("{bytes} bytes"));
        let signed = self.signed.filter(|it| *it).map(|_| "signed".to_owned());
        let problem = self.problem.as_ref().map(|it| it.message.clone());
        let what: Vec<_> =
            self.artifact.clone().into_iter().chain(size).chain(signed).chain(problem).collect();
        [Cell::from(&self.place), state, Cell::from(what.join(", "))]
    }
}

impl ResultView {
    fn of(found: &Found, architecture: &str, baseline: &Baseline) -> Self {
        let unusable = |reason, message: String| Self::Unusable(Problem { reason, message });
        let text = match &found.contents {
            Ok(text) => text,
            Err(error) => return unusable(error.reason(), error.to_string()),
        };
        let Ok(machine) = architecture.parse::<Machine>() else {
            return unusable(
                "UnknownArchitecture",
                format!("nothing is known of the architecture {architecture:?}"),
            );
        };
        let Some(baseline) = baseline.of(machine) else {
            let message = format!("no default profile is known for {machine}; give one with --baseline");
            return unusable("UnknownBaseline", message);
        };
        match narrow::narrow(text, &baseline, &BTreeSet::from([machine])) {
            Ok(narrowed) => Self::Narrowed {
                hash: narrowed.profile.canonical().hash().to_string(),
                taken_away: taken_away(&narrowed, machine),
                remarks: narrowed
                    .remarks
                    .iter()
                    .cloned()
                    .chain(narrowed.narrower.iter().map(explained))
                    .collect(),
                profile: Box::new(narrowed.profile),
            },
            Err(refused) => unusable(refused.reason(), refused.to_string()),
        }
    }
}

/// The calls of the node's own architecture that the image's profile permits and the result does not, under the newest
/// runc.
fn taken_away(narrowed: &Narrowed, machine: Machine) -> Vec<String> {
    let (libseccomp, native) = (Libseccomp::V2_6_1, machine.native());
    let number = numbers(libseccomp);
    let library = Library::from(libseccomp);
    let setting = Setting { runtime: Runtime::RUNC_1_2, library, native, number: &number };
    let filters = [&narrowed.image, &narrowed.profile].map(|it| Filter::new(it, &setting).ok());
    let [Some(image), Some(result)] = filters else { return Vec::new() };
    let witnesses = image.difference(&result).unwrap_or_default();
    let named: BTreeSet<_> = witnesses
        .iter()
        .filter(|it| it.call.architecture == native && it.first.permission() > it.second.permission())
        .map(|it| {
            let number = it.call.number;
            let name = name_of(native, number).map_or_else(|| format!("number {number}"), str::to_owned);
            match it.depends {
                Dependence::Number => name,
                Dependence::Arguments => format!("{name} (some arguments)"),
            }
        })
        .collect();
    named.into_iter().collect()
}

fn explained(narrower: &Narrower) -> String {
    match narrower {
        Narrower::Conditions { name } => {
            format!("{} is permitted for less than both permit", SyscallName::as_str(name))
        }
        Narrower::Architecture { architecture } => format!("only one of both lists {}", architecture.name()),
        Narrower::Call { call, exact, combined, .. } => {
            format!("{}: {combined} instead of {exact}", called(call.architecture, call.number))
        }
    }
}
