//! Splits a name into parts, each with the separators behind it.

use crate::limits::{NAME_BYTES_MAX, PARTS_MAX, SEPARATOR_BYTES_MAX};
use crate::recognize::{UUID_BYTES, begins_with_uuid, ipv6, is_random_rest};

/// Kinds of bytes, as bits.
pub(crate) const LETTER: u8 = 1;
pub(crate) const DIGIT: u8 = 1 << 1;
/// `. - _`
pub(crate) const WEAK: u8 = 1 << 2;
/// `@`
pub(crate) const AT: u8 = 1 << 3;
/// What patterns give a meaning.
pub(crate) const SPECIAL: u8 = 1 << 4;
/// `: / | #` and the braces of hash tags.
const STRONG: u8 = 1 << 5;
/// Not a kind of byte: the part is known to be variable.
pub(crate) const REST: u8 = 1 << 6;
/// The same for an address.
pub(crate) const ADDRESS: u8 = 1 << 7;

static KINDS: [u8; 256] = {
    let mut kinds = [LETTER; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'.' | b'-' | b'_' => WEAK,
            b'@' => AT,
            b'*' | b'?' | b'[' | b'\\' => SPECIAL,
            b':' | b'/' | b'|' | b'#' | b'{' | b'}' => STRONG,
            _ => LETTER,
        };
        byte += 1;
    }
    kinds
};

fn kinds_of(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |kinds, byte| kinds | KINDS[usize::from(*byte)])
}

/// A part of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment<'k> {
    /// Its bytes, which contain no separator; empty if the name begins with one.
    pub(crate) token: &'k [u8],
    /// The separators behind it; empty at the end of the name.
    pub(crate) separators: &'k [u8],
    /// The kinds of its bytes.
    pub(crate) kinds: u8,
}

/// The parts of a name; at least one.
pub(crate) struct Segments<'k> {
    rest: Option<&'k [u8]>,
    /// The kinds of bytes that separate.
    separating: u8,
    /// How many more parts there may be.
    left: usize,
    /// Whether the name is longer than is looked at.
    cut: bool,
}

impl<'k> Segments<'k> {
    pub(crate) fn of(name: &'k [u8]) -> Self {
        let cut = name.len() > NAME_BYTES_MAX;
        let rest = if cut { &name[..NAME_BYTES_MAX] } else { name };
        Self { rest: Some(rest), separating: STRONG, left: PARTS_MAX, cut }
    }

    /// The end of the token that `rest` begins with, and the kinds of its bytes.
    fn token(&self, rest: &[u8]) -> (usize, u8) {
        if let Some(length) = ipv6(rest) {
            return (length, ADDRESS);
        }
        if self.separating & WEAK != 0 {
            if begins_with_uuid(rest) {
                return (UUID_BYTES, kinds_of(&rest[..UUID_BYTES]));
            }
            if is_random_rest(rest) {
                return (rest.len(), kinds_of(rest));
            }
        }
        let mut kinds = 0;
        for (at, byte) in rest.iter().enumerate() {
            let kind = KINDS[usize::from(*byte)];
            if kind & self.separating != 0 {
                return (at, kinds);
            }
            kinds |= kind;
        }
        (rest.len(), kinds)
    }

    fn separators(&self, rest: &[u8]) -> usize {
        let separates = |byte: &&u8| KINDS[usize::from(**byte)] & self.separating != 0;
        rest.iter().take(SEPARATOR_BYTES_MAX).take_while(separates).count()
    }
}

impl<'k> Iterator for Segments<'k> {
    type Item = Segment<'k>;

    #[inline]
    fn next(&mut self) -> Option<Segment<'k>> {
        let rest = self.rest?;
        self.left -= 1;
        let (mut end, mut kinds) = self.token(rest);
        let is_first = self.left + 1 == PARTS_MAX;
        if is_first && end == rest.len() && kinds & WEAK != 0 && kinds & AT == 0 {
            // No other separator in the whole name.
            self.separating |= WEAK;
            (end, kinds) = self.token(rest);
        }
        let separators = self.separators(&rest[end..]);
        let next = end + separators;
        let is_last = next == rest.len();
        if self.left == 0 && !is_last || is_last && self.cut {
            self.rest = None;
            return Some(Segment { token: rest, separators: &[], kinds: REST });
        }
        self.rest = (!is_last).then(|| &rest[next..]);
        Some(Segment { token: &rest[..end], separators: &rest[end..next], kinds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: &[(&str, &str)]) {
        let found: Vec<(&str, &str)> = Segments::of(name.as_bytes())
            .map(|part| (str::from_utf8(part.token).unwrap(), str::from_utf8(part.separators).unwrap()))
            .collect();
        assert_eq!(found, expected, "{name}");
    }

    #[test]
    fn names_are_split_at_separators() {
        check("", &[("", "")]);
        check("a", &[("a", "")]);
        check("user:42:profile", &[("user", ":"), ("42", ":"), ("profile", "")]);
        check(":1:views.page", &[("", ":"), ("1", ":"), ("views.page", "")]);
        check("a:", &[("a", ":")]);
        check("page:/blue-shoes", &[("page", ":/"), ("blue-shoes", "")]);
        check("bull:{email}:wait", &[("bull", ":{"), ("email", "}:"), ("wait", "")]);
        check("{acme}:presence:7", &[("", "{"), ("acme", "}:"), ("presence", ":"), ("7", "")]);
        check(":::::a", &[("", "::::"), ("", ":"), ("a", "")]);
        check("rl:2001:db8:1:2:3:4:5:6:77", &[("rl", ":"), ("2001:db8:1:2:3:4:5:6", ":"), ("77", "")]);
    }

    #[test]
    fn names_without_strong_separators_are_split_at_weak_ones() {
        check("user_42_profile", &[("user", "_"), ("42", "_"), ("profile", "")]);
        check("app.cart.7", &[("app", "."), ("cart", "."), ("7", "")]);
        let uuid = "550e8400-e29b-41d4-a716-446655440000";
        check(&format!("task-meta-{uuid}"), &[("task", "-"), ("meta", "-"), (uuid, "")]);
        check("sess_mFz3-kq_0aB4cD5e", &[("sess", "_"), ("mFz3-kq_0aB4cD5e", "")]);
        check("anna.k@example.org", &[("anna.k@example.org", "")]);
    }

    #[test]
    fn long_names_have_a_variable_rest() {
        let many = "a:".repeat(PARTS_MAX + 3);
        let parts: Vec<Segment<'_>> = Segments::of(many.as_bytes()).collect();
        assert_eq!(
            (parts.len(), parts[PARTS_MAX - 1].kinds, parts[PARTS_MAX - 2].token),
            (PARTS_MAX, REST, &b"a"[..])
        );
        let long = [b"a:".to_vec(), vec![b'x'; 1 << 20]].concat();
        let parts: Vec<Segment<'_>> = Segments::of(&long).collect();
        assert_eq!((parts.len(), parts[1].kinds), (2, REST));
        let fits = "a:".repeat(PARTS_MAX);
        assert!(Segments::of(fits.as_bytes()).all(|part| part.kinds == LETTER));
    }
}
