//! What is said of the RDB files that keys were read from: on pages and as JSON. Pure.

use std::collections::BTreeMap;

use keysweep_model::result::Coverage;
use keysweep_model::time::rfc3339;
use keysweep_rdb::Origin;
use serde_json::{Value, json};

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RdbFile {
    /// Its path, for people.
    pub name: String,
    /// What it says of itself.
    pub origin: Origin,
    /// The keys that were read, in all databases, with those that had expired.
    pub keys: u64,
    /// Why not all of it was read, or why something is missing in it; empty if it is complete.
    pub problems: Vec<String>,
}

/// Where keys come from, and of when; `None` if from a server.
#[must_use]
pub fn sentence(files: &[RdbFile]) -> Option<String> {
    let from = match files {
        [] => return None,
        [only] => {
            let server =
                only.origin.server.as_deref().map_or_else(String::new, |server| format!(" of {server}"));
            match saved_at(&only.origin) {
                Some(at) => format!("From `{}`{server}, as it was at {at}", only.name),
                None => format!(
                    "From `{}`{server}, which does not say of when it is; TTLs are as of now",
                    only.name
                ),
            }
        }
        several => {
            let mut times: Vec<String> = several.iter().filter_map(|file| saved_at(&file.origin)).collect();
            times.sort_unstable();
            match (times.first(), times.last()) {
                (Some(first), Some(last)) if times.len() == several.len() => {
                    format!("From {} files, as they were from {first} to {last}", several.len())
                }
                _ => format!("From {} files, some of which do not say of when they are", several.len()),
            }
        }
    };
    Some(format!("{from}. How much memory keys took is not in a file"))
}

/// The files as JSON; null if the keys are from a server.
#[must_use]
pub fn json(files: &[RdbFile]) -> Value {
    let file = |file: &RdbFile| {
        json!({
            "name": file.name,
            "server": file.origin.server,
            "savedAt": saved_at(&file.origin),
            "keys": file.keys,
            "complete": file.problems.is_empty(),
        })
    };
    match files {
        [] => Value::Null,
        files => json!({ "kind": "rdb", "files": files.iter().map(file).collect::<Vec<_>>() }),
    }
}

/// How much of the files was read.
#[must_use]
pub fn coverage(files: &[RdbFile]) -> Coverage {
    let partly: Vec<String> = files
        .iter()
        .filter(|file| !file.problems.is_empty())
        .map(|file| format!("a part of `{}`", file.name))
        .collect();
    let causes: BTreeMap<String, u64> = files
        .iter()
        .flat_map(|file| file.problems.iter().map(|problem| (format!("`{}`: {problem}", file.name), 1)))
        .collect();
    let missing = (!partly.is_empty()).then(|| partly.join(", "));
    Coverage { complete: causes.is_empty(), missing, causes, ..Coverage::default() }
}

fn saved_at(of: &Origin) -> Option<String> {
    of.saved_s.map(|seconds| rfc3339(seconds.saturating_mul(1_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, saved_s: Option<u64>, problems: &[&str]) -> RdbFile {
        let origin = Origin { server: Some("Redis 7.0.15".to_owned()), saved_s, ..Origin::default() };
        RdbFile {
            name: name.to_owned(),
            origin,
            keys: 5,
            problems: problems.iter().map(|problem| (*problem).to_owned()).collect(),
        }
    }

    #[test]
    fn pages_say_of_which_files_and_when() {
        let check = |files: &[RdbFile], expected: Option<&str>| {
            let expected = expected.map(|from| format!("{from}. How much memory keys took is not in a file"));
            assert_eq!(sentence(files), expected);
        };
        let (one, later) = (file("a.rdb", Some(1_790_000_000), &[]), file("b.rdb", Some(1_790_000_060), &[]));
        let undated = file("c.rdb", None, &[]);
        check(&[], None);
        check(
            std::slice::from_ref(&one),
            Some("From `a.rdb` of Redis 7.0.15, as it was at 2026-09-21T14:13:20Z"),
        );
        check(
            std::slice::from_ref(&undated),
            Some("From `c.rdb` of Redis 7.0.15, which does not say of when it is; TTLs are as of now"),
        );
        check(
            &[later.clone(), one.clone()],
            Some("From 2 files, as they were from 2026-09-21T14:13:20Z to 2026-09-21T14:14:20Z"),
        );
        check(&[one, later, undated], Some("From 3 files, some of which do not say of when they are"));
    }

    #[test]
    fn what_is_wrong_with_files_is_missing() {
        let whole = coverage(&[file("a.rdb", None, &[])]);
        assert!(whole.complete && whole.missing.is_none() && whole.causes.is_empty());
        let partly = coverage(&[file("a.rdb", None, &[]), file("b.rdb", None, &["at byte 9: cut off"])]);
        assert_eq!((partly.complete, partly.missing.as_deref()), (false, Some("a part of `b.rdb`")));
        assert_eq!(partly.causes.keys().collect::<Vec<_>>(), ["`b.rdb`: at byte 9: cut off"]);
    }
}
