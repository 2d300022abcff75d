//! What a task has counted and selected so far in each slot. Pure.

use keysweep_model::key::Key;
use keysweep_model::messages::{Fingerprint, Reason, RuleCounts, ScanCounts};
use keysweep_redis::Ttl;

use crate::classify::{Classification, KeepReason, Treatment};
use crate::walk::ListedWindow;

/// A key to send to a reaper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) key: Key,
    pub(crate) reason: Reason,
    /// The number of its rule; `None` without rules.
    pub(crate) rule: Option<u16>,
    /// When it expires, if its reason is timed; unused otherwise.
    pub(crate) expires_at_ms: u64,
    /// The fingerprint of its value, if the value must be unchanged at the deletion.
    pub(crate) fingerprint: Option<Fingerprint>,
}

/// The tally of one slot.
#[derive(Debug, Default)]
pub(crate) struct SlotTally {
    pub(crate) counts: ScanCounts,
    pub(crate) candidates: Vec<Candidate>,
    /// What was found of each rule.
    pub(crate) rules: Vec<RuleCounts>,
    /// Reported keys of inactive users.
    inactive_reported: u64,
}

/// The tallies of all slots.
#[derive(Default)]
pub(crate) struct Slots {
    pub(crate) tallies: Vec<(u16, SlotTally)>,
    /// The index of each slot's tally, starting at 1; 0 if the slot has none. (There are far fewer slots than 2^16.)
    places: Vec<u16>,
}

impl Slots {
    /// The tally of `slot`.
    pub(crate) fn of(&mut self, slot: u16) -> &mut SlotTally {
        if self.places.len() <= usize::from(slot) {
            self.places.resize(usize::from(slot) + 1, 0);
        }
        let place = &mut self.places[usize::from(slot)];
        if *place == 0 {
            self.tallies.push((slot, SlotTally::default()));
            *place = self.tallies.len() as u16;
        }
        &mut self.tallies[usize::from(*place) - 1].1
    }
}

/// Keys of one slot in a row: keys are listed slot by slot, and only their sum is added to its tally.
#[derive(Clone, Copy, Default)]
pub(crate) struct SlotRun {
    pub(crate) slot: u16,
    pub(crate) keys: u64,
    ttl_ms: u64,
}

impl SlotRun {
    /// The run of the first key of `window`.
    pub(crate) fn of(window: &ListedWindow) -> Self {
        Self { slot: window.keys.first().map_or(0, |listed| listed.slot), ..Self::default() }
    }

    /// Begins the run of `slot`, and returns the previous one if that was of another slot.
    #[inline]
    pub(crate) fn next(&mut self, slot: u16) -> Option<Self> {
        (self.slot != slot).then(|| std::mem::replace(self, Self { slot, ..Self::default() }))
    }

    /// Adds a key.
    #[inline]
    pub(crate) fn add(&mut self, ttl_ms: u64) {
        self.keys += 1;
        self.ttl_ms = self.ttl_ms.saturating_add(ttl_ms);
    }
}

impl SlotTally {
    /// Adds keys that have a TTL and stay.
    pub(crate) fn add_normal(&mut self, run: SlotRun) {
        self.counts.scanned += run.keys;
        self.counts.add_ttl(run.ttl_ms);
    }

    /// Withdraws the keys of inactive users. Returns how many of them were only reported.
    pub(crate) fn hold_back(&mut self) -> u64 {
        let found = self.candidates.len();
        self.candidates.retain(|candidate| candidate.reason != Reason::Inactive);
        let reported = std::mem::take(&mut self.inactive_reported);
        let held = (found - self.candidates.len()) as u64 + reported;
        self.counts.inactive -= held;
        self.counts.reported -= reported;
        self.counts.no_active_user += held;
        reported
    }

    /// Counts an existing key.
    pub(crate) fn count(&mut self, verdict: Classification, ttl: Ttl) {
        let counts = &mut self.counts;
        match verdict {
            Classification::Gone => return,
            // Only rules have the other reasons, whose keys are counted by rule.
            Classification::Keep(
                KeepReason::Normal | KeepReason::Durable | KeepReason::Lasting | KeepReason::Undecided,
            ) => {}
            Classification::Keep(KeepReason::Active) => counts.active_user += 1,
            Classification::Keep(KeepReason::NearExpiry) => counts.near_expiry += 1,
            Classification::Keep(KeepReason::UnknownUser) => counts.unknown_user += 1,
            Classification::Keep(KeepReason::FieldTtl) => counts.field_ttl += 1,
            Classification::Candidate(reason, treatment) => {
                self.inactive_reported +=
                    u64::from((reason, treatment) == (Reason::Inactive, Treatment::Reported));
                counts.stale += u64::from(reason == Reason::Stale);
                counts.inactive += u64::from(reason == Reason::Inactive);
                counts.protected += u64::from(treatment == Treatment::Protected);
                counts.stale_protected +=
                    u64::from((reason, treatment) == (Reason::Stale, Treatment::Protected));
                counts.reported += u64::from(treatment == Treatment::Reported);
                counts.too_long += u64::from(treatment == Treatment::TooLong);
            }
        }
        counts.scanned += 1;
        counts.add_ttl(ttl.remaining_ms());
    }
}
