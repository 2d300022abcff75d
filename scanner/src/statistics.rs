//! The statistics that a task collects in addition to counts: TTLs, prefixes, and the memory of a sample. Pure.

use std::collections::BTreeSet;

use keysweep_model::key::Key;
use keysweep_model::limits::{
    MEASURED_OF_PREFIX, MEASURED_ONE_IN, MEASURED_OUTRIGHT, MEASURED_WHOLE_KEYS, MEMORY_ROWS_OF_TASK,
    PREFIX_DEEP_ONE_IN, PREFIX_SAMPLES_MAX,
};
use keysweep_model::memory::{GroupCounts, PrefixMemory, SampleKind, SampleRate, Sampler, StratifiedSample};
use keysweep_model::messages::ScanStatistics;
use keysweep_model::prefix::{first, name, prefixes};
use keysweep_model::sketch::{HeavyHitters, HeavyHittersCounter, LogHistogram};
use keysweep_redis::Ttl;
use keysweep_redis::memory_usage::{KeyMemories as Found, KeyQuery};

use crate::classify::{Classification, KeepReason, Treatment};
use crate::limits::LATE_SAMPLES;
use crate::memory_sampling::MeasureQueue;

/// The largest depth of prefixes.
const PREFIX_DEPTH: usize = keysweep_model::prefix::DEPTH;

/// Up to this many keys per task, all longer prefixes are counted.
const DEEP_KEYS_MAX: u64 = 10_000;

/// About how many keys of a larger node's sample are measured.
const SKIPPED_WEIGHED: u64 = 250;

/// How many prefixes per measure keep an example.
const EXAMPLES_OF: usize = 30;

/// The statistics of one task.
pub(crate) struct Statistics {
    found: ScanStatistics,
    /// TTLs in milliseconds.
    ttls: LogHistogram,
    /// Keys by prefix, for each depth.
    keys: [HeavyHittersCounter; PREFIX_DEPTH],
    /// Keys without TTL, by prefix.
    stale: [HeavyHittersCounter; PREFIX_DEPTH],
    /// The first prefix of the last key; empty if it has none.
    last: Vec<u8>,
    /// How many keys the next key represents.
    weight: u64,
    /// Nearly every key has longer prefixes of its own, so only one key in this many contributes them.
    deep_one_in: u64,
    /// How many keys are passed over before the next such key.
    deep_left: u64,
    choice: MeasureMode,
    /// How many more keys with the same first prefix add nothing but that and their TTL: they are neither measured nor
    /// do they contribute longer prefixes.
    plain_left: u64,
    /// How many such keys were seen, and are not counted yet.
    plain: u64,
    /// Memory of all measured keys, and of those that are only reported.
    measured: [StratifiedSample; 2],
    /// Reported keys that were not measured unconditionally.
    reported: GroupCounts,
    /// Whether `reported` is complete: none of those keys was dropped later.
    reported_known: bool,
    /// The TTL that the application sets, in milliseconds; 0 if unknown, so that no key counts as late.
    configured_ttl_ms: u64,
    /// How many more keys may have their idle time queried.
    late_left: u64,
    /// Keys that wait to be measured.
    chosen: MeasureQueue<MeasuredKey>,
}

/// Which keys are measured.
enum MeasureMode {
    /// Keys of a complete scan, as the sampler decides.
    Of(Sampler),
    /// One key in `stride` of a sample; `left` keys are passed over before the next one. Each represents `for_keys`
    /// keys.
    OfSample { stride: u64, left: u64, for_keys: f64 },
    /// No key, because the server denies `MEMORY USAGE`, or keys are measured by namespace.
    None,
}

/// What is known of a key that waits to be measured.
struct MeasuredKey {
    take: SampleKind,
    /// The hash of the group (first prefix) that the key was taken from.
    group: u64,
    reported: bool,
    /// How long the key has been in the last fifth of its TTL, in milliseconds; `None` if it is not.
    late_for_ms: Option<u64>,
}

