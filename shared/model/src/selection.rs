//! A fingerprint of the selection of keys that a run counts. Figures of two runs are compared only if their selections
//! are equal: a job with other patterns or another database has not grown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

use crate::glob::Pattern;
use crate::ids::Alias;
use crate::messages::{Rules, RunSpec};
use crate::printable::hex;

/// Bytes of the digest that are kept: collisions are improbable.
const BYTES: usize = 12;

/// The fingerprint: 24 hexadecimal digits. It is independent of the order of patterns and of the action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Selection(String);

impl Selection {
    /// The selection of a run with `rules` in database `db` of `redis`.
    #[must_use]
    pub fn of(redis: &Alias, db: u32, rules: &Rules) -> Self {
        let mut digest = Sha1::new();
        // Each part is preceded by its length, so that different lists never have the same encoding.
        let mut add = |part: &[u8]| {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        };
        add(redis.as_str().as_bytes());
        add(&db.to_be_bytes());
        for list in [&rules.patterns, &rules.protect] {
            let mut parts: Vec<&[u8]> = list.iter().map(Pattern::as_bytes).collect();
            parts.sort_unstable();
            parts.dedup();
            add(&(parts.len() as u64).to_be_bytes());
            parts.into_iter().for_each(&mut add);
        }
        let mut sources: Vec<&[u8]> = rules.sources.iter().map(|source| source.as_bytes()).collect();
        sources.sort_unstable();
        sources.dedup();
        sources.into_iter().for_each(&mut add);
        // Exceptions of one rule may be keys of the next, so that the order matters.
        for rule in rules.policy.iter().flat_map(|policy| &policy.rules) {
            for list in [&rule.matching, &rule.except] {
                add(&(list.len() as u64).to_be_bytes());
                list.iter().for_each(|pattern| add(pattern.as_bytes()));
            }
        }
        Self(hex(&digest.finalize()[..BYTES]))
    }
}

impl RunSpec {
    /// The selection of keys of the run.
    #[must_use]
    pub fn selection(&self) -> Selection {
        Selection::of(&self.alias, self.db, &self.rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;
    use crate::messages::Action;

    #[test]
    fn only_what_changes_which_keys_count_makes_a_difference() {
        let of = |alias: &str, db, patterns: &[&str], protect: &[&str]| {
            Selection::of(&Alias::new(alias), db, &Rules::deleting(patterns, protect).unwrap())
        };
        let one = of("main", 0, &["rl:*", "user:*"], &["rl:a"]);
        assert_eq!(one, of("main", 0, &["user:*", "rl:*", "rl:*"], &["rl:a"]), "in any order");
        for other in [
            of("east", 0, &["rl:*", "user:*"], &["rl:a"]),
            of("main", 1, &["rl:*", "user:*"], &["rl:a"]),
            of("main", 0, &["rl:*"], &["rl:a"]),
            of("main", 0, &["rl:*", "user:*"], &[]),
            of("main", 0, &["rl:*", "user:*", "rl:a"], &[]),
            of("main", 0, &["rl:*user:*"], &["rl:a"]),
        ] {
            assert_ne!(one, other);
        }
        let plain = Rules::deleting(&["a"], &[]).unwrap();
        let of = |rules: &Rules| Selection::of(&Alias::new("main"), 0, rules);
        assert_eq!(of(&plain), of(&Rules { action: Action::Report, grace_ms: 7, ..plain.clone() }));
        assert_ne!(of(&plain), of(&Rules { sources: vec![Key::new(*b"a")], ..plain.clone() }));
    }
}
