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

/// What the keys of a group share.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeptGroupKey {
    pub(crate) slot: u16,
    /// Why they qualify.
    pub(crate) reason: Reason,
    /// Why they stay.
    pub(crate) why: Why,
    /// Their rule; `None` without rules.
    pub(crate) rule: Option<u16>,
}

/// The names collected by one task.
#[derive(Default)]
pub(crate) struct KeptKeys {
    groups: BTreeMap<KeptGroupKey, Vec<Key>>,
    bytes: usize,
    /// How many names did not fit.
    unnamed: BTreeMap<KeptGroupKey, u64>,
}

impl KeptKeys {
    /// Adds a key.
    pub(crate) fn add(&mut self, group: KeptGroupKey, key: &[u8]) {
        let bytes = self.bytes + key.len() + NAME_OVERHEAD_BYTES;
        if bytes > KEPT_NAMES_BYTES_MAX {
            *self.unnamed.entry(group).or_default() += 1;
            return;
        }
        self.bytes = bytes;
        self.groups.entry(group).or_default().push(Key::new(key));
    }

    /// Removes keys that do not qualify after all.
    pub(crate) fn forget(&mut self, reason: Reason, why: Why) {
        self.retain(|group| (group.reason, group.why) != (reason, why));
    }

    /// The same for keys of `gone` rules.
    pub(crate) fn forget_rules(&mut self, gone: impl Fn(u16) -> bool) {
        self.retain(|group| !group.rule.is_some_and(&gone));
    }

    fn retain(&mut self, stays: impl Fn(&KeptGroupKey) -> bool) {
        self.groups.retain(|group, _| stays(group));
        self.unnamed.retain(|group, _| stays(group));
    }

    /// The names in the slots that `keep` accepts, and how many more did not fit.
    pub(crate) fn finish(self, keep: impl Fn(u16) -> bool) -> (Vec<KeptGroup>, u64) {
        let groups = self.groups.into_iter().filter(|(group, _)| keep(group.slot));
        let groups = groups.map(|(KeptGroupKey { slot, reason, why, rule }, keys)| KeptGroup {
            slot,
            reason,
            why,
            rule,
            keys,
        });
        let unnamed = self.unnamed.iter().filter(|(group, _)| keep(group.slot)).map(|(_, keys)| keys).sum();
        (groups.collect(), unnamed)
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
        let group = |slot, reason, why| KeptGroupKey { slot, reason, why, rule: None };
        kept.add(group(1, Reason::Stale, Why::Protected), b"a");
        kept.add(group(2, Reason::Stale, Why::Protected), b"b");
        kept.add(group(1, Reason::Stale, Why::Reported), b"c");
        let long = vec![b'x'; KEPT_NAMES_BYTES_MAX];
        kept.add(group(1, Reason::Stale, Why::Protected), &long);
        kept.add(group(2, Reason::Stale, Why::Protected), &long);
        kept.add(group(1, Reason::Inactive, Why::Reported), b"d");
        kept.add(group(1, Reason::Inactive, Why::Protected), b"e");
        kept.add(group(1, Reason::Inactive, Why::Reported), &long);
        kept.forget(Reason::Inactive, Why::Reported);
        let (groups, unnamed) = kept.finish(|slot| slot == 1);
        let shown: Vec<_> = groups.iter().map(|group| (group.slot, group.why, group.keys.len())).collect();
        assert_eq!(shown, [(1, Why::Protected, 1), (1, Why::Reported, 1), (1, Why::Protected, 1)]);
        assert_eq!(unnamed, 1);
    }
}
