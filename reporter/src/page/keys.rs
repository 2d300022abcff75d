//! The keys in a report: the outcomes of the candidates, the TTLs of the others, and the heaviest prefixes.

use std::borrow::Cow;

use keysweep_model::metrics::{Heaviest, InactiveCaches, TtlDistribution};
use keysweep_model::result::CleanupResult;

use super::chart::{self, Size};
use super::table::{Kind, Table};
use crate::format::{NONE, percent, share_text, shortened, span};
use crate::format::{bounds, bytes};
use crate::{counted, facts, grouped};

/// The most characters shown of a name: a key may have millions.
const NAME_MAX: usize = 120;

/// The outcomes of the candidates.
pub(super) struct AccountingView {
    /// The equation of the outcomes.
    pub(super) equation: String,
    /// Whether it is balanced.
    pub(super) balanced: bool,
    /// The outcomes as a stacked bar; `None` without candidates.
    pub(super) bar: Option<String>,
    /// Outcome, keys, share, meaning. Outcomes without candidates are omitted.
    pub(super) rows: Vec<(&'static str, String, String, &'static str)>,
}

impl AccountingView {
    pub(super) fn of(result: &CleanupResult) -> Self {
        let accounts = &result.accounting;
        let parts: Vec<(&'static str, u64)> =
            accounts.rows().into_iter().filter(|(_, keys)| *keys > 0).collect();
        let row = |(name, keys): &(&'static str, u64)| {
            let meaning = if *name == "deleted" { "gone from the cache" } else { facts::meaning(name) };
            (*name, grouped(*keys), share_text(*keys, accounts.candidates), meaning)
        };
        Self {
            equation: facts::equation(result),
            balanced: accounts.balanced,
            bar: (!parts.is_empty()).then(|| chart::stack("accounts", "Outcomes of the candidates", &parts)),
            rows: parts.iter().map(row).collect(),
        }
    }
}

/// The remaining TTLs of the keys.
pub(super) struct TtlView {
    /// What the figures refer to, or that there are none.
    pub(super) sentence: String,
    /// Figures by name.
    pub(super) figures: Vec<(&'static str, String)>,
    /// The chart, once per size.
    pub(super) charts: Vec<String>,
    /// The figures of the chart.
    pub(super) bars: Option<Table>,
}

impl TtlView {
    pub(super) fn of(result: &CleanupResult) -> Self {
        let ttl = &result.metrics.ttl;
        if ttl.keys == 0 && result.current_metrics.avg_ttl.is_none() {
            let sentence = match facts::partly_read(result) {
                None => "No matching key has a TTL.".to_owned(),
                Some(facts::NOTHING_READ) => "Unknown: no part was read completely.".to_owned(),
                Some(_) => "No matching key that was read has a TTL.".to_owned(),
            };
            return Self { sentence, figures: Vec::new(), charts: Vec::new(), bars: None };
        }
        let sentence = match ttl.keys {
            0 => "The distribution of the TTLs is unknown.".to_owned(),
            keys => {
                let keys = counted(keys, "matching key", "matching keys");
                format!("For {keys} with a TTL{}.", read_suffix(result))
            }
        };
        let draw = |size: Size| {
            let id = if size == Size::Wide { "ttl-wide" } else { "ttl-narrow" };
            chart::histogram(id, &ttl.histogram, size)
        };
        let charts: Vec<String> = Size::ALL.into_iter().filter_map(draw).collect();
        let bars = (!charts.is_empty()).then(|| bars(ttl));
        Self { sentence, figures: figures(result), charts, bars }
    }
}

/// The suffix of a number of keys that does not cover all of them.
fn read_suffix(result: &CleanupResult) -> &'static str {
    if facts::partly_read(result).is_some() { " that were read" } else { "" }
}

fn figures(result: &CleanupResult) -> Vec<(&'static str, String)> {
    let ttl = &result.metrics.ttl;
    let spans = [
        ("Mean", result.current_metrics.avg_ttl),
        ("Median (p50)", ttl.p50),
        ("90th percentile (p90)", ttl.p90),
        ("99th percentile (p99)", ttl.p99),
    ];
    let mut figures: Vec<(&'static str, String)> =
        spans.into_iter().filter_map(|(name, value)| Some((name, span(value?)))).collect();
    if ttl.read_late_percent.is_some() {
        figures.push(("Used in the last fifth of their TTL", percent(ttl.read_late_percent)));
    }
    figures
}

fn bars(ttl: &TtlDistribution) -> Table {
    let row = |bucket: &keysweep_model::metrics::TtlBucket| {
        vec![chart::range(bucket), grouped(bucket.keys), share_text(bucket.keys, ttl.keys)]
    };
    Table {
        caption: "Keys by remaining TTL",
        columns: vec![("Remaining TTL", Kind::Text), ("Keys", Kind::Number), ("Share", Kind::Number)],
        rows: ttl.histogram.iter().map(row).collect(),
        many: "bars",
        folding: false,
    }
}

/// Formats a weight.
type Unit = fn(u64) -> String;

/// The heaviest prefixes.
pub(super) struct PrefixesView<'a> {
    /// One ranking per measure that has rows.
    pub(super) rankings: Vec<Ranking<'a>>,
    /// How memory was measured, or why it is unknown.
    pub(super) memory: Option<String>,
}

/// The heaviest prefixes by one measure.
pub(super) struct Ranking<'a> {
    /// The measure.
    pub(super) title: &'static str,
    /// The total, and how exact the figures are.
    pub(super) note: String,
    /// The prefixes.
    pub(super) rows: Vec<Ranked<'a>>,
}

