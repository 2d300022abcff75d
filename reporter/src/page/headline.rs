//! The top of a report: the status of the run and the key figures.

use keysweep_model::messages::{ACTIONS, ActionEffect};
use keysweep_model::outcome::Outcome;
use keysweep_model::result::{CleanupResult, Status};

use crate::facts::{self, UNKNOWN};
use crate::format::{self, counted, grouped, percent, share_text, span};

/// The status of a run.
pub(super) struct StatusBanner {
    /// The CSS class of its colour: `good`, `warn`, `bad` or `calm`.
    pub(super) class: &'static str,
    /// A symbol next to the status word, so that colour is not the only indicator.
    pub(super) mark: &'static str,
    /// The status word.
    pub(super) word: &'static str,
    /// The explanation.
    pub(super) sentence: String,
    /// Whether the run was a dry run.
    pub(super) dry_run: bool,
}

/// A figure with its name.
pub(super) struct Tile {
    /// The name of the figure.
    pub(super) label: String,
    /// The figure, or that there is none.
    pub(super) value: String,
    /// What the figure refers to.
    pub(super) note: String,
}

impl Tile {
    fn new(label: impl Into<String>, value: impl Into<String>, note: impl Into<String>) -> Self {
        Self { label: label.into(), value: value.into(), note: note.into() }
    }

    /// Whether the value needs a smaller font.
    pub(super) fn is_long(&self) -> bool {
        self.value.len() > 11
    }
}

/// A property of the run.
pub(super) struct Fact {
    /// Its name.
    pub(super) name: &'static str,
    /// Its value.
    pub(super) value: String,
    /// Whether the value is an identifier.
    pub(super) code: bool,
}

pub(super) fn standing(result: &CleanupResult) -> StatusBanner {
    let (class, mark, word) = match result.status {
        Status::Completed => ("good", "✓", "Completed"),
        Status::Partial => ("warn", "!", "Partial"),
        Status::Failed => ("bad", "✕", "Failed"),
        Status::Cancelled => ("calm", "■", "Cancelled"),
    };
    let what = done(result);
    let sentence = match result.status {
        Status::Completed => format!("Everything was read, and {what}"),
        Status::Partial => {
            let accounts = &result.accounting;
            let mut gaps = Vec::new();
            if !result.coverage.complete {
                gaps.push("not everything was read");
            }
            if [accounts.unreached, accounts.unconfirmed, accounts.failed].iter().any(|keys| *keys > 0) {
                gaps.push("not every candidate was processed");
            }
            let gap = if gaps.is_empty() { "something is missing".to_owned() } else { gaps.join(", and ") };
            format!("{} (see the issues). In the part that was processed, {what}", first_upper(&gap))
        }
        Status::Failed => format!("The run failed (see the issues). Before that, {what}"),
        Status::Cancelled => format!("The run was cancelled. Before that, {what}"),
    };
    let sentence = sentence + &noticed(result);
    StatusBanner { class, mark, word, sentence, dry_run: result.dry_run }
}

/// The number of alerts and issues, as a sentence.
fn noticed(result: &CleanupResult) -> String {
    let number = |n: usize, one, many| (n > 0).then(|| counted(n as u64, one, many));
    let alerts = number(result.alerts.len(), "alert is firing", "alerts are firing");
    let issues = number(result.issues.len(), "issue was found", "issues were found");
    let noticed: Vec<String> = [alerts, issues].into_iter().flatten().collect();
    if noticed.is_empty() { String::new() } else { format!(" {}.", noticed.join(", and ")) }
}

/// What the run did, as the end of a sentence.
fn done(result: &CleanupResult) -> String {
    let accounts = &result.accounting;
    let changed: Vec<String> = ACTIONS
        .into_iter()
        .filter_map(|row| Some((row, accounts.clone().count_of(row.effect?.outcome).to_owned())))
        .filter(|(_, keys)| *keys > 0)
        .map(|(row, keys)| format!("{} {} {}", counted(keys, "key", "keys"), were(keys), row.done))
        .collect();
    if !changed.is_empty() {
        return format!("{}.", changed.join(" and "));
    }
    if accounts.reported > 0 {
        let keys = counted(accounts.reported, "key", "keys");
        return format!("{keys} {} found and only reported.", were(accounts.reported));
    }
    match (accounts.candidates, result.stale_ttl_keys) {
        (0, 0) if facts::if_nothing_read(result).is_some() => "no part was read completely.".to_owned(),
        (0, 0) => "no key without TTL was found.".to_owned(),
        (candidates, _) => format!("none of {} was changed.", counted(candidates, "candidate", "candidates")),
    }
}

fn were(n: u64) -> &'static str {
    if n == 1 { "was" } else { "were" }
}

