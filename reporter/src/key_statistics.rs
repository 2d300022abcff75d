//! Statistics of a run's keys in addition to counts: TTLs, prefixes, growth. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use keysweep_model::limits::{MEMORY_SAMPLES_MIN, PREFIX_DEEP_ONE_IN};
use keysweep_model::memory::{ByteEstimate, PrefixMemory};
use keysweep_model::messages::{ScanCounts, ScanStatistics, TTL_BARS_MS};
use keysweep_model::metrics::{Growth, Heaviest, PrefixRow, Prefixes, TtlBucket, TtlDistribution};
use keysweep_model::prefix;
use keysweep_model::result::Skipped;
use keysweep_model::selection::Selection;
use keysweep_model::sketch::HeavyHitters;
use keysweep_storage::history::RunLine;

use crate::hit_rate::percent;

/// Rows per list of prefixes.
const ROWS_MAX: usize = 20;

/// The least number of late keys for a statement about them.
const LATE_MIN: u64 = 20;

/// The distribution of the matching keys' remaining TTLs.
#[must_use]
pub fn ttl(statistics: &ScanStatistics) -> TtlDistribution {
    let seconds = |q| statistics.ttls.quantile(q).map(|ms| ms / 1_000.0);
    let ends = TTL_BARS_MS.iter().map(|ms| Some(*ms));
    let bars = ends.chain([None]).zip(statistics.ttl_bars);
    let mut above = 0.0;
    let histogram = bars.map(|(end, keys)| {
        #[expect(clippy::cast_precision_loss, reason = "the ends are small whole numbers")]
        let up_to = end.map(|ms| ms as f64 / 1_000.0);
        let bar = TtlBucket { above, up_to, keys };
        above = up_to.unwrap_or(above);
        bar
    });
    TtlDistribution {
        keys: statistics.ttls.count(),
        p50: seconds(0.5),
        p90: seconds(0.9),
        p99: seconds(0.99),
        histogram: histogram.collect(),
        read_late_percent: percent(statistics.late_used, statistics.late)
            .filter(|_| statistics.late >= LATE_MIN),
    }
}

/// The statistics of skipped keys.
#[must_use]
pub fn skipped(counts: &ScanCounts) -> Skipped {
    if counts.skipped == 0 {
        return Skipped::default();
    }
    // As for any share of a random sample: 1.96 times the root of 0.25 / n.
    #[expect(clippy::cast_precision_loss, reason = "an error needs no more than 52 bits")]
    let error = (counts.sampled > 0).then(|| 98.0 / (counts.sampled as f64).sqrt());
    let why = "every key of their nodes has a TTL: `keys` equals `expires` (INFO keyspace)";
    Skipped {
        matching_keys: counts.skipped_matching,
        sampled_keys: counts.sampled,
        sample_error_percent: error.map(|error| (error * 10.0).round() / 10.0),
        reason: Some(why.to_owned()),
    }
}

/// The heaviest prefixes, from the statistics and counts of a run that freed `freed`. `ceiling` is an upper bound of
/// all keys' memory, if known.
#[must_use]
pub fn prefixes(
    statistics: &ScanStatistics,
    counts: &ScanCounts,
    freed: &PrefixMemory,
    ceiling: Option<u64>,
) -> Prefixes {
    let heaviest = |memory, ceiling| by_memory(statistics, memory, ceiling);
    Prefixes {
        by_keys: by_keys(statistics, &statistics.keys, counts.matching(), counts.sampled > 0),
        by_stale: stale_prefixes(statistics, counts),
        by_memory: heaviest(&statistics.memory_by_prefix, ceiling),
        by_freed: heaviest(freed, None),
        dropped_keys: statistics.dropped,
        sampled_keys: statistics.memory_by_prefix.samples(),
        problem: statistics.refused.clone(),
    }
}

/// The heaviest prefixes of keys without TTL.
#[must_use]
pub(crate) fn stale_prefixes(statistics: &ScanStatistics, counts: &ScanCounts) -> Heaviest {
    by_keys(statistics, &statistics.stale, counts.stale, false)
}

/// The memory that a run freed, or would free if it only reports; `None` if unknown.
#[must_use]
pub fn freed_bytes(freed: &PrefixMemory) -> Option<ByteEstimate> {
    let memory = freed.all(None);
    (memory.samples > 0 || memory.high.is_some()).then_some(memory)
}

