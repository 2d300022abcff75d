//! The beginnings of keys up to their first and second colon, by which keys are grouped in figures. Pure.

use crate::limits::PREFIX_BYTES_MAX;
use crate::printable::{Printable, beginning};

/// How many of them a key may have.
pub const DEPTH: usize = 2;

/// The beginnings of `key` up to its first and its second colon, as far as it has them.
pub fn prefixes(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = key.iter().enumerate().filter(|(_, b)| **b == b':').map(|(at, _)| at + 1);
    ends.take(DEPTH).map(|end| &key[..end])
}

/// The first of them; empty if there is none.
#[must_use]
pub fn first(key: &[u8]) -> &[u8] {
    prefixes(key).next().unwrap_or_default()
}

/// A prefix as text. What a screen does not show is escaped, and one that is too long is cut.
#[must_use]
pub fn name(prefix: &[u8]) -> String {
    let cut = beginning(prefix, PREFIX_BYTES_MAX);
    let plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b'\\';
    if let (true, Ok(text)) = (cut.len() == prefix.len() && cut.iter().all(plain), str::from_utf8(cut)) {
        return text.to_owned();
    }
    let more = if cut.len() < prefix.len() { "…" } else { "" };
    format!("{}{more}", Printable(cut))
}

/// The prefix up to the first colon of which the prefix `name` is a part; `None` if it is that itself.
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
