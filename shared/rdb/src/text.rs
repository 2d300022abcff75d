//! Reads a string that is kept: the name of a key, or an auxiliary field.

use std::io::Write;

use crate::error::Fault;
use crate::length::{StringHead, string_head};
use crate::lzf;
use crate::window::{Stop, Window};

/// A string that is being read.
#[derive(Debug, Default)]
pub(crate) struct TextReader {
    head: Option<StringHead>,
    /// Its bytes that do not yet belong to `raw`, or that are skipped because it is too long.
    left: u64,
    /// As they are in the file.
    raw: Vec<u8>,
    /// What they stand for, if that is something else.
    text: Vec<u8>,
}

/// A string that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextRead {
    /// It is in [`TextReader::text`].
    Kept,
    /// It was skipped, because it has so many bytes.
    TooLong(u64),
}

impl TextReader {
    /// Goes on reading with the bytes in `window`. A string of more than `bytes_max` bytes is skipped, unless `refused`:
    /// then this says so before it is.
    pub(crate) fn read(
        &mut self,
        window: &mut Window<'_>,
        bytes_max: u64,
        refused: bool,
    ) -> Result<TextRead, Stop> {
        let head = match self.head {
            Some(head) => head,
            None => {
                let mut ahead = *window;
                let head = string_head(&mut ahead)?;
                if refused && size(head) > bytes_max {
                    return Ok(TextRead::TooLong(size(head)));
                }
                *window = ahead;
                (self.head, self.left) = (Some(head), head.bytes());
                self.raw.clear();
                head
            }
        };
        let bytes = window.up_to(self.left);
        self.left -= bytes.len() as u64;
        if size(head) <= bytes_max {
            self.raw.extend_from_slice(bytes);
        }
        if self.left > 0 {
            return Err(Stop::Short);
        }
        self.head = None;
        if size(head) > bytes_max {
            return Ok(TextRead::TooLong(size(head)));
        }
        self.decode(head)?;
        Ok(TextRead::Kept)
    }

    fn decode(&mut self, head: StringHead) -> Result<(), Fault> {
        match head {
            StringHead::Plain(_) => std::mem::swap(&mut self.raw, &mut self.text),
            StringHead::Number(_) => {
                self.text.clear();
                // Writing to memory does not fail.
                let _ = write!(self.text, "{}", number(&self.raw));
            }
            StringHead::Compressed { length, .. } => {
                let length = usize::try_from(length).map_err(|_| Fault::Compressed)?;
                if !lzf::decode(&self.raw, length, &mut self.text) {
                    return Err(Fault::Compressed);
                }
            }
        }
        Ok(())
    }

    /// The string that was read last.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }
}

/// The most bytes that are held for a string.
fn size(head: StringHead) -> u64 {
    head.length().max(head.bytes())
}

/// A signed number of one, two or four bytes.
fn number(raw: &[u8]) -> i32 {
    match *raw {
        [low] => i8::from_le_bytes([low]).into(),
        [low, high] => i16::from_le_bytes([low, high]).into(),
        [a, b, c, d] => i32::from_le_bytes([a, b, c, d]),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], bytes_max: u64) -> (Result<TextRead, Stop>, TextReader) {
        let mut reader = TextReader::default();
        (reader.read(&mut Window::new(bytes), bytes_max, false), reader)
    }

    #[test]
    fn strings_may_be_numbers_or_compressed() {
        let check = |bytes: &[u8], expected: &[u8]| {
            let (outcome, reader) = read(bytes, 100);
            assert_eq!((outcome, reader.text()), (Ok(TextRead::Kept), expected), "{bytes:?}");
        };
        check(b"\x03abc", b"abc");
        check(b"\x00", b"");
        check(b"\xc0\xff", b"-1");
        check(b"\xc1\x00\x80", b"-32768");
        check(b"\xc2\xff\xff\xff\x7f", b"2147483647");
        check(b"\xc3\x05\x08\x01ab\x80\x01", b"abababab");
    }

    #[test]
    fn strings_that_are_too_long_are_skipped() {
        let check = |bytes: &[u8], bytes_max, expected| {
            assert_eq!(read(bytes, bytes_max).0, expected, "{bytes:?}");
        };
        check(b"\x03abc", 3, Ok(TextRead::Kept));
        check(b"\x03abc", 2, Ok(TextRead::TooLong(3)));
        check(b"\x03ab", 2, Err(Stop::Short));
        // A few bytes that would give very many.
        check(b"\xc3\x05\x80\xff\xff\xff\xff\x01ab\x80\x01", 100, Ok(TextRead::TooLong(u32::MAX.into())));
        check(b"\xc3\x05\x09\x01ab\x80\x01", 100, Err(Fault::Compressed.into()));
    }
}
