//! The frames of a backup file. Each has a length and a checksum, so that damage is detected and later frames can
//! still be found. Pure.

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_64;

/// The beginning of a frame. None of it is text, so that other content rarely looks like it.
const MARK: [u8; 4] = [0xf5, b'k', b's', 0xfa];

/// Mark, kind, length of the content, stored length, checksum.
const HEAD: usize = 4 + 1 + 4 + 4 + 8;

/// The largest content of a frame, in bytes: the largest permitted value, its key, and the overhead.
pub(super) const CONTENT_BYTES_MAX: usize = (256 << 20) + (2 << 20);

/// The maximum LZ4 decompression ratio.
const RATIO_MAX: usize = 255;

/// The maximum of bytes that are hashed without result in search of intact frames behind damage, as a multiple of the
/// file's size. Only crafted files contain many false beginnings of frames.
const WASTE_MAX: usize = 4;

/// The content of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// The header of the file.
    Header = 1,
    /// Keys with their values.
    Entries = 2,
    /// The outcomes of keys.
    Outcomes = 3,
    /// The end of a complete file.
    End = 4,
}

impl FrameKind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Header, Self::Entries, Self::Outcomes, Self::End].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// An intact frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: FrameKind,
    pub(super) content: Cow<'a, [u8]>,
    /// The offset of the next frame.
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

/// Reads the frames of one file. The file is untrusted, so the work is bounded by its size: bytes that turn out not to
/// be a frame are hashed at most [`WASTE_MAX`] times, and all frames together contain no more than a file that was
/// written by [`write`].
pub(super) struct Frames<'a> {
    file: &'a [u8],
    /// Bytes that may still be hashed without result.
    waste: usize,
    /// Bytes of content that may still be decompressed.
    content: usize,
}

/// Why there is no frame at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameError {
    /// There is no intact frame.
    Damaged,
    /// The file contains more than a backup file may.
    TooMuch,
}

impl<'a> Frames<'a> {
    /// The frames of `file`, with at most `content_max` bytes of content.
    pub(super) fn of(file: &'a [u8], content_max: usize) -> Self {
        Self { file, waste: file.len().saturating_mul(WASTE_MAX), content: content_max }
    }

    /// The intact frame that begins at `at`.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub(super) fn read(&mut self, at: usize) -> Result<Frame<'a>, FrameError> {
        let FrameHead { kind, content, stored, sum, begin } =
            FrameHead::read(self.file, at).ok_or(FrameError::Damaged)?;
        let bytes = &self.file[begin..begin + stored];
        if checksum(kind as u8, length(content), length(stored), bytes) != sum {
            self.waste = self.waste.saturating_sub(stored);
            return Err(FrameError::Damaged);
        }
        // Checked before memory is allocated for it.
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

    /// The next intact frame at or after `from`, with its offset. `None` if there is none, or if too many bytes before
    /// it look like one.
    ///
    /// # Errors
    /// [`FrameError::TooMuch`].
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

/// The head of a frame.
struct FrameHead {
    kind: FrameKind,
    /// The claimed bytes of the content.
    content: usize,
    /// The stored bytes of the content, all within the file.
    stored: usize,
    sum: u64,
    /// Their offset.
    begin: usize,
}

impl FrameHead {
    /// `None` for a head that [`write`] does not produce, or if its content ends beyond the file.
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
    // The checksum covers the head: a wrong length is damage, too.
    let head = [&[kind][..], &content_bytes, &stored_bytes].concat();
    xxh3_64(stored) ^ xxh3_64(&head).rotate_left(1)
}
