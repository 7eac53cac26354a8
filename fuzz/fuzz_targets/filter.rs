//! Two profiles, from whoever may create a `SeccompProfile`: what they do, what differs, and what they do together.
#![no_main]

use filter::{Call, Filter, Library, Operation, Permission, Runtime, Setting, numbers};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use profile::{Architecture, Profile};
use serde_json::Value;
use syscalls::Libseccomp;

/// Larger profiles are not combined: that is about conditions, and takes long with many names.
const NAMES: usize = 16;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    fuzz::mutate::mutate(data, size, max_size, seed)
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(Value::Array(values)) = serde_json::from_slice(bytes) else { return };
    let profiles: Vec<Profile> = values.iter().filter_map(|value| Profile::from_value(value).ok()).collect();
    let [one, two] = profiles.as_slice() else { return };
    for libseccomp in [Libseccomp::V2_5_4, Libseccomp::V2_6_1] {
        let number = numbers(libseccomp);
        let settings = Runtime::ALL.map(|runtime| Setting {
            runtime,
            library: Library::from(libseccomp),
            native: native(one),
            number: &number,
        });
        let loaded = |profile| settings.each_ref().map(|setting| Filter::new(profile, setting).ok());
        let (ones, twos) = (loaded(one), loaded(two));
        for (one, two) in ones.iter().zip(&twos) {
            if let (Some(one), Some(two)) = (one, two) {
                compare(one, two);
            }
        }
        let names: usize = one.rules().iter().chain(two.rules()).map(|rule| rule.names().len()).sum();
        if names <= NAMES && ones.iter().chain(&twos).all(Option::is_some) {
            for operation in [Operation::Intersection, Operation::Union] {
                combine(operation, [one, two], &settings);
            }
        }
    }
});

/// The node of a profile.
fn native(profile: &Profile) -> Architecture {
    match profile.architectures() {
        [Architecture::X86 | Architecture::X32, ..] | [] => Architecture::X86_64,
        [Architecture::Arm, ..] => Architecture::Aarch64,
        [first, ..] => *first,
    }
}

fn compare(one: &Filter, two: &Filter) {
    assert_eq!(one.unequal(one), Ok(None), "a filter equals itself");
    let (Ok(changes), Ok(witness)) = (one.changes(two), one.unequal(two)) else { return };
    assert_eq!(changes.is_empty(), witness.is_none(), "both comparisons find the same");
    if let Some(witness) = witness {
        assert_eq!([one, two].map(|it| it.decide(&witness.call)), [witness.first, witness.second]);
    }
    for change in &changes {
        for witness in &change.witnesses {
            assert_eq!([one, two].map(|it| it.decide(&witness.call)), [witness.before, witness.after]);
            assert_ne!(witness.before, witness.after, "a witness shows a difference");
        }
    }
    let permits_more = |less: &Filter, more: &Filter| more.more_permissive(less).map(|it| it.is_some());
    let has = |is: fn(Permission, Permission) -> bool| {
        let mut all = changes.iter().flat_map(|change| &change.witnesses);
        Ok(all.any(|it| is(it.before.permission(), it.after.permission())))
    };
    assert_eq!(permits_more(one, two), has(|before, after| after > before));
    assert_eq!(permits_more(two, one), has(|before, after| after < before));
}

fn combine(operation: Operation, profiles: [&Profile; 2], settings: &[Setting<'_>]) {
    let Ok(combined) = operation.combine(profiles[0], profiles[1], settings) else { return };
    let bytes = combined.profile.canonical();
    assert_eq!(Profile::from_slice(bytes.bytes()).as_ref(), Ok(&combined.profile), "the result is a profile");
    for setting in settings {
        let [one, two] = profiles.map(|profile| Filter::new(profile, setting).expect("it was loaded before"));
        let both = Filter::new(&combined.profile, setting).expect("the result can be loaded");
        let looser = |call: &Call| {
            let exact = operation.of(one.decide(call), two.decide(call));
            both.decide(call).permission() > exact.permission()
        };
        for other in [&one, &two] {
            let Ok(found) = both.difference(other) else { continue };
            assert!(found.iter().all(|witness| !looser(&witness.call)), "the result is looser: {found:?}");
        }
        if operation == Operation::Intersection {
            for other in [&one, &two] {
                assert!(
                    matches!(both.more_permissive(other), Ok(None) | Err(_)),
                    "the intersection permits more"
                );
            }
        }
    }
}
