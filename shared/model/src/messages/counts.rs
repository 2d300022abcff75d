//! The counts of a scan task.

use serde::{Deserialize, Deserializer, Serialize};

use crate::limits::COUNT_MAX;

/// Deserializes an expected number of keys. A value above [`COUNT_MAX`] is capped, so that sums cannot overflow.
pub(super) fn expected<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    u64::deserialize(deserializer).map(|keys| keys.min(COUNT_MAX))
}

/// What was counted while scanning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanCounts {
    /// Keys listed, including those that match no pattern.
    pub listed: u64,
    /// Matching keys that existed when they were checked.
    pub scanned: u64,
    /// Matching keys without TTL.
    pub stale: u64,
    /// Keys with a TTL whose user is inactive, and that do not expire soon.
    pub inactive: u64,
    /// Keys of inactive users that expire soon anyway.
    pub near_expiry: u64,
    /// Keys with a TTL from which the template extracts no user.
    pub unknown_user: u64,
    /// Stale or inactive keys that match a protected pattern.
    pub protected: u64,
    /// Stale or inactive keys that are only reported.
    pub reported: u64,
    /// Stale or inactive keys longer than [`crate::limits::KEY_BYTES_MAX`].
    pub too_long: u64,
    /// Sum of the TTLs, in milliseconds, of scanned keys that have one, plus those of skipped keys as estimated from
    /// the sample.
    pub ttl_sum_ms: u64,
    /// Keys of skipped nodes, including those that match no pattern: none of them was without TTL.
    #[serde(default)]
    pub skipped: u64,
    /// Skipped keys that match, as estimated from the sample.
    #[serde(default)]
    pub skipped_matching: u64,
    /// Matching keys in the samples.
    #[serde(default)]
    pub sampled: u64,
    /// Hashes without a key TTL whose fields expire. They do not count as stale.
    #[serde(default)]
    pub field_ttl: u64,
    /// Keys with a TTL of active users.
    #[serde(default)]
    pub active_user: u64,
    /// Keys with a TTL whose users are not active, and that do not expire soon, in tasks that found no active user.
    /// They count as nothing else. See [`super::SampledUsers`].
    #[serde(default)]
    pub no_active_user: u64,
    /// Stale keys among `protected`. Scanners of earlier versions do not send it: all their stale keys count as not
    /// protected.
    #[serde(default)]
    pub stale_protected: u64,
}

impl ScanCounts {
    /// Stale keys that match no protected pattern.
    #[must_use]
    pub fn stale_unprotected(&self) -> u64 {
        self.stale.saturating_sub(self.stale_protected)
    }

    /// Matching keys that exist: scanned and skipped.
    #[must_use]
    pub fn matching(&self) -> u64 {
        self.scanned.saturating_add(self.skipped_matching)
    }

    /// Keys that are done, including those that match no pattern: listed or skipped.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.listed.saturating_add(self.skipped)
    }

    /// Adds a TTL.
    #[inline]
    pub fn add_ttl(&mut self, ms: u64) {
        self.ttl_sum_ms = self.ttl_sum_ms.saturating_add(ms);
    }
}

impl std::ops::AddAssign for ScanCounts {
    fn add_assign(&mut self, other: Self) {
        self.listed = self.listed.saturating_add(other.listed);
        self.scanned = self.scanned.saturating_add(other.scanned);
        self.stale = self.stale.saturating_add(other.stale);
        self.inactive = self.inactive.saturating_add(other.inactive);
        self.near_expiry = self.near_expiry.saturating_add(other.near_expiry);
        self.unknown_user = self.unknown_user.saturating_add(other.unknown_user);
        self.protected = self.protected.saturating_add(other.protected);
        self.reported = self.reported.saturating_add(other.reported);
        self.too_long = self.too_long.saturating_add(other.too_long);
        self.add_ttl(other.ttl_sum_ms);
        self.skipped = self.skipped.saturating_add(other.skipped);
        self.skipped_matching = self.skipped_matching.saturating_add(other.skipped_matching);
        self.sampled = self.sampled.saturating_add(other.sampled);
        self.field_ttl = self.field_ttl.saturating_add(other.field_ttl);
        self.active_user = self.active_user.saturating_add(other.active_user);
        self.no_active_user = self.no_active_user.saturating_add(other.no_active_user);
        self.stale_protected = self.stale_protected.saturating_add(other.stale_protected);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Alias, NodeId, RunId, TaskId};
    use crate::messages::{PlannedNode, ScanTask};
    use crate::range::Scope;
    use crate::slot::SlotSet;
    use crate::wire;

    #[test]
    fn expected_keys_do_not_overflow() {
        let scope = Scope::Slots { slots: SlotSet::all() };
        let task = ScanTask {
            run: RunId::new(),
            task: TaskId::new(),
            alias: Alias::new("main"),
            node: NodeId::new("n"),
            scope,
            keys: 0,
            reschedules: 0,
            skip: false,
            scan_generation: 0,
        };
        let node = PlannedNode {
            node: NodeId::new("n"),
            address: String::new(),
            slots: SlotSet::new(),
            keys: 0,
            process: String::new(),
            replica: None,
            swaps: None,
        };
        for (sent, expected) in [(7, 7), (COUNT_MAX, COUNT_MAX), (u64::MAX, COUNT_MAX)] {
            let bytes = wire::encode(&ScanTask { keys: sent, ..task.clone() }).unwrap();
            assert_eq!(wire::decode::<ScanTask>(&bytes).unwrap().keys, expected);
            let bytes = wire::encode(&PlannedNode { keys: sent, ..node.clone() }).unwrap();
            assert_eq!(wire::decode::<PlannedNode>(&bytes).unwrap().keys, expected);
        }
    }
}
