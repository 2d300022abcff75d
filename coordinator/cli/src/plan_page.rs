//! A plan as a page of text, and as JSON. Pure.

use coordinator::options::Options;
use coordinator::preflight::{NodePreflight, Preflight};
use keysweep_model::messages::ActivityRule;
use reporter::printer::terminal;
use reporter::view::{Block, Figure, Kind, Table};
use reporter::{counted, grouped, memory, slots, wrap};
use serde_json::{Value, json};

use super::plan_rules::patterns;
use super::{no_match, plan_rules, question};

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// The plan as a page of text.
#[must_use]
pub fn text(plan: &Preflight, options: &Options) -> String {
    let matches = plan.estimate.matching_keys > 0;
    let head = wrap(&headline(plan, options), 0);
    let rules = terminal::blocks(&[Block::Figures(rules(plan, options))]);
    let nodes = terminal::blocks(&plan_rules::blocks(plan, options)) + &terminal::blocks(&nodes(plan));
    let counts =
        if matches { format!("\n{}", sentences([counts(plan)])) } else { no_match::text(plan, options) };
    let mut notes = findings(plan);
    notes.extend(warnings(plan));
    notes.extend(effects(plan, options));
    format!("{head}\n{rules}\n{nodes}{counts}{}", sentences(notes))
}

fn sentences(sentences: impl IntoIterator<Item = String>) -> String {
    terminal::blocks(&sentences.into_iter().map(Block::Text).collect::<Vec<_>>())
}

/// How reliable the numbers are.
fn precision(plan: &Preflight) -> &'static str {
    if plan.estimate.exact { "counted" } else { "estimated from a sample" }
}

/// The job and its action.
fn headline(plan: &Preflight, options: &Options) -> String {
    let dry = if options.dry_run { " (dry run)" } else { "" };
    if !plan.rules.is_empty() {
        let rules = counted(plan.rules.len() as u64, "rule", "rules");
        return format!("Plan of job `{}`: {rules}{dry}", options.job);
    }
    let action = options.rules.action;
    let and = match action {
        _ if plan.spec.rules.inactive.is_none() => "",
        action if action.deletes() || !action.writes() => ", and keys of inactive users",
        _ => ", and delete keys of inactive users",
    };
    format!("Plan of job `{}`: {} keys without TTL{and}{dry}", options.job, action.name())
}

/// The keys that the job selects.
fn rules(plan: &Preflight, options: &Options) -> Vec<Figure> {
    let rules = &options.rules;
    // Those of rules are in their table.
    let of_form = rules.policy.is_none().then(|| Figure::text("Patterns", patterns(&rules.patterns)));
    let mut figures: Vec<Figure> = of_form.into_iter().collect();
    if !rules.protect.is_empty() {
        figures.push(Figure::text("Protected", patterns(&rules.protect)));
    }
    let source = plan.spec.activity_source.as_ref();
    figures.extend(source.map(|source| Figure::text("Activity", activity(plan, source))));
    figures
}

/// The table of nodes, and sentences about some of them.
fn nodes(plan: &Preflight) -> Vec<Block<'static>> {
    let row = |node: &NodePreflight| {
        vec![
            node.address.clone(),
            node.version.chars().take(12).collect(),
            slots(node.slots),
            grouped(node.keys),
            grouped(node.estimate.matching_keys),
            grouped(node.estimate.stale_ttl_keys),
        ]
    };
    let table = Table::new("Nodes", "nodes")
        .columns(Kind::Code, ["Node"])
        .columns(Kind::Text, ["Version"])
        .columns(Kind::Number, ["Slots", "Keys", "Matching", "Without TTL"])
        .rows(plan.nodes.iter().map(row));
    let read = |node: &NodePreflight| {
        node.read_from.as_ref().map(|source| format!("{} is read {}", node.address, source.sentence()))
    };
    let sentences = plan.nodes.iter().filter_map(read).chain(issues(plan));
    std::iter::once(Block::Table(table)).chain(sentences.map(Block::Text)).collect()
}

fn counts(plan: &Preflight) -> String {
    let matching = counted(plan.estimate.matching_keys, "key matches", "keys match");
    let stale = grouped(plan.estimate.stale_ttl_keys);
    format!("{matching}, {stale} of them without TTL: {}", precision(plan))
}

