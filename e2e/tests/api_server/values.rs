//! The values of arguments that the schema accepts: its rule is an expression of the API server's language, which only an
//! API server evaluates.

use kube::api::{Patch, PatchParams};
use profile::Profile;
use serde_json::{Value, json};

use super::support::Environment;

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_accepts_the_values_that_the_parser_accepts() {
    hold_to_the_parser(&Environment::new().await).await;
}

/// Applies, as a dry run, a profile with each of many values, and compares the answer with the parser's.
pub(super) async fn hold_to_the_parser(environment: &Environment) {
    let texts = [
        "0",
        "1",
        "9",
        "10",
        "007",
        "00",
        "-1",
        "+1",
        "1.5",
        "1e3",
        "",
        " ",
        " 1",
        "1 ",
        "1_000",
        "a",
        "f",
        "/",
        ":",
        "1/",
        "1:",
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709551609",
        "19000000000000000000",
        "99999999999999999999",
        "9999999999999999999",
        "09999999999999999999",
        "100000000000000000000",
        "0x",
        "0x0",
        "0X1",
        "0xg",
        "0xG",
        "0x@",
        "0x`",
        "0x/",
        "0xfF09aA",
        "0xffffffffffffffff",
        "0x0ffffffffffffffff",
        "0x00000000000000001",
        "0x0000000000000001",
        "0x+1",
        "x1",
        "é",
        "1é",
        "0xé",
        "٣",
    ];
    let numbers = [
        json!(0),
        json!(1),
        json!(i64::MAX),
        json!(-1),
        json!(i64::MIN),
        json!(1.5),
        json!(true),
        Value::Null,
    ];
    let mut accepted = 0;
    for value in texts.map(Value::from).into_iter().chain(numbers) {
        for field in ["value", "valueTwo"] {
            let mut argument = json!({ "index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 7, "valueTwo": 7 });
            argument[field] = value.clone();
            let contents = json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{ "names": ["personality"], "action": "SCMP_ACT_LOG", "args": [argument] }],
            });
            let answer = apply(environment, &contents).await;
            let parsed = Profile::from_value(&contents);
            assert_eq!(answer.is_ok(), parsed.is_ok(), "{field} {value}: {answer:?} {parsed:?}");
            accepted += usize::from(answer.is_ok());
            if let (Err(message), Value::String(_)) = (&answer, &value) {
                assert!(
                    message.contains(&format!("{field}: a whole number from 0 to 2^64-1"))
                        || message.contains("20"),
                    "{field} {value}: {message}"
                );
            }
        }
    }
    assert!(accepted > 20, "{accepted}");
}

async fn apply(environment: &Environment, contents: &Value) -> Result<(), String> {
    let params = PatchParams::apply("test").dry_run();
    let profile = json!({
        "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "SeccompProfile",
        "metadata": { "name": "tried" }, "spec": { "contents": contents },
    });
    let applied = environment.profiles.patch("tried", &params, &Patch::Apply(&profile)).await;
    applied.map(drop).map_err(|error| error.to_string())
}
