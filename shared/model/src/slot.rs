//! Hash slots of Redis Cluster: the slot of a key, a hash tag for any slot, and sets of slots. The ownership of slots
//! is handled by `keysweep-redis`.

mod set;

use std::sync::LazyLock;

use crc::{CRC_16_XMODEM, Crc, Table};
use serde::de::{self, Deserialize, Deserializer};

pub use set::{SlotRangeError, SlotSet};

/// The number of slots of a cluster; slots are numbered from 0 to `SLOTS - 1`.
pub const SLOTS: u16 = 16_384;

/// The checksum of the Redis Cluster specification. Sixteen bytes at a time: it is computed for each candidate.
static CRC: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_XMODEM);

/// Deserializes a slot number.
///
/// # Errors
/// If there is no such slot.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let slot = u16::deserialize(deserializer)?;
    if slot < SLOTS { Ok(slot) } else { Err(de::Error::custom(format!("slot {slot} does not exist"))) }
}

/// The slot of `key`. If the key contains a non-empty hash tag (`{…}`), only the tag counts.
#[must_use]
pub fn slot_of(key: &[u8]) -> u16 {
    CRC.checksum(hash_tag(key).unwrap_or(key)) % SLOTS
}

/// The text between the first `{` and the first `}` after it, unless it is empty.
fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|&byte| byte == b'{')? + 1;
    let length = key[open..].iter().position(|&byte| byte == b'}')?;
    (length > 0).then(|| &key[open..open + length])
}

/// Four is the shortest length at which words of `[a-z0-9]` cover every slot.
const TAG_BYTES: usize = 4;

/// One tag per slot, concatenated, so that the table is one allocation (64 KiB).
static TAGS: LazyLock<String> = LazyLock::new(|| {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let (mut tags, mut left) = (vec![b' '; usize::from(SLOTS) * TAG_BYTES], SLOTS);
    let mut number = 0;
    while left > 0 {
        let letter = |place: u32| LETTERS[number / LETTERS.len().pow(place) % LETTERS.len()];
        let tag = [letter(3), letter(2), letter(1), letter(0)];
        let start = usize::from(slot_of(&tag)) * TAG_BYTES;
        // The alphabetically first tag of a slot is kept.
        if tags[start] == b' ' {
            tags[start..start + TAG_BYTES].copy_from_slice(&tag);
            left -= 1;
        }
        number += 1;
    }
    tags.into_iter().map(char::from).collect()
});

/// A tag of four letters or digits that hashes to `slot`: a key with `{tag}` belongs to it. The same on every run and
/// machine. `slot` is taken modulo [`SLOTS`].
#[must_use]
pub fn tag_for(slot: u16) -> &'static str {
    let start = usize::from(slot % SLOTS) * TAG_BYTES;
    &TAGS[start..start + TAG_BYTES]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_as_the_specification_says() {
        assert_eq!(slot_of(b"123456789"), 0x31c3);
        // From `CLUSTER KEYSLOT` of redis-server 7.0.15.
        for (key, slot) in
            [("foo", 12_182), ("", 0), ("{}foo", 9500), ("a{foo}{bar}", 12_182), ("{foo", 13_308)]
        {
            assert_eq!(slot_of(key.as_bytes()), slot, "`{key}`");
        }
        assert_eq!(slot_of(b"foo{{bar}}zap"), slot_of(b"{bar"));
        assert_eq!(slot_of(b"}{foo}"), slot_of(b"foo"));
    }

    #[test]
    fn every_slot_has_a_tag() {
        for slot in 0..SLOTS {
            let tag = tag_for(slot);
            assert!(tag.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "`{tag}`");
            assert_eq!(slot_of(tag.as_bytes()), slot);
            assert_eq!(slot_of(format!("x{{{tag}}}").as_bytes()), slot);
        }
    }
}
