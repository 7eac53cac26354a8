//! Rules in the form of the specification, before they are checked.

use profile::{Action, ParseProblem, Segment};
use serde_json::{Map, Value};

/// The fields as rules: one for each comparison if they compare an argument several times, because runtimes take the
/// comparisons as alternatives then (`matchCall` in libcontainer/seccomp of runc, src/libcrun/seccomp.c of crun).
pub(crate) fn split(fields: &Map<String, Value>) -> Vec<Map<String, Value>> {
    let arguments = fields.get("args").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut indexes: Vec<_> = arguments.iter().filter_map(|it| it.get("index")?.as_u64()).collect();
    indexes.sort_unstable();
    let all = indexes.len();
    indexes.dedup();
    if indexes.len() == all {
        return vec![fields.clone()];
    }
    let alone = |argument: &Value| {
        let mut fields = fields.clone();
        fields.insert("args".to_owned(), vec![argument.clone()].into());
        fields
    };
    arguments.iter().map(alone).collect()
}

/// Removes an errno beside an action that takes none. Returns whether there was one.
pub(crate) fn drop_unused_errno(fields: &mut Map<String, Value>) -> bool {
    let action = fields.get("action").and_then(Value::as_str).and_then(Action::from_name);
    action.is_some_and(|action| !action.takes_errno()) && fields.remove("errnoRet").is_some()
}

/// The problem with the index of the rule as it is in the source.
pub(crate) fn at_origin(problem: &ParseProblem, origins: &[usize]) -> ParseProblem {
    let mut segments: Vec<_> = problem.path.segments().to_vec();
    if let [Segment::Key(key), Segment::Index(index), ..] = &mut segments[..]
        && &**key == "syscalls"
        && let Some(origin) = origins.get(*index)
    {
        *index = *origin;
    }
    ParseProblem { path: segments.into_iter().collect(), message: problem.message.clone() }
}
