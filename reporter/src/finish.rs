//! From the fold of a complete run to its result. Pure: time and traffic are arguments.

use std::collections::BTreeMap;

use shared::ids::NodeId;
use shared::messages::{ActivityRule, Lookups, RunSpec};
use shared::metrics::{InactiveCaches, Metrics};
use shared::result::{Accounting, CleanupResult, Coverage, CurrentMetrics, NodeRow, SCHEMA_VERSION, Status};
use shared::slot::SlotSet;
use shared::time::rfc3339;

use crate::fold::Fold;

/// What the nodes' own counters say now, for those that could be asked and were not restarted meanwhile.
pub type Traffic = BTreeMap<NodeId, Lookups>;

/// What a result says that is not in the records of its run.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// The nodes' counters.
    pub traffic: Traffic,
    /// Why messages were put aside unread while the run went on, and how many.
    pub dead: BTreeMap<String, u64>,
    /// The time, in milliseconds since the epoch.
    pub now_ms: u64,
}

/// The result of the run that `fold` holds, or `None` if its spec was never seen.
#[must_use]
pub fn finish(fold: &Fold, around: &Around) -> Option<CleanupResult> {
    let now_ms = around.now_ms;
    let spec = fold.spec.as_ref()?;
    let coverage = coverage(fold, spec);
    let accounting = Accounting {
        balanced: fold.totals.accounting.outcomes() == fold.totals.accounting.candidates,
        ..fold.totals.accounting
    };
    let counts = fold.totals.counts;
    Some(CleanupResult {
        schema_version: SCHEMA_VERSION,
        run_id: spec.run,
        job: spec.job.clone(),
        status: status(fold, &coverage, &accounting),
        started_at: rfc3339(spec.started_at_ms),
        finished_at: rfc3339(now_ms),
        duration_ms: now_ms.saturating_sub(spec.started_at_ms),
        started_by: spec.started_by.clone(),
        attempt: spec.attempt,
        dry_run: spec.dry_run,
        action: spec.rules.action.name().to_owned(),
        scanned_keys: counts.scanned,
        scanned_keys_approximate: fold.approximate,
        cleaned_keys: accounting.deleted,
        stale_ttl_keys: counts.stale,
        inactive_user_caches: fold.totals.inactive_deleted,
        current_metrics: metrics(fold, spec, &around.traffic),
        recommendations: Vec::new(),
        issues: issues(fold, &coverage, &accounting, &around.dead),
        findings: Vec::new(),
        alerts: Vec::new(),
        metrics: Metrics::default(),
        inactive: inactive(fold, spec),
        accounting,
        coverage,
        nodes: nodes(fold, spec),
    })
}

fn inactive(fold: &Fold, spec: &RunSpec) -> InactiveCaches {
    let rule = spec.rules.inactive.as_ref();
    let counts = fold.totals.counts;
    InactiveCaches {
        searched: rule.is_some(),
        refused: spec.inactive_refused.clone(),
        source: spec.activity_source.clone(),
        active_users: rule.and_then(|rule| match rule.activity {
            ActivityRule::Users { users, .. } => Some(users),
            ActivityRule::Idle => None,
        }),
        found: counts.inactive,
        near_expiry: counts.near_expiry,
        unknown_user: counts.unknown_user,
    }
}

fn coverage(fold: &Fold, spec: &RunSpec) -> Coverage {
    let causes = fold.losses.clone();
    if !spec.cluster {
        let complete = fold.covering.database();
        let missing = (!complete).then(|| format!("database {}", spec.db));
        return Coverage { complete, slots_covered: None, missing, causes };
    }
    let covered = fold.covering.slots();
    let missing = SlotSet::all().difference(&covered);
    Coverage {
        complete: missing.is_empty(),
        slots_covered: Some(covered.len() as u64),
        missing: (!missing.is_empty()).then(|| missing.to_string()),
        causes,
    }
}

/// A run with a gap never reports success, and one that could do nothing at all has failed.
fn status(fold: &Fold, coverage: &Coverage, accounting: &Accounting) -> Status {
    if fold.cancel.is_some() {
        return Status::Cancelled;
    }
    let undone = accounting.failed + accounting.unreached + accounting.unconfirmed;
    if coverage.complete && undone == 0 && accounting.balanced {
        return Status::Completed;
    }
    let nothing_read = coverage.slots_covered.map_or(!coverage.complete, |slots| slots == 0);
    if nothing_read && fold.totals.counts.listed == 0 { Status::Failed } else { Status::Partial }
}

