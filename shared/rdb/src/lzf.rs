//! Strings that servers have compressed (LZF), for the names of keys and the beginnings of packed values.

/// What [`expand`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expanded {
    /// Bytes of the packed ones that were used.
    pub(crate) used: usize,
    /// Whether they were valid so far.
    pub(crate) is_valid: bool,
}

/// Appends what `packed` gives to `out`, which must be empty, until that has `wanted` bytes (or up to 263 more) or the packed
/// ones end. A run of literal bytes that is not at hand completely gives those that are.
pub(crate) fn expand(packed: &[u8], wanted: usize, out: &mut Vec<u8>) -> Expanded {
    let mut at = 0;
    while out.len() < wanted {
        let Some(&control) = packed.get(at) else { break };
        let used = if control < 0x20 {
            Some(1 + literal(&packed[at + 1..], usize::from(control) + 1, out))
        } else {
            repeated(&packed[at..], out)
        };
        match used {
            Some(0) => break,
            Some(used) => at += used,
            None => return Expanded { used: at, is_valid: false },
        }
    }
    Expanded { used: at, is_valid: true }
}

/// Appends `count` bytes as they are. Returns how many were used.
fn literal(rest: &[u8], count: usize, out: &mut Vec<u8>) -> usize {
    let bytes = &rest[..count.min(rest.len())];
    out.extend_from_slice(bytes);
    bytes.len()
}

/// Appends bytes that are there already: a length of at least 3 in three bits, or with one more byte, and how far back
/// they are in 13 bits. Returns how many bytes were used, 0 if not all are at hand; `None` if that is before the beginning.
fn repeated(rest: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let (control, more) = rest.split_first()?;
    let short = usize::from(control >> 5);
    let (extra, low, used) = match (short, more) {
        (7, [extra, low, ..]) => (usize::from(*extra), low, 3),
        (0..7, [low, ..]) => (0, low, 2),
        _ => return Some(0),
    };
    let back = usize::from(control & 0x1f) << 8 | usize::from(*low);
    let from = out.len().checked_sub(back + 1)?;
    // What is appended may be repeated itself.
    for at in from..from + short + extra + 2 {
        out.push(out[at]);
    }
    Some(used)
}

/// All that `packed` gives, which must be `length` bytes, into `out`. Returns whether it is.
pub(crate) fn decode(packed: &[u8], length: usize, out: &mut Vec<u8>) -> bool {
    out.clear();
    let Expanded { used, is_valid } = expand(packed, length, out);
    is_valid && used == packed.len() && out.len() == length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_expanded() {
        let check = |packed: &[u8], expected: Option<&[u8]>| {
            let (mut out, length) = (Vec::new(), expected.map_or(9, <[u8]>::len));
            assert_eq!(decode(packed, length, &mut out).then_some(out.as_slice()), expected, "{packed:?}");
        };
        check(b"\x02abc", Some(b"abc"));
        // "ab", and six bytes from two back.
        check(b"\x01ab\x80\x01", Some(b"abababab"));
        // Itself, nine times and with a length of its own.
        check(b"\x00x\xe0\x03\x00", Some(&[b'x'; 13]));
        // Too short, too long, before the beginning, cut off.
        check(b"\x02abc", Some(b"abc"));
        check(b"\x02ab", None);
        check(b"\x01ab\x80\x02", None);
        check(b"\x01ab\x80", None);
        check(b"\x01ab\xe0\x03", None);
        // More than it says.
        let mut out = Vec::new();
        assert!(!decode(b"\x01ab\x80\x01", 7, &mut out));
        assert!(!decode(b"\x02abc", 2, &mut out) && !decode(b"\x02abc", 4, &mut out));
    }

    #[test]
    fn beginnings_are_expanded_as_far_as_they_go() {
        let mut out = Vec::new();
        assert!(expand(b"\x05abcdef\x00z", 4, &mut out).is_valid);
        assert_eq!(out, b"abcdef");
        out.clear();
        assert!(expand(b"\x05abc", 10, &mut out).is_valid);
        assert_eq!(out, b"abc");
    }
}
