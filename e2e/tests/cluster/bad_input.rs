//! Invalid profiles: `kubectl apply` itself refuses each of them, and the message names the field and what is allowed.

use serde_json::{Value, json};

use super::listeners::SOCKET;
use super::support::{Session, allow_all, bytes_of, object, output, print_line, shared, text};

/// An invalid profile, and what the answer must contain: the field, and what is allowed there.
struct BadInput {
    what: &'static str,
    object: Value,
    messages: &'static [&'static str],
}

const NAME: &str = "mistaken";

fn contents(what: &'static str, contents: Value, messages: &'static [&'static str]) -> BadInput {
    BadInput { what, object: object(NAME, &contents), messages }
}

fn rules(what: &'static str, rules: Value, messages: &'static [&'static str]) -> BadInput {
    contents(what, json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules }), messages)
}

fn rule(what: &'static str, rule: Value, messages: &'static [&'static str]) -> BadInput {
    rules(what, json!([rule]), messages)
}

/// A profile with a valid listener, except for `fields`.
fn listening(what: &'static str, fields: Value, messages: &'static [&'static str]) -> BadInput {
    let mut whole = super::listeners::contents(SOCKET);
    whole.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    contents(what, whole, messages)
}

fn argument(what: &'static str, argument: Value, messages: &'static [&'static str]) -> BadInput {
    let mut whole = json!({ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" });
    whole.as_object_mut().unwrap().extend(argument.as_object().unwrap().clone());
    rule(what, json!({ "names": ["read"], "action": "SCMP_ACT_LOG", "args": [whole] }), messages)
}

fn named(what: &'static str, name: &str, messages: &'static [&'static str]) -> BadInput {
    BadInput { what, object: object(name, &allow_all(1)), messages }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("never_called_{number}")).collect()
}

fn all() -> Vec<BadInput> {
    const VALUE: &str = "value: a whole number from 0 to 2^64-1, above 2^63-1 as a string";
    let simple = || json!({ "names": ["read"], "action": "SCMP_ACT_LOG" });
    let arguments = |count: usize| {
        let argument = |index| json!({ "index": index % 6, "value": 1, "op": "SCMP_CMP_EQ" });
        let arguments: Vec<_> = (0..count).map(argument).collect();
        json!({ "names": ["read"], "action": "SCMP_ACT_LOG", "args": arguments })
    };
    let mut many_names = vec![json!({ "names": names(1024), "action": "SCMP_ACT_LOG" }); 4];
    many_names.push(simple());
    let mut many_arguments = vec![arguments(6); 170];
    many_arguments.push(arguments(5));
    vec![
        contents(
            "unknown action",
            json!({ "defaultAction": "SCMP_ACT_DENY" }),
            &["spec.contents.defaultAction", r#""SCMP_ACT_DENY""#, r#""SCMP_ACT_ERRNO""#],
        ),
        contents(
            "SCMP_ACT_NOTIFY by default",
            json!({ "defaultAction": "SCMP_ACT_NOTIFY" }),
            &["spec.contents.defaultAction", r#""SCMP_ACT_NOTIFY""#, r#""SCMP_ACT_ERRNO""#],
        ),
        rule(
            "SCMP_ACT_NOTIFY without a listener",
            json!({ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }),
            &["spec.contents.listenerPath", "SCMP_ACT_NOTIFY needs it"],
        ),
        contents(
            "a listener that gets no notification",
            json!({ "defaultAction": "SCMP_ACT_LOG", "listenerPath": SOCKET }),
            &["spec.contents.listenerPath", "no rule has the action SCMP_ACT_NOTIFY"],
        ),
        contents(
            "metadata without a listener",
            json!({ "defaultAction": "SCMP_ACT_LOG", "listenerMetadata": "a" }),
            &["spec.contents.listenerMetadata", "give listenerPath, too, or leave it out"],
        ),
        contents(
            "the flag of a listener without one",
            json!({ "defaultAction": "SCMP_ACT_LOG", "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"] }),
            &["spec.contents.flags", "give listenerPath, too, or leave it out"],
        ),
        listening(
            "a listener by a relative path",
            json!({ "listenerPath": "agent.sock" }),
            &["spec.contents.listenerPath", "the absolute path of a socket on the nodes"],
        ),
        listening(
            "a listener by a path that leads elsewhere",
            json!({ "listenerPath": "/run/agents/../containerd/containerd.sock" }),
            &["spec.contents.listenerPath", "the absolute path of a socket on the nodes"],
        ),
        listening(
            "a listener by a path that no socket can have",
            json!({ "listenerPath": format!("/{}", "s".repeat(107)) }),
            &["spec.contents.listenerPath", "may not be more than 107"],
        ),
        listening(
            "SCMP_ACT_NOTIFY for write",
            json!({ "syscalls": [{ "names": ["mkdir", "write"], "action": "SCMP_ACT_NOTIFY" }] }),
            &["spec.contents.syscalls[0].action", "runc hands the listener over with it"],
        ),
        listening(
            "a listener, where the chart admits none",
            json!({}),
            &[
                "ValidatingAdmissionPolicy 'seccomp-profile-listeners'",
                "no profile may name a listener in this cluster; the chart's value listeners.enabled lets them",
            ],
        ),
        contents(
            "no default action",
            json!({ "syscalls": [] }),
            &["spec.contents.defaultAction", "Required value"],
        ),
        contents(
            "unknown architecture",
            json!({ "defaultAction": "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_X86_65"] }),
            &["spec.contents.architectures[0]", r#""SCMP_ARCH_X86_65""#, r#""SCMP_ARCH_X86_64""#],
        ),
        contents(
            "unknown field",
            json!({ "defaultAction": "SCMP_ACT_LOG", "syscall": [] }),
            &[r#"unknown field "spec.contents.syscall""#],
        ),
        contents(
            "architectures of both byte orders",
            json!({ "defaultAction": "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_S390X"] }),
            &[
                "spec.contents.architectures",
                "no node is both big-endian and little-endian; leave one kind out",
            ],
        ),
        contents(
            "Docker's architectures",
            json!({ "defaultAction": "SCMP_ACT_LOG", "archMap": [{ "architecture": "SCMP_ARCH_X86_64" }] }),
            &["spec.contents.archMap", "containerd ignores it; list the architectures in architectures"],
        ),
        rule(
            "the comment that tools write, also an empty one",
            json!({ "names": ["read"], "action": "SCMP_ACT_LOG", "comment": "" }),
            &["spec.contents.syscalls[0].comment", "changes nothing; leave it out"],
        ),
        rule(
            "Docker's conditions",
            json!({ "names": ["read"], "action": "SCMP_ACT_LOG", "includes": { "caps": ["CAP_SYS_ADMIN"] } }),
            &[
                "spec.contents.syscalls[0].includes",
                "Docker, Podman and CRI-O read this, containerd ignores it",
            ],
        ),
        contents(
            "Podman's name of an errno, by default",
            json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "ENOSYS" }),
            &["spec.contents.defaultErrno", "give the number in defaultErrnoRet"],
        ),
        rule(
            "Podman's name of an errno, in a rule",
            json!({ "names": ["read"], "action": "SCMP_ACT_ERRNO", "errno": "ENOSYS" }),
            &["spec.contents.syscalls[0].errno", "give the number in errnoRet"],
        ),
        contents(
            "the native architecture",
            json!({ "defaultAction": "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_NATIVE"] }),
            &["spec.contents.architectures", "the node's own is always covered; leave it out"],
        ),
        contents(
            "errno of an action that takes none, by default",
            json!({ "defaultAction": "SCMP_ACT_LOG", "defaultErrnoRet": 1 }),
            &["spec.contents.defaultErrnoRet", "needs defaultAction SCMP_ACT_ERRNO or SCMP_ACT_TRACE"],
        ),
        rule(
            "errno of an action that takes none, in a rule",
            json!({ "names": ["read"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1 }),
            &["spec.contents.syscalls[0].errnoRet", "needs action SCMP_ACT_ERRNO or SCMP_ACT_TRACE"],
        ),
        contents(
            "an errno that libseccomp refuses, by default",
            json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4095 }),
            &["spec.contents.defaultErrnoRet", "at most 4094 beside SCMP_ACT_ERRNO"],
        ),
        rule(
            "an errno that libseccomp refuses, in a rule",
            json!({ "names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4095 }),
            &["spec.contents.syscalls[0].errnoRet", "at most 4094 beside SCMP_ACT_ERRNO"],
        ),
        rule(
            "a number for the tracer that has more than 16 bits",
            json!({ "names": ["read"], "action": "SCMP_ACT_TRACE", "errnoRet": 65_536 }),
            &["spec.contents.syscalls[0].errnoRet", "less than or equal to 65535"],
        ),
        rule(
            "empty names",
            json!({ "names": [], "action": "SCMP_ACT_LOG" }),
            &["spec.contents.syscalls[0].names", "at least 1 items"],
        ),
        rule(
            "neither names nor name",
            json!({ "action": "SCMP_ACT_LOG" }),
            &["spec.contents.syscalls[0]", "give either names or name"],
        ),
        rule(
            "both names and name",
            json!({ "names": ["read"], "name": "write", "action": "SCMP_ACT_LOG" }),
            &["spec.contents.syscalls[0]", "give either names or name"],
        ),
        rule(
            "a system call with a capital",
            json!({ "names": ["Read"], "action": "SCMP_ACT_LOG" }),
            &["spec.contents.syscalls[0].names[0]", r#""Read""#, "^[a-z0-9_]+$"],
        ),
        argument(
            "misspelt operator",
            json!({ "op": "SCMP_CMP_EQQ" }),
            &["spec.contents.syscalls[0].args[0].op", r#""SCMP_CMP_EQQ""#, r#""SCMP_CMP_EQ""#],
        ),
        argument(
            "argument index 6",
            json!({ "index": 6 }),
            &["spec.contents.syscalls[0].args[0].index", "less than or equal to 5"],
        ),
        rule(
            "an argument compared twice",
            json!({ "names": ["read"], "action": "SCMP_ACT_LOG", "args": [
                { "index": 1, "value": 1, "op": "SCMP_CMP_GT" }, { "index": 1, "value": 9, "op": "SCMP_CMP_LT" },
            ] }),
            &["spec.contents.syscalls[0].args", "runtimes take these as alternatives; write two rules"],
        ),
        argument("value -1", json!({ "value": -1 }), &["spec.contents.syscalls[0].args[0].value", VALUE]),
        argument(
            "value 2^64, as text",
            json!({ "value": "18446744073709551616" }),
            &["spec.contents.syscalls[0].args[0].value", VALUE],
        ),
        argument(
            "value 2^64-1, as a bare number",
            json!({ "value": u64::MAX }),
            &["spec.contents.syscalls[0].args[0].value", "must be of type integer,string"],
        ),
        rules("513 rules", vec![simple(); 513].into(), &["spec.contents.syscalls", "at most 512 items"]),
        rule(
            "1,025 names in a rule",
            json!({ "names": names(1025), "action": "SCMP_ACT_LOG" }),
            &["spec.contents.syscalls[0].names", "at most 1024 items"],
        ),
        rules(
            "4,097 names in all",
            many_names.into(),
            &["spec.contents.syscalls", "at most 4096 names in all"],
        ),
        rule("7 arguments in a rule", arguments(7), &["spec.contents.syscalls[0].args", "at most 6 items"]),
        rules(
            "1,025 arguments in all",
            many_arguments.into(),
            &["spec.contents.syscalls", "at most 1024 arguments in all"],
        ),
        named(
            "a name with a capital",
            "Mistaken",
            &["metadata.name", r#""Mistaken""#, "lowercase RFC 1123 subdomain"],
        ),
        named(
            "a name with a slash",
            "mis/taken",
            &["Name:", r#"invalid resource name "mis/taken""#, "may not contain '/'"],
        ),
        named(
            "a name of 253 characters",
            Box::leak("n".repeat(253).into_boxed_str()),
            &["metadata.name: at most 240 characters, because it becomes a file name"],
        ),
    ]
}

#[test]
fn bad_input_is_refused_with_a_message_that_helps_and_the_files_stay() {
    let cluster = shared();
    let applied = cluster.profile(NAME, &allow_all(0));
    applied.wait_ready();
    let listings = listings(&cluster);
    let mut table = String::from("\nWhat kubectl apply answers to bad input:\n");
    for bad in all() {
        let answer = cluster.try_apply(&bad.object).expect_err(bad.what);
        table += &format!("\n{}\n    {}\n", bad.what, shortened(&answer));
        for words in bad.messages {
            assert!(answer.contains(words), "{}: {answer}\nshould say: {words}", bad.what);
        }
        for (node, found) in applied.on_disks() {
            assert_eq!(text(&found), text(&Some(bytes_of(&allow_all(0)))), "{} on {node}", bad.what);
        }
    }
    print_line(&table);
    assert_eq!(self::listings(&cluster), listings, "no other file came");
    // The files on the nodes show it too.
    applied.wait_ready();
}

/// The names of this test's files on every node.
fn listings(cluster: &Session) -> Vec<String> {
    let mut names = Vec::new();
    for node in cluster.node_list() {
        for entry in std::fs::read_dir(node.seccomp_dir().join("profiles")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.to_lowercase().starts_with("mis") || name.starts_with("nnn") {
                names.push(format!("{} {name}", node.name()));
            }
        }
    }
    names.sort();
    names
}

/// An answer on one line, shortened to its beginning and end if it contains the whole object.
fn shortened(answer: &str) -> String {
    const MOST: usize = 700;
    let line: Vec<char> = answer.split_whitespace().collect::<Vec<_>>().join(" ").chars().collect();
    if line.len() <= MOST {
        return line.into_iter().collect();
    }
    let (begin, end) = (&line[..100], &line[line.len() - 200..]);
    format!("{} … {}", begin.iter().collect::<String>(), end.iter().collect::<String>())
}

#[test]
fn the_largest_profile_that_the_schema_admits_becomes_ready() {
    let cluster = shared();
    let names = |rule: usize| -> Vec<_> {
        (0..8).map(|name| format!("{:x<64}", format!("never_called_{rule}_{name}_"))).collect()
    };
    let number = u64::MAX.to_string();
    let argument = |index: u8| json!({ "index": index, "value": number, "valueTwo": number, "op": "SCMP_CMP_MASKED_EQ" });
    let rule = |rule| json!({ "names": names(rule), "action": "SCMP_ACT_ERRNO", "errnoRet": 4094, "args": [argument(0), argument(5)] });
    let contents =
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": (0..512).map(rule).collect::<Vec<_>>() });
    // Without `--server-side`, `kubectl apply` copies the object into an annotation, which would be too long.
    let apply = ["apply", "--server-side", "-f", "-"];
    let _ = output(cluster.kubectl_input(apply, &object("largest", &contents).to_string())).unwrap();
    let applied = cluster.existing("largest");
    applied.wait_ready();
}
