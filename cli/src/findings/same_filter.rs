//! Whether the filter is the same after a fix, on all nodes where it may be loaded.

use filter::{Consequence, Filter, Runtime, Setting, Unloadable, Witness, numbers};
use profile::{Architecture, Profile};
use syscalls::Libseccomp;

use super::Checks;
use super::fix_error::FixError;

/// Compares the filters of two profiles wherever they may be loaded: on the stated architectures of the nodes, else on
/// those that the profile lists.
pub(super) fn same_filters(before: &Profile, after: &Profile, checks: &Checks) -> Result<(), FixError> {
    const COMMON: [Architecture; 2] = [Architecture::X86_64, Architecture::Aarch64];
    if before == after {
        return Ok(());
    }
    let stated = checks.nodes.architectures.iter();
    let stated: Vec<_> = stated.filter_map(|it| Architecture::from_name(it.oci_name())).collect();
    let known = [&stated, before.architectures()];
    let natives = known.into_iter().find(|natives| !natives.is_empty()).unwrap_or(&COMMON);
    for libseccomp in Libseccomp::ALL {
        let number = numbers(libseccomp);
        for (runtime, native) in
            Runtime::ALL.into_iter().flat_map(|it| natives.iter().map(move |of| (it, *of)))
        {
            let setting = Setting { runtime, library: libseccomp.into(), native, number: &number };
            let pair = (Filter::new(before, &setting), Filter::new(after, &setting));
            if let Some(difference) = difference(pair) {
                let node = format!("{}, {}, {}", runtime.name, setting.library.name, native.name());
                return Err(FixError::OtherFilter(format!("{difference} ({node})")));
            }
        }
    }
    Ok(())
}

fn difference(pair: (Result<Filter, Unloadable>, Result<Filter, Unloadable>)) -> Option<String> {
    match pair {
        (Err(before), Err(after)) => {
            let is_certain = |fault: &Unloadable| fault.consequence() == Consequence::NoStart;
            if is_certain(&before) && is_certain(&after) { None } else { Some(after.to_string()) }
        }
        // No container started with the profile as it was.
        (Err(error), Ok(_)) if error.consequence() == Consequence::NoStart => None,
        (Ok(_), Err(error)) | (Err(error), Ok(_)) => Some(format!("one of the two is refused: {error}")),
        (Ok(before), Ok(after)) => match before.unequal(&after) {
            Err(error) => Some(error.to_string()),
            Ok(Some(Witness { call, .. })) => Some(format!(
                "the call {} of {} would be treated differently",
                call.number,
                call.architecture.name()
            )),
            Ok(None) if before.flags() != after.flags() => Some("its flags would be others".to_owned()),
            Ok(None) => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_filter_is_noticed() {
        let profile = |names: &[&str]| {
            let contents = serde_json::json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
                { "names": names, "action": "SCMP_ACT_ALLOW" },
            ] });
            Profile::from_value(&contents).unwrap()
        };
        let same = |before, after| same_filters(&profile(before), &profile(after), &Checks::default());
        same(&["read", "write"], &["write", "read", "read"]).unwrap();
        let error = same(&["read", "write"], &["read"]).unwrap_err();
        assert_eq!(error.reason(), "FixOtherFilter");
    }
}
