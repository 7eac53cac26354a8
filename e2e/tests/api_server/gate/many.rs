//! Many pods that wait for one profile.

use std::path::Path;
use std::time::{Duration, Instant};

use bench::api_server::audit::Request;
use bench::api_server::build_operator;
use futures::StreamExt;
use kube::api::ListParams;

use super::super::support::{LIMIT, contents, print_line, until};
use super::*;

/// How many pods are created at once.
const AT_ONCE: usize = 32;

/// The least number of pods that must be released in a second, on two cores that nothing else uses.
const RATE: f64 = 200.0;

/// How many pods of `number` are released in a second by the gate `binary`.
async fn released_in_a_second(number: usize, binary: &Path) -> f64 {
    let environment = environment().await;
    let _operator = start_operator(&environment);
    let mut agents = environment.agents(None).await;
    agents.join("n0").await.unwrap();
    let gate = start_gate_of(binary, &environment, 0, true, &[]);
    let _standby = start_gate_of(binary, &environment, 1, true, &[]);
    let admin = &environment.admin;
    futures::stream::iter(0..number)
        .map(|number| async move {
            create(admin, SHOP, &using(&format!("pod-{number}"), "profiles/a.json")).await
        })
        .buffer_unordered(AT_ONCE)
        .for_each(|created| async move { assert!(is_gated(&created)) })
        .await;
    let mut log = environment.server.audit();
    let start = Instant::now();
    environment.apply("a", &contents(0)).await;
    // Only what is new is read: whoever decodes the whole log at each look takes the processor from the gate.
    let (mut requests, mut accepted) = (Vec::new(), 0);
    let limit = LIMIT + Duration::from_secs_f64(number as f64 / 50.0);
    until("every pod released", limit, async || {
        let writes = log.take().unwrap().into_iter().filter(Request::is_write);
        let new: Vec<_> = writes.filter(|request| request.resource() == "pods").collect();
        accepted += new.iter().filter(|request| request.was_accepted()).count();
        requests.extend(new);
        (accepted >= number).then_some(())
    })
    .await;
    let took = start.elapsed();
    let list = pods(admin, SHOP).list(&ListParams::default()).await.unwrap();
    let waiting = list.items.into_iter().map(stored).filter(is_gated).count();
    assert_eq!(waiting, 0, "none is forgotten");
    requests.extend(log.take().unwrap().into_iter().filter(|it| it.is_write() && it.resource() == "pods"));
    let refused = requests.iter().filter(|request| !request.was_accepted()).count();
    assert_eq!(requests.len() - refused, number, "one write each");
    let memory = std::fs::read_to_string(format!("/proc/{}/status", gate.program.id())).unwrap();
    let peak = memory.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    let rate = number as f64 / took.as_secs_f64();
    print_line(&format!(
        "{number} pods released in {:.1} s, {rate:.0} a second; {refused} requests refused; {peak}",
        took.as_secs_f64()
    ));
    rate
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_pods_are_released_by_one_write_each() {
    released_in_a_second(1000, &operator()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: creates ten thousand pods"]
async fn ten_thousand_pods_are_released_by_one_write_each() {
    let rate = released_in_a_second(10_000, &build_operator(true).unwrap()).await;
    assert!(rate >= RATE, "{rate:.0} a second");
}
