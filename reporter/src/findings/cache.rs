//! Rules about the cache, with their thresholds and messages.

use keysweep_model::metrics::{Finding, Severity};
use keysweep_redis::limits::MEMORY_PERCENT_MAX;
use serde_json::{Value, json};

use super::ttl::low_ttl_cause;
use super::{Rule, RuleInput, issue, recommendation};
use crate::format::grouped;
use crate::hit_rate::percent;

/// The rules of this file, in the order of their messages.
pub(super) const RULES: &[Rule] =
    &[hit_rate, hit_rate_problem, low_ttl, read_late, many_keys, growth, errors, memory];

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
const TTLS_MIN: u64 = 100;

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

fn hit_rate(input: &RuleInput<'_>) -> Vec<Finding> {
    let window = input.result.metrics.hit_rates.current();
    let enough = window.lookups.is_some_and(|lookups| lookups >= LOOKUPS_MIN);
    let Some(rate) = window.hit_rate.filter(|_| enough) else { return Vec::new() };
    let configured_ms = input.spec.application.known_ttl_ms();
    let (rule, severity, message, limit) = if rate < HIT_RATE_CRITICAL {
        let step = |ms: u64| format!(" ({} → {})", ttl(ms), ttl(ms.saturating_mul(2)));
        let step = configured_ms.map(step).unwrap_or_default();
        let message =
            format!("CRITICAL: Low cache hit rate ({rate:.1}%). Consider doubling the cache TTL{step}.");
        ("hit-rate-critical", Severity::Critical, message, HIT_RATE_CRITICAL)
    } else if rate < HIT_RATE_LOW {
        let message = format!("Low cache hit rate ({rate:.1}%). Review permission check patterns.");
        ("hit-rate-low", Severity::Warning, message, HIT_RATE_LOW)
    } else if rate <= HIT_RATE_EXCELLENT {
        let message = format!("Good cache hit rate ({rate:.1}%). Current configuration is working well.");
        ("hit-rate-good", Severity::Info, message, HIT_RATE_EXCELLENT)
    } else {
        let message = format!("Excellent cache hit rate ({rate:.1}%). TTL is optimal.");
        ("hit-rate-excellent", Severity::Info, message, HIT_RATE_EXCELLENT)
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
        ("configuredTtlSeconds", json!(configured_ms.map(|ms| ms / 1_000))),
    ];
    vec![recommendation(rule, severity, message, evidence)]
}

fn hit_rate_problem(input: &RuleInput<'_>) -> Vec<Finding> {
    let found = |problem: &String| {
        issue("hit-rate-unknown", Severity::Warning, format!("The hit rate is unknown: {problem}"), [])
    };
    input.result.metrics.hit_rates.problem.iter().map(found).collect()
}

fn low_ttl(input: &RuleInput<'_>) -> Vec<Finding> {
    let keys = input.result.metrics.ttl.keys;
    let configured_ms = input.spec.application.known_ttl_ms();
    let Some(ms) = configured_ms.filter(|_| keys >= TTLS_MIN) else { return Vec::new() };
    #[expect(clippy::cast_precision_loss, reason = "a TTL in milliseconds is far below 2^52")]
    let configured = ms as f64 / 1_000.0;
    let limit = configured * LOW_TTL_PERCENT / 100.0;
    let low = input.result.current_metrics.avg_ttl.filter(|avg| *avg <= limit);
    let found = |avg: f64| {
        let message = format!(
            "Most caches are near expiration (avg TTL: {avg:.0}s). This suggests high invalidation rate."
        );
        let evidence = [
            ("avgTTL", json!(avg)),
            ("keys", json!(keys)),
            ("keysMin", json!(TTLS_MIN)),
            ("configuredTtlSeconds", json!(configured)),
            ("limit", json!(limit)),
        ];
        vec![
            recommendation("ttl-low", Severity::Warning, message, evidence),
            low_ttl_cause(avg, configured, input.result),
        ]
    };
    low.map(found).unwrap_or_default()
}

