//! More profiles than an agent has room for.

use std::time::Duration;

use serde_json::{Value, json};

use super::stopped::AGENT_PODS;
use super::support::{Session, alone, harmless, object, said, say, until};

/// Thirty of them take thirteen megabytes, where the chart's limit leaves eight.
const PROFILES: usize = 30;

/// How long a refused profile may wait once there is room: a list comes within 70 s.
const PATIENCE: Duration = Duration::from_secs(120);

/// The largest profile that the schema admits, or nearly.
fn largest(number: usize) -> Value {
    let names = |rule: usize| -> Vec<_> {
        (0..8).map(|name| format!("{:x<64}", format!("never_called_{rule}_{name}_"))).collect()
    };
    let value = u64::MAX.to_string();
    let argument =
        |index: u8| json!({ "index": index, "value": value, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ" });
    let rule = |rule| json!({ "names": names(rule), "action": "SCMP_ACT_ERRNO", "errnoRet": 1 + number, "args": [argument(0), argument(5)] });
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": (0..512).map(rule).collect::<Vec<_>>() })
}

/// Every container of an agent that there is, with how often it has been started anew.
fn agents(cluster: &Session) -> Vec<(Value, Value)> {
    let pods = cluster.json(["-n", "seccomp-profile", "get", "pods", AGENT_PODS]);
    let status = |pod: &Value| {
        let container = &pod["status"]["containerStatuses"][0];
        (pod["metadata"]["name"].clone(), container["restartCount"].clone())
    };
    pods["items"].as_array().unwrap().iter().map(status).collect()
}

#[test]
#[ignore = "long: thirty of the largest profiles"]
fn of_thirty_profiles_of_the_largest_size_those_without_room_are_refused_and_no_agent_ends() {
    let cluster = alone();
    let before = agents(&cluster);
    let mut applied = Vec::new();
    for number in 0..PROFILES {
        let name = format!("room-{number:02}");
        // An annotation with a copy of all of it, as `kubectl apply` makes one without this, would be too long.
        let apply = ["apply", "--server-side", "-f", "-"];
        let _ = said(cluster.kubectl_input(apply, &object(&name, &largest(number)).to_string())).unwrap();
        applied.push(cluster.applied(&name));
    }
    let refused = |profile: &Value| {
        let failures = profile["status"]["failures"].as_array();
        failures.is_some_and(|all| all.iter().any(|failure| failure["reason"] == "MemoryLimit"))
    };
    let is_ready = |profile: &Value| {
        let conditions = profile["status"]["conditions"].as_array();
        conditions.is_some_and(|all| all.iter().any(|it| it["type"] == "Ready" && it["status"] == "True"))
    };
    let all = |session: &Session| -> Vec<Value> {
        let listed = session.json(["get", "seccompprofiles"]);
        let ours = |profile: &&Value| profile["metadata"]["name"].as_str().unwrap().starts_with("room-");
        listed["items"].as_array().unwrap().iter().filter(ours).cloned().collect()
    };
    let (held, without) = until("each being Ready or refused for lack of memory", PATIENCE, || {
        let all = all(&cluster);
        let (held, without) =
            (all.iter().filter(|p| is_ready(p)).count(), all.iter().filter(|p| refused(p)).count());
        (held + without == PROFILES).then_some((held, without))
    });
    say(&format!("{held} of the largest profiles are held, {without} refused"));
    assert!(held >= 10 && without >= 5, "{held} are held, {without} refused");
    cluster.profile("room-small", &harmless(1)).ready();
    assert_eq!(agents(&cluster), before, "no agent was started anew");

    // With half of them gone there is room for the others.
    applied.drain(..PROFILES / 2).for_each(drop);
    until("every other one being Ready", PATIENCE, || all(&cluster).iter().all(is_ready).then_some(()));
    assert_eq!(agents(&cluster), before, "no agent was started anew");
}
