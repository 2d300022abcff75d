//! Rules about the run: what it found and what it could not do.

use keysweep_model::messages::{AsReplica, Cancel, RunSpec, UnreachableNode};
use keysweep_model::metrics::{Finding, RedisHealth, Severity};
use keysweep_model::result::{Accounting, FailoverRescan};
use serde_json::json;

use super::{Rule, RuleInput, issue, rules};

/// The rules of this file, in the order of their messages.
pub(super) const RULES: &[Rule] = &[
    stale,
    stopped,
    not_covered,
    unreachable_nodes,
    failed_tasks,
    too_long,
    undone,
    unresolved_slots,
    rescanned,
    causes,
    dead_letters,
    approximate,
    primaries_read,
    replicas,
    aggressive_refused,
    no_active_user,
    insecure,
    scripts_refused,
];

/// The name of the issue about a run that was stopped.
pub(crate) const STOPPED: &str = "stopped";

fn stale(input: &RuleInput<'_>) -> Vec<Finding> {
    let counts = &input.fold.totals.counts;
    let (stale, protected) = (counts.stale_unprotected(), counts.stale_protected);
    // Where a job has rules, they say which keys may have no TTL.
    let has_rules = input.spec.rules.policy.is_some();
    let more = if protected > 0 { format!(" ({protected} more are protected)") } else { String::new() };
    let message = format!("Found {stale} keys without TTL - this indicates a caching bug{more}");
    let evidence = [
        ("staleTTLKeys", json!(stale.saturating_add(protected))),
        ("staleUnprotectedKeys", json!(stale)),
        ("limit", json!(0)),
    ];
    some(stale > 0 && !has_rules, || issue("stale-keys", Severity::Warning, message, evidence))
}

fn stopped(input: &RuleInput<'_>) -> Vec<Finding> {
    let found = |cancel: &Cancel| {
        let message = format!("The run was stopped: {}", cancel.cause);
        let Some((rule, limit)) = rules::limited(input.fold) else {
            return issue(STOPPED, Severity::Warning, message, []);
        };
        let evidence = [("keys", json!(limit.possible)), ("limit", json!(limit.max))];
        Finding { policy_rule: Some(rule), ..issue(STOPPED, Severity::Warning, message, evidence) }
    };
    input.fold.cancel.iter().map(found).collect()
}

fn not_covered(input: &RuleInput<'_>) -> Vec<Finding> {
    let coverage = &input.result.coverage;
    let what = if coverage.slots_covered.is_some() { "slots " } else { "" };
    let found = |missing: &String| {
        let evidence = [("missing", json!(missing)), ("slotsCovered", json!(coverage.slots_covered))];
        issue("not-covered", Severity::Critical, format!("Not covered: {what}{missing}"), evidence)
    };
    coverage.missing.iter().map(found).collect()
}

fn unreachable_nodes(input: &RuleInput<'_>) -> Vec<Finding> {
    let found = |node: &UnreachableNode| {
        let message = format!("Node excluded from the run: {}", node.cause);
        issue("node-unreachable", Severity::Critical, message, [("slots", json!(node.slots.to_string()))])
    };
    input.spec.unreachable_nodes.iter().map(found).collect()
}

fn failed_tasks(input: &RuleInput<'_>) -> Vec<Finding> {
    let found = |(cause, tasks): (&String, &u64)| {
        let message = format!("{tasks} scan tasks did not complete: {cause}");
        issue("tasks-failed", Severity::Critical, message, [("tasks", json!(tasks))])
    };
    input.result.coverage.causes.iter().map(found).collect()
}

fn too_long(input: &RuleInput<'_>) -> Vec<Finding> {
    let keys = input.fold.totals.counts.too_long;
    let message =
        format!("{keys} keys are too long to process (key_too_long): {}", input.fold.long_keys.join(", "));
    some(keys > 0, || issue("key-too-long", Severity::Warning, message, [("keys", json!(keys))]))
}

fn undone(input: &RuleInput<'_>) -> Vec<Finding> {
    let (accounting, again) = (&input.result.accounting, &input.result.failover.accounting);
    let too_long = input.fold.totals.counts.too_long;
    let unconfirmed = "are unconfirmed: they were tried, and whether they were changed is not known";
    let sum = |of: fn(&Accounting) -> u64| of(accounting).saturating_add(of(again));
    let rows = [
        ("candidates-failed", sum(|of| of.failed).saturating_sub(too_long), "failed"),
        ("candidates-unreached", sum(|of| of.unreached), "were not reached"),
        ("candidates-unconfirmed", sum(|of| of.unconfirmed), unconfirmed),
    ];
    let found = |(rule, keys, what): (&'static str, u64, &str)| {
        issue(rule, Severity::Critical, format!("{keys} candidates {what}"), [("keys", json!(keys))])
    };
    rows.into_iter().filter(|(_, keys, _)| *keys > 0).map(found).collect()
}

fn unresolved_slots(input: &RuleInput<'_>) -> Vec<Finding> {
    let found = |slots: &String| {
        let message =
            format!("Unprocessed candidates remain in slots {slots}; run the job again to process them");
        issue("unresolved-slots", Severity::Warning, message, [("slots", json!(slots))])
    };
    input.result.coverage.unresolved.iter().map(found).collect()
}

