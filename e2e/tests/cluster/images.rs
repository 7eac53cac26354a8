//! The images that the nodes run.

use std::fs;

use super::support::{print_line, shared};

/// The largest allowed size of one of our images, in bytes: every node of a cluster pulls it.
const LARGEST: u64 = 10_000_000;

#[test]
fn an_image_is_small_enough_for_every_node_to_pull_it() {
    let cluster = shared();
    for image in ["operator", "node-agent"] {
        let archive = cluster.directory().join("images").join(image).with_extension("tar");
        let bytes = fs::metadata(&archive).unwrap().len();
        print_line(&format!("{image}: {bytes} bytes"));
        assert!(bytes <= LARGEST, "{image} has {bytes} bytes, the bound is {LARGEST}");
    }
}