impl Statistics {
    /// For a task of about `keys` keys. With `whole`, the run measures all of them.
    pub(crate) fn new(keys: u64, whole: bool, configured_ttl_ms: u64) -> Self {
        let deep_one_in = if keys > DEEP_KEYS_MAX { PREFIX_DEEP_ONE_IN } else { 1 };
        let (outright, per_group) = match whole {
            true => (MEASURED_WHOLE_KEYS, u64::MAX),
            false => (MEASURED_OUTRIGHT.max(keys / MEASURED_ONE_IN), MEASURED_OF_PREFIX),
        };
        let rate = SampleRate { outright, per_group, one_in: MEASURED_ONE_IN };
        Self::new_with(MeasureMode::Of(Sampler::new(rate)), deep_one_in, configured_ttl_ms)
    }

    /// For a sample of `keys` out of `all` keys.
    pub(crate) fn of_sample(keys: u64, all: u64, configured_ttl_ms: u64) -> Self {
        if keys >= all {
            return Self::new(keys, true, configured_ttl_ms);
        }
        let stride = (keys / SKIPPED_WEIGHED).max(1);
        #[expect(clippy::cast_precision_loss, reason = "an estimate needs no more than 52 bits")]
        let for_keys = all as f64 * stride as f64 / keys.max(1) as f64;
        let choice = MeasureMode::OfSample { stride, left: gap(stride), for_keys };
        let mut statistics = Self::new_with(choice, 1, configured_ttl_ms);
        // A share of a random sample is off by at most this fraction, 19 times out of 20.
        statistics.found.keys = HeavyHitters::off_by(all / keys.isqrt().max(1));
        statistics
    }

    fn new_with(choice: MeasureMode, deep_one_in: u64, configured_ttl_ms: u64) -> Self {
        Self {
            found: ScanStatistics::default(),
            ttls: LogHistogram::default(),
            keys: [HeavyHittersCounter::default(), HeavyHittersCounter::one_in(deep_one_in)],
            stale: Default::default(),
            last: Vec::new(),
            weight: 1,
            deep_one_in,
            deep_left: gap(deep_one_in),
            choice,
            plain_left: 0,
            plain: 0,
            measured: Default::default(),
            reported: GroupCounts::default(),
            reported_known: true,
            configured_ttl_ms,
            late_left: LATE_SAMPLES,
            chosen: MeasureQueue::default(),
        }
    }

    /// The same without measuring any key: another part of the task does.
    pub(crate) fn unmeasured(self) -> Self {
        Self { choice: MeasureMode::None, ..self }
    }

    /// Sets how many keys each key seen from now on represents.
    pub(crate) fn set_weight(&mut self, keys: u64) {
        self.count_plain();
        self.weight = keys;
    }

    /// Adds a key that was looked up.
    #[inline]
    pub(crate) fn seen(&mut self, key: &[u8], ttl: Ttl, verdict: Classification) {
        if let Ttl::Remaining(ms) = ttl {
            self.ttls.add(ms, self.weight);
            self.found.add_to_bars(ms, self.weight);
        }
        // Most keys share the first prefix with the previous key: it ends at the first colon of this key, too.
        let again = !self.last.is_empty() && key.starts_with(&self.last);
        if again && self.plain_left > 0 && verdict == Classification::Keep(KeepReason::Normal) {
            self.plain_left -= 1;
            self.plain += 1;
        } else if verdict != Classification::Gone {
            self.seen_special(key, ttl, verdict, again);
        }
    }

    /// Adds the prefixes and the memory of `key`. If `again`, its first prefix is the previous key's.
    fn seen_special(&mut self, key: &[u8], ttl: Ttl, verdict: Classification, again: bool) {
        self.count_plain();
        if !again {
            self.last.clear();
            self.last.extend_from_slice(first(key));
        }
        self.prefixes(key, again, ttl == Ttl::Persistent);
        let (take, group) = self.choice.take(&self.last, again);
        self.plain_left = self.deep_left.min(self.choice.passes());
        let reported = matches!(verdict, Classification::Candidate(_, Treatment::Reported));
        if reported && take != Some(SampleKind::Outright) {
            self.reported.count(group);
        }
        let Some(take) = take else { return };
        let late_for_ms = self.late_for(ttl).filter(|_| self.late_left > 0);
        self.late_left -= u64::from(late_for_ms.is_some());
        let query = KeyQuery { idle: late_for_ms.is_some(), ..KeyQuery::memory(Key::new(key)) };
        self.chosen.push(query, MeasuredKey { take, group, reported, late_for_ms });
    }

