//! Key patterns with exactly the semantics of Redis (`SCAN … MATCH`, `stringmatchlen` in the server's `util.c`,
//! case-sensitive). Deliberately absent: all shell glob syntax that Redis does not support, such as `[!x]`, `{a,b}`,
//! `**` across separators and named character classes.
//!
//! `tests/live/glob.rs` compares this file with a running server.

mod inclusion;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::printable::one_line;

/// The longest accepted pattern, in bytes.
///
/// Redis gives up (no match) beyond 1,000 nested stars; a pattern of this length cannot reach that, so the limit also
/// keeps keysweep consistent with the server.
pub const PATTERN_BYTES_MAX: usize = 1024;

/// Why a pattern is rejected. Redis accepts any sequence of bytes, so only its size can be invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Longer than [`PATTERN_BYTES_MAX`]; contains the length in bytes.
    #[error("accept a pattern of {0} bytes: at most {PATTERN_BYTES_MAX} are allowed")]
    TooLong(usize),
}

/// A pattern over keys: `*` any bytes, `?` one byte, `[a-z]` one of, `[^a]` none of, `\x` the byte `x`.
///
/// Peculiarities of Redis: the ends of a range may be swapped; a class without `]` ends with the pattern; `[]` matches
/// nothing and `[^]` any byte; a backslash at the very end is a backslash; of the patterns that consist of stars only
/// `*` itself matches the empty key. Ranges compare signed bytes, as servers on x86-64 do, so a range from an ASCII
/// byte to one above 127 means something else on ARM servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ByteBuf", into = "ByteBuf")]
pub struct Pattern {
    bytes: Vec<u8>,
    /// Length of the part before the first special byte: the key has to start with it.
    literal: usize,
}

impl Pattern {
    /// Parses a pattern; the empty one matches only the empty key.
    ///
    /// # Errors
    /// [`PatternError::TooLong`] beyond [`PATTERN_BYTES_MAX`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, PatternError> {
        let bytes = bytes.into();
        if bytes.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong(bytes.len()));
        }
        let literal = bytes.iter().position(|b| b"*?[\\".contains(b)).unwrap_or(bytes.len());
        Ok(Self { bytes, literal })
    }

    /// The original pattern, for `MATCH`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the server would list `key` under this pattern.
    ///
    /// Takes at most time proportional to the length of the pattern times that of the key.
    #[inline]
    #[must_use]
    pub fn matches(&self, key: &[u8]) -> bool {
        if key.is_empty() {
            // The server's loop never starts on an empty key, and SCAN skips the match for a lone star.
            return self.bytes.is_empty() || self.bytes == b"*";
        }
        let (literal, pattern) = self.bytes.split_at(self.literal);
        match key.strip_prefix(literal) {
            None => false,
            Some(rest) => pattern == b"*" || wildcard(pattern, rest),
        }
    }
}

impl fmt::Display for Pattern {
    /// For display: unprintable bytes are escaped. Backslashes are part of the pattern, and are kept.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes
            .utf8_chunks()
            .try_for_each(|chunk| write!(f, "{}{}", one_line(chunk.valid()), chunk.invalid().escape_ascii()))
    }
}

impl From<Pattern> for ByteBuf {
    fn from(pattern: Pattern) -> Self {
        Self::from(pattern.bytes)
    }
}

impl TryFrom<ByteBuf> for Pattern {
    type Error = PatternError;

    fn try_from(bytes: ByteBuf) -> Result<Self, PatternError> {
        Self::new(bytes.into_vec())
    }
}

/// Matches `key` against `pattern` with a single backtracking position: the last star.
///
/// After a mismatch only the last star needs to take one more byte. Anything that an earlier star could gain by taking
/// more, the last one can take itself, because the part between them has already matched at the leftmost position.
/// (Redis uses the same fact in `skipLongerMatches`, with recursion.) So each star costs at most one pass over the
/// key, and `a*a*a*a*b` is harmless.
fn wildcard(pattern: &[u8], key: &[u8]) -> bool {
    let (mut rest, mut at) = (pattern, 0);
    let mut retry: Option<(&[u8], usize)> = None;
    while at < key.len() {
        if let [b'*', after @ ..] = rest {
            if after.is_empty() {
                return true;
            }
            retry = Some((after, at));
            rest = after;
            continue;
        }
        if let Some(after) = match_one(rest, key[at]) {
            rest = after;
            at += 1;
        } else if let Some((after, from)) = retry {
            rest = after;
            at = from + 1;
            retry = Some((after, at));
        } else {
            return false;
        }
    }
    rest.iter().all(|&byte| byte == b'*')
}

