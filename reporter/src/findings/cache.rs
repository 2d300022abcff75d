//! Rules about the cache, with the document's thresholds and sentences.

use keysweep_model::limits::MEMORY_PERCENT_MAX;
use keysweep_model::metrics::{Finding, Severity};
use serde_json::{Value, json};

use super::{Facts, issue, recommendation};
use crate::hit_rate::percent;
use crate::render::grouped;

/// Below this hit rate, in percent, the finding is critical.
pub const HIT_RATE_CRITICAL: f64 = 50.0;

/// The least number of lookups for a meaningful hit rate.
pub const LOOKUPS_MIN: u64 = 1_000;

/// Below this rate it is low.
const HIT_RATE_LOW: f64 = 70.0;

/// Above this rate it is excellent.
const HIT_RATE_EXCELLENT: f64 = 90.0;

/// More matching keys than this are reported.
const KEYS_MANY: u64 = 10_000;

/// More errors than this, in percent of hits, are reported.
pub const ERRORS_PERCENT_MAX: f64 = 1.0;

/// The least number of keys for a statement about TTLs.
pub const TTLS_MIN: u64 = 100;

/// Fewer errors than this may be coincidence.
const ERRORS_MIN: u64 = 10;

/// A mean TTL of at most this share of the configured TTL, in percent, is low. Keys that are written evenly and expire
/// normally have a mean remaining TTL of half of it.
const LOW_TTL_PERCENT: f64 = 25.0;

/// If more keys than this, in percent, are used late in their TTL, a longer TTL would be used.
const READ_LATE_PERCENT: f64 = 50.0;

/// More growth than this between two runs, in percent, is reported.
const GROWTH_PERCENT: f64 = 20.0;

/// Growth by fewer keys than this is ignored.
const GROWTH_KEYS_MIN: u64 = 1_000;

pub(super) fn hit_rate(facts: &Facts) -> Vec<Finding> {
    let window = &facts.window;
    let enough = window.lookups.is_some_and(|lookups| lookups >= LOOKUPS_MIN);
    let Some(rate) = window.hit_rate.filter(|_| enough) else { return Vec::new() };
    let (rule, severity, sentence, limit) = if rate < HIT_RATE_CRITICAL {
        let step = |ms: u64| format!(" ({} → {})", ttl(ms), ttl(ms.saturating_mul(2)));
        let step = facts.configured_ttl_ms.map(step).unwrap_or_default();
        let sentence =
            format!("CRITICAL: Low cache hit rate ({rate:.1}%). Consider doubling the cache TTL{step}.");
        ("hit-rate-critical", Severity::Critical, sentence, HIT_RATE_CRITICAL)
    } else if rate < HIT_RATE_LOW {
        let sentence = format!("Low cache hit rate ({rate:.1}%). Review permission check patterns.");
        ("hit-rate-low", Severity::Warning, sentence, HIT_RATE_LOW)
    } else if rate <= HIT_RATE_EXCELLENT {
        let sentence = format!("Good cache hit rate ({rate:.1}%). Current configuration is working well.");
        ("hit-rate-good", Severity::Info, sentence, HIT_RATE_EXCELLENT)
    } else {
        let sentence = format!("Excellent cache hit rate ({rate:.1}%). TTL is optimal.");
        ("hit-rate-excellent", Severity::Info, sentence, HIT_RATE_EXCELLENT)
    };
    let evidence = [
        ("hitRate", json!(rate)),
        ("hits", json!(window.hits)),
        ("misses", json!(window.misses)),
        ("lookups", json!(window.lookups)),
        ("hitRateMin", json!(window.hit_rate_min)),
        ("hitRateMax", json!(window.hit_rate_max)),
        ("from", json!(window.from)),
        ("to", json!(window.to)),
        ("limit", json!(limit)),
        ("lookupsMin", json!(LOOKUPS_MIN)),
        ("configuredTtlSeconds", json!(facts.configured_ttl_ms.map(|ms| ms / 1_000))),
    ];
    vec![recommendation(rule, severity, sentence, evidence)]
}

pub(super) fn hit_rate_problem(facts: &Facts) -> Vec<Finding> {
    let problem = facts.hit_rate_problem.iter();
    problem
        .map(|problem| {
            issue("hit-rate-unknown", Severity::Warning, format!("The hit rate is unknown: {problem}"), [])
        })
        .collect()
}

pub(super) fn low_ttl(facts: &Facts) -> Vec<Finding> {
    let Some(ms) = facts.configured_ttl_ms.filter(|_| facts.keys_with_ttl >= TTLS_MIN) else {
        return Vec::new();
    };
    #[expect(clippy::cast_precision_loss, reason = "a TTL in milliseconds is far below 2^52")]
    let configured = ms as f64 / 1_000.0;
    let limit = configured * LOW_TTL_PERCENT / 100.0;
    let low = facts.avg_ttl.filter(|avg| *avg <= limit);
    let sentence = |avg: f64| {
        format!("Most caches are near expiration (avg TTL: {avg:.0}s). This suggests high invalidation rate.")
    };
    let found = |avg: f64| {
        let evidence = [
            ("avgTTL", json!(avg)),
            ("keys", json!(facts.keys_with_ttl)),
            ("keysMin", json!(TTLS_MIN)),
            ("configuredTtlSeconds", json!(configured)),
            ("limit", json!(limit)),
        ];
        recommendation("ttl-low", Severity::Warning, sentence(avg), evidence)
    };
    low.map(found).into_iter().collect()
}

