//! A replica that is killed while requests are in it.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::support::print_line;
use super::images::{SHOP, Shop, of};
use super::requests::Requests;
use super::*;

/// How many requests are in a replica that is killed: as many as the webhook asks at once of one registry for a namespace.
const IN_FLIGHT: usize = 8;

/// The connections that a process has to a port of loopback.
fn connections(process: u32, port: u16) -> usize {
    let to = format!(" 0100007F:{port:04X} 01 ");
    let sockets: BTreeSet<_> = fs::read_to_string("/proc/net/tcp")
        .unwrap()
        .lines()
        .filter(|line| line.contains(&to))
        .map(|line| format!("socket:[{}]", line.split_whitespace().nth(9).unwrap()))
        .collect();
    let files = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let links = files.filter_map(|file| fs::read_link(file.unwrap().path()).ok());
    links.filter(|link| sockets.contains(link.to_string_lossy().as_ref())).count()
}

/// How many requests the API server has let pass because the webhook about pods did not answer.
async fn failed_open(shop: &Shop) -> usize {
    let request = http::Request::get("/metrics").body(Body::empty()).unwrap();
    let answer = shop.scene.environment.admin.send(request).await.unwrap();
    let text = answer.into_body().collect_bytes().await.unwrap();
    let text = String::from_utf8_lossy(&text);
    let series = text.lines().filter(|line| {
        line.starts_with("apiserver_admission_webhook_fail_open_count{") && line.contains("\"images")
    });
    series.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_only_requests_that_were_under_way_fail_as_the_failure_policy_says() {
    for policy in ["Fail", "Ignore"] {
        a_replica_is_killed(policy).await;
    }
}

async fn a_replica_is_killed(policy: &str) {
    // The kernel takes connections, and nobody answers: a request about an image of this registry stays in the replica.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let (inside, plain) = (format!("--inside=127.0.0.1:{port}"), format!("--plain-http=127.0.0.1:{port}"));
    let failure_policy = format!("admission.images.failurePolicy={policy}");
    // The webhook waits for a registry for almost this time: the requests stay in it while they are counted.
    let time = "admission.images.timeoutSeconds=30";
    let values = ["admission.images.secrets.everywhere=true", &failure_policy, time];
    let mut shop = Shop::new(&values, &[&inside, &plain]).await;
    shop.start(1);
    shop.until_ready(2).await;
    let mut replicas: Vec<_> = shop.scene.replicas.drain(..).collect();
    let shop = Arc::new(shop);
    let scene = shop.clone();
    // Profiles, which the API server always refuses if no replica answers for them.
    let requests = Requests::sending(move |number| {
        let shop = scene.clone();
        async move {
            let (code, _, answer) = shop.scene.dry_run(&sound(number)).await;
            if code == 201 { Ok(()) } else { Err(format!("{code} {}", answer["message"])) }
        }
    });
    let sent = || requests.sent.load(Ordering::Relaxed);
    until("some requests", LIMIT, async || (sent() > 20).then_some(())).await;
    assert_eq!(failed_open(&shop).await, 0, "no request was let pass before");
    let pods = (0..IN_FLIGHT).map(|number| {
        let shop = shop.clone();
        tokio::spawn(async move {
            let container = json!({ "name": "main", "image": format!("127.0.0.1:{port}/team/app:{number}") });
            let pod = Shop::pod(&format!("slow{number}"), json!([container]));
            let path = format!("/api/v1/namespaces/{SHOP}/pods");
            shop.scene.send("POST", &path, "application/json", &pod).await
        })
    });
    let pods: Vec<_> = pods.collect();
    let held = || replicas.iter().map(|it| connections(it.process.program.id(), port)).collect::<Vec<_>>();
    until("requests in the replicas", LIMIT, async || {
        (held().iter().sum::<usize>() == IN_FLIGHT).then_some(())
    })
    .await;
    let (held, before) = (held(), sent());
    let at = usize::from(held[1] > held[0]);
    replicas[at].process.program.kill().unwrap();
    until("one replica", LIMIT, async || (shop.scene.balancer.ready() == 1).then_some(())).await;
    // Numbered before it is sent: this one may have been on its way to the other replica.
    let known = sent();
    // Ends the connections that nobody has taken, and with them what the other replica waits for.
    drop(silent);

    let (mut failed, mut answered) = (0, 0);
    for pod in pods {
        let (code, warnings, pod) = pod.await.unwrap();
        let message = pod["message"].as_str().unwrap_or_default();
        let container = &pod["spec"]["containers"][0];
        // What the other replica has looked at ends with a warning, whatever the policy says.
        if warnings.iter().any(|it| it.contains("it stays as it is")) {
            answered += 1;
            continue;
        }
        failed += 1;
        assert_eq!(warnings, Vec::<String>::new(), "nobody says that the webhook did not answer");
        match policy {
            "Fail" => assert!(code == 500 && message.contains("failed calling webhook"), "{code} {pod}"),
            _ => assert_eq!((code, of(container)), (201, "none"), "{pod}"),
        }
    }
    assert_eq!((failed, answered), (held[at], held[1 - at]));
    // The alert counts those that were let pass.
    assert_eq!(failed_open(&shop).await, if policy == "Ignore" { failed } else { 0 });

    until("more requests", LIMIT, async || (sent() > known + 20).then_some(())).await;
    let (all, failures) = requests.end().await;
    print_line(&format!(
        "failurePolicy {policy}: of {IN_FLIGHT} pods in flight {failed} were in the killed replica, all of which failed as it \
         says; of {all} profiles {} failed",
        failures.len()
    ));
    for (number, fault) in &failures {
        assert!((before.saturating_sub(1)..known).contains(number), "{before} to {known}: {failures:?}");
        assert!(fault.starts_with("500 ") && fault.contains("failed calling webhook"), "{fault}");
    }
    // What comes now is answered by the one that is left.
    let (pod, _) = shop.create(&Shop::pod("later", json!([shop.container("main", "reads")]))).await;
    assert!(of(&pod["spec"]["containers"][0]).starts_with("profiles/sha256-"), "{pod}");
}
