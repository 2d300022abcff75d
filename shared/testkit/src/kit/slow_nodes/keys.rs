//! The keys of the simulated cluster, by number: key `n` of a slot is `permissions:{tag}:n`.

use keysweep_model::slot::{SLOTS, slot_of, tag_for};

/// The remaining TTL of all keys that have one, in milliseconds.
const TTL_MS: i64 = 900_000;

/// All keys of the cluster.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    per_slot: u64,
}

impl Keys {
    /// This many keys in each slot.
    pub fn new(per_slot: u64) -> Self {
        Self { per_slot }
    }

    /// The number of keys in each slot.
    pub fn per_slot(self) -> u64 {
        self.per_slot
    }

    /// The number of keys.
    pub fn all(self) -> u64 {
        self.per_slot * u64::from(SLOTS)
    }

    /// The number of keys without TTL.
    pub fn stale(self) -> u64 {
        self.stale_before(SLOTS)
    }

    /// The number of keys without TTL in the slots before `slot`: in the order of slots, every tenth key, from the
    /// fourth on.
    pub fn stale_before(self, slot: u16) -> u64 {
        (self.per_slot * u64::from(slot) + 6) / 10
    }

    /// Key `n` of `slot`.
    pub fn name(slot: u16, n: u64) -> String {
        format!("permissions:{{{}}}:{n}", tag_for(slot))
    }

    /// The reply to PTTL for a key.
    pub fn pttl(self, key: &[u8]) -> i64 {
        let slot = slot_of(key);
        let number = str::from_utf8(key)
            .ok()
            .and_then(|key| {
                key.strip_prefix("permissions:{")?.strip_prefix(tag_for(slot))?.strip_prefix("}:")
            })
            .and_then(|number| number.parse::<u64>().ok());
        match number {
            Some(n) if n < self.per_slot => {
                let stale = (self.per_slot * u64::from(slot) + n) % 10 == 3;
                if stale { -1 } else { TTL_MS }
            }
            _ => -2,
        }
    }
}