    /// Counts the plain keys seen so far. They have the last first prefix.
    fn count_plain(&mut self) {
        let keys = std::mem::take(&mut self.plain);
        self.deep_left -= keys;
        self.choice.pass(keys);
        self.keys[0].add_again(keys, keys * self.weight);
        self.plain_left = 0;
    }

    /// Counts the prefixes of `key`. If `again`, its first prefix is the previous key's.
    fn prefixes(&mut self, key: &[u8], again: bool, stale: bool) {
        let deep = self.deep_left == 0;
        self.deep_left = if deep { gap(self.deep_one_in) } else { self.deep_left - 1 };
        let depth = if deep || stale { PREFIX_DEPTH } else { 1 };
        if depth == 1 && again {
            return self.keys[0].add_again(1, self.weight);
        }
        for (depth, prefix) in prefixes(key).take(depth).enumerate() {
            if depth == 0 || deep {
                let represents = if depth == 0 { 1 } else { self.deep_one_in };
                self.keys[depth].add(prefix, self.weight * represents, name);
            }
            if stale {
                self.stale[depth].add(prefix, self.weight, name);
            }
        }
    }

    fn late_for(&self, ttl: Ttl) -> Option<u64> {
        let Ttl::Remaining(ms) = ttl else { return None };
        // Idle times are whole seconds, so a shorter time is not significant.
        (self.configured_ttl_ms / 5).checked_sub(ms).filter(|late| *late > 2_000)
    }

    /// How many keys wait to be measured.
    pub(crate) fn waiting(&self) -> usize {
        self.chosen.len()
    }

    /// Whether enough keys wait to be measured, by their number or by the size of their names.
    pub(crate) fn are_enough(&self, keys: usize) -> bool {
        self.chosen.are_enough(keys)
    }

    /// The next keys to measure, limited by `count` and by the size of their names, each with whether its idle time is
    /// queried.
    pub(crate) fn next_to_measure(&self, count: usize) -> Vec<KeyQuery> {
        self.chosen.first(count)
    }

    /// Adds the results for the first of the waiting keys.
    pub(crate) fn measured(&mut self, found: &Found) {
        let measured_keys = self.chosen.take(found.memories.len());
        for ((KeyQuery { key, .. }, chosen), weight) in measured_keys.into_iter().zip(&found.memories) {
            if let (Some(late_ms), Some(idle_s)) = (chosen.late_for_ms, weight.idle_s) {
                self.found.late += 1;
                self.found.late_used += u64::from(idle_s.saturating_mul(1_000) < late_ms);
            }
            let Some(bytes) = weight.bytes else { continue };
            let names: Vec<String> = prefixes(key.as_bytes()).map(name).collect();
            for strata in self.measured.iter_mut().take(1 + usize::from(chosen.reported)) {
                strata.add_named(&names, chosen.group, chosen.take, bytes);
            }
            for prefix in names {
                if self.found.examples.len() < PREFIX_SAMPLES_MAX {
                    self.found.examples.entry(prefix).or_insert_with(|| key.shortened(60));
                }
            }
        }
        if let Some(refused) = &found.refused {
            self.count_plain();
            self.refuse(refused.clone());
            self.choice = MeasureMode::None;
            self.chosen = MeasureQueue::default();
        }
    }

    /// Records why memory usage could not be queried.
    pub(crate) fn refuse(&mut self, why: String) {
        self.found.refused.get_or_insert(why);
    }

    /// Some reported keys were withdrawn, so the memory of the remaining ones is unknown.
    pub(crate) fn forget_reported(&mut self) {
        self.reported_known = false;
    }

