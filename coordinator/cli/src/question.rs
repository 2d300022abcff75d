//! The confirmation that a run asks for: what changes, for how many keys, and where. Pure.

use std::time::Duration;

use coordinator::options::Options;
use coordinator::preflight::{Preflight, RuleEstimate};
use keysweep_model::duration;
use keysweep_model::messages::Action;
use reporter::{bytes, counted, first_upper, grouped};

/// The question, without `[y/N]`: `Delete about 12,171 keys (1.2 GiB) on 127.0.0.1:7002?`
#[must_use]
pub fn question(plan: &Preflight, options: &Options) -> String {
    let (estimate, exact) = (&plan.estimate, is_counted(plan));
    if !plan.rules.is_empty() {
        return by_rules(plan, options);
    }
    let action = options.rules.action;
    let request = |count| phrase(action.row().request, action, &keys(count, exact));
    let what = if action.deletes() {
        let deletions = estimate.deletions(action);
        let memory = if deletions > 0 { memory(plan, exact) } else { String::new() };
        format!("{}{memory}", request(deletions))
    } else {
        let inactive = keys(estimate.inactive_candidates(), exact);
        let deleted = plan.spec.rules.inactive.as_ref().filter(|_| action.writes());
        let and = deleted.map_or_else(String::new, |_| format!(", and delete {inactive} of inactive users"));
        format!("{}{and}", request(estimate.stale_candidates()))
    };
    format!("{what} {}?", place(plan, options))
}

/// The same for a job with rules: `Delete 12 keys (1.2 MiB) and set the TTL of about 40 keys by 3 rules on …?`
fn by_rules(plan: &Preflight, options: &Options) -> String {
    let exact = is_counted(plan);
    let sum = |of: fn(&RuleEstimate) -> u64| plan.rules.iter().map(of).sum::<u64>();
    let (changes, deletions) = (sum(|rule| rule.changes), sum(|rule| rule.deletions));
    let delete = || {
        let memory = if deletions > 0 { memory(plan, exact) } else { String::new() };
        format!("delete {}{memory}", keys(deletions, exact))
    };
    let lifetimes = || format!("set the TTL of {}", keys(changes.saturating_sub(deletions), exact));
    let stated = options.rules.policy.iter().flat_map(|policy| &policy.rules);
    let sets_ttls = stated.clone().any(|rule| rule.writes() && !rule.deletes());
    let what: Vec<String> =
        [options.rules.deletes().then(delete), sets_ttls.then(lifetimes)].into_iter().flatten().collect();
    let rules = counted(stated.count() as u64, "rule", "rules");
    format!("{} by {rules} {}?", first_upper(&what.join(" and ")), place(plan, options))
}

/// `template`, which is from the row of `action`, with the keys and the TTL filled in.
pub(super) fn phrase(template: &str, action: Action, keys: &str) -> String {
    let ttl = duration::show(Duration::from_millis(action.ttl_ms().unwrap_or_default()));
    template.replace("{keys}", keys).replace("{ttl}", &ttl)
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
