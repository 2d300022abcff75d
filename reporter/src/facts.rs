//! What a result states, as text: what was read, the outcomes, the freed memory, and which figures are unknown. All
//! pages take these texts from here, so that they agree. Pure.

use keysweep_model::messages::{Action, ActionRow};
use keysweep_model::metrics::InactiveCaches;
use keysweep_model::result::{CleanupResult, Extent, NodeRow};

use crate::format::{bounds, bytes, counted, grouped};

/// Shown in place of an unknown figure.
pub(crate) const UNKNOWN: &str = "unknown";

/// Why there are no figures of matching keys.
pub(crate) const NOTHING_READ: &str = "no part was read completely";

/// Why the number of keys left by the run is unknown; `None` if it is known.
pub(crate) fn keys_left_unknown(result: &CleanupResult) -> Option<&'static str> {
    let unconfirmed = result.accounting.unconfirmed > 0;
    match (result.current_metrics.total_keys, partly_read(result)) {
        (Some(_), _) => None,
        (None, Some(why)) => Some(why),
        (None, None) if unconfirmed => Some("some deletions are unconfirmed"),
        (None, None) => Some("a failover restored deleted keys"),
    }
}

/// Why the figures of matching keys cover only a part of them; `None` if everything was read or sampled.
pub(crate) fn partly_read(result: &CleanupResult) -> Option<&'static str> {
    if result.skipped_keys > 0 && result.skipped.sampled_keys == 0 {
        return Some("the sample of the skipped nodes has no matching key");
    }
    match result.coverage.extent {
        _ if result.coverage.complete => None,
        Some(Extent::Nothing) if !has_listed(result) => Some(NOTHING_READ),
        _ => Some("not everything was read"),
    }
}

/// Why there are no figures of matching keys, if so.
pub(crate) fn if_nothing_read(result: &CleanupResult) -> Option<&'static str> {
    partly_read(result).filter(|why| *why == NOTHING_READ)
}

/// A number of matching keys, or `unknown`.
pub(crate) fn keys(result: &CleanupResult, keys: u64) -> String {
    if_nothing_read(result).map_or_else(|| grouped(keys), |_| UNKNOWN.to_owned())
}

/// The suffix of an approximate number of keys; empty for an exact one.
pub(crate) fn approximately(result: &CleanupResult) -> &'static str {
    if result.keys_error() != Some(0) { " (approximate)" } else { "" }
}

/// The share of active users' keys in the plan's sample; `None` if the sample has no key with a user.
pub(crate) fn sampled_active(inactive: &InactiveCaches) -> Option<String> {
    let (keys, percent) = (inactive.sampled_user_keys?, inactive.sampled_active_percent?);
    Some(format!(
        "{percent:.1}% of the {} keys with a user in the plan's sample belong to active users",
        grouped(keys)
    ))
}

/// The coverage, as a figure of a page.
pub(crate) fn covered(result: &CleanupResult) -> String {
    let coverage = &result.coverage;
    let missing = coverage.missing.as_deref().unwrap_or_default();
    let nothing = if_nothing_read(result).is_some();
    match (coverage.complete, coverage.slots_covered) {
        (true, Some(slots)) => format!("all {} slots", grouped(slots)),
        (true, None) => "the whole database".to_owned(),
        (false, Some(0)) if nothing => "nothing: no slot was read completely".to_owned(),
        (false, Some(slots)) => format!("{} of 16,384 slots; not {missing}", grouped(slots)),
        (false, None) if nothing => format!("nothing of {missing}"),
        (false, None) if coverage.extent == Some(Extent::Nothing) => {
            format!("nothing of {missing} that still counts")
        }
        (false, None) if coverage.extent.is_some() => format!("only {missing}"),
        (false, None) => format!("not all of {missing}"),
    }
}

/// A number of keys of a node; `None` if no part of the node was read.
pub(crate) fn matching_keys(node: &NodeRow, keys: u64) -> Option<u64> {
    let unread = node.read == Some(Extent::Nothing) && node.listed_keys == 0 && node.skipped_keys == 0;
    (!unread).then_some(keys)
}

fn has_listed(result: &CleanupResult) -> bool {
    result.skipped_keys > 0 || result.nodes.iter().any(|node| node.listed_keys > 0)
}

/// Keys without TTL that a protected pattern matches, as far as the result distinguishes them.
pub(crate) fn stale_protected(result: &CleanupResult) -> u64 {
    result.stale_unprotected_keys.map_or(0, |keys| result.stale_ttl_keys.saturating_sub(keys))
}

/// The action of the run; [`Action::Delete`] if a later version added it.
pub(crate) fn action(result: &CleanupResult) -> &'static ActionRow {
    ActionRow::named(&result.action).unwrap_or(Action::Delete.row())
}

/// Whether the run only reports, so that memory figures are estimates of what could be freed.
pub(crate) fn is_only_reported(result: &CleanupResult) -> bool {
    result.dry_run || action(result).effect.is_none()
}

/// The freed memory with a note on its bounds; `None` if it is unknown or zero.
pub(crate) fn freed(result: &CleanupResult) -> Option<(String, String)> {
    let freed = result.freed_bytes.filter(|freed| freed.estimate > 0)?;
    let bounds = bounds(freed.low, freed.high, bytes).map_or(String::new(), |bounds| format!(", {bounds}"));
    Some((bytes(freed.estimate), format!("of memory{bounds}")))
}

/// The candidates as the sum of their outcomes.
pub(crate) fn equation(result: &CleanupResult) -> String {
    let rows = result.accounting.rows();
    let parts = rows.into_iter().filter(|(_, keys)| *keys > 0);
    let parts: Vec<String> = parts.map(|(name, keys)| format!("{} {name}", grouped(keys))).collect();
    let candidates = counted(result.accounting.candidates, "candidate", "candidates");
    match if_nothing_read(result) {
        _ if !parts.is_empty() => format!("{candidates} = {}", parts.join(" + ")),
        Some(why) => format!("{candidates}: {why}"),
        None => format!("{candidates}: nothing to do"),
    }
}

/// What an outcome of a candidate means.
pub(crate) fn meaning(outcome: &str) -> &'static str {
    match outcome {
        "expired" => "were given a TTL",
        "spared" => "no longer qualified at the moment of deletion",
        "fieldTtl" => "hashes whose fields expire",
        "vanished" => "were gone at the moment of deletion",
        "protected" => "kept by a protected pattern",
        "reported" => "only reported",
        "failed" => "could not be processed",
        "unreached" => "not attempted",
        "unconfirmed" => "attempted, but the result is unknown",
        _ => "",
    }
}

/// The window of the hit rate.
pub(crate) fn hit_rate_window(result: &CleanupResult) -> &'static str {
    match result.metrics.hit_rates.since_last_run {
        Some(_) => "since the previous run",
        None => "during the run",
    }
}
