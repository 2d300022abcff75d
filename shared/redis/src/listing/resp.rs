//! Parses RESP2 items of the replies to listings and lookups, from a buffer that may be incomplete. Nothing is copied:
//! strings are returned as ranges of the buffer.

use std::ops::Range;

use crate::limits::REPLY_LINE_BYTES_MAX;

/// The largest string that a server can hold, in bytes: its `proto-max-bulk-len`.
const TEXT_BYTES_MAX: usize = 512 << 20;

/// The largest array length that is accepted.
const ITEMS_MAX: usize = 1 << 28;

/// A number of this many digits always fits into 64 bits. Longer numbers are rare: see [`long_number`].
const SAFE_DIGITS: usize = 18;

/// Bytes of the longest number of 64 bits, its sign included.
const NUMBER_BYTES_MAX: usize = 20;

/// One item; the items of an array follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RespItem {
    /// A whole number.
    Number(i64),
    /// The range of a bulk string.
    Text(Range<usize>),
    /// The range of a status, such as `OK`.
    Status(Range<usize>),
    /// The range of an error text, its code first.
    Error(Range<usize>),
    /// An array of this many items.
    Array(usize),
    /// Null: a missing string or array.
    Nil,
}

/// The bytes are not a valid item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads the item at `at`, and moves `at` behind it. `None`, with `at` unchanged, if the item is incomplete.
#[inline]
pub(super) fn item(bytes: &[u8], at: &mut usize) -> Result<Option<RespItem>, Malformed> {
    let Some(kind) = bytes.get(*at) else { return Ok(None) };
    let begin = *at + 1;
    let read = match kind {
        b':' => number(bytes, begin)?.map(|(number, end)| (RespItem::Number(number), end)),
        b'$' => text(bytes, begin)?,
        b'*' => array(bytes, begin)?,
        b'+' => line(bytes, begin)?.map(|end| (RespItem::Status(begin..end), end + 2)),
        b'-' => line(bytes, begin)?.map(|end| (RespItem::Error(begin..end), end + 2)),
        _ => return Err(Malformed),
    };
    Ok(read.map(|(item, end)| {
        *at = end;
        item
    }))
}

/// Digits of the longest number that [`plain_number`] reads.
const PLAIN_DIGITS_MAX: usize = 15;

/// The number at `at` and the position of the next item, if both are found without a closer look, as nearly always.
#[inline]
pub(super) fn plain_number(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let there = bytes.get(at..)?;
    let digits = there.strip_prefix(b":")?;
    let (mut value, mut count) = eight_digits(digits.first_chunk()?);
    while (8..PLAIN_DIGITS_MAX).contains(&count) && digits.get(count)?.is_ascii_digit() {
        value = value.wrapping_mul(10).wrapping_add(i64::from(digits[count] - b'0'));
        count += 1;
    }
    if count == 0 {
        return there.starts_with(b":-1\r\n").then_some((-1, at + 5));
    }
    (digits.get(count..count + 2)? == b"\r\n").then_some((value, at + count + 3))
}

/// The value of the digits at the beginning of `text`, and how many there are, computed in the bytes of one word.
#[inline]
fn eight_digits(text: &[u8; 8]) -> (i64, usize) {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let digits = u64::from_le_bytes(*text) ^ (EACH * 0x30);
    // Sets the high bit of each byte that is 10 or more. A carry only changes bytes behind the first of these.
    let others = (digits.wrapping_add(EACH * 0x76) | digits) & (EACH * 0x80);
    let count = others.trailing_zeros() / 8;
    // The digits move to the end, behind leading zeros.
    let ones = digits.checked_shl(u64::BITS - 8 * count).unwrap_or(0);
    let pairs = ones.wrapping_mul(10).wrapping_add(ones >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    let value = fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff;
    (value.cast_signed(), count as usize)
}

/// The beginning of the last string, up to its content: consecutive keys mostly have the same length.
#[derive(Default)]
pub(super) struct TextHead {
    /// The first eight bytes of the item, as far as they precede the content, and the bits of these.
    word: u64,
    mask: u64,
    /// How many bytes precede the content; 0 if no string was read yet.
    bytes: usize,
    length: usize,
}

impl TextHead {
    /// The range of the string at `at` and the position of the next item, if it is a complete string.
    #[inline]
    pub(super) fn plain_text(&mut self, bytes: &[u8], at: usize) -> Option<(Range<usize>, usize)> {
        let there = bytes.get(at..)?;
        let word = u64::from_le_bytes(*there.first_chunk()?);
        if self.bytes == 0 || word & self.mask != self.word {
            *self = Self::of(there, word)?;
        }
        let (begin, end) = (at + self.bytes, at + self.bytes + self.length);
        (bytes.get(end..end + 2)? == b"\r\n").then_some((begin..end, end + 2))
    }

    fn of(there: &[u8], word: u64) -> Option<Self> {
        let Some((b'$', Ok(Some((length, bytes @ ..=8))))) =
            there.first().map(|kind| (kind, number(there, 1)))
        else {
            return None;
        };
        let length = usize::try_from(length).ok().filter(|length| *length <= TEXT_BYTES_MAX)?;
        let mask = u64::MAX >> (u64::BITS as usize - 8 * bytes);
        Some(Self { word: word & mask, mask, bytes, length })
    }
}

/// The number at `at` and the position of the next item.
fn number(bytes: &[u8], at: usize) -> Result<Option<(i64, usize)>, Malformed> {
    let there = bytes.get(at..).unwrap_or_default();
    let sign = usize::from(there.first() == Some(&b'-'));
    let mut value: i64 = 0;
    for (count, byte) in there[sign..].iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            if count == SAFE_DIGITS {
                return long_number(bytes, at);
            }
            // So few digits cannot overflow, so nothing is checked here.
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
            continue;
        }
        if *byte != b'\r' || count == 0 {
            return Err(Malformed);
        }
        let end = sign + count + 1;
        return match there.get(end) {
            Some(b'\n') => Ok(Some((if sign > 0 { -value } else { value }, at + end + 1))),
            Some(_) => Err(Malformed),
            None => Ok(None),
        };
    }
    Ok(None)
}

