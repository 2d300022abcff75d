//! The frames that a backup file consists of: each says its length, and proves its content by a checksum, so that what
//! is damaged is noticed, and what lies behind it can still be found. Pure.

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_64;

/// Where a frame begins. None of it is text, so that little else looks like it.
const MARK: [u8; 4] = [0xf5, b'k', b's', 0xfa];

/// Mark, kind, length of the content, length as it is stored, checksum.
const HEAD: usize = 4 + 1 + 4 + 4 + 8;

/// The largest content of a frame, in bytes: a value as large as the settings allow, its key, and what stands beside.
pub(super) const CONTENT_BYTES_MAX: usize = (256 << 20) + (2 << 20);

/// Bytes that one byte of LZ4 unpacks to at most.
const RATIO_MAX: usize = 255;

/// How many times the size of a file is hashed in vain, in search of what is intact behind damage. Where nobody meant
/// harm, next to nothing but a frame looks like the beginning of one.
const WASTE_MAX: usize = 4;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// Whose file it is.
    Header = 1,
    /// Keys with their values.
    Entries = 2,
    /// What became of them.
    Outcomes = 3,
    /// The end of a whole file.
    End = 4,
}

impl FrameKind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Header, Self::Entries, Self::Outcomes, Self::End].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A frame that was found intact.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: FrameKind,
    pub(super) content: Cow<'a, [u8]>,
    /// Where the next one begins.
    pub(super) end: usize,
}

/// Appends a frame with `content` to `file`, compressed if that makes it smaller.
pub(super) fn write(file: &mut Vec<u8>, kind: FrameKind, content: &[u8]) {
    let packed = lz4_flex::block::compress(content);
    let stored = if packed.len() < content.len() { &packed } else { content };
    let [content_bytes, stored_bytes] = [content.len(), stored.len()].map(length);
    file.reserve(HEAD + stored.len());
    file.extend(MARK);
    file.push(kind as u8);
    file.extend(content_bytes);
    file.extend(stored_bytes);
    file.extend(checksum(kind as u8, content_bytes, stored_bytes, stored).to_le_bytes());
    file.extend(stored);
}

/// Reads the frames of one file. Whoever made the file may have meant harm, so the work is bounded by the size of the
/// file: bytes that turn out not to be a frame are hashed [`WASTE_MAX`] times over at most, and all frames together hold
/// no more than a file that was written by [`write`] can.
pub(super) struct Frames<'a> {
    file: &'a [u8],
    /// Bytes that may still be hashed in vain.
    waste: usize,
    /// Bytes of content that may still be unpacked.
    content: usize,
}

/// Why there is no frame at some place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameError {
    /// What stands there is no intact frame.
    Damaged,
    /// The file holds more than a backup file does.
    TooMuch,
}

impl<'a> Frames<'a> {
    /// The frames of `file`, with `content_max` bytes of content at most.
    pub(super) fn of(file: &'a [u8], content_max: usize) -> Self {
        Self { file, waste: file.len().saturating_mul(WASTE_MAX), content: content_max }
    }

    /// The frame that begins at `at`, if one does, and is intact.
    ///
    /// # Errors
    /// See [`Missing`].
    pub(super) fn read(&mut self, at: usize) -> Result<Frame<'a>, FrameError> {
        let FrameHead { kind, content, stored, sum, begin } =
            FrameHead::read(self.file, at).ok_or(FrameError::Damaged)?;
        let bytes = &self.file[begin..begin + stored];
        if checksum(kind as u8, length(content), length(stored), bytes) != sum {
            self.waste = self.waste.saturating_sub(stored);
            return Err(FrameError::Damaged);
        }
        // Before any room is made for it.
        self.content = self.content.checked_sub(content).ok_or(FrameError::TooMuch)?;
        let content = match stored == content {
            true => Cow::Borrowed(bytes),
            false => {
                let unpacked = lz4_flex::block::decompress(bytes, content).ok();
                Cow::Owned(unpacked.filter(|found| found.len() == content).ok_or(FrameError::Damaged)?)
            }
        };
        Ok(Frame { kind, content, end: begin + stored })
    }

    /// The next intact frame at or after `from`, and where it begins. `None` if there is none, or too much before it
    /// looks like one.
    ///
    /// # Errors
    /// [`Missing::TooMuch`].
    pub(super) fn find(&mut self, mut from: usize) -> Result<Option<(usize, Frame<'a>)>, FrameError> {
        while self.waste > 0 {
            let Some(ahead) = self.file.get(from..) else { return Ok(None) };
            let next = ahead.windows(MARK.len()).position(|window| window == MARK);
            let Some(next) = next else { return Ok(None) };
            from += next;
            match self.read(from) {
                Ok(frame) => return Ok(Some((from, frame))),
                Err(FrameError::TooMuch) => return Err(FrameError::TooMuch),
                Err(FrameError::Damaged) => from += 1,
            }
        }
        Ok(None)
    }
}

/// What stands at the beginning of a frame.
struct FrameHead {
    kind: FrameKind,
    /// Bytes of the content, as it claims.
    content: usize,
    /// Bytes of it in the file, which are there.
    stored: usize,
    sum: u64,
    /// Where they begin.
    begin: usize,
}

impl FrameHead {
    /// `None` for a head that [`write`] does not write, and for one whose content ends behind the file.
    fn read(file: &[u8], at: usize) -> Option<Self> {
        let begin = at.checked_add(HEAD)?;
        let rest = file.get(at..begin)?.strip_prefix(&MARK)?;
        let (kind, rest) = rest.split_first()?;
        let (content, rest) = rest.split_first_chunk::<4>()?;
        let (stored, sum) = rest.split_first_chunk::<4>()?;
        let length = |bytes: &[u8; 4]| usize::try_from(u32::from_le_bytes(*bytes)).ok();
        let (content, stored) = (length(content)?, length(stored)?);
        let is_written = content <= CONTENT_BYTES_MAX
            && stored <= content
            && content <= stored.saturating_mul(RATIO_MAX)
            && stored <= file.len() - begin;
        let (kind, sum) = (FrameKind::from_byte(*kind)?, u64::from_le_bytes(sum.try_into().ok()?));
        is_written.then_some(Self { kind, content, stored, sum, begin })
    }
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes()
}

fn checksum(kind: u8, content_bytes: [u8; 4], stored_bytes: [u8; 4], stored: &[u8]) -> u64 {
    // The head is part of it: a wrong length is damage, too.
    let head = [&[kind][..], &content_bytes, &stored_bytes].concat();
    xxh3_64(stored) ^ xxh3_64(&head).rotate_left(1)
}
