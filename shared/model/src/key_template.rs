//! Templates such as `permissions:{user}:*`, which define where a key contains the user's id. Pure.
//!
//! Ids may contain any byte, including the separators of the template, so a key can be read in several ways:
//! `permissions:a:b:c` belongs to `a`, or to `a:b`. The right one is unknown, so all readings count: see [`User`].

mod normal;

use thiserror::Error;

use crate::glob::{Pattern, PatternError};

pub use normal::{behind, common_prefixes, normal};

/// The placeholder for the user's id in a template.
const PLACEHOLDER: &str = "{user}";

/// The longest key that is read, in bytes. The time for all readings grows with the square of the length; real user
/// keys are shorter.
const KEY_BYTES_MAX: usize = 1_024;

/// Readings of one key that are tried.
const READINGS_MAX: usize = 128;

/// Why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// The placeholder is missing.
    #[error("has no `{PLACEHOLDER}` where the user's id stands, as in `permissions:{PLACEHOLDER}:*`")]
    NoPlaceholder,
    /// There is more than one placeholder.
    #[error("has `{PLACEHOLDER}` more than once; one of them is the user's id")]
    SeveralPlaces,
    /// A hash tag that is not closed, or an incomplete placeholder.
    #[error(
        "has a `{0}` without its counterpart; a hash tag around the id is written `permissions:{{{PLACEHOLDER}}}:*`, and a \
         brace that stands alone `\\{0}`"
    )]
    Braces(char),
    /// A part is not a valid pattern.
    #[error("is not usable: failed to {0}")]
    Pattern(#[from] PatternError),
}

/// The activity of a key's user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// At least one possible user is active.
    Active,
    /// There is a possible user, and none of them is active.
    Inactive,
    /// The template does not fit the key, or the key is too long or can be read in too many ways.
    Unknown,
}

/// A template. The text before and after the user's id consists of [`Pattern`]s; braces other than those of `{user}`
/// are literal, and must be paired, like those of hash tags: `permissions:{{user}}:*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTemplate {
    before: Pattern,
    after: Pattern,
    /// The literal prefix of keys, if `before` is one.
    prefix: Option<Vec<u8>>,
}

impl KeyTemplate {
    /// Parses a template.
    ///
    /// # Errors
    /// If it does not contain `{user}` exactly once, or has an unpaired brace.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let (before, after) = text.split_once(PLACEHOLDER).ok_or(TemplateError::NoPlaceholder)?;
        if after.contains(PLACEHOLDER) {
            return Err(TemplateError::SeveralPlaces);
        }
        let mut open = 0_u32;
        for byte in unescaped(before).chain(unescaped(after)) {
            match byte {
                b'{' => open += 1,
                b'}' => open = open.checked_sub(1).ok_or(TemplateError::Braces('}'))?,
                _ => {}
            }
        }
        if open > 0 {
            return Err(TemplateError::Braces('{'));
        }
        let literal = !before.bytes().any(|byte| b"*?[\\".contains(&byte));
        Ok(Self {
            prefix: literal.then(|| before.as_bytes().to_vec()),
            before: Pattern::new(before)?,
            after: Pattern::new(after)?,
        })
    }

    /// The activity of the user of `key`. `active` is called for each reading, the shortest first, until one is
    /// active.
    pub fn user<'k>(&self, key: &'k [u8], mut active: impl FnMut(&'k [u8]) -> bool) -> User {
        if key.len() > KEY_BYTES_MAX {
            return User::Unknown;
        }
        let mut readings = 0;
        let starts = match &self.prefix {
            Some(prefix) if key.starts_with(prefix) => prefix.len()..=prefix.len(),
            Some(_) => return User::Unknown,
            None => 0..=key.len(),
        };
        for start in starts {
            let (before, rest) = key.split_at(start);
            if self.prefix.is_none() && !self.before.matches(before) {
                continue;
            }
            // The id is not empty: a key without a user is not one of an inactive user.
            for end in 1..=rest.len() {
                if !self.after.matches(&rest[end..]) {
                    continue;
                }
                if active(&rest[..end]) {
                    return User::Active;
                }
                readings += 1;
                if readings > READINGS_MAX {
                    return User::Unknown;
                }
            }
        }
        if readings > 0 { User::Inactive } else { User::Unknown }
    }
}