pub(super) fn read_late(facts: &Facts) -> Vec<Finding> {
    let Some(ms) = facts.configured_ttl_ms.filter(|_| facts.late_keys >= TTLS_MIN) else { return Vec::new() };
    let late = facts.read_late_percent.filter(|late| *late > READ_LATE_PERCENT);
    let sentence = |late: f64| {
        format!(
            "{late:.0}% of the keys in the last fifth of their TTL are still being read. Consider a TTL longer than {}.",
            ttl(ms)
        )
    };
    let found = |late: f64| {
        let evidence = [
            ("readLatePercent", json!(late)),
            ("keys", json!(facts.late_keys)),
            ("keysMin", json!(TTLS_MIN)),
            ("limit", json!(READ_LATE_PERCENT)),
            ("configuredTtlSeconds", json!(ms / 1_000)),
        ];
        recommendation("ttl-short", Severity::Info, sentence(late), evidence)
    };
    late.map(found).into_iter().collect()
}

pub(super) fn many_keys(facts: &Facts) -> Vec<Finding> {
    let many = facts.total_keys.filter(|keys| *keys > KEYS_MANY && !facts.aggressive);
    let Some(keys) = many else { return Vec::new() };
    let sentence =
        format!("Large number of cached keys ({}). Consider enabling aggressive cleanup.", grouped(keys));
    let evidence = [("totalKeys", json!(keys)), ("limit", json!(KEYS_MANY))];
    vec![recommendation("keys-many", Severity::Info, sentence, evidence)]
}

pub(super) fn growth(facts: &Facts) -> Vec<Finding> {
    let Some(growth) = &facts.growth else { return Vec::new() };
    let more = growth.keys_now.saturating_sub(growth.keys_before);
    let least = if growth.is_exact() { growth.percent } else { growth.percent_min };
    if more < GROWTH_KEYS_MIN || least.is_some_and(|percent| percent <= GROWTH_PERCENT) {
        return Vec::new();
    }
    let by = match (least, growth.percent_max.filter(|_| !growth.is_exact())) {
        (Some(min), Some(max)) => format!(" by {min:.0}% to {max:.0}%"),
        (Some(percent), None) if growth.is_exact() => format!(" by {percent:.0}%"),
        (Some(min), None) => format!(" by at least {min:.0}%"),
        (None, _) => String::new(),
    };
    let about = if growth.is_exact() { "" } else { "about " };
    let [before, now] = [growth.keys_before, growth.keys_now].map(|keys| format!("{about}{}", grouped(keys)));
    let sentence = format!(
        "The number of keys grew{by} since the last run ({before} → {now}). Review the caching strategy."
    );
    let evidence = [
        ("keysBefore", json!(growth.keys_before)),
        ("keysNow", json!(growth.keys_now)),
        ("since", json!(growth.since)),
        ("percent", json!(growth.percent)),
        ("percentMin", json!(growth.percent_min)),
        ("percentMax", json!(growth.percent_max)),
        ("limit", json!(GROWTH_PERCENT)),
    ];
    vec![recommendation("growth-high", Severity::Warning, sentence, evidence)]
}

pub(super) fn errors(facts: &Facts) -> Vec<Finding> {
    let (Some(hits), Some(errors)) = (facts.window.hits, facts.window.errors) else { return Vec::new() };
    if !too_many_errors(errors, hits) {
        return Vec::new();
    }
    let evidence = || -> [(&str, Value); 3] {
        [("errors", json!(errors)), ("hits", json!(hits)), ("limit", json!(ERRORS_PERCENT_MAX))]
    };
    let share =
        percent(errors, hits).map_or_else(|| "without a hit".to_owned(), |p| format!("{p:.1}% of hits"));
    let advice = format!("Cache errors are {share}. Investigate Redis connection stability.");
    let problem = format!("High cache error rate: {errors} errors vs {hits} hits");
    vec![
        issue("errors-high", Severity::Critical, problem, evidence()),
        recommendation("errors-high", Severity::Warning, advice, evidence()),
    ]
}

/// Whether the errors exceed their allowed share of hits, and are numerous enough to be significant.
#[must_use]
pub fn too_many_errors(errors: u64, hits: u64) -> bool {
    errors >= ERRORS_MIN && percent(errors, hits).is_none_or(|share| share > ERRORS_PERCENT_MAX)
}

pub(super) fn memory(facts: &Facts) -> Vec<Finding> {
    let mut found: Vec<Finding> = facts
        .redis_problems
        .iter()
        .map(|problem| issue("redis-health", Severity::Warning, format!("Redis: {problem}"), []))
        .collect();
    if let Some(memory) = facts.memory_usage_percent.filter(|memory| *memory > MEMORY_PERCENT_MAX) {
        // If another rule recommends the current or a longer TTL, this one does not recommend a shorter one.
        let keeps_ttl = hit_rate(facts).iter().any(|finding| finding.rule != "hit-rate-low")
            || !read_late(facts).is_empty();
        let what = match (facts.aggressive, keeps_ttl) {
            (false, false) => "Enable aggressive cleanup or reduce the TTL",
            (false, true) => "Enable aggressive cleanup",
            (true, false) => "Reduce the TTL",
            (true, true) => "Check which prefixes use most of it",
        };
        let sentence = format!("High Redis memory usage ({memory:.1}%). {what}.");
        let evidence = [("memoryUsagePercent", json!(memory)), ("limit", json!(MEMORY_PERCENT_MAX))];
        found.push(recommendation("memory-high", Severity::Warning, sentence, evidence));
    }
    found
}

/// A TTL in the document's format: `15min`.
fn ttl(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        s if s >= 86_400 && s % 86_400 == 0 => format!("{}d", s / 86_400),
        s if s >= 3_600 && s % 3_600 == 0 => format!("{}h", s / 3_600),
        s if s >= 60 && s % 60 == 0 => format!("{}min", s / 60),
        s => format!("{s}s"),
    }
}
