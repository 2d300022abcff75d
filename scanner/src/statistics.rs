//! What a task sees of its keys beside what it counts: TTLs, prefixes, and the memory of a sample. Pure.

use shared::cluster::Ttl;
use shared::cluster::weigh::Weights;
use shared::key::Key;
use shared::limits::{PREFIX_BYTES_MAX, PREFIX_SAMPLES_MAX, TASK_SAMPLES};
use shared::messages::ScanStatistics;
use shared::printable::{Printable, beginning};
use shared::sketch::{FineCounts, Gather, Heavy};

use crate::select::{Fate, Verdict};

/// The depth to which prefixes are told apart.
const PREFIX_DEPTH: usize = 2;

/// Keys of a task up to which longer prefixes are all gathered.
const DEEP_KEYS_MAX: u64 = 10_000;

/// In larger tasks, one in so many is: to gather all costs as much time as all else that is done with a key.
const DEEP_ONE_IN: u64 = 8;

/// Keys of a larger node's sample whose memory is asked for, about.
const SKIPPED_WEIGHED: u64 = 250;

/// Prefixes of each measure whose examples are kept.
const EXAMPLES_OF: usize = 30;

/// See the module.
pub(crate) struct Statistics {
    found: ScanStatistics,
    /// TTLs in milliseconds.
    ttls: FineCounts,
    /// Keys by prefix, for each depth.
    keys: [Gather; PREFIX_DEPTH],
    /// Those without TTL.
    stale: [Gather; PREFIX_DEPTH],
    /// How many keys a key stands for that is seen now.
    weight: u64,
    /// Of longer prefixes, of which nearly every key has its own, one in so many is gathered.
    deep_one_in: u64,
    /// How many keys are left until the next one.
    deep_left: u64,
    /// One of so many keys is weighed.
    stride: u64,
    /// How many keys are left until the next one.
    left: u64,
    /// The TTL that the application sets, in milliseconds.
    configured_ttl_ms: u64,
    /// Keys to be weighed.
    chosen: Vec<Chosen>,
}

/// A key that is to be weighed.
struct Chosen {
    key: Key,
    /// How many keys it stands for, if all are weighed.
    weight: u64,
    candidate: bool,
    /// How long ago the last fifth of its life began, in milliseconds, if it has.
    late_for_ms: Option<u64>,
}

impl Statistics {
    /// For a task of about `keys` keys.
    pub(crate) fn new(keys: u64, configured_ttl_ms: u64) -> Self {
        let deep_one_in = if keys > DEEP_KEYS_MAX { DEEP_ONE_IN } else { 1 };
        Self::new_with(((keys / TASK_SAMPLES).max(1), deep_one_in), configured_ttl_ms)
    }

    /// For a sample of `keys` keys out of `all`.
    pub(crate) fn of_sample(keys: u64, all: u64, configured_ttl_ms: u64) -> Self {
        let stride = if keys < all { (keys / SKIPPED_WEIGHED).max(1) } else { 1 };
        let mut statistics = Self::new_with((stride, 1), configured_ttl_ms);
        if keys < all {
            // A share of a random sample is within this many parts of all, 19 times out of 20.
            let error = all / keys.isqrt().max(1);
            statistics.found.keys = Heavy::off_by(error);
        }
        statistics
    }

    fn new_with((stride, deep_one_in): (u64, u64), configured_ttl_ms: u64) -> Self {
        Self {
            found: ScanStatistics::default(),
            ttls: FineCounts::default(),
            keys: [Gather::default(), Gather::one_in(deep_one_in)],
            stale: Default::default(),
            weight: 1,
            deep_one_in,
            deep_left: gap(deep_one_in),
            stride,
            left: gap(stride),
            configured_ttl_ms,
            chosen: Vec::new(),
        }
    }

    /// How many keys those stand for that are seen from now on.
    pub(crate) fn stands_for(&mut self, keys: u64) {
        self.weight = keys;
    }

