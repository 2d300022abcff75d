//! Whether every key that one pattern matches is also matched by another.
//!
//! Both are read in step: a position in the first pattern, together with all positions in the second that the same bytes
//! can lead to. A key that the first matches and the second does not would be found as a position where the first can
//! end and the second cannot. If there is none, the second covers the first. This is exact; but the number of sets of
//! positions can grow exponentially, so it gives up at a limit.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{Pattern, match_one};

/// Positions that are looked at before the answer is "not known to": a few milliseconds. Usual patterns have hundreds.
const POSITIONS_MAX: usize = 50_000;

impl Pattern {
    /// Whether this pattern is known to match every key that `other` matches. Never wrongly true. A pattern that matches
    /// no key is covered by none.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        if self.bytes == b"*" {
            return example(&other.bytes).is_some();
        }
        // One key that `other` matches decides nearly all pairs.
        let Some(example) = example(&other.bytes) else { return false };
        let both_match = |key: &[u8]| self.matches(key) || !other.matches(key);
        both_match(&example) && both_match(b"") && covers_nonempty(&self.bytes, &other.bytes)
    }

    /// Whether no key matches both patterns, because they begin differently. Not every such pair is recognized.
    #[must_use]
    pub fn is_apart_from(&self, other: &Self) -> bool {
        let [one, two] = [self, other].map(|pattern| &pattern.bytes[..pattern.literal]);
        !one.starts_with(two) && !two.starts_with(one)
    }
}

/// The shortest key that a pattern matches, without any bytes for its stars; `None` if it matches none.
fn example(mut pattern: &[u8]) -> Option<Vec<u8>> {
    let mut key = Vec::new();
    loop {
        pattern = match pattern {
            [] => return Some(key),
            [b'*', after @ ..] => after,
            _ => {
                let (byte, after) =
                    (0..=u8::MAX).find_map(|byte| match_one(pattern, byte).map(|after| (byte, after)))?;
                key.push(byte);
                after
            }
        };
    }
}

