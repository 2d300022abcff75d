//! The test data. The same number always gives the same key, for all contenders.

use keysweep_model::slot::tag_for;

/// All data keys match this pattern; keys of the foreground client do not.
pub(crate) const PATTERN: &str = "permissions:*";

/// The TTL of keys that have one: longer than any measurement.
const TTL_MS: u64 = 3_600_000;

/// One slot of each of three primaries with equal shares.
const SLOT_PER_NODE: [u16; 3] = [0, 8_000, 16_000];

/// Which keys have no TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// This share of them, evenly spread.
    Stale {
        /// The share in percent.
        percent: u8,
    },
    /// One on each node of the cluster, so that no node is clean and all keys must be looked up.
    OnePerNode,
}

impl Data {
    /// The name of key `number`, counted from 0.
    pub(crate) fn key(self, number: u64) -> String {
        let tag = match usize::try_from(number).ok().and_then(|index| SLOT_PER_NODE.get(index)) {
            Some(slot) if self == Self::OnePerNode => format!("{{{}}}", tag_for(*slot)),
            _ => String::new(),
        };
        format!("permissions:{tag}{}:documents", 1_000_000 + number)
    }

    /// The TTL of key `number`; none for a stale key.
    pub(crate) fn ttl_ms(self, number: u64) -> Option<u64> {
        let stale = match self {
            Self::Stale { percent } => number * u64::from(percent) % 100 < u64::from(percent),
            Self::OnePerNode => number < SLOT_PER_NODE.len() as u64,
        };
        (!stale).then_some(TTL_MS)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use keysweep_model::slot::{SLOTS, slot_of};

    use super::*;

    #[test]
    fn each_hundred_keys_have_the_share_of_stale_ones() {
        for percent in [0, 1, 7, 10, 50, 100] {
            let data = Data::Stale { percent };
            for first in [0, 100, 999_900] {
                let stale = (first..first + 100).filter(|number| data.ttl_ms(*number).is_none());
                assert_eq!(stale.count(), usize::from(percent), "{percent} % from {first}");
            }
        }
    }

    #[test]
    fn stale_keys_are_in_all_slots() {
        let data = Data::Stale { percent: 50 };
        let stale = (0..200_000).filter(|number| data.ttl_ms(*number).is_none());
        let slots: HashSet<u16> = stale.map(|number| slot_of(data.key(number).as_bytes())).collect();
        assert!(slots.len() > usize::from(SLOTS) * 9 / 10, "{}", slots.len());
    }

    #[test]
    fn keys_are_unique() {
        for data in [Data::Stale { percent: 10 }, Data::OnePerNode] {
            let names: HashSet<String> = (0..1_001).map(|number| data.key(number)).collect();
            assert_eq!(names.len(), 1_001, "{data:?}");
        }
    }

    #[test]
    fn each_third_of_the_slots_gets_one_stale_key() {
        let stale = (0..1_000).filter(|number| Data::OnePerNode.ttl_ms(*number).is_none());
        let thirds = stale
            .map(|number| u32::from(slot_of(Data::OnePerNode.key(number).as_bytes())) * 3 / u32::from(SLOTS));
        assert_eq!(thirds.collect::<Vec<_>>(), [0, 1, 2]);
    }
}
