//! More profiles than fit into an agent's memory.

use std::time::Duration;

use serde_json::{Value, json};

use super::stopped::AGENT_PODS;
use super::support::{Session, allow_all, alone, object, output, print_line, until};

/// Thirty of them take thirteen megabytes; the chart's limit leaves eight.
const PROFILES: usize = 30;

/// How soon a refused profile must be Ready once memory is free: the agent lists the profiles within 70 s.
const READY_LIMIT: Duration = Duration::from_mins(2);

/// A profile of almost the largest size that the schema accepts.
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

/// Every agent's pod, with the restarts of its container.
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
fn of_thirty_profiles_of_the_largest_size_those_that_do_not_fit_are_refused_and_no_agent_ends() {
    let cluster = alone();
    let before = agents(&cluster);
    let mut applied = Vec::new();
    for number in 0..PROFILES {
        let name = format!("room-{number:02}");
        // Without `--server-side`, `kubectl apply` copies the object into an annotation, which would be too long.
        let apply = ["apply", "--server-side", "-f", "-"];
        let _ = output(cluster.kubectl_input(apply, &object(&name, &largest(number)).to_string())).unwrap();
        applied.push(cluster.existing(&name));
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
    let (held, without) = until("each being Ready or refused for lack of memory", READY_LIMIT, || {
        let all = all(&cluster);
        let (held, without) =
            (all.iter().filter(|p| is_ready(p)).count(), all.iter().filter(|p| refused(p)).count());
        (held + without == PROFILES).then_some((held, without))
    });
    print_line(&format!("{held} of the largest profiles are held, {without} refused"));
    assert!(held >= 10 && without >= 5, "{held} are held, {without} refused");
    cluster.profile("room-small", &allow_all(1)).wait_ready();
    assert_eq!(agents(&cluster), before, "no agent was restarted");

    // After half of them are deleted, the others fit.
    applied.drain(..PROFILES / 2).for_each(drop);
    until("every other one being Ready", READY_LIMIT, || all(&cluster).iter().all(is_ready).then_some(()));
    assert_eq!(agents(&cluster), before, "no agent was restarted");
}