/// A row of a ranking.
pub(super) struct Ranked<'a> {
    /// The prefix, truncated.
    pub(super) prefix: Cow<'a, str>,
    /// A key with this prefix, truncated.
    pub(super) sample: Option<Cow<'a, str>>,
    /// The number of keys or bytes.
    pub(super) weight: String,
    /// The share of the total.
    pub(super) share: String,
    /// The share as a bar.
    pub(super) bar: String,
}

impl<'a> PrefixesView<'a> {
    pub(super) fn of(result: &'a CleanupResult) -> Self {
        let prefixes = &result.metrics.prefixes;
        let keys: Unit = |n| counted(n, "key", "keys");
        let freed = if facts::is_only_reported(result) {
            "By memory that would be freed"
        } else {
            "By memory that was freed"
        };
        let whole = if facts::partly_read(result).is_some() { "in the part that was read" } else { "in all" };
        let measures: [(&'static str, &Heaviest, Unit, &str); 4] = [
            ("By keys", &prefixes.by_keys, keys, whole),
            ("By keys without TTL", &prefixes.by_stale, keys, whole),
            ("By memory", &prefixes.by_memory, bytes, whole),
            (freed, &prefixes.by_freed, bytes, "in all"),
        ];
        let rankings = measures.into_iter().filter(|(_, heaviest, ..)| !heaviest.rows.is_empty());
        let memory = match (&prefixes.problem, prefixes.sampled_keys) {
            (Some(problem), _) => Some(format!("Memory usage is unknown: {problem}")),
            (None, 0) => None,
            (None, keys) => {
                let exact = prefixes.by_memory.high == Some(prefixes.by_memory.low);
                Some(memory_basis(keys, exact, read_suffix(result)))
            }
        };
        let ranking = |(title, rows, unit, whole)| ranking(title, rows, unit, whole);
        Self { rankings: rankings.map(ranking).collect(), memory }
    }
}

/// How memory figures were obtained: from `keys` measured keys, which are all keys if the figures are `exact`, or all
/// `read_suffix`.
fn memory_basis(keys: u64, exact: bool, read_suffix: &str) -> String {
    let keys = counted(keys, "key", "keys");
    let sampling = "MEMORY USAGE samples five elements of a large value";
    if exact {
        return format!("The memory of all {keys}{read_suffix} was measured. {sampling}.");
    }
    format!(
        "The memory of {keys} was measured; the rest is estimated from them. {sampling}. A prefix has an upper bound \
         only if all of its keys were measured, or if the servers use little more memory."
    )
}

fn ranking<'a>(title: &'static str, heaviest: &'a Heaviest, unit: Unit, whole: &str) -> Ranking<'a> {
    let weight_text = |weight: u64, low: u64, high: Option<u64>| {
        // Results of earlier versions have no bounds.
        let bounds = if low == 0 && high.is_none() { None } else { bounds(low, high, unit) };
        match bounds {
            None => unit(weight),
            Some(bounds) => format!("{}, {bounds}", unit(weight)),
        }
    };
    let row = |row: &'a keysweep_model::metrics::PrefixRow| Ranked {
        prefix: shortened(&row.prefix, NAME_MAX),
        sample: row.sample_key.as_deref().map(|key| shortened(key, NAME_MAX)),
        weight: weight_text(row.weight, row.low, row.high),
        share: share_text(row.weight, heaviest.total),
        bar: chart::bar(row.weight, heaviest.total),
    };
    Ranking {
        title,
        note: format!("of {} {whole}", weight_text(heaviest.total, heaviest.low, heaviest.high)),
        rows: heaviest.rows.iter().map(row).collect(),
    }
}

/// The caches of inactive users.
pub(super) struct InactiveView {
    /// The source of the activity, or why inactive users were not searched.
    pub(super) sentence: String,
    /// Whether the search was requested but refused.
    pub(super) refused: bool,
    /// Figures by name.
    pub(super) figures: Vec<(&'static str, String)>,
}

impl InactiveView {
    pub(super) fn of(result: &CleanupResult) -> Self {
        let inactive = &result.inactive;
        let sampled =
            facts::sampled_active(inactive).map_or_else(String::new, |sampled| format!(". {sampled}"));
        if let Some(cause) = &inactive.refused {
            let sentence = format!("Aggressive cleanup was requested but refused: {cause}{sampled}");
            return Self { sentence, refused: true, figures: Vec::new() };
        }
        if !inactive.searched {
            let sentence = "Not searched: aggressive cleanup is off.".to_owned();
            return Self { sentence, refused: false, figures: Vec::new() };
        }
        let source = inactive.source.as_deref().unwrap_or(NONE);
        let sentence = format!("Source of active users: {source}{sampled}.");
        Self { sentence, refused: false, figures: inactive_figures(inactive, result.inactive_user_caches) }
    }
}

fn inactive_figures(inactive: &InactiveCaches, deleted: u64) -> Vec<(&'static str, String)> {
    let known = |keys: Option<u64>| keys.map_or_else(|| facts::UNKNOWN.to_owned(), grouped);
    vec![
        ("Active users", inactive.active_users.map_or("not counted by the source".to_owned(), grouped)),
        ("Keys of active users", known(inactive.active_user)),
        ("Keys of inactive users", known(inactive.found)),
        ("Deleted", grouped(deleted)),
        ("Kept, expiring soon", known(inactive.near_expiry)),
        ("Kept, user unknown", known(inactive.unknown_user)),
        ("Kept, no active user found", known(inactive.no_active_user)),
    ]
}
