//! The profile `runtime-default`: what containerd allows, as a start for profiles of one's own. containerd's own code
//! says it, in the version that the nodes run.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Map, Value};

use crate::command::{self, CommandError};
use crate::files::{self, FileError, NamePath};
use crate::programs::{CONTAINERD, Module, ProgramsError};
use crate::step::{StepError, step};
use crate::workspace::repository;

const MODULE: &str = "github.com/containerd/containerd/v2";
/// By Go's names; the nodes that our images are built for.
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];
/// As long as a line of a profile may be, and how far its names are indented.
const WIDTH: usize = 118;
const INDENT: &str = "          ";

/// What containerd allows could not be found out, or not be written.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeDefaultError {
    /// Its module could not be had.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    /// A file refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The program that asks containerd's code does not build or run.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// What it printed is no JSON.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// containerd's code is not as it was.
    #[error(
        "containerd {CONTAINERD} does not decide by runtime.GOARCH in contrib/seccomp/seccomp_default.go"
    )]
    Changed,
    /// The architectures' profiles differ in more than rules and architectures.
    #[error("containerd's profiles for {ARCHITECTURES:?} differ in `{0}`")]
    Differ(String),
    /// The step failed.
    #[error(transparent)]
    Step(#[from] Box<StepError<RuntimeDefaultError>>),
}

/// The file that holds the profile.
pub fn path() -> PathBuf {
    repository().join("profiles/runtime-default.yaml")
}

/// Writes the profile anew.
///
/// # Errors
/// As [`generate`], and when the file cannot be written.
pub fn write() -> Result<(), RuntimeDefaultError> {
    Ok(files::write(&path(), generate()?)?)
}

/// The text of the profile's file, as containerd's code makes it now.
///
/// # Errors
/// When containerd's module cannot be had, is not as it was, or does not build.
pub fn generate() -> Result<String, RuntimeDefaultError> {
    let asked = step(format!("ask containerd {CONTAINERD} what it allows"), ask).map_err(Box::new)?;
    Ok(render(&join(&asked)?))
}

/// containerd's profile for each architecture, as the runtime gets it.
///
/// Its code decides by the constant of the architecture that it is compiled for. So that no foreign machine is needed,
/// the one file is compiled with a variable of ours in the constant's place, and is otherwise as published.
fn ask() -> Result<Value, RuntimeDefaultError> {
    let scratch = tempfile::tempdir().name_path("create", &std::env::temp_dir())?;
    let here = scratch.path();
    let module = Module::download(MODULE, CONTAINERD, here, None)?;
    let code = files::read(&module.directory.join("contrib/seccomp/seccomp_default.go"))?;
    let ours = code
        .replace("package seccomp\n", "package main\n")
        .replace("\t\"runtime\"\n", "")
        .replace("runtime.GOARCH", "goarch");
    if !ours.contains("switch goarch") || ours.contains("runtime.") {
        return Err(RuntimeDefaultError::Changed);
    }
    files::write(&here.join("seccomp_default.go"), ours)?;
    files::write(&here.join("main.go"), include_str!("main.go"))?;
    files::write(
        &here.join("go.mod"),
        format!("module programs\n\ngo 1.26.0\n\nrequire {MODULE} v{CONTAINERD}\n"),
    )?;
    let mut go = Command::new("go");
    // As the programs are built, so that what they compiled is used.
    go.args(["run", "-trimpath", "."]).args(ARCHITECTURES).current_dir(here);
    go.env("GOFLAGS", "-mod=mod -buildvcs=false").env("GOWORK", "off").env("CGO_ENABLED", "0");
    Ok(serde_json::from_str(&command::output(&mut go)?)?)
}

/// One profile for all architectures: the rules of the first, and of each other those that it has not. A runtime
/// ignores names that its architecture does not know, so that the sum is no looser anywhere.
fn join(asked: &Value) -> Result<Value, RuntimeDefaultError> {
    let mut joined = Map::new();
    for architecture in ARCHITECTURES {
        for (field, value) in asked[architecture].as_object().into_iter().flatten() {
            match (joined.get_mut(field), value) {
                (None, value) => drop(joined.insert(field.clone(), value.clone())),
                (Some(Value::Array(have)), Value::Array(more)) => {
                    let new: Vec<_> = more.iter().filter(|one| !have.contains(one)).cloned().collect();
                    have.extend(new);
                }
                (Some(have), value) if have == value => {}
                _ => return Err(RuntimeDefaultError::Differ(field.clone())),
            }
        }
    }
    Ok(Value::Object(joined))
}

/// The object in the style of the other profiles.
fn render(profile: &Value) -> String {
    let words = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.map(|item| item.as_str().unwrap_or_default().to_owned()).collect()
    };
    let mut text = format!(
        "{}apiVersion: seccomp.imjasonh.dev/v1alpha1\nkind: SeccompProfile\nmetadata:\n  name: runtime-default\n\
         spec:\n  contents:\n",
        comment()
    );
    for (field, value) in profile.as_object().into_iter().flatten() {
        match field.as_str() {
            "architectures" => text.push_str(&format!("    architectures: [{}]\n", words(value).join(", "))),
            "syscalls" => {
                text.push_str("    syscalls:\n");
                for rule in value.as_array().into_iter().flatten() {
                    text.push_str(&render_rule(rule, &words(&rule["names"])));
                }
            }
            _ => text.push_str(&format!("    {field}: {}\n", plain(value))),
        }
    }
    text
}

