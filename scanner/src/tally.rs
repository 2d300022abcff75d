//! What a task has counted and selected so far, by slot: the counts and candidates of a slot that turns out to have
//! moved are dropped. Pure.

mod by_rule;

use std::collections::{BTreeMap, HashSet};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use keysweep_model::key::{self, Key};
use keysweep_model::limits::DETAILS_MAX;
use keysweep_model::messages::{
    ExamplesByRule, Lookups, Reason, RuleCounts, RuleExamples, ScanCounts, ScanStatistics,
};
use keysweep_model::slot::SlotSet;
use keysweep_redis::{KeyState as Look, Ttl};
use keysweep_storage::audit::{KeptGroup, Why};
use keysweep_storage::task_notes::ReadSoFar;
use serde_bytes::ByteBuf;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::classify::{Classification, Classifier, KeepReason, Treatment};
use crate::kept_keys::{KeptGroupKey, KeptKeys};
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
    /// What was found of each rule.
    pub(crate) rules: Vec<RuleCounts>,
    /// Some keys that break rules; those of all slots, as in the statistics.
    pub(crate) rule_examples: Vec<RuleExamples>,
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
    /// The rule of each key that was listed and is not looked up yet; empty without rules.
    rules_of: Vec<u16>,
    /// Some keys that break rules.
    examples: ExamplesByRule,
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
            rules_of: Vec::new(),
            examples: ExamplesByRule::default(),
        }
    }

    /// Collects the names of keys that qualify and stay, if `reads`: the audit trail has a reader.
    pub(crate) fn naming(self, reads: bool) -> Self {
        Self { kept: reads.then(KeptKeys::default), ..self }
    }

    /// Collects so many names of keys that break a rule, of each rule and reason.
    pub(crate) fn with_examples(self, wanted: u8) -> Self {
        Self { examples: ExamplesByRule::wanting(wanted), ..self }
    }

    /// Counts keys by namespace with `scan`, too.
    pub(crate) fn by_namespace(self, scan: NamespaceScan) -> Self {
        Self { namespaces: Some(scan), statistics: self.statistics.unmeasured(), ..self }
    }

    /// Counts listed keys and removes those that are not looked up. Keysweep's own keys are not counted; keys listed
    /// twice are dropped if they `may_repeat`.
    pub(crate) fn listed(&mut self, window: &mut ListedWindow, may_repeat: bool, selector: &Classifier<'_>) {
        if selector.rule_set.is_some() {
            return self.listed_by_rule(window, may_repeat, selector);
        }
        self.list(window, may_repeat, |key| selector.wants(key));
    }

    /// The same; removes keys that are not `wanted`, of which each is asked once, in their order.
    fn list(&mut self, window: &mut ListedWindow, may_repeat: bool, mut wanted: impl FnMut(&[u8]) -> bool) {
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
            wanted(key)
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
        self.slots.of(slot).count(verdict, seen.ttl);
        if let Classification::Candidate(reason, treatment) = verdict {
            self.qualified(slot, key, seen, (reason, treatment), None);
        }
    }

    /// Collects a key that qualifies, by `rule` or by the short form of one.
    fn qualified(
        &mut self,
        slot: u16,
        key: &[u8],
        seen: &Look,
        (reason, treatment): (Reason, Treatment),
        rule: Option<u16>,
    ) {
        match treatment {
            Treatment::Reap => {
                self.candidate_bytes += key.len() + CANDIDATE_OVERHEAD_BYTES;
                let (key, expires_at_ms) = (Key::new(key), seen.expires_at_ms.unwrap_or_default());
                let fingerprint = None;
                let candidate = Candidate { key, reason, rule, expires_at_ms, fingerprint };
                self.slots.of(slot).candidates.push(candidate);
            }
            Treatment::Protected => {
                self.note_kept(KeptGroupKey { slot, reason, why: Why::Protected, rule }, key);
            }
            Treatment::Reported => {
                self.note_kept(KeptGroupKey { slot, reason, why: Why::Reported, rule }, key);
            }
            Treatment::TooLong if self.long_keys.len() < DETAILS_MAX => {
                self.long_keys.push((slot, Key::new(key).shortened(40)));
            }
            Treatment::TooLong => {}
        }
    }

    fn note_kept(&mut self, group: KeptGroupKey, key: &[u8]) {
        if let Some(kept) = &mut self.kept {
            kept.add(group, key);
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
        if self.seen_active || selector.may_have_no_active(self.users.len() as u64) {
            return;
        }
        let reported = match selector.rule_set {
            Some(_) => self.withhold_by_rule(selector),
            None => self.withhold_short(),
        };
        if reported > 0 {
            self.statistics.forget_reported();
        }
    }

    /// The same without rules. Returns how many of them were only reported.
    fn withhold_short(&mut self) -> u64 {
        let held = self.slots.tallies.iter_mut().map(|(_, tally)| tally.hold_back());
        let reported = held.sum();
        if let Some(kept) = &mut self.kept {
            kept.forget(Reason::Inactive, Why::Reported);
        }
        reported
    }

    /// Clears everything except the number of lookups made.
    pub(crate) fn restart(&mut self) {
        self.statistics.restart();
        (self.slots, self.seen, self.candidate_bytes) = (Slots::default(), SeenKeys::default(), 0);
        (self.long_keys, self.moved) = (Vec::new(), SlotSet::new());
        (self.seen_active, self.users) = (false, HashSet::new());
        self.kept = self.kept.as_ref().map(|_| KeptKeys::default());
        self.rules_of.clear();
        self.examples = self.examples.fresh();
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
        let mut rules = BTreeMap::new();
        for (slot, tally) in self.slots.tallies {
            if keep(slot) {
                counts += tally.counts;
                by_rule::sum(&mut rules, &tally.rules);
                candidates.insert(slot, tally.candidates);
            } else {
                dropped += tally.counts.scanned;
            }
        }
        let long_keys = self.long_keys.into_iter().filter(|(slot, _)| keep(*slot));
        let long_keys = long_keys.map(|(_, key)| key).collect();
        let statistics = self.statistics.finish(dropped);
        let (kept, unnamed) = self.kept.unwrap_or_default().finish(keep);
        Settlement {
            counts,
            long_keys,
            candidates,
            statistics,
            kept,
            unnamed,
            namespaces,
            rules: rules.into_values().collect(),
            rule_examples: self.examples.finish(),
        }
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
mod tests;
