//! Profiles with conditions on small values, for properties.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

/// The contents of a profile for some of these calls, with conditions on the first argument and values below `end`: at most
/// 4, so that the arguments 0 to 7 show everything. Those from 4 on are above all bounds, with each value of the bits that
/// a mask has.
pub(crate) fn contents(names: &[&'static str], end: u64) -> impl Strategy<Value = Value> + use<> {
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
    let comparison = select(vec!["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]);
    let argument = (comparison, 0..end, 0..end).prop_map(|(op, value, two)| {
        json!({ "index": 0, "value": value, "valueTwo": two, "op": format!("SCMP_CMP_{op}") })
    });
    let names = prop::collection::btree_set(select(names.to_vec()), 1..3);
    let rule = (names, actions(), prop::collection::vec(argument, 0..2));
    let rule = rule.prop_map(|(names, mut rule, args)| {
        rule["names"] = json!(names);
        rule["args"] = json!(args);
        rule
    });
    let x86 = prop::bool::ANY.prop_map(|listed| if listed { json!(["SCMP_ARCH_X86"]) } else { json!([]) });
    (actions(), prop::collection::vec(rule, 0..5), x86).prop_map(|(default, rules, architectures)| {
        let mut profile = json!({
            "defaultAction": default["action"], "architectures": architectures, "syscalls": rules,
        });
        if let Some(errno) = default.get("errnoRet") {
            profile["defaultErrnoRet"] = errno.clone();
        }
        profile
    })
}
