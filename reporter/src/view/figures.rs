//! The key figures of a run.

use keysweep_model::messages::{ActionEffect, EFFECTS};
use keysweep_model::outcome::Outcome;
use keysweep_model::result::{Accounting, CleanupResult};

use super::blocks::Figure;
use super::hits;
use super::known::{self, UNKNOWN, known};
use crate::format::{bounds, bytes, counted, first_upper, grouped, share_text, span};

pub(super) fn figures(result: &CleanupResult) -> Vec<Figure> {
    let partly = known::partly_read(result);
    let note = if result.scanned_keys_approximate { "approximate" } else { "including protected keys" };
    let matching = known::keys(result, result.scanned_keys);
    let mut figures = vec![Figure::number("Matching keys", matching, partly.unwrap_or(note))];
    if result.skipped_keys > 0 {
        let skipped = grouped(result.skipped_keys);
        figures.push(Figure::number("Skipped keys", skipped, "of nodes without stale keys"));
    }
    figures.extend([stale(result), acted(result)]);
    if result.failover.redeleted > 0 {
        let again = grouped(result.failover.redeleted);
        figures.push(Figure::number("Deleted again", again, "in slots that were scanned again"));
    }
    figures.extend(freed(result));
    if result.inactive.searched {
        let keys = grouped(result.inactive_user_caches);
        figures.push(Figure::number("Of inactive users", keys, "deleted, although they had a TTL"));
    }
    figures.extend([hits::figure(result), left(result), mean_ttl(result)]);
    figures
}

/// Keys without TTL.
fn stale(result: &CleanupResult) -> Figure {
    let protected =
        result.stale_unprotected_keys.map_or(0, |keys| result.stale_ttl_keys.saturating_sub(keys));
    let note = match (result.scanned_keys, protected) {
        (0, _) => known::partly_read(result).unwrap_or("no matching keys").to_owned(),
        (all, 0) => format!("{} of the matching keys", share_text(result.stale_ttl_keys, all)),
        (all, protected) => {
            let share = share_text(result.stale_ttl_keys, all);
            format!("{share} of the matching keys, {} protected", grouped(protected))
        }
    };
    Figure::number("Without TTL", known::keys(result, result.stale_ttl_keys), note)
}

/// The figure of the run's action.
fn acted(result: &CleanupResult) -> Figure {
    let mut accounts = result.accounting;
    if !result.rules.is_empty() && !known::is_only_reported(result) {
        return changed(&accounts);
    }
    let row = known::action(result);
    let effect = row.effect.filter(|_| !known::is_only_reported(result));
    let Some(ActionEffect { outcome, .. }) = effect else {
        let why = if result.dry_run { "dry run" } else { "report only" };
        let note = format!("{why}: nothing was changed");
        return Figure::number("Reported", grouped(accounts.reported), note);
    };
    let note = match outcome {
        Outcome::Deleted => format!("of {}", counted(accounts.candidates, "candidate", "candidates")),
        _ => "instead of being deleted".to_owned(),
    };
    Figure::number(first_upper(row.done), grouped(*accounts.count_of(outcome)), note)
}

/// The figure of a run with rules, each of which has its own action.
fn changed(accounts: &Accounting) -> Figure {
    let parts = EFFECTS.into_iter().filter_map(|row| {
        let keys = *accounts.clone().count_of(row.effect?.outcome);
        (keys > 0).then(|| (keys, format!("{} {}", grouped(keys), row.done)))
    });
    let parts: Vec<(u64, String)> = parts.collect();
    let note = match parts.is_empty() {
        true => format!("of {}", counted(accounts.candidates, "candidate", "candidates")),
        false => parts.iter().map(|(_, part)| part.as_str()).collect::<Vec<_>>().join(", "),
    };
    Figure::number("Changed", grouped(parts.iter().map(|(keys, _)| keys).sum()), note)
}

/// The freed memory; `None` if it is unknown or zero.
fn freed(result: &CleanupResult) -> Option<Figure> {
    let freed = result.freed_bytes.filter(|freed| freed.estimate > 0)?;
    let label = if known::is_only_reported(result) { "Would be freed" } else { "Freed" };
    let bounds = bounds(freed.low, freed.high, bytes).map_or(String::new(), |bounds| format!(", {bounds}"));
    Some(Figure::number(label, bytes(freed.estimate), format!("of memory{bounds}")))
}

fn left(result: &CleanupResult) -> Figure {
    let note = known::keys_left_unknown(result).map_or_else(|| growth(result), str::to_owned);
    Figure::number("Keys now", known(result.current_metrics.total_keys), note)
}

fn growth(result: &CleanupResult) -> String {
    let Some(growth) = &result.metrics.growth else {
        let about = if result.keys_error() != Some(0) { " (approximate)" } else { "" };
        return format!("matching, after the run{about}");
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

fn mean_ttl(result: &CleanupResult) -> Figure {
    let ttl = &result.metrics.ttl;
    let (mean, note) = match (result.current_metrics.avg_ttl, known::partly_read(result)) {
        (Some(mean), _) => {
            let half = ttl.p50.map(|half| format!("median {}", span(half)));
            (span(mean), half.unwrap_or_else(|| "of keys that have one".to_owned()))
        }
        (None, Some(why)) => (UNKNOWN.to_owned(), why.to_owned()),
        (None, None) if ttl.keys > 0 => (UNKNOWN.to_owned(), "the sum is too large".to_owned()),
        (None, None) => ("none".to_owned(), "no key has a TTL".to_owned()),
    };
    Figure::number("Mean TTL", mean, note)
}
