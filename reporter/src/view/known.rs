//! Which figures of a result are known, and why others are not.

use keysweep_model::messages::{Action, ActionRow};
use keysweep_model::result::{CleanupResult, Extent};

use crate::format::grouped;

/// Shown in place of an unknown figure.
pub(super) const UNKNOWN: &str = "unknown";

/// Why there are no figures of matching keys.
pub(super) const NOTHING_READ: &str = "no part was read completely";

/// A figure, or `unknown`.
pub(super) fn known(figure: Option<u64>) -> String {
    figure.map_or_else(|| UNKNOWN.to_owned(), grouped)
}

/// A number of matching keys, or `unknown`.
pub(super) fn keys(result: &CleanupResult, keys: u64) -> String {
    known((!nothing_read(result)).then_some(keys))
}

/// Why the number of keys left by the run is unknown; `None` if it is known.
pub(super) fn keys_left_unknown(result: &CleanupResult) -> Option<&'static str> {
    let unconfirmed = result.accounting.unconfirmed > 0;
    match (result.current_metrics.total_keys, partly_read(result)) {
        (Some(_), _) => None,
        (None, Some(why)) => Some(why),
        (None, None) if unconfirmed => Some("some deletions are unconfirmed"),
        (None, None) => Some("a failover restored deleted keys"),
    }
}

/// Why the figures of matching keys cover only a part of them; `None` if everything was read or sampled.
pub(super) fn partly_read(result: &CleanupResult) -> Option<&'static str> {
    if result.skipped_keys > 0 && result.skipped.sampled_keys == 0 {
        return Some("the sample of the skipped nodes has no matching key");
    }
    let listed = result.skipped_keys > 0 || result.nodes.iter().any(|node| node.listed_keys > 0);
    match result.coverage.extent {
        _ if result.coverage.complete => None,
        Some(Extent::Nothing) if !listed => Some(NOTHING_READ),
        _ => Some("not everything was read"),
    }
}

/// Whether there are no figures of matching keys.
pub(super) fn nothing_read(result: &CleanupResult) -> bool {
    partly_read(result) == Some(NOTHING_READ)
}

/// The suffix of a number of keys that does not cover all of them.
pub(super) fn read_suffix(result: &CleanupResult) -> &'static str {
    if partly_read(result).is_some() { " that were read" } else { "" }
}

/// The action of the run; [`Action::Delete`] if a later version added it.
pub(super) fn action(result: &CleanupResult) -> &'static ActionRow {
    ActionRow::named(&result.action).unwrap_or(Action::Delete.row())
}

/// Whether the run only reports, so that memory figures are estimates of what could be freed.
pub(super) fn is_only_reported(result: &CleanupResult) -> bool {
    let by_rules = || result.rules.iter().all(|rule| ["report", "durable"].contains(&rule.action.as_str()));
    match result.rules.is_empty() {
        true => result.dry_run || action(result).effect.is_none(),
        false => result.dry_run || by_rules(),
    }
}