fn render_rule(rule: &Value, names: &[String]) -> String {
    let mut text = format!("      - action: {}\n", plain(&rule["action"]));
    let short = format!("        names: [{}]\n", names.join(", "));
    if short.len() <= WIDTH {
        text.push_str(&short);
    } else {
        text.push_str(&format!("        names: [\n{}]\n", wrap(names)));
    }
    for (field, value) in rule.as_object().into_iter().flatten() {
        match (field.as_str(), value.as_array()) {
            ("action" | "names", _) => {}
            (_, Some(arguments)) => {
                let all: Vec<_> = arguments.iter().map(argument).collect();
                text.push_str(&format!("        {field}: [{}]\n", all.join(", ")));
            }
            _ => text.push_str(&format!("        {field}: {}\n", plain(value))),
        }
    }
    text
}

fn argument(argument: &Value) -> String {
    let fields = argument.as_object().into_iter().flatten();
    let fields: Vec<_> = fields.map(|(field, value)| format!("{field}: {}", plain(value))).collect();
    format!("{{{}}}", fields.join(", "))
}

/// A word or a number without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Names with commas between them, on lines of at most [`WIDTH`].
fn wrap(names: &[String]) -> String {
    let mut lines = vec![INDENT.to_owned()];
    for (at, name) in names.iter().enumerate() {
        let word = if at + 1 == names.len() { name.clone() } else { format!("{name},") };
        let fits = lines.last().is_some_and(|line| line.len() + 1 + word.len() <= WIDTH);
        match lines.last_mut() {
            Some(line) if line == INDENT => line.push_str(&word),
            Some(line) if fits => line.push_str(&format!(" {word}")),
            _ => lines.push(format!("{INDENT}{word}")),
        }
    }
    lines.join("\n")
}

fn comment() -> String {
    format!(
        "# The calls that containerd {CONTAINERD} allows a container without added capabilities, which is what RuntimeDefault\n\
         # means on a node with this containerd. You can start from it to write your own profile.\n\
         #\n\
         # containerd's own code generated it (contrib/seccomp, DefaultProfile) for its default capabilities, on 64-bit\n\
         # x86 and ARM together: runtimes ignore a name that a machine does not have. Updated by `make generate`; do not\n\
         # edit. A test compares it with the containerd of the local cluster.\n\
         #\n\
         # RuntimeDefault changes with the runtime, and with the capabilities that a pod adds or drops; this profile does not.\n"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked() -> Value {
        let rule = |name: &str| json!({ "names": [name], "action": "SCMP_ACT_ALLOW" });
        let clone = json!({
            "names": ["clone"], "action": "SCMP_ACT_ALLOW",
            "args": [{ "index": 0, "value": 2_114_060_288_u64, "op": "SCMP_CMP_MASKED_EQ" }],
        });
        let clone3 = json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 });
        json!({
            "amd64": { "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
                "syscalls": [rule("read"), rule("arch_prctl"), clone, clone3] },
            "arm64": { "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_AARCH64"],
                "syscalls": [rule("read"), rule("cacheflush"), clone, clone3] },
        })
    }

    #[test]
    fn what_is_rendered_says_every_rule_of_every_architecture_once() {
        let asked = asked();
        let text = render(&join(&asked).unwrap());
        let object: Value = serde_saphyr::from_str(&text).unwrap();
        let contents = &object["spec"]["contents"];
        assert_eq!(contents["architectures"], json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"]));
        let rules = contents["syscalls"].as_array().unwrap();
        assert_eq!(rules.len(), 5);
        for architecture in ARCHITECTURES {
            for rule in asked[architecture]["syscalls"].as_array().unwrap() {
                assert_eq!(rules.iter().filter(|found| *found == rule).count(), 1, "{rule}\n{text}");
            }
        }
    }

    #[test]
    fn architectures_that_disagree_on_the_default_are_not_joined() {
        let mut asked = asked();
        asked["arm64"]["defaultAction"] = "SCMP_ACT_KILL".into();
        assert!(matches!(join(&asked), Err(RuntimeDefaultError::Differ(field)) if field == "defaultAction"));
    }

    #[test]
    fn many_names_are_wrapped_and_none_is_lost() {
        let names: Vec<_> = (0..100).map(|number| format!("call_{number}")).collect();
        let text = wrap(&names);
        assert!(text.lines().all(|line| line.len() <= WIDTH && line.starts_with(INDENT)), "{text}");
        let back: Vec<_> = text.split(',').map(|name| name.trim().to_owned()).collect();
        assert_eq!(back, names);
    }
}