/// Counts of matching keys other than stale ones.
fn findings(plan: &Preflight) -> Vec<String> {
    let estimate = &plan.estimate;
    let skipped: u64 = plan.nodes.iter().filter(|node| node.skipped).map(|node| node.keys).sum();
    let mut findings = Vec::new();
    if skipped > 0 {
        let why = "their nodes have no key without TTL (`--full-scan` reads them all)";
        findings.push(format!("{} keys are skipped: {why}", grouped(skipped)));
    }
    if estimate.protected_keys > 0 {
        findings.push(format!("{} of the keys without TTL are protected", grouped(estimate.protected_keys)));
    }
    if plan.spec.rules.inactive.is_some() {
        let (inactive, sure) = (grouped(estimate.inactive_candidates()), precision(plan));
        findings.push(format!("{inactive} have a TTL and belong to inactive users: {sure}"));
    }
    if let Some((met, percent)) = plan.spec.sampled_users.and_then(|met| Some((met, met.active_percent()?))) {
        let keys = grouped(met.keys);
        let share = format!("{percent:.1}% of the {keys} sampled keys with a TTL and a user");
        findings.push(format!("{share} belong to active users"));
    }
    findings
}

/// Warnings about the plan.
fn warnings(plan: &Preflight) -> Vec<String> {
    let spec = &plan.spec;
    let mut warnings = Vec::new();
    if spec.insecure {
        let why = "any certificate is taken (`--insecure`), so the servers' identity is not verified";
        warnings.push(format!("INSECURE: {why}"));
    }
    let by_rules = spec.rules.policy.is_some();
    let refused = |why: &String| match by_rules {
        true => {
            format!("USERS NOT KNOWN: rules whose condition asks for users leave their keys alone: {why}")
        }
        false => format!("Aggressive cleanup is REFUSED: {why}"),
    };
    warnings.extend(spec.inactive_refused.as_ref().map(refused));
    let slower = |why: &String| format!("{why}; transactions would check and delete keys instead");
    warnings.extend(spec.scripts_refused.as_ref().map(slower));
    let unchecked =
        |why: &String| format!("RIGHTS NOT CHECKED: {why}. A run checks them before it changes anything");
    warnings.extend(plan.rights_unchecked.as_ref().map(unchecked));
    let excluded = spec.unreachable_nodes.iter();
    warnings.extend(excluded.map(|node| format!("EXCLUDED: {} (slots {})", node.cause, node.slots)));
    if !plan.missing.is_empty() {
        warnings.push(format!("NOT COVERED, because no node serves them: slots {}", plan.missing));
    }
    warnings
}

/// What a run would do.
fn effects(plan: &Preflight, options: &Options) -> Vec<String> {
    let mut effects = Vec::new();
    if plan.estimate.matching_keys > 0 {
        effects.push(verdict(plan, options));
    }
    if let Some(freed) = plan.freed.as_ref().filter(|freed| freed.estimate > 0) {
        let verb = if options.rules.writes() { "That" } else { "Deleting them" };
        effects.push(format!("{verb} would free {} of memory", memory(freed)));
    }
    if let Some(order) = plan.spec.backup.as_ref().filter(|_| !question::nothing_to_do(plan)) {
        effects.push(format!("Each of them would be saved in {} before it is deleted", order.target));
    }
    effects
}

/// The source of activity, and the number of active users.
fn activity(plan: &Preflight, source: &str) -> String {
    match plan.spec.rules.activity().map(|rule| (&rule.activity, rule.threshold_ms / DAY_MS)) {
        Some((ActivityRule::Users { users, .. }, days)) => {
            format!("{source}: {} users were active within {days} days", grouped(*users))
        }
        Some((ActivityRule::Idle, days)) => format!("{source}: keys not used for {days} days"),
        None => source.to_owned(),
    }
}

fn verdict(plan: &Preflight, options: &Options) -> String {
    if !plan.rules.is_empty() {
        return plan_rules::verdict(plan, options);
    }
    let (estimate, action) = (&plan.estimate, options.rules.action);
    let deletions = estimate.deletions(action);
    let percent = estimate.percent_of(deletions);
    let limit = options.max_delete_percent;
    let verb = if percent > f64::from(limit) { "REFUSED by" } else { "within" };
    let deleted = format!(
        "{} would be deleted ({percent:.1}%), {verb} the limit of {limit}%",
        counted(deletions, "key", "keys")
    );
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
        "action": options.rules.action_name(),
        "rules": plan_rules::json(plan, options),
        "dryRun": options.dry_run,
        "patterns": options.rules.patterns.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "protect": options.rules.protect.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "matchingKeys": estimate.matching_keys,
        "staleTTLKeys": estimate.stale_ttl_keys,
        "nothingToDo": question::nothing_to_do(plan),
        "commonestNamespaces": no_match::json(plan),
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
