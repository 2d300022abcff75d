//! What a run learned of the keys beside what it counted: TTLs, prefixes, growth. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use shared::history::RunLine;
use shared::limits::{MEMORY_SAMPLES_MIN, PREFIX_DEEP_ONE_IN};
use shared::memory::{ByteEstimate, PrefixMemory};
use shared::messages::{ScanCounts, ScanStatistics, TTL_BARS_MS};
use shared::metrics::{Growth, Heaviest, PrefixRow, Prefixes, TtlBucket, TtlDistribution};
use shared::prefix;
use shared::result::Skipped;
use shared::selection::Selection;
use shared::sketch::HeavyHitters;

use crate::hit_rate::percent;

/// Rows of each list of prefixes.
const ROWS_MAX: usize = 20;

/// Keys near the end of their lives that have to be looked at before anything is said of them.
const LATE_MIN: u64 = 20;

/// How long matching keys live on.
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

/// What is known of keys that needed no look.
#[must_use]
pub fn skipped(counts: &ScanCounts) -> Skipped {
    if counts.skipped == 0 {
        return Skipped::default();
    }
    // As for any share of a random sample: 1.96 times the root of 0.25 / n.
    #[expect(clippy::cast_precision_loss, reason = "an error needs no more than 52 bits")]
    let error = (counts.sampled > 0).then(|| 98.0 / (counts.sampled as f64).sqrt());
    let why = "no key of their nodes is without TTL: as many keys as keys that expire (INFO keyspace)";
    Skipped {
        matching_keys: counts.skipped_matching,
        sampled_keys: counts.sampled,
        sample_error_percent: error.map(|error| (error * 10.0).round() / 10.0),
        why: Some(why.to_owned()),
    }
}

/// Where the keys are, by the statistics and the counts of a run that `freed` so much memory. All keys take no more than
/// `ceiling` bytes, if that is known.
#[must_use]
pub fn prefixes(
    statistics: &ScanStatistics,
    counts: &ScanCounts,
    freed: &PrefixMemory,
    ceiling: Option<u64>,
) -> Prefixes {
    let memory = |weights: &PrefixMemory, ceiling| by_memory(statistics, weights, ceiling);
    Prefixes {
        by_keys: by_keys(statistics, &statistics.keys, counts.matching(), counts.sampled > 0),
        by_stale: by_keys(statistics, &statistics.stale, counts.stale, false),
        by_memory: memory(&statistics.weights, ceiling),
        by_freed: memory(freed, None),
        dropped_keys: statistics.dropped,
        sampled_keys: statistics.weights.samples(),
        problem: statistics.refused.clone(),
    }
}

/// The memory that a run freed, or that one which only reports would free; `None` if it is not known.
#[must_use]
pub fn freed_bytes(freed: &PrefixMemory) -> Option<ByteEstimate> {
    let told = freed.all(None);
    (told.samples > 0 || told.high.is_some()).then_some(told)
}

fn by_memory(statistics: &ScanStatistics, weights: &PrefixMemory, ceiling: Option<u64>) -> Heaviest {
    let all = weights.all(ceiling);
    let row = |(prefix, row): (String, ByteEstimate)| PrefixRow {
        sample_key: statistics.examples.get(&prefix).cloned(),
        prefix,
        weight: row.estimate,
        low: row.low,
        high: row.high,
        samples: row.samples,
    };
    let rows = weights.rows(ceiling).into_iter().take(ROWS_MAX).map(row).collect();
    Heaviest { rows, total: all.estimate, low: all.low, high: all.high, error_max: None }
}

/// The prefixes that stand out. Those within the error of nothing are left to chance, so they are left out. The first
/// prefix of a key is always counted, but those of keys that were not looked at are estimated by `sampled` ones.
fn by_keys(statistics: &ScanStatistics, heavy: &HeavyHitters, total: u64, sampled: bool) -> Heaviest {
    let (error_max, spread) = (heavy.error_max(), heavy.spread());
    let mut groups: BTreeMap<String, PrefixRow> = BTreeMap::new();
    let mut rows = Vec::new();
    // Groups before their parts, which have no more.
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

/// A number of keys, and by how many it may be off.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The number.
    pub keys: u64,
    /// 0 if it is exact.
    pub error: u64,
}

impl About {
    /// That at the end of a run, if it is known.
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

/// The change from one number to another in percent.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// By the numbers as they are; `None` from 0.
    pub percent: Option<f64>,
    /// The least; `None` if it may be from 0.
    pub min: Option<f64>,
    /// The most.
    pub max: Option<f64>,
}

/// How much more `now` is than `before`.
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

/// How the number of matching keys changed since the last of `runs`, the oldest first, that was of the same `selection`
/// and knew it; `None` if nothing tells by how many that number may be off.
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