/// [`number`] for more than [`SAFE_DIGITS`] digits: all 64-bit numbers are accepted, larger ones are refused.
#[cold]
fn long_number(bytes: &[u8], at: usize) -> Result<Option<(i64, usize)>, Malformed> {
    let there = bytes.get(at..).unwrap_or_default();
    let there = &there[..there.len().min(NUMBER_BYTES_MAX + 1)];
    let Some(length) = there.iter().position(|byte| *byte == b'\r') else {
        return if there.len() > NUMBER_BYTES_MAX { Err(Malformed) } else { Ok(None) };
    };
    let value =
        str::from_utf8(&there[..length]).ok().and_then(|digits| digits.parse().ok()).ok_or(Malformed)?;
    match bytes.get(at + length + 1) {
        Some(b'\n') => Ok(Some((value, at + length + 2))),
        Some(_) => Err(Malformed),
        None => Ok(None),
    }
}

#[inline]
fn text(bytes: &[u8], at: usize) -> Result<Option<(RespItem, usize)>, Malformed> {
    let Some((length, begin)) = number(bytes, at)? else { return Ok(None) };
    if length == -1 {
        return Ok(Some((RespItem::Nil, begin)));
    }
    let length = usize::try_from(length).ok().filter(|length| *length <= TEXT_BYTES_MAX).ok_or(Malformed)?;
    let end = begin + length;
    match bytes.get(end..end + 2) {
        Some(b"\r\n") => Ok(Some((RespItem::Text(begin..end), end + 2))),
        Some(_) => Err(Malformed),
        None => Ok(None),
    }
}

fn array(bytes: &[u8], at: usize) -> Result<Option<(RespItem, usize)>, Malformed> {
    let Some((count, end)) = number(bytes, at)? else { return Ok(None) };
    if count == -1 {
        return Ok(Some((RespItem::Nil, end)));
    }
    let count = usize::try_from(count).ok().filter(|count| *count <= ITEMS_MAX).ok_or(Malformed)?;
    Ok(Some((RespItem::Array(count), end)))
}