fn rescanned(input: &RuleInput<'_>) -> Vec<Finding> {
    let again = &input.result.failover;
    let found = |slots: &String| {
        let message = format!(
            "{} before their replicas had confirmed all deletions: slots {slots} were scanned again, and {} keys \
             were deleted again",
            servers(again),
            again.redeleted
        );
        let evidence = [
            ("slots", json!(slots)),
            ("replaced", json!(again.replaced)),
            ("unconfirmed", json!(again.unconfirmed)),
            ("redeleted", json!(again.redeleted)),
        ];
        issue("rescanned", Severity::Warning, message, evidence)
    };
    again.rescanned.iter().map(found).collect()
}

fn servers(again: &FailoverRescan) -> String {
    let replaced = |servers| {
        format!("{servers} servers changed their replication history (as after a restart or a failover)")
    };
    let unconfirmed =
        |servers| format!("{servers} servers did not report whether their replication history changed");
    match (again.replaced.len(), again.unconfirmed.len()) {
        (servers, 0) => replaced(servers),
        (0, servers) => unconfirmed(servers),
        (some, others) => format!("{}, and {},", replaced(some), unconfirmed(others)),
    }
}

fn causes(input: &RuleInput<'_>) -> Vec<Finding> {
    if input.fold.cancel.is_some() {
        return Vec::new();
    }
    let found = |(cause, batches): (&String, &u64)| {
        let message = format!("{batches} reap batches: {cause}");
        issue("batches-failed", Severity::Warning, message, [("batches", json!(batches))])
    };
    input.fold.causes.iter().map(found).collect()
}

fn dead_letters(input: &RuleInput<'_>) -> Vec<Finding> {
    let found = |(reason, messages): (&String, &u64)| {
        let message =
            format!("{messages} queue messages could not be decoded or verified (dead letters): {reason}");
        issue("dead-letters", Severity::Warning, message, [("messages", json!(messages))])
    };
    input.context.dead_letters.iter().map(found).collect()
}

fn approximate(input: &RuleInput<'_>) -> Vec<Finding> {
    let message =
        "scannedKeys is approximate: keys may have been listed twice, or counted before their slot moved";
    some(input.result.scanned_keys_approximate, || issue("approximate", Severity::Info, message, []))
}

fn primaries_read(input: &RuleInput<'_>) -> Vec<Finding> {
    let nodes = input.result.read_from.iter().flat_map(|read| &read.nodes);
    let found =
        nodes.flat_map(|node| node.primary_reasons.iter().map(move |(why, tasks)| (node, why, tasks)));
    let found = found.map(|(node, why, tasks)| {
        let message =
            format!("{tasks} scan tasks read primary `{}` instead of a replica: {why}", node.address);
        let evidence = [("node", json!(node.node)), ("tasks", json!(tasks))];
        issue("primary-read", Severity::Warning, message, evidence)
    });
    found.collect()
}

fn replicas(input: &RuleInput<'_>) -> Vec<Finding> {
    let found = replica_states(input.spec, &input.context.health).map(|(address, replica)| {
        let severity = if replica.is_linked() { Severity::Warning } else { Severity::Critical };
        let evidence = [("address", json!(address)), ("replica", json!(replica))];
        issue("replica", severity, replica.sentence(address), evidence)
    });
    found.collect()
}

/// The replicas that were read like primaries, each with its address and the worse of its states at the plan and at the
/// end of the run.
pub(crate) fn replica_states<'a>(
    spec: &'a RunSpec,
    end: &'a RedisHealth,
) -> impl Iterator<Item = (&'a str, &'a AsReplica)> {
    spec.nodes.iter().filter_map(|node| {
        let begin = node.replica.as_ref()?;
        let end = end.nodes.iter().find(|health| health.node == node.node);
        let end = end.and_then(|health| health.replica.as_ref()).filter(|end| !end.is_linked());
        let worse = if begin.is_linked() { end.unwrap_or(begin) } else { begin };
        Some((node.address.as_str(), worse))
    })
}

fn aggressive_refused(input: &RuleInput<'_>) -> Vec<Finding> {
    let by_rules = input.spec.rules.policy.is_some();
    let found = |why: &String| match by_rules {
        true => {
            let message = format!(
                "It is not known which users are active, so that rules whose condition asks for users left their keys \
                 alone: {why}"
            );
            issue("users-unknown", Severity::Critical, message, [])
        }
        false => {
            let message = format!("Aggressive cleanup was refused: {why}");
            issue("aggressive-refused", Severity::Critical, message, [])
        }
    };
    input.spec.inactive_refused.iter().map(found).collect()
}

fn no_active_user(input: &RuleInput<'_>) -> Vec<Finding> {
    let keys = input.fold.totals.counts.no_active_user;
    let message = format!(
        "{keys} keys of apparently inactive users were kept: their scan tasks found no active user, so ids may be \
         formatted differently from those in the activity source; `--allow-no-active` (`allow_no_active`) removes these \
         keys anyway"
    );
    let evidence = [("keys", json!(keys))];
    some(keys > 0, || issue("no-active-user", Severity::Warning, message, evidence))
}

fn insecure(input: &RuleInput<'_>) -> Vec<Finding> {
    let message = "TLS certificates were not verified (`--insecure`): the keys read and deleted may belong to another \
                    server; set the CA with `--cacert` instead";
    some(input.spec.insecure, || issue("insecure", Severity::Critical, message, []))
}

fn scripts_refused(input: &RuleInput<'_>) -> Vec<Finding> {
    let found = |why: &String| {
        let message =
            format!("{why}; keys were checked and deleted in transactions instead, which is slower");
        issue("scripts-refused", Severity::Info, message, [])
    };
    input.spec.scripts_refused.iter().map(found).collect()
}

fn some(is: bool, finding: impl FnOnce() -> Finding) -> Vec<Finding> {
    if is { vec![finding()] } else { Vec::new() }
}
