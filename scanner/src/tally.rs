//! What a task has counted and selected so far, by slot: the counts and candidates of a slot that turns out to have
//! moved are dropped. Pure.

use std::collections::{BTreeMap, HashSet};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use keysweep_model::key::{self, Key};
use keysweep_model::limits::DETAILS_MAX;
use keysweep_model::messages::{Lookups, Reason, ScanCounts, ScanStatistics};
use keysweep_model::slot::SlotSet;
use keysweep_redis::{KeyState as Look, Ttl};
use keysweep_storage::audit::{KeptGroup, Why};
use keysweep_storage::task_notes::ReadSoFar;
use serde_bytes::ByteBuf;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::classify::{Classification, Classifier, KeepReason, Treatment};
use crate::kept_keys::KeptKeys;
use crate::limits::TASK_USERS_MAX;
use crate::namespaces::NamespaceScan;
use crate::slot_tally::{Candidate, SlotRun, Slots};
use crate::statistics::Statistics;
use crate::walk::ListedWindow;

/// Bytes that a candidate adds to a message in addition to its key, if it is alone in its group.
const CANDIDATE_OVERHEAD_BYTES: usize = 64;

/// The part of a tally that counts.
pub(crate) struct Settlement {
    pub(crate) counts: ScanCounts,
    /// The first bytes of keys that are too long.
    pub(crate) long_keys: Vec<String>,
    pub(crate) candidates: BTreeMap<u16, Vec<Candidate>>,
    pub(crate) statistics: ScanStatistics,
    /// The names of keys that qualified and stay, and how many more did not fit.
    pub(crate) kept: Vec<KeptGroup>,
    pub(crate) unnamed: u64,
    /// The keys by namespace, if the run asks for them; those of all slots, as in the statistics.
    pub(crate) namespaces: Option<ByteBuf>,
}

/// The tally of one task.
pub(crate) struct Tally {
    slots: Slots,
    seen: SeenKeys,
    /// The slots and first bytes of some keys that are too long.
    long_keys: Vec<(u16, String)>,
    /// Whether a key of an active user was seen.
    seen_active: bool,
    /// Users who are not active, until the first active one is seen.
    users: HashSet<u64>,
    /// The size of all candidates in messages, at most.
    pub(crate) candidate_bytes: usize,
    /// Lookups made, including those in slots that moved.
    pub(crate) lookups: Lookups,
    /// Slots of which a key was redirected: they are being moved.
    pub(crate) moved: SlotSet,
    pub(crate) statistics: Statistics,
    /// Names for the audit trail; `None` if the run has no audit trail.
    kept: Option<KeptKeys>,
    /// Counts keys by namespace; `None` if the run does not ask for it.
    pub(crate) namespaces: Option<NamespaceScan>,
}

impl Tally {
    /// Creates an empty tally with `statistics` to fill.
    pub(crate) fn new(statistics: Statistics) -> Self {
        Self {
            slots: Slots::default(),
            seen: SeenKeys::default(),
            long_keys: Vec::new(),
            seen_active: false,
            users: HashSet::new(),
            candidate_bytes: 0,
            lookups: Lookups::default(),
            moved: SlotSet::new(),
            statistics,
            kept: None,
            namespaces: None,
        }
    }

    /// Collects the names of keys that qualify and stay, if `reads`: the audit trail has a reader.
    pub(crate) fn naming(self, reads: bool) -> Self {
        Self { kept: reads.then(KeptKeys::default), ..self }
    }

    /// Counts keys by namespace with `scan`, too.
    pub(crate) fn by_namespace(self, scan: NamespaceScan) -> Self {
        Self { namespaces: Some(scan), statistics: self.statistics.unmeasured(), ..self }
    }

    /// Counts listed keys and removes those that are not looked up. Keysweep's own keys are not counted; keys listed
    /// twice are dropped if they `may_repeat`.
    pub(crate) fn listed(&mut self, window: &mut ListedWindow, may_repeat: bool, selector: &Classifier<'_>) {
        let Self { slots, seen, .. } = self;
        let mut run = SlotRun::of(window);
        window.keys.retain(|listed| {
            let key = window.answers.key(listed.place);
            if key::is_own(key) || may_repeat && !seen.first_time(key) {
                return false;
            }
            if let Some(run) = run.next(listed.slot) {
                slots.of(run.slot).counts.listed += run.keys;
            }
            run.keys += 1;
            selector.wants(key)
        });
        slots.of(run.slot).counts.listed += run.keys;
    }

