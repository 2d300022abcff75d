//! The scope of a scan task: whole slots, or ranges of a table's cursors.
//!
//! SCAN visits the buckets of a hash table in the order of the bit-reversed cursor, whatever the table's size (redis
//! `src/dict.c`, `dictScan`). So the progress of a scan is the reversed cursor, called its *position* here: positions
//! only increase, and a range of positions contains the same keys before and after the table is resized.

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::ids::TaskId;
use crate::slot::SlotSet;

/// Positions `from..to` of a table; `to` is `None` for the end of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CursorRange {
    /// The first position.
    pub from: u64,
    /// The position after the last.
    pub to: Option<u64>,
}

impl CursorRange {
    /// The whole table.
    pub const WHOLE: Self = Self { from: 0, to: None };

    /// Part `part` of `2^bits` equal parts of the table.
    ///
    /// # Panics
    /// If there is no such part: that is a bug of the caller.
    #[must_use]
    pub fn part(part: u64, bits: u32) -> Self {
        assert!(bits < 64 && part < 1 << bits, "part {part} of 2^{bits}");
        if bits == 0 {
            return Self::WHOLE;
        }
        let from = part << (64 - bits);
        let to = (part + 1 < 1 << bits).then(|| (part + 1) << (64 - bits));
        Self { from, to }
    }
}

/// The cursor with which a scan of the table continues from `position`.
#[must_use]
pub fn cursor_at(position: u64) -> u64 {
    position.reverse_bits()
}

/// The hash table that cursors belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScanTable {
    /// The one table of a database.
    Database,
    /// The table of one slot, on servers that keep one per slot (Redis 7.4, Valkey 8 and newer, in cluster mode): the low
    /// 14 bits of a cursor are the slot, and the others the cursor in its table.
    Slot(#[serde(deserialize_with = "crate::slot::deserialize")] u16),
    /// The keys of a database whose cursors are not positions: read in one lane, from this cursor to the end. The
    /// positions of its ranges count the requested keys. Older workers do not support it, and dead-letter such a task.
    Opaque {
        /// The cursor to continue from; 0 at the start.
        at: u64,
    },
}

/// The scope of a scan task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Scope {
    /// All keys of these slots.
    Slots {
        /// The slots.
        slots: SlotSet,
    },
    /// The keys in ranges of a table.
    Cursors(CursorScope),
}

impl Scope {
    /// The affected slots; empty on a standalone server.
    #[must_use]
    pub fn slots(&self) -> SlotSet {
        match self {
            Self::Slots { slots, .. } => slots.clone(),
            Self::Cursors(cursors) => cursors.slots.clone().unwrap_or_default(),
        }
    }
}

/// Ranges of a table, as a part of a pass over all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CursorScope {
    /// The pass: all its tasks together read the table once.
    pub pass: TaskId,
    /// The table.
    pub table: ScanTable,
    /// The ranges, scanned concurrently.
    pub ranges: Vec<CursorRange>,
    /// The ranges come from `2^bits` parts: the table must have at least as many buckets.
    #[serde(deserialize_with = "bits")]
    pub bits: u32,
    /// Keys of other slots are ignored; `None` on a standalone server.
    pub slots: Option<SlotSet>,
    /// The server process that the cursors belong to (`run_id` of INFO).
    pub process: String,
}

/// Deserializes a number of parts, as a power of two.
fn bits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let bits = u32::deserialize(deserializer)?;
    if bits < u64::BITS { Ok(bits) } else { Err(de::Error::custom(format!("a table in 2^{bits} parts"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_without_a_gap() {
        for bits in 0..10 {
            let parts: Vec<_> = (0..1 << bits).map(|p| CursorRange::part(p, bits)).collect();
            assert_eq!(parts[0].from, 0);
            assert_eq!(parts[parts.len() - 1].to, None);
            for pair in parts.windows(2) {
                assert_eq!(pair[0].to, Some(pair[1].from));
            }
        }
        assert_eq!(cursor_at(CursorRange::part(1, 1).from), 1);
        assert_eq!(cursor_at(CursorRange::part(1, 3).from), 4);
    }
}
