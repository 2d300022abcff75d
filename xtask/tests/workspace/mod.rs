//! The crates of the workspace, for the tests that go through them.

use std::fs;

use crate::tree::root;

/// The folders of the workspace's crates, as its manifest lists them.
pub fn crates() -> Vec<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    members.iter().map(|member| member.as_str().unwrap().to_owned()).collect()
}