    /// How many keys are remembered to detect repeated ones.
    pub(crate) fn remembered(&self) -> usize {
        self.seen.hashes.len()
    }

    /// Counts the lookups of the keys that [`Tally::listed`] left, and collects the candidates.
    pub(crate) fn looked_up(&mut self, window: &ListedWindow, looks: &[Look], selector: &Classifier<'_>) {
        let mut run = SlotRun::of(window);
        for ((slot, key), seen) in window.keys().zip(looks) {
            let verdict = selector.classify(key, seen);
            self.statistics.seen(key, seen.ttl, verdict);
            if let Some(scan) = &mut self.namespaces {
                scan.seen(key, seen.ttl);
            }
            if let Some(run) = run.next(slot) {
                self.slots.of(run.slot).add_normal(run);
            }
            match (verdict, seen.ttl) {
                // Nearly all keys.
                (Classification::Keep(KeepReason::Normal), Ttl::Remaining(ms)) => run.add(ms),
                (Classification::Gone, Ttl::Moved) => self.moved.extend(&std::iter::once(slot).collect()),
                (Classification::Gone, _) => {}
                _ => self.special(slot, key, seen, verdict, selector),
            }
        }
        self.slots.of(run.slot).add_normal(run);
    }

    /// Counts an existing key that qualifies for the action, or stays for a special reason.
    fn special(
        &mut self,
        slot: u16,
        key: &[u8],
        seen: &Look,
        verdict: Classification,
        selector: &Classifier<'_>,
    ) {
        self.count_user(key, verdict, selector);
        let tally = self.slots.of(slot);
        tally.count(verdict, seen.ttl);
        let Classification::Candidate(reason, treatment) = verdict else { return };
        match treatment {
            Treatment::Reap => {
                self.candidate_bytes += key.len() + CANDIDATE_OVERHEAD_BYTES;
                let (key, expires_at_ms) = (Key::new(key), seen.expires_at_ms.unwrap_or_default());
                tally.candidates.push(Candidate { key, reason, expires_at_ms, fingerprint: None });
            }
            Treatment::Protected => self.note_kept(slot, reason, Why::Protected, key),
            Treatment::Reported => self.note_kept(slot, reason, Why::Reported, key),
            Treatment::TooLong if self.long_keys.len() < DETAILS_MAX => {
                self.long_keys.push((slot, Key::new(key).shortened(40)));
            }
            Treatment::TooLong => {}
        }
    }

    fn note_kept(&mut self, slot: u16, reason: Reason, why: Why, key: &[u8]) {
        if let Some(kept) = &mut self.kept {
            kept.add(slot, reason, why, key);
        }
    }

    /// Progress so far, including slots that may turn out to have moved.
    pub(crate) fn so_far(&self) -> ReadSoFar {
        self.slots.tallies.iter().fold(ReadSoFar::default(), |sum, (_, tally)| {
            let ScanCounts { listed, scanned, stale, .. } = tally.counts;
            sum.plus(ReadSoFar { listed, scanned, stale })
        })
    }

    fn count_user(&mut self, key: &[u8], verdict: Classification, selector: &Classifier<'_>) {
        match verdict {
            Classification::Keep(KeepReason::Active) if !self.seen_active => {
                (self.seen_active, self.users) = (true, HashSet::new());
            }
            Classification::Keep(KeepReason::NearExpiry) | Classification::Candidate(Reason::Inactive, _)
                if !self.seen_active && self.users.len() < TASK_USERS_MAX =>
            {
                self.users.extend(selector.user_number(key));
            }
            _ => {}
        }
    }

    /// Withdraws the candidates of inactive users if no active user was seen although the plan's sample makes this
    /// unlikely: ids may be formatted differently on this node.
    pub(crate) fn withhold_inactive(&mut self, selector: &Classifier<'_>) {
        if !self.seen_active && !selector.may_have_no_active(self.users.len() as u64) {
            let held = self.slots.tallies.iter_mut().map(|(_, tally)| tally.hold_back());
            let reported: u64 = held.sum();
            if let Some(kept) = &mut self.kept {
                kept.forget(Reason::Inactive, Why::Reported);
            }
            if reported > 0 {
                self.statistics.forget_reported();
            }
        }
    }

