//! The confirmation that a run asks for: what changes, for how many keys, and where. Pure.

use std::time::Duration;

use coordinator::options::Options;
use coordinator::preflight::Preflight;
use keysweep_model::duration;
use keysweep_model::messages::Action;
use reporter::{bytes, grouped};

/// The question, without `[y/N]`: `Delete about 12,171 keys (1.2 GiB) on 127.0.0.1:7002?`
#[must_use]
pub fn question(plan: &Preflight, options: &Options) -> String {
    let (estimate, exact) = (&plan.estimate, is_counted(plan));
    let what = match options.rules.action {
        Action::Delete => {
            let deletions = estimate.deletions(options.rules.action);
            let memory = if deletions > 0 { memory(plan, exact) } else { String::new() };
            format!("Delete {}{memory}", keys(deletions, exact))
        }
        Action::Expire { ttl_ms, .. } => {
            let ttl = duration::show(Duration::from_millis(ttl_ms));
            let given = format!("Give {} a TTL of {ttl}", keys(estimate.stale_candidates(), exact));
            match plan.spec.rules.inactive {
                Some(_) => {
                    format!(
                        "{given}, and delete {} of inactive users",
                        keys(estimate.inactive_candidates(), exact)
                    )
                }
                None => given,
            }
        }
        Action::Report => "Report".to_owned(),
    };
    format!("{what} {}?", place(plan, options))
}

/// Whether the plan is certain that no key changes: every key was read, or is skipped.
#[must_use]
pub fn nothing_to_do(plan: &Preflight) -> bool {
    is_counted(plan) && plan.missing.is_empty() && plan.estimate.candidates() == 0
}

/// Whether the numbers of keys to change are exact, not estimated. A skipped node has none.
fn is_counted(plan: &Preflight) -> bool {
    plan.nodes.iter().all(|node| node.estimate.exact || node.skipped)
}

/// `about 12,171 keys`
fn keys(count: u64, exact: bool) -> String {
    let about = if exact { "" } else { "about " };
    match (count, exact) {
        // A sample without such keys does not prove that there are none.
        (0, false) => "what a full scan finds (the sample has none)".to_owned(),
        (1, _) => format!("{about}1 key"),
        _ => format!("{about}{} keys", grouped(count)),
    }
}

/// ` (1.2 GiB)`: the memory to free, where the number of keys is `exact` or the estimate is reliable; empty if
/// unknown.
fn memory(plan: &Preflight, exact: bool) -> String {
    match plan.freed.filter(|freed| freed.estimate > 0) {
        Some(freed) if exact && !freed.is_exact() => format!(" (about {})", bytes(freed.estimate)),
        Some(freed) => format!(" ({})", bytes(freed.estimate)),
        None => String::new(),
    }
}

/// `on 127.0.0.1:7002`, `on 3 nodes of the cluster at 127.0.0.1:7002`
fn place(plan: &Preflight, options: &Options) -> String {
    let first = plan.nodes.first().map_or("?", |node| node.address.as_str());
    let nodes = match plan.nodes.len() {
        1 if !plan.spec.cluster => format!("on {first}"),
        1 => format!("on 1 node of the cluster at {first}"),
        nodes => format!("on {} nodes of the cluster at {first}", grouped(nodes as u64)),
    };
    match options.access.db {
        0 => nodes,
        db => format!("in database {db} {nodes}"),
    }
}