/// The end of the line that begins at `at`.
fn line(bytes: &[u8], at: usize) -> Result<Option<usize>, Malformed> {
    let there = bytes.get(at..).unwrap_or_default();
    let searched = &there[..there.len().min(REPLY_LINE_BYTES_MAX)];
    match searched.windows(2).position(|pair| pair == b"\r\n") {
        Some(length) => Ok(Some(at + length)),
        // Otherwise each piece of an endless line would be searched from its beginning.
        None if there.len() >= REPLY_LINE_BYTES_MAX => Err(Malformed),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<RespItem>, Malformed> {
        let (mut at, mut items) = (0, Vec::new());
        while let Some(item) = item(bytes, &mut at)? {
            items.push(item);
        }
        Ok(items)
    }

    #[test]
    fn all_item_kinds_are_parsed() {
        let check = |bytes: &[u8], expected: &[RespItem]| {
            assert_eq!(all(bytes).as_deref(), Ok(expected), "{}", bytes.escape_ascii());
        };
        check(b":-12\r\n:0\r\n", &[RespItem::Number(-12), RespItem::Number(0)]);
        check(b"$3\r\na\r\n\r\n$0\r\n\r\n", &[RespItem::Text(4..7), RespItem::Text(13..13)]);
        check(
            b"*2\r\n$-1\r\n*-1\r\n*0\r\n",
            &[RespItem::Array(2), RespItem::Nil, RespItem::Nil, RespItem::Array(0)],
        );
        check(b"+OK\r\n-MOVED 1 a:1\r\n", &[RespItem::Status(1..3), RespItem::Error(6..17)]);
        check(b":1\r\n:2\r", &[RespItem::Number(1)]);
    }

    #[test]
    fn numbers_of_64_bits_are_parsed_exactly() {
        for number in [i64::MAX, i64::MIN, i64::MAX - 1, 999_999_999_999_999_999, 1_000_000_000_000_000_000] {
            let bytes = format!(":{number}\r\n:1\r\n").into_bytes();
            assert_eq!(all(&bytes), Ok(vec![RespItem::Number(number), RespItem::Number(1)]));
            for cut in 0..=format!("{number}").len() + 2 {
                assert_eq!(all(&bytes[..cut]), Ok(Vec::new()), "{number} cut at {cut}");
            }
        }
    }

    /// A short cut may find nothing, but nothing else than [`item`].
    #[test]
    fn plain_numbers_and_texts_are_those_of_items() {
        let check = |bytes: &[u8], head: &mut TextHead| {
            let mut end = 0;
            let item = item(bytes, &mut end);
            let number = plain_number(bytes, 0).map(|(number, end)| (RespItem::Number(number), end));
            let found = number.or(head.plain_text(bytes, 0).map(|(place, end)| (RespItem::Text(place), end)));
            if let Some((found, behind)) = &found {
                assert_eq!((Ok(Some(found.clone())), *behind), (item, end), "{}", bytes.escape_ascii());
            }
            found.is_some()
        };
        let new = &mut TextHead::default;
        for digits in 1..=19 {
            let most = 10_i64.pow(digits - 1).saturating_mul(10) - 1;
            for number in [10_i64.pow(digits - 1), most - most / 7, most] {
                let bytes = format!(":{number}\r\n:1234567\r\n");
                assert_eq!(
                    check(bytes.as_bytes(), &mut new()),
                    digits as usize <= PLAIN_DIGITS_MAX,
                    "{bytes}"
                );
            }
        }
        let mut head = new();
        for length in [0, 1, 2, 1, 9, 10, 99, 10, 100, 99_999, 10] {
            let bytes = format!("${length}\r\n{}\r\n:12345\r\n", "x".repeat(length));
            assert!(check(bytes.as_bytes(), &mut head), "{length}");
            assert!(
                !check(bytes.replace("x\r\n", "xx\r\n").as_bytes(), &mut head) || length == 0,
                "{length}"
            );
        }
        assert!(check(b":-1\r\n:86400000\r\n", &mut new()));
        for bytes in
            [":", "::1\r\n", "1", "/", ":1\rx", ":1/\r\n", ":-2\r\n", "$-1\r\n", "$1\r\nab\r\n", "$99\r\na"]
        {
            for more in ["", ":86400000\r\n:86400000\r\n"] {
                assert!(!check(format!("{bytes}{more}").as_bytes(), &mut head), "{bytes}{more}");
            }
        }
        for _ in 0..100_000 {
            let letters = b"0123456789:$-\r\n\r\n/\x8a\xff";
            let bytes: Vec<u8> = (0..24).map(|_| letters[fastrand::usize(..letters.len())]).collect();
            check(&bytes, &mut head);
        }
    }

    #[test]
    fn malformed_items_are_refused() {
        let check = |bytes: &[u8]| assert_eq!(all(bytes), Err(Malformed), "{}", bytes.escape_ascii());
        check(b"HTTP/1.1 400 Bad Request\r\n");
        check(b":\r\n");
        check(b":1x\r\n");
        check(b":1\rx");
        check(b":99999999999999999999\r\n");
        check(b":9223372036854775808\r\n");
        check(b":-9223372036854775809\r\n");
        check(b":000000000000000000000000");
        check(b":1234567890123456789-\r\n");
        check(b":1234567890123456789\rx");
        check(b"$-2\r\n");
        check(b"$1\r\nab\r\n");
        check(b"$600000000\r\n");
        check(b"*300000000\r\n");
        check(&[&b"-ERR "[..], &[b'x'; REPLY_LINE_BYTES_MAX]].concat());
    }

    proptest! {
        #[test]
        fn pieces_give_the_same_result_and_garbage_is_harmless(
            bytes in prop::collection::vec(prop_oneof![Just(b':'), Just(b'$'), Just(b'*'), Just(b'-'), Just(b'\r'),
                Just(b'\n'), b'0'..=b'9', any::<u8>()], 0..40),
            cut in 0_usize..40,
        ) {
            let cut = cut.min(bytes.len());
            let mut at = 0;
            let mut pieces = Vec::new();
            let whole = all(&bytes);
            let result = [&bytes[..cut], &bytes[..]].into_iter().try_for_each(|part| {
                while let Some(item) = item(part, &mut at)? {
                    pieces.push(item);
                }
                Ok(())
            });
            prop_assert_eq!(result.map(|()| pieces), whole);
        }
    }
}
