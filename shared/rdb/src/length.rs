//! Lengths, and the heads of strings.

use crate::error::Fault;
use crate::window::{Stop, Window};

/// What precedes the bytes of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StringHead {
    /// So many bytes follow.
    Plain(u64),
    /// A signed number of so many bytes follows, the lowest first; the string is its decimal text.
    Number(u64),
    /// So many bytes follow, and give a string of this length.
    Compressed {
        /// The bytes that follow.
        packed: u64,
        /// Those that they give.
        length: u64,
    },
}

impl StringHead {
    /// How many bytes follow.
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::Plain(bytes) | Self::Number(bytes) | Self::Compressed { packed: bytes, .. } => bytes,
        }
    }

    /// How many bytes the string has; of a number, at most.
    pub(crate) fn length(self) -> u64 {
        match self {
            Self::Plain(length) | Self::Compressed { length, .. } => length,
            Self::Number(_) => 11,
        }
    }
}

/// A length, or the encoding of a string.
enum Prefix {
    Length(u64),
    Encoding(u8),
}

#[inline]
fn prefix(window: &mut Window<'_>) -> Result<Prefix, Stop> {
    let first = window.byte()?;
    let low = first & 0x3f;
    Ok(Prefix::Length(match first >> 6 {
        0 => u64::from(low),
        1 => u64::from(low) << 8 | u64::from(window.byte()?),
        2 if first == 0x80 => u32::from_be_bytes(window.array()?).into(),
        2 if first == 0x81 => u64::from_be_bytes(window.array()?),
        2 => return Err(Fault::Length(first).into()),
        _ => return Ok(Prefix::Encoding(low)),
    }))
}

/// Reads a length, or another number in that form. Of an item that is short, some bytes may have been read.
#[inline]
pub(crate) fn length(window: &mut Window<'_>) -> Result<u64, Stop> {
    match prefix(window)? {
        Prefix::Length(length) => Ok(length),
        Prefix::Encoding(encoding) => Err(Fault::Length(0xc0 | encoding).into()),
    }
}

/// Reads the head of a string. Of an item that is short, some bytes may have been read.
#[inline]
pub(crate) fn string_head(window: &mut Window<'_>) -> Result<StringHead, Stop> {
    Ok(match prefix(window)? {
        Prefix::Length(length) => StringHead::Plain(length),
        Prefix::Encoding(0) => StringHead::Number(1),
        Prefix::Encoding(1) => StringHead::Number(2),
        Prefix::Encoding(2) => StringHead::Number(4),
        Prefix::Encoding(3) => {
            let packed = length(window)?;
            StringHead::Compressed { packed, length: length(window)? }
        }
        Prefix::Encoding(other) => return Err(Fault::Encoding(other).into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_five_forms() {
        let check =
            |bytes: &[u8], expected| assert_eq!(length(&mut Window::new(bytes)), expected, "{bytes:?}");
        check(&[0x00], Ok(0));
        check(&[0x3f], Ok(63));
        check(&[0x40, 0x40], Ok(64));
        check(&[0x7f, 0xff], Ok(16_383));
        check(&[0x80, 0, 0, 0x40, 0], Ok(16_384));
        check(&[0x81, 0, 0, 0, 1, 0, 0, 0, 2], Ok((1 << 32) + 2));
        check(&[0x81, 0, 0, 0, 1, 0, 0, 0], Err(Stop::Short));
        check(&[0x82], Err(Fault::Length(0x82).into()));
        check(&[0xc0], Err(Fault::Length(0xc0).into()));
        check(&[], Err(Stop::Short));
    }

    #[test]
    fn strings_have_five_heads() {
        let check = |bytes: &[u8], expected| {
            assert_eq!(string_head(&mut Window::new(bytes)), expected, "{bytes:?}");
        };
        check(&[5], Ok(StringHead::Plain(5)));
        check(&[0xc0], Ok(StringHead::Number(1)));
        check(&[0xc1], Ok(StringHead::Number(2)));
        check(&[0xc2], Ok(StringHead::Number(4)));
        check(&[0xc3, 9, 0x40, 100], Ok(StringHead::Compressed { packed: 9, length: 100 }));
        check(&[0xc3, 9], Err(Stop::Short));
        check(&[0xc4], Err(Fault::Encoding(4).into()));
    }
}
