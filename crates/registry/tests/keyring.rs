//! The logins that the kubelet uses, read off the real one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use registry::{Keyring, Login, PullSecret, Reference};
use serde_json::{Value, json};

/// The table of the real kubelet's answers. Its `source` says what they were read off.
const TABLE: &str = include_str!("keyring/table.json");

/// What this crate answers to a case, in the form of the table.
fn answer(case: &Value) -> Value {
    let reference = Reference::parse(case["image"].as_str().unwrap()).unwrap();
    let texts: Vec<_> =
        case["secrets"].as_array().unwrap().iter().map(|it| it["config"].to_string()).collect();
    let kinds = case["secrets"].as_array().unwrap().iter().map(|it| it["type"].as_str().unwrap().to_owned());
    let secrets: Vec<_> = kinds
        .zip(&texts)
        .map(|(kind, text)| match &*kind {
            "dockercfg" => PullSecret::DockerConfig(text.as_bytes()),
            _ => PullSecret::DockerConfigJson(text.as_bytes()),
        })
        .collect();
    let Ok(keyring) = Keyring::new(&secrets) else { return json!("error") };
    let found = keyring.find(reference.repository());
    let shown = found.iter().map(|it| match it.login {
        Login::Password { username, password } => json!([username, password, format!("s{}", it.secret + 1)]),
        // Runtimes take an empty user name for no login, whatever the password is.
        Login::Anonymous => json!([null, null, format!("s{}", it.secret + 1)]),
        Login::RefreshToken(_) => panic!("the kubelet reads no refresh tokens"),
    });
    shown.collect()
}

/// The answer of the table to a case.
fn expected(case: &Value) -> Value {
    if case.get("error").is_some() {
        return json!("error");
    }
    let logins = case["credentials"].as_array().map(Vec::as_slice).unwrap_or_default();
    let shown = logins.iter().map(|it| {
        let text = |key: &str| it.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        match text("username").is_empty() {
            true => json!([null, null, text("secret")]),
            false => json!([text("username"), text("password"), text("secret")]),
        }
    });
    shown.collect()
}

