//! The rules of the language: within a crate, a type's name stands for one thing.
#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const CRATES: [&str; 7] = ["coordinator", "scanner", "reaper", "reporter", "shared", "xtask", "examples"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Files below `folder` with one of `extensions`, by path below the root.
fn files(folder: &Path, extensions: &[&str]) -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(files(&path, extensions));
        } else if extensions.contains(&extension.as_str()) {
            let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// The name of the type that `line` defines, if it does at the outermost level.
fn defined_type(line: &str) -> Option<&str> {
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.strip_prefix(' ')?,
        None => line,
    };
    let (keyword, rest) = line.split_once(' ')?;
    let name = rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()?;
    ["struct", "enum", "trait", "type", "union"].contains(&keyword).then_some(name)
}

#[test]
fn no_type_name_is_defined_twice_in_one_crate() {
    let mut seen = 0;
    for name in CRATES {
        let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (file, text) in files(&root().join(name).join("src"), &["rs"]) {
            if file.ends_with("tests.rs") || file.contains("/tests/") {
                continue;
            }
            let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            for defined in product.lines().filter_map(defined_type) {
                places.entry(defined.to_owned()).or_default().push(file.clone());
                seen += 1;
            }
        }
        let twice: Vec<_> = places.into_iter().filter(|(_, places)| places.len() > 1).collect();
        assert!(twice.is_empty(), "crate `{name}` defines these names more than once: {twice:#?}");
    }
    assert!(seen > 500, "{seen} types: this test looks in the wrong place");
}

#[test]
fn definitions_are_found() {
    assert_eq!(defined_type("pub(super) struct Name<T> {"), Some("Name"));
    assert_eq!(defined_type("    type Error = E;"), None);
    assert_eq!(defined_type("impl Name {"), None);
}