fn by_memory(statistics: &ScanStatistics, memory: &PrefixMemory, ceiling: Option<u64>) -> Heaviest {
    let all = memory.all(ceiling);
    let row = |(prefix, row): (String, ByteEstimate)| PrefixRow {
        sample_key: statistics.examples.get(&prefix).cloned(),
        prefix,
        weight: row.estimate,
        low: row.low,
        high: row.high,
        samples: row.samples,
    };
    let rows = memory.rows(ceiling).into_iter().take(ROWS_MAX).map(row).collect();
    Heaviest { rows, total: all.estimate, low: all.low, high: all.high, error_max: None }
}

/// The most frequent prefixes. Those within the error bound are omitted as not significant. The first prefix of a key
/// is always counted, but prefixes of skipped keys are estimated from `sampled` ones.
fn by_keys(statistics: &ScanStatistics, heavy: &HeavyHitters, total: u64, sampled: bool) -> Heaviest {
    let (error_max, spread) = (heavy.error_max(), heavy.spread());
    let mut groups: BTreeMap<String, PrefixRow> = BTreeMap::new();
    let mut rows = Vec::new();
    // Groups come before their parts, whose figures they bound.
    let mut heaviest = heavy.heaviest(usize::MAX);
    heaviest.sort_by_key(|(prefix, _)| is_part(prefix));
    for (prefix, weight) in heaviest {
        let part = is_part(&prefix);
        let off = if part || sampled { spread } else { 0 };
        let high = weight.saturating_add(error_max - (spread - off)).min(total);
        let keys = if part && spread > 0 { weight / PREFIX_DEEP_ONE_IN } else { weight };
        let mut row = PrefixRow {
            sample_key: statistics.examples.get(&prefix).cloned(),
            weight: weight.min(total),
            low: weight.saturating_sub(off),
            high: Some(high),
            samples: keys,
            prefix,
        };
        if let Some(group) = prefix::group(&row.prefix).and_then(|group| groups.get(group)) {
            row.weight = row.weight.min(group.weight);
            row.low = row.low.min(group.low);
            row.high = row.high.min(group.high);
        } else if !part {
            groups.insert(row.prefix.clone(), row.clone());
        }
        if weight > error_max && row.samples >= MEMORY_SAMPLES_MIN {
            rows.push(row);
        }
    }
    rows.sort_by_key(|row| (Reverse(row.weight), row.prefix.clone()));
    rows.truncate(ROWS_MAX);
    Heaviest { rows, total, low: total, high: Some(total), error_max: Some(error_max) }
}

fn is_part(prefix: &str) -> bool {
    prefix::group(prefix).is_some()
}

/// A number of keys with its error.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The number.
    pub keys: u64,
    /// The possible error; 0 if the number is exact.
    pub error: u64,
}

impl About {
    /// The number of keys left at the end of a run, if it is known.
    #[must_use]
    pub fn left(line: &RunLine) -> Option<Self> {
        Some(Self { keys: line.total_keys?, error: line.total_keys_error? })
    }

    fn min(self) -> u64 {
        self.keys.saturating_sub(self.error)
    }

    fn max(self) -> u64 {
        self.keys.saturating_add(self.error)
    }
}

/// The change between two numbers, in percent.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// The change of the numbers as reported; `None` if the first is 0.
    pub percent: Option<f64>,
    /// The lower bound; `None` if the first number may be 0.
    pub min: Option<f64>,
    /// The upper bound.
    pub max: Option<f64>,
}

/// The change from `before` to `now`.
#[must_use]
pub fn change(before: About, now: About) -> Change {
    #[expect(clippy::cast_precision_loss, reason = "a percentage needs no more than 52 bits")]
    let of =
        |before: u64, now: u64| (before > 0).then(|| (now as f64 - before as f64) * 100.0 / before as f64);
    Change {
        percent: of(before.keys, now.keys),
        min: of(before.max(), now.min()),
        max: of(before.min(), now.max()),
    }
}

/// The growth of the matching keys since the last of `runs` (the oldest first) with the same `selection` and a known
/// number; `None` if the error of that number is unknown.
#[must_use]
pub fn growth(runs: &[RunLine], selection: &Selection, now: About) -> Option<Growth> {
    let line = runs.iter().rev().find(|line| line.left_of(selection).is_some())?;
    let before = About::left(line)?;
    let Change { percent, min, max } = change(before, now);
    Some(Growth {
        run_id: line.run_id,
        since: line.finished_at.clone().unwrap_or_default(),
        keys_before: before.keys,
        keys_now: now.keys,
        percent,
        percent_min: min,
        percent_max: max,
    })
}
