//! Rules about the run: what it found and what it could not do.

use keysweep_model::messages::UnreachableNode;
use keysweep_model::metrics::{Finding, Severity};
use keysweep_model::result::FailoverRescan;
use serde_json::json;

use super::{Facts, issue};

pub(super) fn stale(facts: &Facts) -> Vec<Finding> {
    let (stale, protected) = (facts.stale_keys, facts.stale_protected_keys);
    let more = if protected > 0 { format!(" ({protected} more are protected)") } else { String::new() };
    let sentence = format!("Found {stale} keys without TTL - this indicates a caching bug{more}");
    let evidence = [
        ("staleTTLKeys", json!(stale.saturating_add(protected))),
        ("staleUnprotectedKeys", json!(stale)),
        ("limit", json!(0)),
    ];
    some(stale > 0, || issue("stale-keys", Severity::Warning, sentence, evidence))
}

pub(super) fn stopped(facts: &Facts) -> Vec<Finding> {
    let found = |(_, cause): &(_, String)| {
        issue("stopped", Severity::Warning, format!("The run was stopped: {cause}"), [])
    };
    facts.stopped.iter().map(found).collect()
}

pub(super) fn not_covered(facts: &Facts) -> Vec<Finding> {
    let what = if facts.coverage.slots_covered.is_some() { "slots " } else { "" };
    let found = |missing: &String| {
        let evidence = [("missing", json!(missing)), ("slotsCovered", json!(facts.coverage.slots_covered))];
        issue("not-covered", Severity::Critical, format!("Not covered: {what}{missing}"), evidence)
    };
    facts.coverage.missing.iter().map(found).collect()
}

pub(super) fn unreachable_nodes(facts: &Facts) -> Vec<Finding> {
    let found = |node: &UnreachableNode| {
        let sentence = format!("Node excluded from the run: {}", node.cause);
        issue("node-unreachable", Severity::Critical, sentence, [("slots", json!(node.slots.to_string()))])
    };
    facts.left_out.iter().map(found).collect()
}

pub(super) fn dead_lettered_tasks(facts: &Facts) -> Vec<Finding> {
    let found = |(cause, tasks): (&String, &u64)| {
        let sentence = format!("{tasks} scan tasks did not complete: {cause}");
        issue("tasks-failed", Severity::Critical, sentence, [("tasks", json!(tasks))])
    };
    facts.coverage.causes.iter().map(found).collect()
}

pub(super) fn too_long(facts: &Facts) -> Vec<Finding> {
    let (keys, named) = &facts.too_long;
    let sentence = format!("{keys} keys are too long to process (key_too_long): {}", named.join(", "));
    some(*keys > 0, || issue("key-too-long", Severity::Warning, sentence, [("keys", json!(keys))]))
}

pub(super) fn undone(facts: &Facts) -> Vec<Finding> {
    let (accounting, again) = (&facts.accounting, &facts.read_again.accounting);
    let unconfirmed = "are unconfirmed: they were attempted, but no reply states the result";
    let rows = [
        ("candidates-failed", (accounting.failed + again.failed).saturating_sub(facts.too_long.0), "failed"),
        ("candidates-unreached", accounting.unreached + again.unreached, "were not reached"),
        ("candidates-unconfirmed", accounting.unconfirmed + again.unconfirmed, unconfirmed),
    ];
    let found = |(rule, keys, what): (&'static str, u64, &str)| {
        issue(rule, Severity::Critical, format!("{keys} candidates {what}"), [("keys", json!(keys))])
    };
    rows.into_iter().filter(|(_, keys, _)| *keys > 0).map(found).collect()
}

pub(super) fn undone_slots(facts: &Facts) -> Vec<Finding> {
    let found = |slots: &String| {
        let sentence =
            format!("Unprocessed candidates remain in slots {slots}; run the job again to process them");
        issue("unresolved-slots", Severity::Warning, sentence, [("slots", json!(slots))])
    };
    facts.coverage.unresolved.iter().map(found).collect()
}

