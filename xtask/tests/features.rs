//! Each library is built once: `cargo xtask` builds what it needs with the same features as `cargo test` does. Otherwise
//! the tests would build most libraries a second time, which takes minutes in continuous integration.

#![expect(clippy::expect_used, reason = "a test stops at what it did not expect")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The features of each package, with the dependencies of these kinds.
fn features(kinds: &str) -> BTreeMap<String, BTreeSet<String>> {
    let tree = ["tree", "--workspace", "--locked", "--offline", "--prefix", "none", "--format", "{p}|{f}"];
    let mut command = Command::new(env!("CARGO"));
    let output = command.args(tree).args(["--edges", kinds]).output().expect("cargo can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut all = BTreeMap::<String, BTreeSet<String>>::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some((package, features)) = line.split_once('|') {
            let features = features.trim_end_matches(" (*)").to_owned();
            all.entry(package.replace(" (proc-macro)", "").trim_end().to_owned())
                .or_default()
                .insert(features);
        }
    }
    all
}

#[test]
fn tests_ask_no_library_for_more_features_than_xtask() {
    let (without, with) = (features("normal,build"), features("normal,build,dev"));
    assert!(without.len() > 100, "{without:?}");
    let other: Vec<String> = without
        .iter()
        .filter(|(package, features)| with.get(*package) != Some(features))
        .map(|(package, features)| format!("{package}: {features:?}, with tests {:?}", with.get(package)))
        .collect();
    assert!(other.is_empty(), "built twice; let `xtask/Cargo.toml` ask for the same:\n{}", other.join("\n"));
}
