//! The encoding of a backup file: keys with their values, or the outcomes of keys. Pure.
//!
//! A file consists of [`MAGIC`], a version, and frames (`frame.rs`): the header, any number of blocks of entries, and
//! the end, which repeats the header and contains the number of entries. A file without an end was truncated, and one
//! whose end counts more entries than were found has lost some.

use keysweep_model::ids::{Alias, BatchId, NodeId, RunId};
use keysweep_model::key::Key;
use keysweep_model::limits::BATCH_KEYS_MAX;
use keysweep_model::messages::Reason;
use keysweep_model::outcome::{Outcome, codes};
use keysweep_model::wire;
use serde::{Deserialize, Serialize};

use super::frame::{self, CONTENT_BYTES_MAX, FrameError, FrameKind, Frames};
use crate::limits::{BACKUP_FILE_BYTES, BACKUP_READ_MAX, DAMAGES_NAMED_MAX};

/// How every file begins.
const MAGIC: &[u8; 8] = b"keysweep";

/// The version of the format that this build writes, and the only one that it reads.
const VERSION: u16 = 1;

/// Bytes of entries that are compressed together: similar small values compress well only together, and damage costs
/// one block.
const BLOCK_BYTES: usize = 64 << 10;

/// The maximum content of a file, in bytes before compression: a reader loads the whole file into memory.
const FILE_CONTENT_MAX: usize = BACKUP_FILE_BYTES + CONTENT_BYTES_MAX;

// Even uncompressed and with its overhead, it can be read.
const _: () = assert!(((FILE_CONTENT_MAX + (1 << 20)) as u64) < BACKUP_READ_MAX);

/// Keys, or outcomes and groups, in one file: it belongs to one batch.
const ENTRIES_MAX: usize = 2 * BATCH_KEYS_MAX;

/// Group, index, reason, expiry, length of the key, length of the value.
const ENTRY_HEAD: usize = 4 + 4 + 1 + 8 + 4 + 4;

/// Identifies the keys of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The run.
    pub run: RunId,
    /// The job's name.
    pub job: String,
    /// The deployment.
    pub alias: Alias,
    /// The logical database.
    pub db: u32,
    /// The node that held the keys.
    pub node: NodeId,
    /// The batch.
    pub batch: BatchId,
    /// When they were read, in milliseconds of the node's clock.
    pub at_ms: u64,
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupEntry {
    /// The number of its group in the batch.
    pub group: u32,
    /// Its index in the group.
    pub index: u32,
    /// Why it qualified for deletion.
    pub reason: Reason,
    /// When it would have expired, in milliseconds since the epoch; `None` if it had no TTL.
    pub expires_at_ms: Option<u64>,
    /// Its name.
    pub key: Key,
    /// Its value, in the format of RESTORE.
    pub value: Vec<u8>,
}

/// The outcomes of a group of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The number of the group.
    pub group: u32,
    /// One per key.
    pub outcomes: Vec<Outcome>,
}

#[derive(Serialize, Deserialize)]
struct End {
    header: Header,
    entries: u64,
}

/// A file of saved keys that is being written.
pub struct Saved {
    header: Header,
    file: Vec<u8>,
    block: Vec<u8>,
    content_bytes: usize,
    entries: u64,
}

impl Saved {
    /// A file without keys.
    #[must_use]
    pub fn new(header: Header) -> Self {
        let file = begin(&header);
        Self { header, file, block: Vec::new(), content_bytes: 0, entries: 0 }
    }

    /// Adds a key.
    pub fn add(&mut self, entry: &BackupEntry) {
        if !self.block.is_empty() && self.block.len() + entry.value.len() > BLOCK_BYTES {
            self.end_block();
        }
        put(&mut self.block, entry);
        self.content_bytes += ENTRY_HEAD + entry.key.len() + entry.value.len();
        self.entries += 1;
    }

    /// Bytes of its keys and values before compression.
    #[must_use]
    pub fn content_bytes(&self) -> usize {
        self.content_bytes
    }

    /// The number of its keys.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The whole file.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.end_block();
        end(self.file, self.header, self.entries)
    }

    fn end_block(&mut self) {
        if !self.block.is_empty() {
            frame::write(&mut self.file, FrameKind::Entries, &self.block);
            self.block.clear();
        }
    }
}

/// The file with the outcomes of a batch.
#[must_use]
pub fn encode_outcomes(header: Header, recorded: &[Recorded]) -> Vec<u8> {
    let mut file = begin(&header);
    for Recorded { group, outcomes } in recorded {
        let content = [&group.to_le_bytes()[..], codes::text(outcomes).as_bytes()].concat();
        frame::write(&mut file, FrameKind::Outcomes, &content);
    }
    end(file, header, recorded.len() as u64)
}

fn begin(header: &Header) -> Vec<u8> {
    let mut file = [&MAGIC[..], &VERSION.to_le_bytes()].concat();
    frame::write(&mut file, FrameKind::Header, &coded(header));
    file
}

fn end(mut file: Vec<u8>, header: Header, entries: u64) -> Vec<u8> {
    frame::write(&mut file, FrameKind::End, &coded(&End { header, entries }));
    file
}

/// Names and numbers, which are always short enough to be encoded.
fn coded<T: Serialize>(what: &T) -> Vec<u8> {
    wire::encode(what).unwrap_or_default()
}

fn put(block: &mut Vec<u8>, entry: &BackupEntry) {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    block.reserve(ENTRY_HEAD + entry.key.len() + entry.value.len());
    block.extend(entry.group.to_le_bytes());
    block.extend(entry.index.to_le_bytes());
    block.push(match entry.reason {
        Reason::Stale => b's',
        Reason::Inactive => b'i',
        Reason::Expiring => b'x',
        // Never deleted, so that it is never saved.
        Reason::LongTtl => b'l',
    });
    block.extend(entry.expires_at_ms.unwrap_or(0).to_le_bytes());
    block.extend(length(entry.key.as_bytes()));
    block.extend(length(&entry.value));
    block.extend(entry.key.as_bytes());
    block.extend(&entry.value);
}

