//! A plan as a page of text, and as JSON. Pure.

use std::fmt::Write;

use coordinator::options::Options;
use coordinator::preflight::{NodePreflight, Preflight};
use keysweep_model::messages::ActivityRule;
use reporter::{cell, counted, grouped, memory, slots, trim_lines, wrap};
use serde_json::{Value, json};

use super::{no_match, question};

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// The plan as a page of text. Writing to a string cannot fail, so results of `writeln!` are dropped.
#[must_use]
pub fn text(plan: &Preflight, options: &Options) -> String {
    let mut page = String::new();
    headline(&mut page, plan, options);
    nodes(&mut page, plan);
    let estimate = &plan.estimate;
    if estimate.matching_keys == 0 {
        page.push_str(&no_match::text(plan, options));
    } else {
        let _ = writeln!(page);
        let matching = counted(estimate.matching_keys, "key matches", "keys match");
        let stale = grouped(estimate.stale_ttl_keys);
        note(&mut page, &format!("{matching}, {stale} of them stale: {}", precision(plan)));
    }
    findings(&mut page, plan);
    warnings(&mut page, plan);
    if estimate.matching_keys > 0 {
        note(&mut page, &verdict(plan, options));
    }
    if let Some(freed) = plan.freed.as_ref().filter(|freed| freed.estimate > 0) {
        let verb = if options.rules.action.writes() { "That" } else { "Deleting them" };
        note(&mut page, &format!("{verb} would free {} of memory", memory(freed)));
    }
    if let Some(order) = plan.spec.backup.as_ref().filter(|_| !question::nothing_to_do(plan)) {
        note(&mut page, &format!("Each of them would be saved in {} before it is deleted", order.target));
    }
    trim_lines(&page)
}

/// A sentence on its own line.
fn note(page: &mut String, sentence: &str) {
    let _ = writeln!(page, "  {}", wrap(sentence, 2));
}

/// How reliable the numbers are.
fn precision(plan: &Preflight) -> &'static str {
    if plan.estimate.exact { "counted" } else { "estimated from a sample" }
}

