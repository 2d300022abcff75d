//! Texts about unknown and partial figures: the keys left after a run, and what it read. Pure.

use keysweep_model::metrics::InactiveCaches;
use keysweep_model::result::{CleanupResult, Extent, NodeRow};

use crate::render::grouped;

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