pub(super) fn read_again(facts: &Facts) -> Vec<Finding> {
    let again = &facts.read_again;
    let found = |slots: &String| {
        let sentence = format!(
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
        issue("rescanned", Severity::Warning, sentence, evidence)
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

pub(super) fn causes(facts: &Facts) -> Vec<Finding> {
    if facts.stopped.is_some() {
        return Vec::new();
    }
    let found = |(cause, batches): (&String, &u64)| {
        let sentence = format!("{batches} reap batches: {cause}");
        issue("batches", Severity::Warning, sentence, [("batches", json!(batches))])
    };
    facts.causes.iter().map(found).collect()
}

pub(super) fn dead_letters(facts: &Facts) -> Vec<Finding> {
    let found = |(reason, messages): (&String, &u64)| {
        let sentence = format!("{messages} queue messages could not be decoded (dead letters): {reason}");
        issue("dead-letters", Severity::Warning, sentence, [("messages", json!(messages))])
    };
    facts.dead.iter().map(found).collect()
}

pub(super) fn approximate(facts: &Facts) -> Vec<Finding> {
    let sentence =
        "scannedKeys is approximate: keys may have been listed twice, or counted before their slot moved";
    some(facts.approximate, || issue("approximate", Severity::Info, sentence, []))
}

pub(super) fn primaries_read(facts: &Facts) -> Vec<Finding> {
    let nodes = facts.read_from.iter().flat_map(|read| &read.nodes);
    let found =
        nodes.flat_map(|node| node.primary_reasons.iter().map(move |(why, tasks)| (node, why, tasks)));
    let found = found.map(|(node, why, tasks)| {
        let sentence =
            format!("{tasks} scan tasks read primary `{}` instead of a replica: {why}", node.address);
        let evidence = [("node", json!(node.node)), ("tasks", json!(tasks))];
        issue("primary-read", Severity::Warning, sentence, evidence)
    });
    found.collect()
}

pub(super) fn replicas(facts: &Facts) -> Vec<Finding> {
    let found = facts.replicas.iter().map(|(address, replica)| {
        let severity = if replica.is_linked() { Severity::Warning } else { Severity::Critical };
        let evidence = [("address", json!(address)), ("replica", json!(replica))];
        issue("replica", severity, replica.sentence(address), evidence)
    });
    found.collect()
}

pub(super) fn aggressive_refused(facts: &Facts) -> Vec<Finding> {
    let found = |why: &String| {
        issue("aggressive-refused", Severity::Critical, format!("Aggressive cleanup was refused: {why}"), [])
    };
    facts.aggressive_refused.iter().map(found).collect()
}

pub(super) fn no_active_user(facts: &Facts) -> Vec<Finding> {
    let sentence = format!(
        "{} keys of apparently inactive users were kept: their scan tasks found no active user, so ids may be \
         formatted differently from those in the activity source; `--allow-no-active` (`allow_no_active`) removes these \
         keys anyway",
        facts.no_active_user
    );
    let evidence = [("keys", json!(facts.no_active_user))];
    some(facts.no_active_user > 0, || issue("no-active-user", Severity::Warning, sentence, evidence))
}

pub(super) fn insecure(facts: &Facts) -> Vec<Finding> {
    let sentence = "TLS certificates were not verified (`--insecure`): the keys read and deleted may belong to another \
                    server; set the CA with `--cacert` instead";
    some(facts.insecure, || issue("insecure", Severity::Critical, sentence, []))
}

pub(super) fn scripts_refused(facts: &Facts) -> Vec<Finding> {
    let found = |why: &String| {
        let sentence =
            format!("{why}; keys were checked and deleted in transactions instead, which is slower");
        issue("scripts-refused", Severity::Info, sentence, [])
    };
    facts.scripts_refused.iter().map(found).collect()
}

fn some(is: bool, finding: impl FnOnce() -> Finding) -> Vec<Finding> {
    if is { vec![finding()] } else { Vec::new() }
}