fn read_late(input: &RuleInput<'_>) -> Vec<Finding> {
    let keys = input.fold.statistics.late;
    let configured_ms = input.spec.application.known_ttl_ms();
    let Some(ms) = configured_ms.filter(|_| keys >= TTLS_MIN) else { return Vec::new() };
    let late = input.result.metrics.ttl.read_late_percent.filter(|late| *late > READ_LATE_PERCENT);
    let found = |late: f64| {
        let message = format!(
            "{late:.0}% of the keys in the last fifth of their TTL are still being read. Consider a TTL longer than {}.",
            ttl(ms)
        );
        let evidence = [
            ("readLatePercent", json!(late)),
            ("keys", json!(keys)),
            ("keysMin", json!(TTLS_MIN)),
            ("limit", json!(READ_LATE_PERCENT)),
            ("configuredTtlSeconds", json!(ms / 1_000)),
        ];
        recommendation("ttl-short", Severity::Info, message, evidence)
    };
    late.map(found).into_iter().collect()
}

fn many_keys(input: &RuleInput<'_>) -> Vec<Finding> {
    let many = input.result.current_metrics.total_keys;
    let many = many.filter(|keys| *keys > KEYS_MANY && !is_aggressive(input));
    let Some(keys) = many else { return Vec::new() };
    let message =
        format!("Large number of cached keys ({}). Consider enabling aggressive cleanup.", grouped(keys));
    let evidence = [("totalKeys", json!(keys)), ("limit", json!(KEYS_MANY))];
    vec![recommendation("keys-many", Severity::Info, message, evidence)]
}

fn growth(input: &RuleInput<'_>) -> Vec<Finding> {
    let Some(growth) = &input.result.metrics.growth else { return Vec::new() };
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
    let message = format!(
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
    vec![recommendation("growth-high", Severity::Warning, message, evidence)]
}

fn errors(input: &RuleInput<'_>) -> Vec<Finding> {
    let window = input.result.metrics.hit_rates.current();
    let (Some(hits), Some(errors)) = (window.hits, window.errors) else { return Vec::new() };
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

fn memory(input: &RuleInput<'_>) -> Vec<Finding> {
    let health = &input.result.metrics.redis_health;
    let mut found: Vec<Finding> = health
        .problems
        .iter()
        .map(|problem| issue("redis-health", Severity::Warning, format!("Redis: {problem}"), []))
        .collect();
    if let Some(memory) = health.memory_usage_percent.filter(|memory| *memory > MEMORY_PERCENT_MAX) {
        // If another rule recommends the current or a longer TTL, this one does not recommend a shorter one.
        let keeps_ttl = hit_rate(input).iter().any(|finding| finding.rule != "hit-rate-low")
            || !read_late(input).is_empty();
        let what = match (is_aggressive(input), keeps_ttl) {
            (false, false) => "Enable aggressive cleanup or reduce the TTL",
            (false, true) => "Enable aggressive cleanup",
            (true, false) => "Reduce the TTL",
            (true, true) => "Check which prefixes use most of it",
        };
        let message = format!("High Redis memory usage ({memory:.1}%). {what}.");
        let evidence = [("memoryUsagePercent", json!(memory)), ("limit", json!(MEMORY_PERCENT_MAX))];
        found.push(recommendation("memory-high", Severity::Warning, message, evidence));
    }
    found
}

/// Whether aggressive cleanup was requested, even if it was refused.
fn is_aggressive(input: &RuleInput<'_>) -> bool {
    input.result.inactive.searched || input.result.inactive.refused.is_some()
}

/// A TTL in the specification's format: `15min`.
fn ttl(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        s if s >= 86_400 && s % 86_400 == 0 => format!("{}d", s / 86_400),
        s if s >= 3_600 && s % 3_600 == 0 => format!("{}h", s / 3_600),
        s if s >= 60 && s % 60 == 0 => format!("{}min", s / 60),
        s => format!("{s}s"),
    }
}