/// Matches the first element of `pattern`, not a star, against one byte; returns the pattern after it.
fn match_one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', after @ ..] => Some(after),
        [b'[', class @ ..] => {
            let (negated, class) = class.strip_prefix(b"^").map_or((false, class), |class| (true, class));
            let (found, after) = match_class(class, byte);
            (found != negated).then_some(after)
        }
        [b'\\', literal, after @ ..] | [literal, after @ ..] => (*literal == byte).then_some(after),
    }
}

/// Reads a class after its opening bracket, up to and including its `]`, or to the end of the pattern.
fn match_class(mut class: &[u8], byte: u8) -> (bool, &[u8]) {
    let signed = byte.cast_signed();
    let mut found = false;
    loop {
        class = match class {
            [] => return (found, class),
            [b'\\', literal, after @ ..] => {
                found |= *literal == byte;
                after
            }
            [b']', after @ ..] => return (found, after),
            [from, b'-', to, after @ ..] => {
                let (from, to) = (from.cast_signed(), to.cast_signed());
                found |= (from.min(to)..=from.max(to)).contains(&signed);
                after
            }
            [literal, after @ ..] => {
                found |= *literal == byte;
                after
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire;

    #[track_caller]
    fn check(pattern: impl AsRef<[u8]>, key: impl AsRef<[u8]>, expected: bool) {
        let pattern = Pattern::new(pattern.as_ref()).unwrap();
        assert_eq!(pattern.matches(key.as_ref()), expected, "`{pattern}`");
    }

    #[test]
    fn as_the_server_reads_them() {
        // Pattern, keys it matches, keys it does not.
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("", &[""], &["a"]),
            ("*", &["", "a"], &[]),
            ("**", &["a"], &[""]),
            ("user:*", &["user:", "user:1"], &["user", "xuser:"]),
            ("a**", &["a", "ab"], &["", "b"]),
            ("a*b*c", &["abc", "aXbXbXc"], &["aXbXbX"]),
            ("a?*", &["ab"], &["a"]),
            ("abc", &["abc"], &["ab", "abcd"]),
            ("[a-c]", &["a", "c"], &["d", "-"]),
            ("[c-a]", &["b"], &["d"]),
            ("[^a-c]", &["d", "^"], &["b", ""]),
            ("[!a]", &["!", "a"], &["b"]),
            ("[]", &[], &["]", ""]),
            ("[^]", &["x", "]"], &["", "xx"]),
            ("[^", &["x"], &[""]),
            ("[ab", &["a", "b"], &["[ab"]),
            ("[a-", &["a", "-"], &["b"]),
            ("[a-]", &["a", "^", "]"], &["b", "-"]),
            (r"[\]]", &["]"], &[r"\"]),
            (r"[\", &[r"\"], &["["]),
            (r"[a-\]", &[r"\", "]", "a"], &["b", "-"]),
            (r"a\", &[r"a\"], &["a"]),
            (r"\*", &["*"], &["x", r"\*"]),
        ];
        for (pattern, matching, others) in cases {
            matching.iter().for_each(|key| check(pattern, key, true));
            others.iter().for_each(|key| check(pattern, key, false));
        }
        check(b"[\x10-\xff]", b"\x80", false);
        check(b"[\x10-\xff]", b"\x05", true);
    }

    #[test]
    fn hostile_patterns_end_soon() {
        check("a*".repeat(500) + "b", "a".repeat(20_000), false);
    }

    #[test]
    fn too_long_and_round_trip() {
        assert_eq!(Pattern::new([b'*'; 1025]), Err(PatternError::TooLong(1025)));
        let pattern = Pattern::new(b"a\xff\n\\*").unwrap();
        assert_eq!(pattern.to_string(), "a\\xff\\n\\*");
        let packed = wire::encode(&pattern).unwrap();
        assert_eq!(wire::decode::<Pattern>(&packed).unwrap(), pattern);
        let long = wire::encode(&ByteBuf::from(vec![0; 1025])).unwrap();
        assert!(wire::decode::<Pattern>(&long).is_err());
    }

    /// The naive definition: exponential, so only for short input.
    fn slow(pattern: &[u8], key: &[u8]) -> bool {
        match (pattern, key) {
            ([], _) => key.is_empty(),
            ([b'*', after @ ..], _) => (0..=key.len()).any(|skip| slow(after, &key[skip..])),
            (_, []) => false,
            (_, [byte, rest @ ..]) => match_one(pattern, *byte).is_some_and(|after| slow(after, rest)),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in r"[ab\[\]^*?\\-]{0,12}", key in r"[ab\]^\\-]{1,8}") {
            let fast = Pattern::new(pattern.as_bytes()).unwrap().matches(key.as_bytes());
            prop_assert_eq!(fast, slow(pattern.as_bytes(), key.as_bytes()));
        }

        #[test]
        fn any_bytes_are_harmless(pattern: Vec<u8>, key: Vec<u8>) {
            if let Ok(pattern) = Pattern::new(pattern) {
                let _ = (pattern.matches(&key), pattern.to_string());
            }
        }
    }
}