    /// Takes in a key that was looked up.
    pub(crate) fn seen(&mut self, key: &[u8], ttl: Ttl, verdict: Verdict) {
        if matches!(ttl, Ttl::Gone | Ttl::Moved) {
            return;
        }
        if let Ttl::Left(ms) = ttl {
            self.ttls.add(ms, self.weight);
            self.found.add_to_bars(ms, self.weight);
        }
        self.prefixes(key, ttl == Ttl::Unlimited);
        if self.left > 0 {
            self.left -= 1;
            return;
        }
        self.left = gap(self.stride);
        self.chosen.push(Chosen {
            key: Key::new(key),
            weight: self.weight,
            candidate: matches!(verdict, Verdict::Found(_, Fate::Candidate)),
            late_for_ms: self.late_for(ttl),
        });
    }

    fn prefixes(&mut self, key: &[u8], stale: bool) {
        let deep = self.deep_left == 0;
        self.deep_left = if deep { gap(self.deep_one_in) } else { self.deep_left - 1 };
        let depth = if deep || stale { PREFIX_DEPTH } else { 1 };
        // Most keys begin like the one before, whose first prefix ends with the first colon of this one, too.
        if depth == 1 && self.keys[0].add_again(key, self.weight) {
            return;
        }
        for (depth, prefix) in prefixes(key).take(depth).enumerate() {
            if depth == 0 || deep {
                let stand_for = if depth == 0 { 1 } else { self.deep_one_in };
                self.keys[depth].add(prefix, self.weight * stand_for, name);
            }
            if stale {
                self.stale[depth].add(prefix, self.weight, name);
            }
        }
    }

    fn late_for(&self, ttl: Ttl) -> Option<u64> {
        let Ttl::Left(ms) = ttl else { return None };
        // Idle times are whole seconds, so a moment is too short to tell anything.
        (self.configured_ttl_ms / 5).checked_sub(ms).filter(|late| *late > 2_000)
    }

    /// Keys that wait to be weighed.
    pub(crate) fn waiting(&self) -> usize {
        self.chosen.len()
    }

    /// Those keys, at most `count`, each with whether its idle time is wanted.
    pub(crate) fn to_weigh(&self, count: usize) -> Vec<(Key, bool)> {
        self.chosen
            .iter()
            .take(count)
            .map(|chosen| (chosen.key.clone(), chosen.late_for_ms.is_some()))
            .collect()
    }

    /// Takes in what the first of them weigh.
    pub(crate) fn weighed(&mut self, found: &Weights) {
        if let Some(refused) = &found.refused {
            self.found.refused.get_or_insert_with(|| refused.clone());
        }
        let weighed = self.chosen.drain(..found.weights.len().min(self.chosen.len()));
        for (chosen, weight) in weighed.zip(&found.weights) {
            if let (Some(late_ms), Some(idle_s)) = (chosen.late_for_ms, weight.idle_s) {
                self.found.late += 1;
                self.found.late_used += u64::from(idle_s.saturating_mul(1_000) < late_ms);
            }
            let Some(bytes) = weight.bytes else { continue };
            self.found.sampled += 1;
            let bytes = bytes.saturating_mul(chosen.weight * self.stride);
            self.found.bytes += bytes;
            self.found.candidate_bytes += u64::from(chosen.candidate) * bytes;
            for prefix in prefixes(chosen.key.as_bytes()).map(name) {
                self.found.memory.add(&prefix, bytes);
                if chosen.candidate {
                    self.found.candidate_memory.add(&prefix, bytes);
                }
                if self.found.examples.len() < PREFIX_SAMPLES_MAX {
                    self.found.examples.entry(prefix).or_insert_with(|| chosen.key.shortened(60));
                }
            }
        }
    }

    /// Forgets everything, for a task that starts anew.
    pub(crate) fn restart(&mut self) {
        self.found = ScanStatistics::default();
        (self.ttls, self.stale) = Default::default();
        self.keys = [Gather::default(), Gather::one_in(self.deep_one_in)];
        self.chosen.clear();
    }

    /// What is sent on. `dropped` keys do not count after all.
    pub(crate) fn finish(mut self, dropped: u64) -> ScanStatistics {
        let found = &mut self.found;
        found.ttls = self.ttls.finish();
        for (heavy, gathered) in [(&mut found.keys, self.keys), (&mut found.stale, self.stale)] {
            for gather in gathered {
                heavy.merge(&gather.finish(name));
            }
        }
        found.dropped = dropped;
        let measures = [&found.keys, &found.stale, &found.memory, &found.candidate_memory];
        let heavy: std::collections::BTreeSet<String> = measures
            .into_iter()
            .flat_map(|measure| measure.heaviest(EXAMPLES_OF))
            .map(|(name, _)| name)
            .collect();
        found.examples.retain(|prefix, _| heavy.contains(prefix));
        self.found
    }
}

