//! What a report says of keys: what became of the candidates, how long the others live on, where they are.

use std::borrow::Cow;

use shared::metrics::{Heaviest, InactiveCaches, TtlDistribution};
use shared::result::CleanupResult;

use super::chart::{self, Size};
use super::format::{NONE, percent, share_text, shortened, span};
use super::headline::is_only_reported;
use super::table::{Kind, Table};
use crate::memory_words::{bounds, bytes};
use crate::render::note;
use crate::{counted, grouped, uncertainty};

/// Most letters of a name that are shown: a key may have millions.
const NAME_MAX: usize = 120;

/// What became of every candidate.
pub(super) struct AccountingView {
    /// The sum.
    pub(super) equation: String,
    /// Whether it is right.
    pub(super) balanced: bool,
    /// The parts as one bar; `None` without candidates.
    pub(super) bar: Option<String>,
    /// Outcome, keys, share, meaning. Outcomes that no candidate had are left out.
    pub(super) rows: Vec<(&'static str, String, String, &'static str)>,
}

impl AccountingView {
    pub(super) fn of(result: &CleanupResult) -> Self {
        let accounts = &result.accounting;
        let parts: Vec<(&'static str, u64)> =
            accounts.rows().into_iter().filter(|(_, keys)| *keys > 0).collect();
        let sum: Vec<String> =
            parts.iter().map(|(name, keys)| format!("{} {name}", grouped(*keys))).collect();
        let candidates = counted(accounts.candidates, "candidate", "candidates");
        let row = |(name, keys): &(&'static str, u64)| {
            let meaning = if *name == "deleted" { "gone from the cache" } else { note(name) };
            (*name, grouped(*keys), share_text(*keys, accounts.candidates), meaning)
        };
        Self {
            equation: if sum.is_empty() { candidates } else { format!("{candidates} = {}", sum.join(" + ")) },
            balanced: accounts.balanced,
            bar: (!parts.is_empty())
                .then(|| chart::stack("accounts", "What became of the candidates", &parts)),
            rows: parts.iter().map(row).collect(),
        }
    }
}

/// How long keys live on.
pub(super) struct TtlView {
    /// What the figures are of, or that there are none.
    pub(super) sentence: String,
    /// Figures by name.
    pub(super) figures: Vec<(&'static str, String)>,
    /// The chart, once for each size.
    pub(super) charts: Vec<String>,
    /// The figures of the chart.
    pub(super) bars: Option<Table>,
}

impl TtlView {
    pub(super) fn of(result: &CleanupResult) -> Self {
        let ttl = &result.metrics.ttl;
        if ttl.keys == 0 && result.current_metrics.avg_ttl.is_none() {
            let sentence = match uncertainty::partly_read(result) {
                None => "No matching key has a TTL.".to_owned(),
                Some(uncertainty::NOTHING_READ) => "Not known: nothing was read to its end.".to_owned(),
                Some(_) => "No matching key that was read has a TTL.".to_owned(),
            };
            return Self { sentence, figures: Vec::new(), charts: Vec::new(), bars: None };
        }
        let sentence = match ttl.keys {
            0 => "How the TTLs are distributed is not known.".to_owned(),
            keys => {
                let keys = counted(keys, "matching key", "matching keys");
                format!("Of {keys} with a TTL{}.", that_were_read(result))
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

/// What a number of keys is told with that are not all of them.
fn that_were_read(result: &CleanupResult) -> &'static str {
    if uncertainty::partly_read(result).is_some() { " that were read" } else { "" }
}

fn figures(result: &CleanupResult) -> Vec<(&'static str, String)> {
    let ttl = &result.metrics.ttl;
    let spans = [
        ("Mean", result.current_metrics.avg_ttl),
        ("Half live at most (p50)", ttl.p50),
        ("90% live at most (p90)", ttl.p90),
        ("99% live at most (p99)", ttl.p99),
    ];
    let mut figures: Vec<(&'static str, String)> =
        spans.into_iter().filter_map(|(name, value)| Some((name, span(value?)))).collect();
    if ttl.read_late_percent.is_some() {
        figures.push(("Used in the last fifth of their life", percent(ttl.read_late_percent)));
    }
    figures
}

fn bars(ttl: &TtlDistribution) -> Table {
    let row = |bucket: &shared::metrics::TtlBucket| {
        vec![chart::range(bucket), grouped(bucket.keys), share_text(bucket.keys, ttl.keys)]
    };
    Table {
        caption: "Keys by the time that they live on",
        columns: vec![("Live on for", Kind::Text), ("Keys", Kind::Number), ("Share", Kind::Number)],
        rows: ttl.histogram.iter().map(row).collect(),
        many: "bars",
        folding: false,
    }
}

/// How a weight is told.
type Unit = fn(u64) -> String;

/// Where the keys are.
pub(super) struct PrefixesView<'a> {
    /// By each measure for which there are any.
    pub(super) rankings: Vec<Ranking<'a>>,
    /// What memory rests on, or why it is not known.
    pub(super) memory: Option<String>,
}

/// The heaviest prefixes by one measure.
pub(super) struct Ranking<'a> {
    /// The measure.
    pub(super) title: &'static str,
    /// The whole, and how exact the figures are.
    pub(super) note: String,
    /// The prefixes.
    pub(super) rows: Vec<Ranked<'a>>,
}

/// A prefix.
pub(super) struct Ranked<'a> {
    /// As it is, or its beginning.
    pub(super) prefix: Cow<'a, str>,
    /// A key that begins so, or its beginning.
    pub(super) sample: Option<Cow<'a, str>>,
    /// Keys or bytes.
    pub(super) weight: String,
    /// Of the whole.
    pub(super) share: String,
    /// The same as a bar.
    pub(super) bar: String,
}

impl<'a> PrefixesView<'a> {
    pub(super) fn of(result: &'a CleanupResult) -> Self {
        let prefixes = &result.metrics.prefixes;
        let keys: Unit = |n| counted(n, "key", "keys");
        let freed = if is_only_reported(result) {
            "By memory that would be freed"
        } else {
            "By memory that was freed"
        };
        let whole = if uncertainty::partly_read(result).is_some() { "in what was read" } else { "in all" };
        let measures: [(&'static str, &Heaviest, Unit, &str); 4] = [
            ("By keys", &prefixes.by_keys, keys, whole),
            ("By keys without TTL", &prefixes.by_stale, keys, whole),
            ("By memory", &prefixes.by_memory, bytes, whole),
            (freed, &prefixes.by_freed, bytes, "in all"),
        ];
        let rankings = measures.into_iter().filter(|(_, heaviest, ..)| !heaviest.rows.is_empty());
        let memory = match (&prefixes.problem, prefixes.sampled_keys) {
            (Some(problem), _) => Some(format!("Memory is not known: {problem}")),
            (None, 0) => None,
            (None, keys) => {
                let exact = prefixes.by_memory.high == Some(prefixes.by_memory.low);
                Some(rests_on(keys, exact, that_were_read(result)))
            }
        };
        let ranking = |(title, rows, unit, whole)| ranking(title, rows, unit, whole);
        Self { rankings: rankings.map(ranking).collect(), memory }
    }
}

/// What figures of memory rest on: `keys` measured keys, which are all there are if the figures are `exact`, or all
/// `that_were_read`.
fn rests_on(keys: u64, exact: bool, that_were_read: &str) -> String {
    let keys = counted(keys, "key", "keys");
    let asked = "MEMORY USAGE looks at five members of a value with many";
    if exact {
        return format!("The memory of all {keys}{that_were_read} was asked for. {asked}.");
    }
    format!(
        "The memory of {keys} was asked for, and the rest estimated from them. {asked}. How much a prefix takes at most is \
         only known if each of its keys was asked for, or if the servers use little more memory."
    )
}

fn ranking<'a>(title: &'static str, heaviest: &'a Heaviest, unit: Unit, whole: &str) -> Ranking<'a> {
    let told = |weight: u64, low: u64, high: Option<u64>| {
        // Results of earlier versions have no bounds of rows.
        let bounds = if low == 0 && high.is_none() { None } else { bounds(low, high, unit) };
        match bounds {
            None => unit(weight),
            Some(bounds) => format!("{}, {bounds}", unit(weight)),
        }
    };
    let row = |row: &'a shared::metrics::PrefixRow| Ranked {
        prefix: shortened(&row.prefix, NAME_MAX),
        sample: row.sample_key.as_deref().map(|key| shortened(key, NAME_MAX)),
        weight: told(row.weight, row.low, row.high),
        share: share_text(row.weight, heaviest.total),
        bar: chart::bar(row.weight, heaviest.total),
    };
    Ranking {
        title,
        note: format!("of {} {whole}", told(heaviest.total, heaviest.low, heaviest.high)),
        rows: heaviest.rows.iter().map(row).collect(),
    }
}

/// Inactive users' caches.
pub(super) struct InactiveView {
    /// Whether they were looked for, or why not.
    pub(super) sentence: String,
    /// Whether they should have been and were not.
    pub(super) refused: bool,
    /// Figures by name.
    pub(super) figures: Vec<(&'static str, String)>,
}

impl InactiveView {
    pub(super) fn of(result: &CleanupResult) -> Self {
        let inactive = &result.inactive;
        let met = uncertainty::sampled_active(inactive).map_or_else(String::new, |met| format!(". {met}"));
        if let Some(cause) = &inactive.refused {
            let sentence = format!("They were asked for, but not looked for: {cause}{met}");
            return Self { sentence, refused: true, figures: Vec::new() };
        }
        if !inactive.searched {
            let sentence = "They were not looked for: aggressive cleanup is off.".to_owned();
            return Self { sentence, refused: false, figures: Vec::new() };
        }
        let source = inactive.source.as_deref().unwrap_or(NONE);
        let sentence = format!("Who is active was told by {source}{met}.");
        Self { sentence, refused: false, figures: inactive_figures(inactive, result.inactive_user_caches) }
    }
}

fn inactive_figures(inactive: &InactiveCaches, deleted: u64) -> Vec<(&'static str, String)> {
    let known = |keys: Option<u64>| keys.map_or_else(|| uncertainty::UNKNOWN.to_owned(), grouped);
    vec![
        ("Active users", inactive.active_users.map_or("not told by the source".to_owned(), grouped)),
        ("Keys of active users", known(inactive.active_user)),
        ("Keys of inactive users", known(inactive.found)),
        ("Deleted", grouped(deleted)),
        ("Left, since they expire soon", known(inactive.near_expiry)),
        ("Left, since their user is not known", known(inactive.unknown_user)),
        ("Left, since no active user was met beside them", known(inactive.held_back)),
    ]
}