fn take(block: &mut &[u8]) -> Option<BackupEntry> {
    let group = u32::from_le_bytes(*number(block)?);
    let index = u32::from_le_bytes(*number(block)?);
    let reason = match number::<1>(block)? {
        b"s" => Reason::Stale,
        b"i" => Reason::Inactive,
        b"x" => Reason::Expiring,
        b"l" => Reason::LongTtl,
        _ => return None,
    };
    let expires_at_ms = Some(u64::from_le_bytes(*number(block)?)).filter(|at_ms| *at_ms > 0);
    let lengths = [*number(block)?, *number(block)?].map(u32::from_le_bytes);
    let mut bytes = |length: u32| block.split_off(..usize::try_from(length).ok()?);
    let (key, value) = (bytes(lengths[0])?, bytes(lengths[1])?);
    Some(BackupEntry { group, index, reason, expires_at_ms, key: Key::new(key), value: value.to_vec() })
}

fn number<'a, const N: usize>(block: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    block.split_off(..N)?.try_into().ok()
}

/// What is damaged in a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Offset from the beginning of the file, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

/// The intact content of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// Its header, if intact.
    pub header: Option<Header>,
    /// The keys.
    pub entries: Vec<BackupEntry>,
    /// The outcomes of the keys.
    pub recorded: Vec<Recorded>,
    /// The damaged positions, up to a limit.
    pub damages: Vec<Damage>,
    /// The number of damaged positions.
    pub damaged: u64,
    /// The number of lost keys, if known.
    pub lost: Option<u64>,
    /// Outcomes in `recorded`, and their groups.
    outcomes: usize,
}

impl Decoded {
    /// The content of a file that could not be read because of `what`.
    #[must_use]
    pub fn unreadable(what: impl Into<String>) -> Self {
        let mut found = Self::default();
        found.damaged(0, what);
        found
    }

    fn damaged(&mut self, offset: usize, what: impl Into<String>) {
        self.damaged += 1;
        if self.damages.len() < DAMAGES_NAMED_MAX {
            self.damages.push(Damage { offset: offset as u64, what: what.into() });
        }
    }

    /// The content of a file that continues at `offset` with more than a backup file may contain.
    fn ended(mut self, offset: usize) -> Self {
        self.damaged(offset, "it contains more than any backup file; the rest was not read");
        self
    }

    fn take(&mut self, kind: FrameKind, content: &[u8]) -> Option<()> {
        match kind {
            FrameKind::Header => self.header = Some(wire::decode(content).ok()?),
            FrameKind::Entries => {
                let mut rest = content;
                while !rest.is_empty() {
                    if self.entries.len() > ENTRIES_MAX {
                        return None;
                    }
                    self.entries.push(take(&mut rest)?);
                }
            }
            FrameKind::Outcomes => {
                let (group, letters) = content.split_first_chunk::<4>()?;
                let outcomes = letters.iter().map(|letter| Outcome::from_code(*letter));
                let recorded = Recorded {
                    group: u32::from_le_bytes(*group),
                    outcomes: outcomes.collect::<Option<_>>()?,
                };
                self.outcomes += 1 + recorded.outcomes.len();
                self.recorded.push(recorded);
            }
            FrameKind::End => {
                let End { header, entries } = wire::decode(content).ok()?;
                if entries > ENTRIES_MAX as u64 {
                    return None;
                }
                self.lost = Some(entries.saturating_sub((self.entries.len() + self.recorded.len()) as u64));
                self.header = Some(header);
            }
        }
        Some(())
    }
}

/// Reads the intact content of a file.
#[must_use]
pub fn decode(file: &[u8]) -> Decoded {
    let mut found = Decoded::default();
    let mut at = MAGIC.len() + size_of_val(&VERSION);
    match file.strip_prefix(MAGIC).and_then(<[u8]>::split_first_chunk) {
        Some((version, _)) if *version == VERSION.to_le_bytes() => {}
        Some((version, _)) => {
            let version = u16::from_le_bytes(*version);
            found.damaged(0, format!("its format version is {version}; this build reads {VERSION}"));
            return found;
        }
        None => {
            found.damaged(0, "it does not begin like a backup file");
            at = 0;
        }
    }
    let mut frames = Frames::of(file, FILE_CONTENT_MAX);
    while at < file.len() {
        let (from, frame) = match frames.read(at) {
            Ok(frame) => (at, frame),
            Err(FrameError::TooMuch) => return found.ended(at),
            Err(FrameError::Damaged) => {
                let next = frames.find(at + 1);
                let said = match &next {
                    Ok(Some((next, _))) => format!("the next {} bytes are not intact", next - at),
                    Ok(None) => "nothing intact follows".to_owned(),
                    Err(_) => "the next bytes are not intact".to_owned(),
                };
                // A damaged beginning is already reported.
                if at > 0 {
                    found.damaged(at, said);
                }
                match next {
                    Ok(Some(next)) => next,
                    Ok(None) => break,
                    Err(_) => return found.ended(at),
                }
            }
        };
        if found.take(frame.kind, &frame.content).is_none() {
            found.damaged(from, "the content is invalid");
        }
        if found.entries.len() + found.outcomes > ENTRIES_MAX {
            return found.ended(from);
        }
        at = frame.end;
    }
    if found.lost.is_none() {
        found.damaged(file.len(), "it was cut off: its end is missing");
    }
    found
}

#[cfg(test)]
mod tests;
