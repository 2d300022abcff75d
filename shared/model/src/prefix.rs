//! The prefixes of keys up to their first and second colon, by which figures are grouped. Pure.

use crate::limits::PREFIX_BYTES_MAX;
use crate::printable::{Printable, beginning};

/// The maximum number of prefixes of a key.
pub const DEPTH: usize = 2;

/// The prefixes of `key` up to its first and its second colon, if it has them.
pub fn prefixes(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = key.iter().enumerate().filter(|(_, b)| **b == b':').map(|(at, _)| at + 1);
    ends.take(DEPTH).map(|end| &key[..end])
}

/// The first of them; empty if there is none.
#[must_use]
pub fn first(key: &[u8]) -> &[u8] {
    prefixes(key).next().unwrap_or_default()
}

/// A prefix as text. Unprintable bytes are escaped, and a long prefix is truncated.
#[must_use]
pub fn name(prefix: &[u8]) -> String {
    let cut = beginning(prefix, PREFIX_BYTES_MAX);
    let more = if cut.len() < prefix.len() { "…" } else { "" };
    format!("{}{more}", Printable(cut))
}

/// The prefix up to the first colon, if `name` is a longer one; otherwise `None`.
#[must_use]
pub fn group(name: &str) -> Option<&str> {
    let end = name.find(':')? + 1;
    (end < name.len()).then(|| &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_with_the_first_two_colons() {
        let check = |key: &[u8], expected: &[&str]| {
            let found: Vec<String> = prefixes(key).map(name).collect();
            assert_eq!(found, expected);
        };
        check(b"", &[]);
        check(b"plain", &[]);
        check(b"a:1", &["a:"]);
        check(b"a:b:c:d", &["a:", "a:b:"]);
        check(b"::x", &[":", "::"]);
        check(b"\xff\n:1", &["\\xff\\n:"]);
        check("сессия:1".as_bytes(), &["сессия:"]);
        let long = [vec![b'x'; 500], b":1".to_vec()].concat();
        let found: Vec<String> = prefixes(&long).map(name).collect();
        assert_eq!(found, [format!("{}…", "x".repeat(PREFIX_BYTES_MAX))]);
    }
}
