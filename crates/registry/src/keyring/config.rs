//! Docker's configuration as the kubelet reads it from a pull secret (`pkg/credentialprovider/config.go`).

use std::collections::BTreeMap;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::loose::{self, Node};
use super::{PullSecret, SecretProblem};

/// What belongs to one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) username: String,
    pub(super) password: String,
}

/// The entries by their keys. An empty value has none.
pub(super) fn read(secret: PullSecret<'_>) -> Result<BTreeMap<String, Entry>, SecretProblem> {
    let (PullSecret::DockerConfigJson(bytes) | PullSecret::DockerConfig(bytes)) = secret;
    let mut entries = BTreeMap::new();
    if bytes.is_empty() {
        return Ok(entries);
    }
    let node = loose::parse(bytes).ok_or(SecretProblem::Format)?;
    match secret {
        PullSecret::DockerConfig(_) => add(&node, &mut entries)?,
        PullSecret::DockerConfigJson(_) => {
            for (name, value) in node.members().ok_or(SecretProblem::Format)? {
                match &*loose::folded(name) {
                    "auths" => add(value, &mut entries)?,
                    "httpheaders" => check_texts(value)?,
                    _ => {}
                }
            }
        }
    }
    Ok(entries)
}

/// Adds the members of an object. `null` removes those of an earlier one with the same name.
fn add(node: &Node, entries: &mut BTreeMap<String, Entry>) -> Result<(), SecretProblem> {
    if matches!(node, Node::Null) {
        entries.clear();
    }
    for (key, value) in node.members().ok_or(SecretProblem::Format)? {
        entries.insert(key.clone(), entry(value)?);
    }
    Ok(())
}

fn check_texts(node: &Node) -> Result<(), SecretProblem> {
    let members = node.members().ok_or(SecretProblem::Format)?;
    let is_text = |node: &Node| matches!(node, Node::Null | Node::Text(_));
    members.iter().all(|(_, value)| is_text(value)).then_some(()).ok_or(SecretProblem::Format)
}

fn entry(node: &Node) -> Result<Entry, SecretProblem> {
    let (mut entry, mut auth) = (Entry::default(), String::new());
    for (name, value) in node.members().ok_or(SecretProblem::Format)? {
        let field = match &*loose::folded(name) {
            "username" => Some(&mut entry.username),
            "password" => Some(&mut entry.password),
            "auth" => Some(&mut auth),
            "email" => None,
            _ => continue,
        };
        match (value, field) {
            (Node::Text(text), Some(field)) => field.clone_from(text),
            (Node::Text(_), None) | (Node::Null, _) => {}
            _ => return Err(SecretProblem::Format),
        }
    }
    if auth.is_empty() {
        return Ok(entry);
    }
    decoded(&auth).ok_or(SecretProblem::Auth)
}

/// The name and the password in an `auth`. Go's decoder skips line breaks, and it either demands padding or refuses it.
fn decoded(auth: &str) -> Option<Entry> {
    let padding = match auth.trim_end().ends_with('=') {
        true => DecodePaddingMode::RequireCanonical,
        false => DecodePaddingMode::RequireNone,
    };
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(padding).with_decode_allow_trailing_bits(true);
    let text = auth.replace(['\r', '\n'], "");
    let bytes = GeneralPurpose::new(&STANDARD, config).decode(text).ok()?;
    // Text that is not UTF-8 could not be passed to a runtime (a string of CRI), so no pull would succeed with it.
    let text = String::from_utf8(bytes).ok()?;
    let (username, password) = text.split_once(':')?;
    Some(Entry { username: username.to_owned(), password: password.to_owned() })
}