/// The bytes of a pattern that are not escaped by a backslash.
fn unescaped(text: &str) -> impl Iterator<Item = u8> {
    let mut escaped = false;
    text.bytes().filter(move |byte| {
        let plain = !escaped;
        escaped = plain && *byte == b'\\';
        plain
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use proptest::prelude::*;

    use super::*;

    /// The ids that `key` may belong to.
    fn ids(template: &str, key: &[u8]) -> Vec<Vec<u8>> {
        let found = RefCell::new(Vec::new());
        let none = |id: &[u8]| {
            found.borrow_mut().push(id.to_vec());
            false
        };
        KeyTemplate::parse(template).unwrap().user(key, none);
        found.into_inner()
    }

    #[test]
    fn possible_ids() {
        let check = |template: &str, key: &str, expected: &[&str]| {
            let found = ids(template, key.as_bytes());
            let expected: Vec<Vec<u8>> = expected.iter().map(|id| id.as_bytes().to_vec()).collect();
            assert_eq!(found, expected, "{template} on {key}");
        };
        check("permissions:{user}:*", "permissions:alice:documents", &["alice"]);
        check("permissions:{user}:*", "permissions:a:b:c", &["a", "a:b"]);
        check("permissions:{user}:*", "permissions:alice", &[]);
        check("permissions:{user}:*", "permissions:alice:", &["alice"]);
        check("permissions:{user}:*", "permissions::documents", &[]);
        check("permissions:{user}:*", "permissions:::x", &[":"]);
        check("permissions:{user}:*", "Permissions:alice:x", &[]);
        check("permissions:{user}", "permissions:a:b", &["a:b"]);
        check("{user}", "alice", &["alice"]);
        check("{user}", "", &[]);
        check("{user}:p", "a:p:p", &["a:p"]);
        // Hash tags, and other braces.
        check("{{user}}:p:*", "{alice}:p:x", &["alice"]);
        check("{{user}}:p:*", "{a}b}:p:x", &["a}b"]);
        check("{app}:{user}:?", "{app}:{u}:x", &["{u}"]);
        // Globs on either side.
        check("*:{user}:doc", "x:alice:doc", &["alice"]);
        check("*:{user}:doc", "x:y:doc:doc", &["y:doc", "doc"]);
        check("v[12]:{user}", "v2:alice", &["alice"]);
        check("v[12]:{user}", "v3:alice", &[]);
        check(r"a\*:{user}", "a*:alice", &["alice"]);
        check("p:{user}*", "p:abc", &["a", "ab", "abc"]);
        assert_eq!(ids("p:{user}:*", b"p:\xff\x00\r\n{}:x"), [b"\xff\x00\r\n{}"]);
    }

    #[test]
    fn any_active_reading_keeps_a_key() {
        let template = KeyTemplate::parse("permissions:{user}:*").unwrap();
        let check = |key: &str, active: &[&str], expected: User| {
            let is_active = |id: &[u8]| active.iter().any(|user| user.as_bytes() == id);
            assert_eq!(template.user(key.as_bytes(), is_active), expected, "{key}");
        };
        check("permissions:a:b:c", &["a"], User::Active);
        check("permissions:a:b:c", &["a:b"], User::Active);
        check("permissions:a:b:c", &["a:b:c", "b", ""], User::Inactive);
        check("other:a:b", &["a"], User::Unknown);
        let colons = format!("permissions:a{}", ":".repeat(READINGS_MAX + 1));
        check(&colons, &[], User::Unknown);
        check(&colons, &["a"], User::Active);
        check(&colons[..colons.len() - 1], &[], User::Inactive);
        let long = |bytes: usize| format!("permissions:{}:x", "a".repeat(bytes - 14));
        check(&long(KEY_BYTES_MAX), &[], User::Inactive);
        check(&long(KEY_BYTES_MAX + 1), &[], User::Unknown);
    }

    #[test]
    fn texts_that_are_no_templates() {
        let check = |text: &str, expected: &str| {
            let error = KeyTemplate::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("permissions:*", "no `{user}`");
        check("permissions:{id}:*", "no `{user}`");
        check("{user}:{user}", "more than once");
        for unclosed in ["permissions:{{user}:*", "permissions:{user}}:*", "{a:{user}:*", "}{user}{"] {
            check(
                unclosed,
                "without its counterpart; a hash tag around the id is written `permissions:{{user}}:*`",
            );
        }
        for whole in ["{{user}}:*", "{a:{user}}:*", r"\{{user}:*", r"\\{{user}}", "{a}{user}{b}"] {
            assert!(KeyTemplate::parse(whole).is_ok(), "{whole}");
        }
        check(&format!("{{user}}{}", "x".repeat(1_025)), "1025 bytes");
    }

    proptest! {
        #[test]
        fn the_id_that_a_key_was_made_of_is_among_those_found(id in prop::collection::vec(any::<u8>(), 1..20), rest in "[a-z:]{0,20}") {
            let key = [b"permissions:", id.as_slice(), b":", rest.as_bytes()].concat();
            for template in ["permissions:{user}:*", "[op]ermi*s:{user}:*"] {
                let found = ids(template, &key).contains(&id);
                prop_assert!(found, "{template}");
            }
        }

        #[test]
        fn any_bytes_are_harmless(template: String, key: Vec<u8>) {
            if let Ok(template) = KeyTemplate::parse(&template) {
                template.user(&key, |_| false);
            }
        }
    }
}