    /// Clears everything except the number of lookups made.
    pub(crate) fn restart(&mut self) {
        self.statistics.restart();
        (self.slots, self.seen, self.candidate_bytes) = (Slots::default(), SeenKeys::default(), 0);
        (self.long_keys, self.moved) = (Vec::new(), SlotSet::new());
        (self.seen_active, self.users) = (false, HashSet::new());
        self.kept = self.kept.as_ref().map(|_| KeptKeys::default());
        if let Some(scan) = &mut self.namespaces {
            scan.restart();
        }
    }

    /// All candidates, in a stable order.
    pub(crate) fn candidates(&mut self) -> impl Iterator<Item = &mut Candidate> {
        self.slots.tallies.iter_mut().flat_map(|(_, tally)| &mut tally.candidates)
    }

    /// Sums up the slots that `keep` accepts.
    pub(crate) fn finish(mut self, keep: impl Fn(u16) -> bool) -> Settlement {
        let (namespaces, refused) = self.namespaces.map(NamespaceScan::finish).unwrap_or_default();
        if let Some(refused) = refused {
            self.statistics.refuse(refused);
        }
        let (mut counts, mut candidates, mut dropped) = (ScanCounts::default(), BTreeMap::new(), 0);
        for (slot, tally) in self.slots.tallies {
            if keep(slot) {
                counts += tally.counts;
                candidates.insert(slot, tally.candidates);
            } else {
                dropped += tally.counts.scanned;
            }
        }
        let long_keys = self.long_keys.into_iter().filter(|(slot, _)| keep(*slot));
        let long_keys = long_keys.map(|(_, key)| key).collect();
        let statistics = self.statistics.finish(dropped);
        let (kept, unnamed) = self.kept.unwrap_or_default().finish(keep);
        Settlement { counts, long_keys, candidates, statistics, kept, unnamed, namespaces }
    }
}

/// Keys already seen, as 128-bit hashes: a sixth of the memory of the keys. With 100,000 keys a task, two different
/// keys collide once in 10^28 tasks. XXH3 does not guarantee that for keys chosen by an adversary; of two colliding
/// keys, one is not counted and stays.
struct SeenKeys {
    /// Indexed by the lower half of each hash: hashing it again would take longer than the rest of the work per key.
    hashes: HashTable<u128>,
    seed: u64,
}

impl Default for SeenKeys {
    fn default() -> Self {
        Self { hashes: HashTable::new(), seed: fastrand::u64(..) }
    }
}

