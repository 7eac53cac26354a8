//! Reads the reports of observers, and profiles that other tools have recorded.

use api::{ObservedCall, ObservedContainer, SeccompObservation, Untrusted};
use profile::{Action, Profile};
use serde_json::Value;
use syscalls::{Architecture, Syscall};

use super::Seen;
use super::args::ContainerPattern;
use super::error::JsonError;
use crate::denials::Observed;

/// Reads a text in JSON. Of reports, only the containers that are wanted count; all if there is no pattern.
pub(super) fn read(
    seen: &mut Seen,
    name: &str,
    text: &str,
    wanted: &[ContainerPattern],
) -> Result<(), JsonError> {
    let value: Value = serde_json::from_str(text)?;
    let Some(kind) = value["kind"].as_str() else {
        recorded(seen, name, &Profile::from_value(&value)?);
        return Ok(());
    };
    let items = match kind {
        "SeccompObservation" => vec![value],
        "List" | "SeccompObservationList" => {
            let mut value = value;
            match value["items"].take() {
                Value::Array(items) => items,
                _ => Vec::new(),
            }
        }
        other => return Err(JsonError::OtherKind(other.to_owned())),
    };
    for item in items {
        // An item of a typed list has no kind of its own.
        let of = item["kind"].as_str().unwrap_or("SeccompObservation").to_owned();
        if of != "SeccompObservation" {
            return Err(JsonError::OtherKind(of));
        }
        observation(
            seen,
            &Observed::of(serde_json::from_value::<Untrusted<SeccompObservation>>(item)?),
            wanted,
        );
    }
    Ok(())
}

fn observation(seen: &mut Seen, observed: &Observed, wanted: &[ContainerPattern]) {
    if let Some(gap) = observed.gap() {
        seen.add_gap(gap.to_string());
    }
    let is_wanted = |it: &ObservedContainer| {
        wanted.is_empty()
            || wanted.iter().any(|pattern| pattern.matches(&it.namespace, &it.pod, &it.container))
    };
    let containers = observed.report().into_iter().flat_map(|report| &report.containers);
    for container in containers.filter(|it| is_wanted(it)) {
        for call in &container.calls {
            observed_call(seen, container, call);
        }
    }
}

/// Only a call that was permitted is learned.
fn observed_call(seen: &mut Seen, container: &ObservedContainer, call: &ObservedCall) {
    let ObservedContainer { namespace, pod, container, .. } = container;
    let place = || format!("{namespace}/{pod}/{container}");
    let count = u64::try_from(call.count).unwrap_or_default();
    if call.action != Action::Log.name() {
        return seen.add_refused(&call.name, &call.action, count, place);
    }
    let architecture = Architecture::ALL.into_iter().find(|it| it.name() == call.architecture);
    match Syscall::from_name(&call.name) {
        Some(known) => seen.add(known, architecture, count, place),
        None => seen.add_nameless(&call.name, count, place),
    }
}

/// Adds what a profile permits that a tool has recorded, such as the BPF hook of Podman and CRI-O.
fn recorded(seen: &mut Seen, name: &str, profile: &Profile) {
    let rules = profile.rules().iter().filter(|rule| rule.action() == Action::Allow);
    for call in rules.flat_map(|rule| rule.names()) {
        match Syscall::from_name(call.as_str()) {
            Some(known) => seen.add(known, None, 1, || name.to_owned()),
            None => seen.add_nameless(call.as_str(), 1, || name.to_owned()),
        }
    }
}