/// How many keys are passed over before the next one: at random, because what an application writes may have a rhythm.
fn gap(stride: u64) -> u64 {
    fastrand::u64(..2 * stride - 1)
}

/// The beginnings of `key` up to its first and its second colon, as far as it has them.
fn prefixes(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = key.iter().enumerate().filter(|(_, b)| **b == b':').map(|(at, _)| at + 1);
    ends.take(PREFIX_DEPTH).map(|end| &key[..end])
}

/// A prefix as text. What a screen does not show is escaped, and one that is too long is cut.
fn name(prefix: &[u8]) -> String {
    let cut = beginning(prefix, PREFIX_BYTES_MAX);
    let plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b'\\';
    if let (true, Ok(text)) = (cut.len() == prefix.len() && cut.iter().all(plain), str::from_utf8(cut)) {
        return text.to_owned();
    }
    let more = if cut.len() < prefix.len() { "…" } else { "" };
    format!("{}{more}", Printable(cut))
}

#[cfg(test)]
mod tests {
    use shared::cluster::weigh::Weight;
    use shared::messages::Reason;

    use super::*;
    use crate::select::Stays;

    #[test]
    fn prefixes_end_with_the_first_two_colons() {
        let check = |key: &[u8], expected: &[&str]| {
            let found: Vec<String> = prefixes(key).map(name).collect();
            assert_eq!(found, expected);
        };
        check(b"", &[]);
        check(b"plain", &[]);
        check(b"a:1", &["a:"]);
        check(b"a:b:c:d", &["a:", "a:b:"]);
        check(b"::x", &[":", "::"]);
        check(b"\xff\n:1", &["\\xff\\n:"]);
        check("сессия:1".as_bytes(), &["сессия:"]);
        let long = [vec![b'x'; 500], b":1".to_vec()].concat();
        let found: Vec<String> = prefixes(&long).map(name).collect();
        assert_eq!(found, [format!("{}…", "x".repeat(PREFIX_BYTES_MAX))]);
    }

    #[test]
    fn a_sample_stands_for_all_keys() {
        // Two of a hundred samples are farther off than the bounds here.
        fastrand::seed(7);
        let mut statistics = Statistics::new(10 * TASK_SAMPLES, 900_000);
        for n in 0..10 * TASK_SAMPLES {
            let ttl = if n % 4 == 0 { Ttl::Unlimited } else { Ttl::Left(60_000) };
            let stale = Verdict::Found(Reason::Stale, Fate::Candidate);
            let verdict = if n % 4 == 0 { stale } else { Verdict::Stays(Stays::Normal) };
            statistics.seen(format!("a:{n}").as_bytes(), ttl, verdict);
        }
        let near = |n: u64, right: u64| (right * 4 / 5..=right * 6 / 5).contains(&n);
        assert!(near(statistics.waiting() as u64, TASK_SAMPLES));
        // In the last fifth of 900 s for 120 s: used 10 s ago, which is within it.
        let weights: Vec<Weight> = statistics
            .to_weigh(usize::MAX)
            .iter()
            .map(|(_, idle)| Weight { bytes: Some(100), idle_s: idle.then_some(10) })
            .collect();
        statistics.weighed(&Weights { weights, ..Weights::default() });
        let found = statistics.finish(3);
        assert!(near(found.memory.total(), 100 * 10 * TASK_SAMPLES), "{}", found.memory.total());
        assert!(near(found.candidate_memory.total(), 25 * 10 * TASK_SAMPLES));
        assert!(near(found.late, TASK_SAMPLES * 3 / 4));
        assert_eq!(found.late, found.late_used);
        assert_eq!((found.keys.total(), found.dropped), (10 * TASK_SAMPLES, 3));
        assert_eq!(found.ttls.count(), 10 * TASK_SAMPLES * 3 / 4);
        assert_eq!(found.examples.keys().collect::<Vec<_>>(), ["a:"]);
    }
}
