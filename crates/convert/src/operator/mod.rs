//! Profiles of the Security Profiles Operator (`security-profiles-operator.x-k8s.io`), versions v1alpha1, v1beta1 and v1.
//!
//! The operator writes the spec as JSON to nodes, with the rules of its base profiles (`reconcileSeccompProfile` in
//! internal/pkg/daemon/seccompprofile, releases 0.8.4 to 1.0.0). Its type has no other fields than those here, and an
//! `errnoRet` or a `value` of 0 is the same as none.

mod merge;
mod read;

use profile::{ParseProblem, Profile, Segment};
use serde_json::{Map, Value};

use crate::error::invalid;
use crate::plain::{at_origin, split};
use crate::{ConvertError, Converted, Remark, Rules};

pub use read::OperatorProfile;

/// The API group of the operator.
pub const GROUP: &str = "security-profiles-operator.x-k8s.io";

/// The highest number of base profiles in a chain (`maxLevel` in the same file).
const MOST_BASES: usize = 15;

/// The rules of a profile, with the indexes of those of its own object.
struct Resolved {
    rules: Vec<Map<String, Value>>,
    remark: Option<Remark>,
}

/// Converts a profile. `base` returns the profile that a `baseProfileName` means, for the object that has it.
///
/// # Errors
/// It is not valid, or a base profile is missing.
pub fn convert<'a>(
    profile: &'a OperatorProfile,
    base: &dyn Fn(&OperatorProfile, &str) -> Option<&'a OperatorProfile>,
) -> Result<Converted, ConvertError> {
    let Resolved { rules, remark } = resolved(profile, base)?;
    let (mut all, mut origins, mut several) = (Vec::new(), Vec::new(), Rules::default());
    for (i, rule) in rules.iter().enumerate() {
        let parts = split(rule);
        if parts.len() > 1 {
            several.add(i);
        }
        origins.extend(parts.iter().map(|_| i));
        all.extend(parts.into_iter().map(Value::Object));
    }
    let mut fields = profile.fields().clone();
    fields.insert("syscalls".to_owned(), all.into());
    let parsed = Profile::from_value(&fields.into()).map_err(|error| {
        let problems = error.problems().iter().map(|problem| at_origin(problem, &origins));
        // The rules of bases have other places than in this object.
        let is_own = remark.is_none();
        invalid(problems.map(|problem| if is_own { below_spec(problem) } else { merged(problem) }).collect())
    })?;
    let mut remarks: Vec<_> = profile.remarks().to_vec();
    if remark.is_some() {
        several = several.of_several_profiles();
    }
    remarks.extend(remark);
    remarks.extend(several.some().map(Remark::Split));
    Ok(Converted { profile: parsed, remarks })
}

fn below_spec(problem: ParseProblem) -> ParseProblem {
    ParseProblem { path: problem.path.under("spec"), ..problem }
}

fn merged(problem: ParseProblem) -> ParseProblem {
    let is_rule = matches!(problem.path.segments(), [Segment::Key(key), ..] if &**key == "syscalls");
    if !is_rule {
        return below_spec(problem);
    }
    let message = format!(
        "in the rules together with those of the base profiles: {}: {}",
        problem.path, problem.message
    );
    ParseProblem { path: ConvertError::base_name(), message }
}

fn resolved<'a>(
    profile: &'a OperatorProfile,
    base: &dyn Fn(&OperatorProfile, &str) -> Option<&'a OperatorProfile>,
) -> Result<Resolved, ConvertError> {
    let Some(first) = profile.base() else {
        return Ok(Resolved { rules: profile.rules().to_vec(), remark: None });
    };
    let mut rules = profile.rules().to_vec();
    let (mut current, mut names) = (profile, Vec::new());
    while let Some(name) = current.base() {
        if names.len() >= MOST_BASES {
            return Err(ConvertError::BaseTooDeep);
        }
        let Some(found) = base(current, name) else {
            if let Some(merged) = profile.merged_before() {
                return Ok(Resolved {
                    rules: merged.to_vec(),
                    remark: Some(Remark::MergedBefore(first.to_owned())),
                });
            }
            return Err(match name.starts_with("oci://") {
                true => ConvertError::BaseInRegistry { reference: name.to_owned() },
                false => ConvertError::BaseMissing(name.to_owned()),
            });
        };
        rules = merge::union(found.rules(), &rules);
        names.push(name.to_owned());
        current = found;
    }
    Ok(Resolved { rules: merge::without_repetitions(rules), remark: Some(Remark::Bases(names)) })
}
