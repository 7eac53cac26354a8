use super::*;

const PATH: &str = "profiles/web-learning.json";

fn workload(pod: Value, containers: Value) -> Value {
    json!({
        "metadata": { "name": "web", "uid": "u", "resourceVersion": "7" },
        "spec": { "replicas": 2, "template": {
            "metadata": { "labels": { "app": "web" } },
            "spec": { "securityContext": pod, "containers": containers },
        } },
    })
}

fn name() -> ProfileName {
    "web-learning".parse().unwrap()
}

fn default() -> Value {
    json!({ "seccompProfile": { "type": "RuntimeDefault" } })
}

fn found(pod: Value, containers: Value, target: &Target) -> Result<Containers, WorkloadError> {
    super::containers(&workload(pod, containers), target, "profiles")
}

#[test]
fn a_containers_own_profile_takes_precedence_and_different_ones_are_an_error_that_names_them() {
    let ours = json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": "profiles/a.json" } });
    let both = json!([{ "name": "main" }, { "name": "proxy", "securityContext": ours }]);
    let error = found(default(), both.clone(), &Target::Pod).unwrap_err();
    assert!(matches!(&error, WorkloadError::Different(all) if all.len() == 2), "{error}");
    assert!(error.to_string().contains("proxy: Localhost profiles/a.json"), "{error}");
    assert!(error.to_string().contains("--only"), "{error}");
    let present = |name: &str| found(default(), both.clone(), &Target::of(Some(name))).unwrap().present;
    assert_eq!(present("main"), Present::RuntimeDefault);
    assert_eq!(present("proxy"), Present::Ours("a".parse().unwrap()));
    assert!(matches!(
        found(default(), both.clone(), &Target::of(Some("gone"))).unwrap_err(),
        WorkloadError::NoContainer(_)
    ));
    let alone = found(json!({}), json!([{ "name": "main" }]), &Target::Pod).unwrap();
    assert_eq!(alone.present, Present::Unconfined("none"));
}

#[test]
fn a_file_that_is_none_of_ours_and_a_privileged_container_are_errors() {
    let other = json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": "mine/a.json" } });
    let error = found(other, json!([{ "name": "main" }]), &Target::Pod).unwrap_err();
    assert!(error.to_string().contains("mine/a.json"), "{error}");
    let privileged = json!([{ "name": "main", "securityContext": { "privileged": true } }]);
    assert!(matches!(found(default(), privileged, &Target::Pod), Err(WorkloadError::Privileged(_))));
}

#[test]
fn the_workload_has_exactly_what_it_had_before_after_any_number_of_rounds() {
    let own = json!({ "runAsUser": 7, "seccompProfile": { "type": "RuntimeDefault" } });
    for (pod, containers, target) in [
        (json!({}), json!([{ "name": "main" }]), Target::Pod),
        (default(), json!([{ "name": "main" }, { "name": "b", "securityContext": own }]), Target::Pod),
        (default(), json!([{ "name": "main" }, { "name": "b" }]), Target::of(Some("b"))),
        (json!({}), json!([{ "name": "b", "securityContext": {} }]), Target::of(Some("b"))),
        (json!({}), json!([{ "name": "b", "securityContext": own }]), Target::of(Some("b"))),
        (Value::Null, json!([{ "name": "b" }]), Target::Pod),
    ] {
        let mut before = workload(pod, containers);
        if before["spec"]["template"]["spec"]["securityContext"].is_null() {
            before["spec"]["template"]["spec"].as_object_mut().unwrap().remove("securityContext");
        }
        let first = under_learning(&before, &target, &name(), PATH, 1).unwrap();
        let second = under_learning(&first, &target, &name(), PATH, 2).unwrap();
        assert_ne!(first["spec"]["template"], second["spec"]["template"], "the pods are replaced");
        assert_eq!(Stored::of(&second).unwrap().unwrap().profile, "web-learning");
        assert_eq!(restored(&second).unwrap(), before);
        let is_in = |it: &Value, round| is_in_round(it, &target, &name(), PATH, round);
        assert!(is_in(&first, 1) && is_in(&second, 2));
        assert!(!is_in(&first, 2) && !is_in(&before, 1));
        // Its manifest was applied again: what it does not name stays.
        let mut applied = second.clone();
        applied["spec"]["template"]["spec"] = before["spec"]["template"]["spec"].clone();
        assert!(!is_in(&applied, 2), "{applied}");
        let other = if target == Target::Pod { Target::of(Some("b")) } else { Target::Pod };
        let continued = under_learning(&second, &other, &name(), PATH, 3).unwrap();
        assert_eq!(restored(&continued).unwrap(), before, "with another --only");
        let done = pointed(&second, &target, &name(), "profiles/web.json").unwrap();
        assert_eq!(restored(&done).unwrap(), before);
    }
}

#[test]
fn all_learning_containers_have_the_profile_and_no_other_one() {
    let own = json!({ "seccompProfile": { "type": "RuntimeDefault" } });
    let both = json!([{ "name": "main" }, { "name": "b", "securityContext": own }]);
    let under = |target: &Target| {
        let new = under_learning(&workload(default(), both.clone()), target, &name(), PATH, 1).unwrap();
        ["main", "b"].map(|container| {
            let found = super::containers(&new, &Target::of(Some(container)), "profiles");
            found.unwrap().present == Present::Ours(name())
        })
    };
    assert_eq!(under(&Target::Pod), [true, true]);
    assert_eq!(under(&Target::of(Some("b"))), [false, true]);
}

#[test]
fn what_is_stored_is_forgotten_in_the_end() {
    let learning =
        under_learning(&workload(default(), json!([{ "name": "a" }])), &Target::Pod, &name(), PATH, 1);
    let done = forgotten(&pointed(&learning.unwrap(), &Target::Pod, &name(), "profiles/web.json").unwrap());
    assert!(!done.to_string().contains("learning"), "{done}");
    assert_eq!(restored(&done).unwrap(), done);
}

#[test]
fn a_profile_that_somebody_else_has_put_there_since_stays() {
    let own = json!({ "seccompProfile": { "type": "RuntimeDefault" } });
    let others =
        json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": "profiles/newer.json" } });
    let before = workload(default(), json!([{ "name": "main" }, { "name": "b", "securityContext": own }]));
    let learning = under_learning(&before, &Target::Pod, &name(), PATH, 3).unwrap();
    assert_eq!(round_of(&learning), 3);
    assert_eq!(taken(&learning).unwrap(), [""; 0]);
    for (place, of_pod, of_container) in [
        ("its pods", &others, &Value::Null),
        ("the container b", &learning["spec"]["template"]["spec"]["securityContext"], &others),
    ] {
        let mut changed = learning.clone();
        let spec = &mut changed["spec"]["template"]["spec"];
        spec["securityContext"] = of_pod.clone();
        if !of_container.is_null() {
            spec["containers"][1]["securityContext"] = of_container.clone();
        }
        assert_eq!(taken(&changed).unwrap(), [place]);
        let undone = restored(&changed).unwrap();
        let spec = &undone["spec"]["template"]["spec"];
        let is_pod = place == "its pods";
        assert_eq!(spec["securityContext"], if is_pod { others.clone() } else { default() });
        assert_eq!(
            spec["containers"][1]["securityContext"],
            if is_pod { own.clone() } else { others.clone() }
        );
        assert!(!undone.to_string().contains("learning"), "{undone}");
    }
}
