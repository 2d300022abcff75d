//! Encodes the requests of one window as bytes.

use super::{Listing, LookupKind};

/// Digits of the longest number.
const DIGITS_MAX: usize = 20;

/// Bytes of the longest beginning of a lookup, up to the key: the command, and the length of the key.
const HEAD_BYTES_MAX: usize = 48;

/// Appends the lookups of `look_up`, and then the listings.
pub(super) fn write<'a>(
    out: &mut Vec<u8>,
    listings: &[Listing],
    look_up: impl ExactSizeIterator<Item = &'a [u8]>,
    kind: LookupKind,
) {
    if kind.needs_clock() && look_up.len() > 0 {
        command(out, &[b"TIME"]);
    }
    let expiry: &[u8] =
        if kind.needs_clock() { b"*2\r\n$11\r\nPEXPIRETIME\r\n" } else { b"*2\r\n$4\r\nPTTL\r\n" };
    // The bytes before a key, with its length: consecutive keys mostly have the same length. They are copied at a fixed
    // size, which needs no call, and cut.
    let (mut head, mut head_bytes, mut length) = ([0; HEAD_BYTES_MAX], 0, usize::MAX);
    for key in look_up {
        if key.len() != length {
            length = key.len();
            let begin = out.len();
            out.extend_from_slice(expiry);
            number(out, b'$', length);
            head_bytes = out.len() - begin;
            head[..head_bytes].copy_from_slice(&out[begin..]);
            out.truncate(begin);
        }
        let begin = out.len();
        out.extend_from_slice(&head);
        out.truncate(begin + head_bytes);
        out.extend_from_slice(key);
        out.extend_from_slice(b"\r\n");
        if kind == LookupKind::ExpiryAndIdle {
            command(out, &[b"OBJECT", b"IDLETIME", key]);
        }
    }
    for listing in listings {
        let (mut first, mut second) = ([0; DIGITS_MAX], [0; DIGITS_MAX]);
        match listing {
            Listing::Scan { cursor, count } => command(
                out,
                &[b"SCAN", digits(*cursor, &mut first), b"COUNT", digits(u64::from(*count), &mut second)],
            ),
            Listing::KeysInSlot { slot, count } => command(
                out,
                &[
                    b"CLUSTER",
                    b"GETKEYSINSLOT",
                    digits(u64::from(*slot), &mut first),
                    digits(*count, &mut second),
                ],
            ),
        }
    }
}

/// Appends one command.
pub(super) fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
    number(out, b'*', words.len());
    words.iter().for_each(|bytes| argument(out, bytes));
}

fn argument(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, b'$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn number(out: &mut Vec<u8>, kind: u8, number: usize) {
    out.push(kind);
    out.extend_from_slice(digits(number as u64, &mut [0; DIGITS_MAX]));
    out.extend_from_slice(b"\r\n");
}

fn digits(mut number: u64, room: &mut [u8; DIGITS_MAX]) -> &[u8] {
    let mut at = DIGITS_MAX;
    loop {
        at -= 1;
        room[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &room[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_requests_are_encoded() {
        let check = |listings: &[Listing], keys: &[&str], kind, expected: &str| {
            let mut out = Vec::new();
            write(&mut out, listings, keys.iter().map(|key| key.as_bytes()), kind);
            assert_eq!(String::from_utf8(out).unwrap().replace("\r\n", " "), expected);
        };
        let scan = Listing::Scan { cursor: u64::MAX, count: 100 };
        let slot = Listing::KeysInSlot { slot: 0, count: 10_001 };
        check(&[scan], &[], LookupKind::Expiry, "*4 $4 SCAN $20 18446744073709551615 $5 COUNT $3 100 ");
        check(
            &[slot],
            &["a", ""],
            LookupKind::Ttl,
            "*2 $4 PTTL $1 a *2 $4 PTTL $0  *4 $7 CLUSTER $13 GETKEYSINSLOT $1 0 $5 10001 ",
        );
        let idle = "*1 $4 TIME *2 $11 PEXPIRETIME $1 k *3 $6 OBJECT $8 IDLETIME $1 k ";
        check(&[], &["k"], LookupKind::ExpiryAndIdle, idle);
    }
}