/// The same for keys that are not empty: the server treats the empty key in its own way.
fn covers_nonempty(wide: &[u8], narrow: &[u8]) -> bool {
    let bytes = distinct_bytes(&[wide, narrow]);
    let (mut seen, mut looked_at) = (HashSet::new(), 0);
    let mut open = vec![(closure([narrow.len()], narrow), closure([wide.len()], wide))];
    while let Some((at_narrow, at_wide)) = open.pop() {
        for &byte in &bytes {
            looked_at += at_narrow.len() + at_wide.len();
            let next = (step(&at_narrow, narrow, byte), step(&at_wide, wide, byte));
            // A position is what is left of the pattern: nothing, at its end.
            if next.0.contains(&0) && !next.1.contains(&0) || looked_at > POSITIONS_MAX {
                return false;
            }
            if !next.0.is_empty() && seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    true
}

/// Positions in a pattern, each as the number of bytes that are left of it.
type Positions = BTreeSet<usize>;

/// The positions with those after stars, which may match nothing.
fn closure(positions: impl IntoIterator<Item = usize>, pattern: &[u8]) -> Positions {
    let mut all = Positions::new();
    for mut left in positions {
        while all.insert(left) && pattern[pattern.len() - left..].starts_with(b"*") {
            left -= 1;
        }
    }
    all
}

/// The positions after one more byte of the key.
fn step(positions: &Positions, pattern: &[u8], byte: u8) -> Positions {
    let after = positions.iter().filter_map(|&left| match &pattern[pattern.len() - left..] {
        [b'*', ..] => Some(left),
        rest => match_one(rest, byte).map(<[u8]>::len),
    });
    closure(after.collect::<Vec<_>>(), pattern)
}

/// One byte of each class of bytes that the patterns treat alike.
fn distinct_bytes(patterns: &[&[u8]]) -> Vec<u8> {
    let elements: Vec<&[u8]> = patterns.iter().flat_map(|pattern| elements(pattern)).collect();
    let alike = |byte: u8| -> Vec<bool> {
        elements.iter().map(|element| match_one(element, byte).is_some()).collect()
    };
    let classes: HashMap<Vec<bool>, u8> = (0..=u8::MAX).map(|byte| (alike(byte), byte)).collect();
    classes.into_values().collect()
}

/// What is left of a pattern before each of its elements. After a class that matches no byte, where no key leads to, it
/// may be any part.
fn elements(mut pattern: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while !pattern.is_empty() {
        all.push(pattern);
        let after = (0..=u8::MAX).find_map(|byte| match_one(pattern, byte));
        pattern = after.unwrap_or(&pattern[1..]);
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: impl AsRef<[u8]>) -> Pattern {
        Pattern::new(text.as_ref()).unwrap()
    }

    #[track_caller]
    fn check(wide: &str, narrow: &str, expected: bool) {
        assert_eq!(pattern(wide).covers(&pattern(narrow)), expected, "`{wide}` over `{narrow}`");
    }

    #[test]
    fn wider_patterns_cover_narrower_ones() {
        for (wide, narrow) in [
            ("*", "user:*"),
            ("*", ""),
            ("user:*", "user:*:profile"),
            ("user:*", "user:*"),
            ("user:*", "user:7"),
            ("user:?*", "user:[0-9]*"),
            ("user:[a-z]", "user:[b-d]"),
            ("[^a]", "[b-d]"),
            ("*a*", "xa*"),
            ("*:*", "*:*:*"),
            ("a**", "a*"),
            (r"\a", "a"),
            ("[a-c]", "a"),
            ("a*b", "a*c*b"),
        ] {
            check(wide, narrow, true);
        }
    }

    #[test]
    fn others_do_not() {
        for (wide, narrow) in [
            ("user:*", "*"),
            ("user:*:profile", "user:*"),
            ("user:?", "user:*"),
            ("[a-c]*", "[a-d]*"),
            ("**", "*"),
            ("a", "b"),
            ("a*b", "a*"),
            (r"\*", "*"),
            // It matches nothing, so that no pattern takes keys away from it.
            ("*", "[]"),
        ] {
            check(wide, narrow, false);
        }
    }

    #[test]
    fn patterns_that_begin_differently_are_apart() {
        let apart = |one: &str, two: &str| pattern(one).is_apart_from(&pattern(two));
        assert!(apart("cache:page:home", "cache:user:*") && apart("a*", "b*"));
        assert!(!apart("cache:*", "cache:user:*") && !apart("*", "a") && !apart("a*b", "a*c"));
    }

    #[test]
    fn long_patterns_end_soon() {
        let long = "*a?".repeat(300);
        assert!(pattern("*").covers(&pattern(&long)));
        let _ = pattern(&long).covers(&pattern("*a".repeat(500)));
        let _ = pattern("*[ab]".repeat(200)).covers(&pattern("a?".repeat(500)));
    }

    proptest! {
        /// All keys of up to four of these bytes decide pairs of short patterns.
        #[test]
        fn covering_is_exact(wide in "[ab*?]{0,4}|\\[\\^?[ab]{0,2}\\]?[ab*]{0,2}", narrow in "[ab*?]{0,4}|\\[[ab]\\]?[ab*]{0,2}") {
            let (wide, narrow) = (pattern(&wide), pattern(&narrow));
            let letters = *b"abx*";
            let mut keys: Vec<Vec<u8>> = vec![Vec::new()];
            for length in 0..5 {
                let longer: Vec<Vec<u8>> = keys
                    .iter()
                    .filter(|key| key.len() == length)
                    .flat_map(|key| letters.map(|letter| [key.as_slice(), &[letter]].concat()))
                    .collect();
                keys.extend(longer);
            }
            let matched: Vec<_> = keys.iter().filter(|key| narrow.matches(key)).collect();
            let all = !matched.is_empty() && matched.iter().all(|key| wide.matches(key));
            prop_assert_eq!(wide.covers(&narrow), all, "`{}` over `{}`", wide, narrow);
        }
    }
}
