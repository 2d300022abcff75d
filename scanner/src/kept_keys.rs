//! The names of keys that qualified but are not sent to a reaper, for the audit trail. Names are stored up to a size
//! limit; the rest is only counted.

use std::collections::BTreeMap;

use keysweep_model::ids::RunId;
use keysweep_model::key::Key;
use keysweep_model::messages::Reason;
use keysweep_storage::audit::{self, KeptEntry, KeptGroup, Why};
use keysweep_storage::store::Store;

use crate::limits::KEPT_NAMES_BYTES_MAX;

/// Bytes that a name adds to the trail in addition to its own.
const NAME_OVERHEAD_BYTES: usize = 8;

/// The slot, why the keys qualify, and why they stay.
type Group = (u16, Reason, Why);

/// The names collected by one task.
#[derive(Default)]
pub(crate) struct KeptKeys {
    groups: BTreeMap<Group, Vec<Key>>,
    bytes: usize,
    /// How many names did not fit.
    unnamed: BTreeMap<Group, u64>,
}

impl KeptKeys {
    /// Adds a key.
    pub(crate) fn add(&mut self, slot: u16, reason: Reason, why: Why, key: &[u8]) {
        let bytes = self.bytes + key.len() + NAME_OVERHEAD_BYTES;
        if bytes > KEPT_NAMES_BYTES_MAX {
            *self.unnamed.entry((slot, reason, why)).or_default() += 1;
            return;
        }
        self.bytes = bytes;
        self.groups.entry((slot, reason, why)).or_default().push(Key::new(key));
    }

    /// Removes keys that do not qualify after all.
    pub(crate) fn forget(&mut self, reason: Reason, why: Why) {
        let other = |group: &Group| (group.1, group.2) != (reason, why);
        self.groups.retain(|group, _| other(group));
        self.unnamed.retain(|group, _| other(group));
    }

    /// The names in the slots that `keep` accepts, and how many more did not fit.
    pub(crate) fn finish(self, keep: impl Fn(u16) -> bool) -> (Vec<KeptGroup>, u64) {
        let groups = self.groups.into_iter().filter(|((slot, ..), _)| keep(*slot));
        let groups =
            groups.map(|((slot, reason, why), keys)| KeptGroup { slot, reason, why, keys }).collect();
        let unnamed = self.unnamed.iter().filter(|((slot, ..), _)| keep(*slot)).map(|(_, keys)| keys).sum();
        (groups, unnamed)
    }
}

/// Writes the kept keys of a task to the audit trail. The keys are untouched, so a failed write is only logged.
pub(crate) async fn enter(store: &dyn Store, run: RunId, kept: &KeptEntry) {
    if kept.groups.is_empty() && kept.unnamed == 0 {
        return;
    }
    if let Err(e) = audit::write_kept(store, run, kept).await {
        tracing::warn!(error = %e, task = %kept.task, "the audit trail lacks protected and reported keys");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filtered_by_slot_and_limited_in_size() {
        let mut kept = KeptKeys::default();
        kept.add(1, Reason::Stale, Why::Protected, b"a");
        kept.add(2, Reason::Stale, Why::Protected, b"b");
        kept.add(1, Reason::Stale, Why::Reported, b"c");
        let long = vec![b'x'; KEPT_NAMES_BYTES_MAX];
        kept.add(1, Reason::Stale, Why::Protected, &long);
        kept.add(2, Reason::Stale, Why::Protected, &long);
        kept.add(1, Reason::Inactive, Why::Reported, b"d");
        kept.add(1, Reason::Inactive, Why::Protected, b"e");
        kept.add(1, Reason::Inactive, Why::Reported, &long);
        kept.forget(Reason::Inactive, Why::Reported);
        let (groups, unnamed) = kept.finish(|slot| slot == 1);
        let shown: Vec<_> = groups.iter().map(|group| (group.slot, group.why, group.keys.len())).collect();
        assert_eq!(shown, [(1, Why::Protected, 1), (1, Why::Reported, 1), (1, Why::Protected, 1)]);
        assert_eq!(unnamed, 1);
    }
}
