//! The profile runtime-default equals containerd's default, and our API accepts it.

use std::fs;

use profile::Profile;
use serde_json::Value;
use xtask::runtime_default;

#[test]
fn the_profile_is_what_the_nodes_containerd_allows() {
    let wanted = runtime_default::generate().unwrap_or_else(|error| panic!("{error}"));
    let held = fs::read_to_string(runtime_default::path()).unwrap();
    assert!(
        held == wanted,
        "profiles/runtime-default.yaml is out of date with containerd: run `make generate`"
    );
}

#[test]
fn the_profile_is_accepted_as_it_is() {
    let held = fs::read_to_string(runtime_default::path()).unwrap();
    let object: Value = serde_saphyr::from_str(&held).unwrap();
    Profile::from_value(&object["spec"]["contents"]).unwrap_or_else(|error| panic!("{error}"));
}
