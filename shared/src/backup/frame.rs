//! The frames that a backup file consists of: each says its length, and proves its content by a checksum, so that what
//! is damaged is noticed, and what lies behind it can still be found. Pure.

use xxhash_rust::xxh3::xxh3_64;

/// Where a frame begins. None of it is text, so that little else looks like it.
const MARK: [u8; 4] = [0xf5, b'k', b's', 0xfa];

/// Mark, kind, length of the content, length as it is stored, checksum.
const HEAD: usize = 4 + 1 + 4 + 4 + 8;

/// The largest content of a frame, in bytes: a value as large as the settings allow, its key, and what stands beside.
pub(super) const CONTENT_BYTES_MAX: usize = (256 << 20) + (2 << 20);

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
pub(super) struct Frame {
    pub(super) kind: FrameKind,
    pub(super) content: Vec<u8>,
    /// Where the next one begins.
    pub(super) end: usize,
}

/// Appends a frame with `content` to `file`, compressed if that makes it smaller.
pub(super) fn write(file: &mut Vec<u8>, kind: FrameKind, content: &[u8]) {
    let packed = lz4_flex::block::compress(content);
    let stored = if packed.len() < content.len() { &packed } else { content };
    let lengths = [content.len(), stored.len()].map(|length| u32::try_from(length).unwrap_or(u32::MAX));
    let [content_bytes, stored_bytes] = lengths.map(u32::to_le_bytes);
    file.reserve(HEAD + stored.len());
    file.extend(MARK);
    file.push(kind as u8);
    file.extend(content_bytes);
    file.extend(stored_bytes);
    file.extend(checksum(kind as u8, content_bytes, stored_bytes, stored).to_le_bytes());
    file.extend(stored);
}

/// The frame that begins at `at`, if one does, and is intact.
pub(super) fn read(file: &[u8], at: usize) -> Option<Frame> {
    let head = file.get(at..at.checked_add(HEAD)?)?;
    let rest = head.strip_prefix(&MARK)?;
    let (kind, rest) = rest.split_first()?;
    let (content_bytes, rest) = rest.split_first_chunk::<4>()?;
    let (stored_bytes, sum) = rest.split_first_chunk::<4>()?;
    let sum = u64::from_le_bytes(sum.try_into().ok()?);
    let length = |bytes: &[u8; 4]| usize::try_from(u32::from_le_bytes(*bytes)).ok();
    let (content, begin) = (length(content_bytes)?, at + HEAD);
    let end = begin.checked_add(length(stored_bytes)?)?;
    let stored = file.get(begin..end)?;
    if content > CONTENT_BYTES_MAX || checksum(*kind, *content_bytes, *stored_bytes, stored) != sum {
        return None;
    }
    let content = match stored.len() {
        length if length == content => stored.to_vec(),
        _ => lz4_flex::block::decompress(stored, content).ok().filter(|found| found.len() == content)?,
    };
    Some(Frame { kind: FrameKind::from_byte(*kind)?, content, end })
}

/// Where the next intact frame begins at or after `from`.
pub(super) fn find(file: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let ahead = file.get(from..)?;
        from += ahead.windows(MARK.len()).position(|window| window == MARK)?;
        if read(file, from).is_some() {
            return Some(from);
        }
        from += 1;
    }
}

fn checksum(kind: u8, content_bytes: [u8; 4], stored_bytes: [u8; 4], stored: &[u8]) -> u64 {
    // The head is part of it: a wrong length is damage, too.
    let head = [&[kind][..], &content_bytes, &stored_bytes].concat();
    xxh3_64(stored) ^ xxh3_64(&head).rotate_left(1)
}