fn first_upper(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

pub(super) fn tiles(result: &CleanupResult) -> Vec<Tile> {
    let metrics = &result.current_metrics;
    let about = if result.scanned_keys_approximate { "about" } else { "" };
    let note = if about.is_empty() { "including protected keys" } else { about };
    let met = |keys| facts::keys(result, keys);
    let mut tiles = vec![
        Tile::new("Matching keys", met(result.scanned_keys), facts::partly_read(result).unwrap_or(note)),
        Tile::new(
            "Without TTL",
            met(result.stale_ttl_keys),
            match result.scanned_keys {
                0 => facts::partly_read(result).unwrap_or("no matching keys").to_owned(),
                all => {
                    let share = share_text(result.stale_ttl_keys, all);
                    match facts::stale_protected(result) {
                        0 => format!("{share} of the matching keys"),
                        keys => format!("{share} of the matching keys, {} protected", grouped(keys)),
                    }
                }
            },
        ),
        acted(result),
    ];
    tiles.extend(freed(result));
    if result.inactive.searched {
        let keys = grouped(result.inactive_user_caches);
        tiles.push(Tile::new("Of inactive users", keys, "deleted, although they had a TTL"));
    }
    tiles.push(hit_rate(result));
    let left = metrics.total_keys.map_or_else(|| UNKNOWN.to_owned(), grouped);
    let note = facts::keys_left_unknown(result).map_or_else(|| growth(result), str::to_owned);
    tiles.push(Tile::new("Keys now", left, note));
    let half = result.metrics.ttl.p50.map(|half| format!("median {}", span(half)));
    tiles.push(match metrics.avg_ttl {
        Some(mean) => {
            Tile::new("Mean TTL", span(mean), half.unwrap_or_else(|| "of keys that have one".into()))
        }
        None => match facts::partly_read(result) {
            Some(why) => Tile::new("Mean TTL", UNKNOWN, why),
            None if result.metrics.ttl.keys > 0 => Tile::new("Mean TTL", UNKNOWN, "the sum is too large"),
            None => Tile::new("Mean TTL", "none", "no key has a TTL"),
        },
    });
    tiles
}

/// The figure of the run's action.
fn acted(result: &CleanupResult) -> Tile {
    let mut accounts = result.accounting;
    let row = facts::action(result);
    let Some(ActionEffect { outcome, .. }) = row.effect.filter(|_| !result.dry_run) else {
        let why = if result.dry_run { "dry run" } else { "report only" };
        return Tile::new("Reported", grouped(accounts.reported), format!("{why}: nothing was changed"));
    };
    let note = match outcome {
        Outcome::Deleted => format!("of {}", counted(accounts.candidates, "candidate", "candidates")),
        _ => "instead of being deleted".to_owned(),
    };
    Tile::new(first_upper(row.done), grouped(*accounts.count_of(outcome)), note)
}

/// The freed memory, if it is known and not zero.
fn freed(result: &CleanupResult) -> Option<Tile> {
    let label = if facts::is_only_reported(result) { "Would be freed" } else { "Freed" };
    facts::freed(result).map(|(memory, note)| Tile::new(label, memory, note))
}

fn hit_rate(result: &CleanupResult) -> Tile {
    let (metrics, rates) = (&result.current_metrics, &result.metrics.hit_rates);
    let when = facts::hit_rate_window(result);
    match metrics.hit_rate {
        Some(rate) => {
            let lookups = rates.current().lookups.map(|n| counted(n, "lookup", "lookups"));
            let note = format!("of {} {when}", lookups.unwrap_or_else(|| "lookups".to_owned()));
            Tile::new("Hit rate", percent(Some(rate)), note)
        }
        None if rates.problem.is_some() => Tile::new("Hit rate", "unknown", "its source could not be read"),
        None if rates.current().lookups == Some(0) => {
            Tile::new("Hit rate", "no traffic", format!("no lookups by other clients {when}"))
        }
        None => {
            let window = rates.current();
            let bounds = window.hit_rate_min.zip(window.hit_rate_max);
            let note = match (bounds, &window.unknown_reason) {
                (Some((min, max)), _) => format!("between {min:.1}% and {max:.1}% {when}"),
                (None, Some(_)) => "see the hit rate section".to_owned(),
                (None, None) => "not measured".to_owned(),
            };
            Tile::new("Hit rate", "unknown", note)
        }
    }
}

fn growth(result: &CleanupResult) -> String {
    let Some(growth) = &result.metrics.growth else {
        return format!("matching, after the run{}", facts::approximately(result));
    };
    let numbers = |about: &str| {
        let (before, now) = (grouped(growth.keys_before), grouped(growth.keys_now));
        format!("{about}{before} before, {about}{now} found now")
    };
    let finite = |percent: Option<f64>| percent.filter(|percent| percent.is_finite());
    match (growth.is_exact(), finite(growth.percent_min), finite(growth.percent_max)) {
        (true, _, _) => match finite(growth.percent) {
            Some(percent) => format!("{percent:+.1}% found since the previous run"),
            None => numbers(""),
        },
        (false, Some(min), Some(max)) => {
            format!("between {min:+.1}% and {max:+.1}% found since the previous run")
        }
        (false, _, _) => numbers("about "),
    }
}

pub(super) fn facts(result: &CleanupResult) -> Vec<Fact> {
    let fact = |name, value: String| Fact { name, value, code: false };
    let code = |name, value: String| Fact { name, value, code: true };
    let mut facts = vec![
        code("Job", result.job.clone()),
        code("Run", result.run_id.to_string()),
        fact("Started", format::moment(&result.started_at)),
        fact("Ended", format::moment(&result.finished_at)),
        fact("Took", format::duration(result.duration_ms)),
        fact("Started by", result.started_by.clone()),
        fact(
            "Attempt",
            format!("{} of {}", result.attempt.number, result.attempt.of.max(result.attempt.number)),
        ),
        fact("Action", result.action.clone()),
    ];
    if !result.pacing.summary.is_empty() {
        facts.push(fact("Pace", result.pacing.summary.clone()));
    }
    if let Some(previous) = result.attempt.previous {
        facts.push(code("Previous attempt", previous.to_string()));
    }
    if let Some(growth) = &result.metrics.growth {
        facts.push(code("Previous run", growth.run_id.to_string()));
    }
    facts
}
