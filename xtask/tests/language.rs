//! The rules of the language: within a crate, a type's name stands for one thing; and words that a reader would not
//! search for are banned.
#![cfg(test)]

mod tree;
mod workspace;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tree::{files, root};
use workspace::crates;

/// Words that are archaic, playful, or name what the field has another word for.
const BANNED: [&str; 20] = [
    "anew",
    "beforehand",
    "bury",
    "buried",
    "doomed",
    "hence",
    "lawful",
    "lest",
    "nobody",
    "somebody",
    "stranger",
    "strangers",
    "thereof",
    "tidings",
    "told",
    "vouch",
    "vouched",
    "vouches",
    "whoever",
    "whom",
];

/// Phrases of the same kind.
const BANNED_PHRASES: [&str; 6] =
    ["became of", "came of", "goes by", "is to be", "of its own accord", "are to be"];

/// Where none of these stand any more. The list only grows.
const PLAIN: [&str; 12] = [
    "ARCHITECTURE.md",
    "BENCHMARKS.md",
    "CONTRIBUTING.md",
    "README.md",
    "coordinator/",
    "deploy/",
    "docs/",
    "examples/",
    "reaper/",
    "reporter/",
    "scanner/",
    "shared/",
];

/// Files below `folder` with one of `extensions`, by path below the root, with their texts.
fn texts(folder: &Path, extensions: &[&str]) -> Vec<(String, String)> {
    let paths = extensions.iter().flat_map(|extension| files(folder, extension));
    let named = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        (name, fs::read_to_string(&path).unwrap())
    };
    paths.map(named).collect()
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
    for name in crates() {
        let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (file, text) in texts(&root().join(&name).join("src"), &["rs"]) {
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

/// `line` in words, with the parts of identifiers apart.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for c in line.chars() {
        if !c.is_alphabetic() || c.is_uppercase() && lower {
            words.push(String::new());
        }
        if c.is_alphabetic() {
            words.last_mut().unwrap().extend(c.to_lowercase());
        }
        lower = c.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What `line` has of the banned words and phrases.
fn banned(line: &str) -> Option<&'static str> {
    let words = words(line);
    let word = BANNED.into_iter().find(|banned| words.iter().any(|word| word == banned));
    let text = format!(" {} ", words.join(" "));
    word.or_else(|| BANNED_PHRASES.into_iter().find(|phrase| text.contains(&format!(" {phrase} "))))
}

#[test]
fn plain_files_hold_no_banned_words() {
    let mut found = Vec::new();
    let mut lines = 0;
    for (file, text) in texts(&root(), &["rs", "md", "lua", "html", "toml", "js", "sh"]) {
        if !PLAIN.iter().any(|plain| file.starts_with(plain)) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            lines += 1;
            if let Some(word) = banned(line) {
                found.push(format!("{file}:{}: `{word}`: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(lines > 40_000, "{lines} lines: this test looks in the wrong place");
    assert!(found.is_empty(), "{} lines have banned words:\n{}", found.len(), found.join("\n"));
}

#[test]
fn definitions_are_found() {
    assert_eq!(defined_type("pub(super) struct Name<T> {"), Some("Name"));
    assert_eq!(defined_type("    type Error = E;"), None);
    assert_eq!(defined_type("impl Name {"), None);
}

#[test]
fn words_are_found_in_text_and_identifiers() {
    assert_eq!(banned("// What nobody needs"), Some("nobody"));
    assert_eq!(banned("fn is_told_once()"), Some("told"));
    assert_eq!(banned("struct WhomToAsk;"), Some("whom"));
    assert_eq!(banned("what came of it"), Some("came of"));
    assert_eq!(banned("a household, a bold step"), None);
}