/// The application's look-ups: what the counters gained, less our own. Nodes whose counters started anew, or
/// cannot be read, are left out.
fn metrics(fold: &Fold, spec: &RunSpec, traffic: &Traffic) -> CurrentMetrics {
    let mut application = Lookups::default();
    for node in &spec.nodes {
        let Some(now) = traffic.get(&node.node) else { continue };
        let own = fold.own_lookups(&node.node);
        application += Lookups {
            hits: now.hits.saturating_sub(node.baseline.hits).saturating_sub(own.hits),
            misses: now.misses.saturating_sub(node.baseline.misses).saturating_sub(own.misses),
        };
    }
    let counts = fold.totals.counts;
    let gone = fold.totals.accounting.deleted + fold.totals.accounting.vanished;
    let with_ttl = counts.scanned - counts.stale;
    CurrentMetrics {
        hit_rate: share(application.hits, application.hits + application.misses).map(|rate| rate * 100.0),
        hits: application.hits,
        misses: application.misses,
        total_keys: counts.scanned.saturating_sub(gone),
        avg_ttl: share(counts.ttl_sum_ms, with_ttl).map(|ms| ms / 1_000.0),
    }
}

#[expect(clippy::cast_precision_loss, reason = "shares and means need no more than 52 bits")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn issues(
    fold: &Fold,
    coverage: &Coverage,
    accounting: &Accounting,
    dead: &BTreeMap<String, u64>,
) -> Vec<String> {
    let mut issues = Vec::new();
    let stale = fold.totals.counts.stale;
    if stale > 0 {
        issues.push(format!("Found {stale} keys without TTL - this indicates a caching bug"));
    }
    if let Some(why) = fold.spec.as_ref().and_then(|spec| spec.inactive_refused.as_ref()) {
        issues.push(format!("Aggressive cleanup was refused: {why}"));
    }
    if let Some(cancel) = &fold.cancel {
        issues.push(format!("The run was stopped: {}", cancel.cause));
    }
    if let Some(missing) = &coverage.missing {
        let what = if coverage.slots_covered.is_some() { "slots " } else { "" };
        issues.push(format!("Not covered: {what}{missing}"));
    }
    issues.extend(
        fold.losses.iter().map(|(cause, tasks)| format!("{tasks} scan tasks were given up: {cause}")),
    );
    if fold.totals.counts.too_long > 0 {
        let (n, named) = (fold.totals.counts.too_long, fold.long_keys.join(", "));
        issues.push(format!("{n} keys are too long to be handled (key_too_long): {named}"));
    }
    for (n, what) in [
        (accounting.failed - fold.totals.counts.too_long, "failed"),
        (accounting.unreached, "were not reached"),
        (accounting.unconfirmed, "are unconfirmed: they were tried, and no answer says whether it was done"),
    ] {
        if n > 0 {
            issues.push(format!("{n} candidates {what}"));
        }
    }
    if fold.cancel.is_none() {
        issues.extend(fold.causes.iter().map(|(cause, batches)| format!("{batches} reap batches: {cause}")));
    }
    let dead = dead.iter().map(|(reason, n)| {
        format!("{n} messages in the queues were put aside unread (dead letters): {reason}")
    });
    issues.extend(dead);
    if fold.approximate {
        issues.push("scannedKeys is approximate: a table was resized while it was read".to_owned());
    }
    issues
}

fn nodes(fold: &Fold, spec: &RunSpec) -> Vec<NodeRow> {
    let row = |node: NodeId, address: String, slots: u64| {
        let totals = fold.nodes.get(&node).copied().unwrap_or_default();
        NodeRow {
            node,
            address,
            slots,
            listed_keys: totals.counts.listed,
            scanned_keys: totals.counts.scanned,
            stale_ttl_keys: totals.counts.stale,
            cleaned_keys: totals.deleted,
        }
    };
    let planned = spec.nodes.iter().map(|n| row(n.node.clone(), n.address.clone(), n.slots.len() as u64));
    // Nodes that came to own slots after the plan.
    let late = fold.nodes.keys().filter(|node| spec.nodes.iter().all(|planned| planned.node != **node));
    planned.chain(late.map(|node| row(node.clone(), String::new(), 0))).collect()
}