    /// Clears everything, for a task that restarts.
    pub(crate) fn restart(&mut self) {
        let choice = match &self.choice {
            MeasureMode::Of(sampler) => MeasureMode::Of(sampler.fresh()),
            MeasureMode::OfSample { stride, for_keys, .. } => {
                MeasureMode::OfSample { stride: *stride, left: gap(*stride), for_keys: *for_keys }
            }
            MeasureMode::None => MeasureMode::None,
        };
        let refused = self.found.refused.take();
        *self = Self::new_with(choice, self.deep_one_in, self.configured_ttl_ms);
        self.found.refused = refused;
    }

    /// The statistics for the report. `dropped` counted keys do not count after all.
    pub(crate) fn finish(mut self, dropped: u64) -> ScanStatistics {
        self.count_plain();
        let found = &mut self.found;
        found.ttls = self.ttls.finish();
        for (heavy, gathered) in [(&mut found.keys, self.keys), (&mut found.stale, self.stale)] {
            for gather in gathered {
                heavy.merge(&gather.finish(name));
            }
        }
        found.dropped = dropped;
        let [all, reported] = self.measured;
        (found.memory_by_prefix, found.reported) = self.choice.memory(all, reported, &self.reported);
        if !self.reported_known {
            found.reported = PrefixMemory::unknown();
        }
        let heavy = [&found.keys, &found.stale].into_iter().flat_map(|heavy| heavy.heaviest(EXAMPLES_OF));
        let heavy = heavy.map(|(name, _)| name);
        let memories = [&found.memory_by_prefix, &found.reported].into_iter();
        let memories = memories.flat_map(|memory| memory.rows(None).into_iter().take(EXAMPLES_OF));
        let heavy: BTreeSet<String> = heavy.chain(memories.map(|(name, _)| name)).collect();
        found.examples.retain(|prefix, _| heavy.contains(prefix));
        self.found
    }
}

impl MeasureMode {
    /// Whether to measure a key of `group`, and the group's hash. If `again`, the group is the previous key's.
    fn take(&mut self, group: &[u8], again: bool) -> (Option<SampleKind>, u64) {
        match self {
            Self::Of(sampler) => {
                let take = if again { sampler.take_again() } else { sampler.take(group) };
                (take, sampler.last_hash())
            }
            Self::OfSample { stride, left, .. } => {
                let now = *left == 0;
                *left = if now { gap(*stride) } else { *left - 1 };
                (now.then_some(SampleKind::Drawn), 0)
            }
            Self::None => (None, 0),
        }
    }

    /// How many further keys of the last group are not measured.
    fn passes(&self) -> u64 {
        match self {
            Self::Of(sampler) => sampler.passes(),
            Self::OfSample { left, .. } => *left,
            Self::None => u64::MAX,
        }
    }

    /// Passes over `keys` keys of the last group, no more than [`MeasureMode::passes`].
    fn pass(&mut self, keys: u64) {
        match self {
            Self::Of(sampler) => sampler.pass(keys),
            Self::OfSample { left, .. } => *left -= keys,
            Self::None => {}
        }
    }

    /// The memory of `all` keys and of those that are only `reported`; `counts` has the reported keys that were not
    /// measured unconditionally.
    fn memory(
        &self,
        all: StratifiedSample,
        reported: StratifiedSample,
        counts: &GroupCounts,
    ) -> (PrefixMemory, PrefixMemory) {
        match self {
            Self::Of(sampler) => {
                #[expect(clippy::cast_precision_loss, reason = "a small number")]
                let one_in = sampler.one_in() as f64;
                let reported = reported.finish(counts, one_in, MEMORY_ROWS_OF_TASK);
                (sampler.finish(all, MEMORY_ROWS_OF_TASK), reported)
            }
            Self::OfSample { for_keys, .. } => {
                let finish = |strata: StratifiedSample| {
                    strata.finish(&GroupCounts::none(), *for_keys, MEMORY_ROWS_OF_TASK)
                };
                (finish(all), finish(reported))
            }
            Self::None => (PrefixMemory::unknown(), PrefixMemory::unknown()),
        }
    }
}

/// How many keys to pass over before the next one. Random, because applications may write keys in a regular pattern.
fn gap(stride: u64) -> u64 {
    fastrand::u64(..2 * stride - 1)
}

#[cfg(test)]
mod tests;