impl SeenKeys {
    fn first_time(&mut self, key: &[u8]) -> bool {
        let hash = xxh3_128_with_seed(key, self.seed);
        #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
        let low = |hash: &u128| *hash as u64;
        match self.hashes.entry(low(&hash), |other| *other == hash, low) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(hash);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use keysweep_inspect::Miner;
    use keysweep_model::limits::KEY_BYTES_MAX;
    use keysweep_model::messages::Rules;
    use keysweep_model::wire;
    use keysweep_redis::WindowReply;

    use super::*;
    use crate::walk::ListedKey;

    /// The keys of a tally by namespace, as its task reports them.
    fn mined(tally: Tally) -> Miner {
        wire::decode(&tally.finish(|_| true).namespaces.unwrap()).unwrap()
    }

    fn rules() -> Rules {
        Rules::deleting(&["a*"], &["ap*"]).unwrap()
    }

    #[test]
    fn counts_by_slot_and_drops_moved_slots() {
        let rules = rules();
        let selector = Classifier::new(&rules, None);
        let mut tally = Tally::new(Statistics::new(0, false, 0));
        let answers = WindowReply::of([(0, vec!["a1", "ap", "keysweep:lock:a", "a2", "b", "a1"])]);
        let places = answers.pages().next().unwrap().keys.to_vec();
        let listed = |(place, slot)| ListedKey { slot, place };
        let keys = places.into_iter().zip([1, 1, 1, 2, 2, 1]).map(listed).collect();
        let mut window = ListedWindow { answers, keys };
        tally.listed(&mut window, true, &selector);
        assert_eq!(window.keys().map(|(slot, _)| slot).collect::<Vec<_>>(), [1, 1, 2]);
        let looks = [Ttl::Persistent, Ttl::Persistent, Ttl::Remaining(500)].map(Look::only);
        tally.looked_up(&window, &looks, &selector);
        let Settlement { counts, candidates, statistics, .. } = tally.finish(|slot| slot == 1);
        let (stale, protected, stale_protected) = (2, 1, 1);
        let expected =
            ScanCounts { listed: 2, scanned: 2, stale, protected, stale_protected, ..ScanCounts::default() };
        assert_eq!(counts, expected);
        assert_eq!(statistics.dropped, 1);
        let expected =
            Candidate { key: Key::new(*b"a1"), reason: Reason::Stale, expires_at_ms: 0, fingerprint: None };
        assert_eq!(candidates.into_iter().collect::<Vec<_>>(), [(1, vec![expected])]);
    }

    #[test]
    fn too_long_keys_are_listed_for_slots_that_count() {
        let rules = rules();
        let selector = Classifier::new(&rules, None);
        let mut tally = Tally::new(Statistics::new(0, false, 0));
        let long = format!("a{}", "x".repeat(KEY_BYTES_MAX));
        for slot in 0..DETAILS_MAX as u16 + 2 {
            let answers = WindowReply::of([(0, vec![long.as_str()])]);
            let place = answers.pages().next().unwrap().keys[0];
            let mut window = ListedWindow { answers, keys: vec![ListedKey { slot, place }] };
            tally.listed(&mut window, false, &selector);
            tally.looked_up(&window, &[Look::only(Ttl::Persistent)], &selector);
        }
        let settled = tally.finish(|slot| slot > 0);
        assert_eq!(
            (settled.counts.too_long, settled.candidates.values().flatten().count()),
            (DETAILS_MAX as u64 + 1, 0)
        );
        assert_eq!(settled.long_keys, vec![Key::new(long).shortened(40); DETAILS_MAX - 1]);
    }

    #[test]
    fn keys_are_counted_by_namespace_if_the_run_asks() {
        let rules = rules();
        let selector = Classifier::new(&rules, None);
        let mut tally = Tally::new(Statistics::new(0, false, 0)).by_namespace(NamespaceScan::new(4, false));
        let answers = WindowReply::of([(0, vec!["a:1", "a:2", "a:3", "a:4"])]);
        let places = answers.pages().next().unwrap().keys.to_vec();
        let keys = places.into_iter().map(|place| ListedKey { slot: 1, place }).collect();
        let mut window = ListedWindow { answers, keys };
        tally.listed(&mut window, true, &selector);
        let looks = [Ttl::Persistent, Ttl::Remaining(500), Ttl::Gone, Ttl::FieldTtls].map(Look::only);
        tally.looked_up(&window, &looks, &selector);
        let found = mined(tally).namespaces(None);
        let rows: Vec<_> =
            found.rows.iter().map(|row| (row.template.as_str(), row.keys, row.no_ttl)).collect();
        assert_eq!(rows, [("a:{id}", 3, 1)]);
    }

    #[test]
    fn restart_clears_all_but_the_lookups() {
        let lookups = Lookups::of(3, 1);
        let fresh = Tally::new(Statistics::new(0, false, 0)).by_namespace(NamespaceScan::new(4, false));
        let mut tally = Tally { lookups, candidate_bytes: 9, ..fresh };
        tally.namespaces.as_mut().unwrap().seen(b"a", Ttl::Persistent);
        tally.long_keys.push((7, "a".to_owned()));
        tally.slots.of(7).counts.listed = 2;
        tally.restart();
        assert_eq!((tally.lookups, tally.candidate_bytes), (lookups, 0));
        assert!(!tally.namespaces.as_ref().unwrap().are_enough(1), "no key waits to be measured");
        assert_eq!(
            mined(Tally { namespaces: tally.namespaces.take(), ..Tally::new(Statistics::new(0, false, 0)) })
                .keys(),
            0
        );
        let settled = tally.finish(|_| true);
        assert_eq!((settled.counts, settled.long_keys), (ScanCounts::default(), Vec::new()));
    }
}