#[test]
fn every_row_of_the_kubelets_table_is_answered_as_the_kubelet_does() {
    let table: Value = serde_json::from_str(TABLE).unwrap();
    let cases = table["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 136);
    for case in cases {
        let reference = Reference::parse(case["image"].as_str().unwrap()).unwrap();
        assert_eq!(reference.repository().to_string(), case["lookedUp"].as_str().unwrap(), "{case}");
        assert_eq!(answer(case), expected(case), "{case}");
    }
}

/// Cases beyond the table: keys, images and entries put together from parts at which the rules turn.
fn random_case(random: &mut fastrand::Rng) -> Value {
    fn pick<'a>(random: &mut fastrand::Rng, from: &[&'a str]) -> &'a str {
        from[random.usize(..from.len())]
    }
    let hosts = [
        "a.example",
        "b.a.example",
        "*.example",
        "*",
        "*.*.example",
        "a*.example",
        "A.example",
        "a.example:5000",
        "*.example:5000",
        "a.example:443",
        "localhost",
        "localhost:5000",
        "docker.io",
        "index.docker.io",
        "*.io",
        "[fd00::5]:5000",
        "[fd00::5]",
        "10.0.0.5:5000",
        "a%2eb",
        "u:p@a.example",
        "a_b.example",
        "[F]",
        "x[1]",
        "a.example:",
        "a.example:*",
        "a.example:1:2",
        "",
        "?",
        "\u{e9}.example",
        "a%C3%A9.example",
        "a b",
    ];
    let schemes = ["", "", "", "https://", "http://", "HTTPS://", "ftp://"];
    let paths = [
        "",
        "",
        "",
        "/",
        "/v1/",
        "/v2/",
        "/v1",
        "/v2",
        "/v2/team",
        "/team",
        "/team/",
        "/team/app",
        "/tea",
        "/%74eam",
        "/team%",
        "//team",
        "/library/",
        "?x",
        "#x",
        "/team?x#y",
        "/v1/v2/",
        "/TEAM",
    ];
    let images = [
        "a.example/team/app:1",
        "b.a.example/team/app",
        "a.example:5000/team/app",
        "a.example/app",
        "A.example/app",
        "localhost/team/app",
        "localhost:5000/app",
        "busybox",
        "team/app",
        "docker.io/team/app",
        "index.docker.io/team/app",
        "[fd00::5]:5000/app",
        "[fd00::5]/app",
        "10.0.0.5:5000/app",
        "F/app",
        "a.example:443/team",
        "a.example/v2/team",
        "a.example/teammate/x",
    ];
    let entries = [
        r#"{"username":"U","password":"p"}"#,
        r#"{"username":"U","password":"p","email":"e"}"#,
        r#"{"auth":"dTpw"}"#,
        r#"{"auth":"","username":"U"}"#,
        r#"{"auth":"dXNlcjE6cGFzcw"}"#,
        r#"{"AUTH":"dTpw\n"}"#,
        "{}",
        "null",
        r#"{"identitytoken":"t"}"#,
        r#"{"username":"U","username":"W"}"#,
        r#"{"username":null,"password":"p"}"#,
        r#"{"u\u017fername":"U"}"#,
        r#"{"username":"U","extra":[1,{"a":2}]}"#,
    ];
    let bad = [
        r#"{"auth":"%%%"}"#,
        r#"{"auth":"dXNlcm9ubHk="}"#,
        r#"{"username":1}"#,
        "[]",
        r#"{"email":{}}"#,
        "\"x\"",
        r#"{"auth":"dTpw="}"#,
        r#"{"auth":" dTpw"}"#,
        "true",
    ];
    let secrets = 1 + random.usize(..3);
    let secrets: Vec<_> = (0..secrets)
        .map(|_| {
            let keys: BTreeSet<String> = (0..random.usize(..4))
                .map(|_| [pick(random, &schemes), pick(random, &hosts), pick(random, &paths)].concat())
                .collect();
            let members = keys.iter().enumerate().map(|(i, key)| {
                let from = if random.u8(..100) == 0 { &bad[..] } else { &entries[..] };
                // Different names, so that the order shows.
                let entry = pick(random, from).replace("\"U\"", &format!("\"u{i}\""));
                format!("{}:{entry}", Value::from(key.as_str()))
            });
            let members = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
            match random.u8(..10) {
                0 => json!({ "type": "dockercfg", "text": members }),
                1 => json!({ "type": "dockerconfigjson", "text": format!(r#"{{"Auths":{members},"HttpHeaders":{{"a":"b"}}}}"#) }),
                _ => json!({ "type": "dockerconfigjson", "text": format!(r#"{{"auths":{members}}}"#) }),
            }
        })
        .collect();
    json!({ "secrets": secrets, "image": pick(random, &images) })
}

/// References put together from parts at which the rules turn.
fn random_reference(random: &mut fastrand::Rng) -> String {
    let parts = [
        "a",
        "b.c",
        "A",
        "1",
        "-",
        "_",
        "__",
        ".",
        "..",
        ":",
        "/",
        "@",
        "localhost",
        "docker.io",
        "index.docker.io",
        "library",
        "[::1]",
        "[",
        "]",
        "5000",
        "sha256",
        "latest",
        "a.example",
        "\u{e9}",
        " ",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "/b",
        ":c",
        "a/",
    ];
    (0..=random.usize(..6)).map(|_| parts[random.usize(..parts.len())]).collect()
}

#[test]
#[ignore = "long: builds the kubelet's keyring from its Go module, which takes a minute and the Go module proxy"]
fn random_secrets_and_references_are_read_as_the_kubelet_reads_them() {
    let mut random = fastrand::Rng::with_seed(19);
    let cases: Vec<_> = (0..5_000).map(|_| random_case(&mut random)).collect();
    let references: Vec<_> = (0..20_000).map(|_| random_reference(&mut random)).collect();
    let table: Value = serde_json::from_str(TABLE).unwrap();
    let rows = table["cases"].as_array().unwrap().iter().map(|case| {
        let secrets = case["secrets"].as_array().unwrap().iter();
        let secrets = secrets.map(|it| json!({ "type": it["type"], "text": it["config"].to_string() }));
        json!({ "secrets": secrets.collect::<Vec<_>>(), "image": case["image"] })
    });
    let cases: Vec<_> = rows.chain(cases).collect();
    let directory = tempfile::tempdir().unwrap();
    let questions = directory.path().join("questions.json");
    std::fs::write(&questions, json!({ "cases": cases, "references": references }).to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keyring/kubelet.sh");
    let done = Command::new("bash").arg(script).arg(&questions).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let answers: Value = serde_json::from_slice(&done.stdout).unwrap();

    let mut wrong = Vec::new();
    for (case, answer) in cases.iter().zip(answers["cases"].as_array().unwrap()) {
        let found = ours(case);
        if found != *answer {
            wrong.push(format!("{case}\n  kubelet: {answer}\n  here:    {found}"));
        }
    }
    for (text, answer) in references.iter().zip(answers["references"].as_array().unwrap()) {
        let found = Reference::parse(text).map(|it| it.to_string()).ok();
        // A registry without a host; see the documentation of `reference`.
        let has_no_host = answer.as_str().is_some_and(|it| it.split('/').next().unwrap().contains('_'));
        if json!(found) != *answer && !(found.is_none() && has_no_host) {
            wrong.push(format!("{text}\n  kubelet: {answer}\n  here:    {found:?}"));
        }
    }
    let shown = wrong.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} of {} differ:\n{shown}", wrong.len(), cases.len() + references.len());
    let with_logins = answers["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it.as_array().is_some_and(|it| !it.is_empty()));
    assert!(with_logins.count() > 500, "the cases show something");
}

/// The answer to a case with the secrets' own text.
fn ours(case: &Value) -> Value {
    let secrets: Vec<_> = case["secrets"].as_array().unwrap().iter().collect();
    let texts = secrets.iter().map(|it| it["text"].as_str().unwrap().as_bytes());
    let secrets: Vec<_> = texts
        .zip(&secrets)
        .map(|(text, it)| match it["type"].as_str().unwrap() {
            "dockercfg" => PullSecret::DockerConfig(text),
            _ => PullSecret::DockerConfigJson(text),
        })
        .collect();
    let Ok(keyring) = Keyring::new(&secrets) else { return json!("error") };
    let reference = Reference::parse(case["image"].as_str().unwrap()).unwrap();
    let shown = keyring.find(reference.repository()).into_iter().map(|it| match it.login {
        Login::Password { username, password } => json!([username, password, it.secret + 1]),
        _ => json!([null, null, it.secret + 1]),
    });
    shown.collect()
}

#[test]
fn keyrings_that_choose_other_logins_have_other_fingerprints() {
    let keyring = |auths: Value| {
        let text = json!({ "auths": auths }).to_string();
        Keyring::new(&[PullSecret::DockerConfigJson(text.as_bytes())]).unwrap()
    };
    let login = |username: &str, password: &str| json!({ "username": username, "password": password });
    let all = [
        Keyring::default(),
        keyring(json!({ "a.example": login("u", "p") })),
        keyring(json!({ "b.example": login("u", "p") })),
        keyring(json!({ "a.example": login("u", "q") })),
        keyring(json!({ "a.example": login("up", "") })),
        keyring(json!({ "a.example": login("u", "p"), "b.example": login("u", "p") })),
    ];
    let found: BTreeSet<_> = all.iter().map(Keyring::fingerprint).collect();
    assert_eq!(found.len(), all.len());
    assert_eq!(keyring(json!({ "a.example": login("u", "p") })).fingerprint(), all[1].fingerprint());
}