/// The headline: the job, its action, patterns and rules.
fn headline(page: &mut String, plan: &Preflight, options: &Options) {
    let patterns = |list: &[keysweep_model::glob::Pattern]| {
        list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let rules = &options.rules;
    let dry = if options.dry_run { " (dry run)" } else { "" };
    let and = match rules.action {
        _ if plan.spec.rules.inactive.is_none() => "",
        action if action.deletes() || !action.writes() => ", and keys of inactive users",
        _ => ", and delete keys of inactive users",
    };
    let (job, action) = (&options.job, rules.action.name());
    let headline = format!("Plan of job `{job}`: {action} keys without TTL{and}{dry}");
    let _ = writeln!(page, "{}", wrap(&headline, 0));
    let _ = writeln!(page, "  patterns   {}", wrap(&patterns(&rules.patterns), 13));
    if !rules.protect.is_empty() {
        let _ = writeln!(page, "  protected  {}", wrap(&patterns(&rules.protect), 13));
    }
    if let Some(source) = &plan.spec.activity_source {
        let _ = writeln!(page, "  activity   {}", wrap(&activity(plan, source), 13));
    }
}

/// The table of nodes.
fn nodes(page: &mut String, plan: &Preflight) {
    let _ = writeln!(page);
    row(page, "node", ["version", "slots", "keys", "matching", "stale"].map(str::to_owned));
    for node in &plan.nodes {
        let cells = [
            node.version.chars().take(12).collect(),
            slots(node.slots),
            grouped(node.keys),
            grouped(node.estimate.matching_keys),
            grouped(node.estimate.stale_ttl_keys),
        ];
        row(page, &node.address, cells);
    }
    for node in &plan.nodes {
        if let Some(source) = &node.read_from {
            let read = format!("{} is read {}", node.address, source.sentence());
            let _ = writeln!(page, "  {}", wrap(&read, 4));
        }
    }
    for sentence in issues(plan) {
        let _ = writeln!(page, "  {}", wrap(&sentence, 4));
    }
}

/// Counts of matching keys other than stale ones.
fn findings(page: &mut String, plan: &Preflight) {
    let estimate = &plan.estimate;
    let skipped: u64 = plan.nodes.iter().filter(|node| node.skipped).map(|node| node.keys).sum();
    if skipped > 0 {
        let skipped = grouped(skipped);
        let why = "their nodes have no key without TTL (`--full-scan` reads them all)";
        note(page, &format!("{skipped} keys are skipped: {why}"));
    }
    if estimate.protected_keys > 0 {
        note(page, &format!("{} of the stale keys are protected", grouped(estimate.protected_keys)));
    }
    if plan.spec.rules.inactive.is_some() {
        let (inactive, sure) = (grouped(estimate.inactive_candidates()), precision(plan));
        note(page, &format!("{inactive} have a TTL and belong to inactive users: {sure}"));
    }
    if let Some((met, percent)) = plan.spec.sampled_users.and_then(|met| Some((met, met.active_percent()?))) {
        let keys = grouped(met.keys);
        note(
            page,
            &format!("{percent:.1}% of the {keys} sampled keys with a TTL and a user belong to active users"),
        );
    }
}

/// Warnings about the plan.
fn warnings(page: &mut String, plan: &Preflight) {
    let spec = &plan.spec;
    if spec.insecure {
        note(
            page,
            "INSECURE: any certificate is taken (`--insecure`), so the servers' identity is not verified",
        );
    }
    if let Some(why) = &spec.inactive_refused {
        note(page, &format!("Aggressive cleanup is REFUSED: {why}"));
    }
    if let Some(why) = &spec.scripts_refused {
        note(page, &format!("{why}; transactions would check and delete keys instead"));
    }
    if let Some(why) = &plan.rights_unchecked {
        note(page, &format!("RIGHTS NOT CHECKED: {why}. A run checks them before it changes anything"));
    }
    for node in &spec.unreachable_nodes {
        note(page, &format!("EXCLUDED: {} (slots {})", node.cause, node.slots));
    }
    if !plan.missing.is_empty() {
        note(page, &format!("NOT COVERED, because no node serves them: slots {}", plan.missing));
    }
}

/// The source of activity, and the number of active users.
fn activity(plan: &Preflight, source: &str) -> String {
    match plan.spec.rules.inactive.as_ref().map(|rule| (&rule.activity, rule.threshold_ms / DAY_MS)) {
        Some((ActivityRule::Users { users, .. }, days)) => {
            format!("{source}: {} users were active within {days} days", grouped(*users))
        }
        Some((ActivityRule::Idle, days)) => format!("{source}: keys not used for {days} days"),
        None => source.to_owned(),
    }
}

fn verdict(plan: &Preflight, options: &Options) -> String {
    let (estimate, action) = (&plan.estimate, options.rules.action);
    let deletions = estimate.deletions(action);
    let percent = estimate.percent_of(deletions);
    let limit = options.max_delete_percent;
    let verb = if percent > f64::from(limit) { "REFUSED by" } else { "within" };
    let deleted =
        format!("{} keys would be deleted ({percent:.1}%), {verb} the limit of {limit}%", grouped(deletions));
    let changed = |keys: u64| {
        let changed = question::phrase(action.row().prediction, action, &format!("{} keys", grouped(keys)));
        format!("{changed} ({:.1}%)", estimate.percent_of(keys))
    };
    if !action.writes() {
        return format!("{}; nothing would be changed", changed(estimate.candidates()));
    }
    match plan.spec.rules.inactive {
        _ if action.deletes() => deleted,
        Some(_) => format!("{}; {deleted}", changed(estimate.stale_candidates())),
        None => changed(estimate.stale_candidates()),
    }
}

fn row(page: &mut String, node: &str, cells: [String; 5]) {
    let node = cell(page, node, 21);
    let [version, slots, keys, matching, stale] = cells;
    let _ = writeln!(page, "  {node:<21} {version:<12} {slots:>6} {keys:>11} {matching:>11} {stale:>11}");
}

/// Problems of the checked servers, as sentences.
fn issues(plan: &Preflight) -> Vec<String> {
    let replica = |node: &NodePreflight| node.replica.as_ref().map(|replica| replica.sentence(&node.address));
    plan.nodes.iter().filter_map(replica).collect()
}

/// The plan as JSON.
#[must_use]
pub fn json(plan: &Preflight, options: &Options) -> Value {
    let estimate = &plan.estimate;
    json!({
        "job": options.job,
        "action": options.rules.action.name(),
        "dryRun": options.dry_run,
        "patterns": options.rules.patterns.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "protect": options.rules.protect.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "matchingKeys": estimate.matching_keys,
        "staleTTLKeys": estimate.stale_ttl_keys,
        "nothingToDo": question::nothing_to_do(plan),
        "commonestPrefixes": no_match::json(plan),
        "protectedKeys": estimate.protected_keys,
        "inactiveKeys": estimate.inactive_keys,
        "aggressiveCleanup": options.aggressive,
        "activitySource": plan.spec.activity_source,
        "activeUsers": plan.users.as_ref().filter(|users| !users.is_empty()).map(|users| users.len()),
        "sampledUserKeys": plan.spec.sampled_users.map(|met| met.keys),
        "sampledActivePercent": plan.spec.sampled_users.and_then(|met| met.active_percent()),
        "aggressiveCleanupRefused": plan.spec.inactive_refused,
        "unreachableNodes": plan.spec.unreachable_nodes.iter().map(|node| json!({
            "cause": node.cause,
            "slots": node.slots.to_string(),
        })).collect::<Vec<_>>(),
        "insecure": plan.spec.insecure,
        "backup": plan.spec.backup.as_ref().map(|order| &order.target),
        "deleteBackend": plan.rights_unchecked.is_none().then(|| plan.spec.delete_backend()),
        "rightsUnchecked": plan.rights_unchecked,
        "scriptsRefused": plan.spec.scripts_refused,
        "exact": estimate.exact,
        "candidates": estimate.candidates(),
        "freedBytes": plan.freed,
        "percent": estimate.percent(),
        "maxDeletePercent": options.max_delete_percent,
        "latencyBudgetMs": options.pacing.latency_budget_ms,
        "rateLimit": options.pacing.keys_per_s_max,
        "missingSlots": (!plan.missing.is_empty()).then(|| plan.missing.to_string()),
        "issues": issues(plan),
        "tasks": plan.tasks.len(),
        "nodes": plan.nodes,
    })
}
