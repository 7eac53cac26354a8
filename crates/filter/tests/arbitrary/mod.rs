//! Profiles with conditions on small values, for properties.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

/// What the arguments of rules may be.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// The indexes that a rule may compare, each at most once.
    pub(crate) indexes: &'static [u8],
    /// The values to compare with, and the masks.
    pub(crate) values: Vec<u64>,
    /// The architectures that a profile may list.
    pub(crate) architectures: &'static [&'static str],
}

/// The contents of a profile for some of these calls, with conditions on the first argument and values below `end`: at most
/// 4, so that the arguments 0 to 7 show everything. Those from 4 on are above all bounds, with each value of the bits that
/// a mask has.
#[allow(dead_code, reason = "not every test uses both")]
pub(crate) fn contents(names: &[&'static str], end: u64) -> impl Strategy<Value = Value> + use<> {
    let shape = Shape { indexes: &[0], values: (0..end).collect(), architectures: &["SCMP_ARCH_X86"] };
    contents_with(names, &shape)
}

/// The contents of a profile for some of these calls, with rules of this shape.
pub(crate) fn contents_with(names: &[&'static str], shape: &Shape) -> impl Strategy<Value = Value> + use<> {
    let actions = || {
        select(vec![
            json!({ "action": "SCMP_ACT_KILL_PROCESS" }),
            json!({ "action": "SCMP_ACT_ERRNO" }),
            json!({ "action": "SCMP_ACT_ERRNO", "errnoRet": 5 }),
            json!({ "action": "SCMP_ACT_LOG" }),
            json!({ "action": "SCMP_ACT_ALLOW" }),
            json!({ "action": "SCMP_ACT_TRACE", "errnoRet": 2 }),
        ])
    };
    let arguments = prop::sample::subsequence(shape.indexes, 0..=shape.indexes.len());
    let values = shape.values.clone();
    let arguments = arguments.prop_flat_map(move |indexes| {
        let argument = |index: u8| {
            let comparison = select(vec!["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]);
            (comparison, select(values.clone()), select(values.clone())).prop_map(move |(op, value, two)| {
                let [value, two] = [value, two].map(|value| value.to_string());
                json!({ "index": index, "value": value, "valueTwo": two, "op": format!("SCMP_CMP_{op}") })
            })
        };
        indexes.into_iter().map(argument).collect::<Vec<_>>()
    });
    let names = prop::collection::btree_set(select(names.to_vec()), 1..3);
    let rule = (names, actions(), arguments);
    let rule = rule.prop_map(|(names, mut rule, args)| {
        rule["names"] = json!(names);
        rule["args"] = json!(args);
        rule
    });
    let architectures = prop::sample::subsequence(shape.architectures, 0..=shape.architectures.len());
    (actions(), prop::collection::vec(rule, 0..5), architectures).prop_map(
        |(default, rules, architectures)| {
            let mut profile = json!({
                "defaultAction": default["action"], "architectures": architectures, "syscalls": rules,
            });
            if let Some(errno) = default.get("errnoRet") {
                profile["defaultErrnoRet"] = errno.clone();
            }
            profile
        },
    )
}
