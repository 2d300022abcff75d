//! What a run learned of the keys beside what it counted: TTLs, prefixes, growth. Pure.

use shared::history::RunLine;
use shared::messages::{ScanCounts, ScanStatistics, TTL_BARS_MS};
use shared::metrics::{Growth, Heaviest, PrefixRow, Prefixes, TtlBucket, TtlDistribution};
use shared::result::Skipped;
use shared::sketch::Heavy;

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

/// Where the keys are, by the statistics and the counts of a run that handed `sent` candidates to reapers, of which
/// `deleted` are gone.
#[must_use]
pub fn prefixes(statistics: &ScanStatistics, counts: &ScanCounts, (deleted, sent): (u64, u64)) -> Prefixes {
    let list = |heavy: &Heavy, total: u64| heaviest(statistics, heavy, total);
    let share = |weight: u64| {
        let part = u128::from(weight) * u128::from(deleted) / u128::from(sent.max(1));
        u64::try_from(part).unwrap_or(u64::MAX)
    };
    let mut freed = list(&statistics.candidate_memory, statistics.candidate_bytes);
    for row in &mut freed.rows {
        row.weight = share(row.weight);
    }
    (freed.total, freed.error_max) = (share(freed.total), share(freed.error_max));
    freed.rows.retain(|row| row.weight > 0);
    Prefixes {
        by_keys: list(&statistics.keys, counts.matching()),
        by_stale: list(&statistics.stale, counts.stale),
        by_memory: list(&statistics.memory, statistics.bytes),
        by_freed: freed,
        dropped_keys: statistics.dropped,
        sampled_keys: statistics.sampled,
        problem: statistics.refused.clone(),
    }
}

/// The prefixes that stand out. Those within the error of nothing are left to chance, so they are left out.
fn heaviest(statistics: &ScanStatistics, heavy: &Heavy, total: u64) -> Heaviest {
    let error_max = heavy.error_max();
    let rows = heavy.heaviest(ROWS_MAX).into_iter().filter(|(_, weight)| *weight > error_max);
    let row = |(prefix, weight): (String, u64)| PrefixRow {
        sample_key: statistics.examples.get(&prefix).cloned(),
        prefix,
        weight,
    };
    Heaviest { rows: rows.map(row).collect(), total, error_max }
}

/// How the number of matching keys changed since the last of `runs` that was complete, the oldest first.
#[must_use]
pub fn growth(runs: &[RunLine], keys_now: u64) -> Option<Growth> {
    let (line, keys_before) = runs.iter().rev().find_map(|line| Some((line, line.total_keys?)))?;
    #[expect(clippy::cast_precision_loss, reason = "a percentage needs no more than 52 bits")]
    let percent =
        (keys_before > 0).then(|| (keys_now as f64 - keys_before as f64) * 100.0 / keys_before as f64);
    let since = line.finished_at.clone().unwrap_or_default();
    Some(Growth { run_id: line.run_id, since, keys_before, keys_now, percent })
}
