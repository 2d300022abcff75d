//! Builds the result from the fold of a complete run. Pure: time and traffic are arguments.

use std::collections::BTreeMap;

use keysweep_model::ids::NodeId;
use keysweep_model::messages::{ActivityRule, AsReplica, RunSpec};
use keysweep_model::metrics::{FindingKind, HitRateWindow, HitRates, InactiveCaches, Metrics, RedisHealth};
use keysweep_model::result::{
    Accounting, CleanupResult, Coverage, CurrentMetrics, Extent, FailoverRescan, NodeRow, SCHEMA_VERSION,
    Status,
};
use keysweep_model::slot::SlotSet;
use keysweep_model::time::rfc3339;
use keysweep_storage::history::RunLine;

use crate::findings::{Facts, findings, messages};
use crate::fold::Fold;
use crate::key_statistics::{self, About};
use crate::pacing::pacing;

/// The parts of a result that are not in the records of its run.
#[derive(Clone, Debug, Default)]
pub struct ResultContext {
    /// The application's hit rate.
    pub hit_rates: HitRates,
    /// The health of the servers.
    pub health: RedisHealth,
    /// The job's previous runs, the oldest first.
    pub runs: Vec<RunLine>,
    /// Why messages could not be decoded during the run, and how many.
    pub dead: BTreeMap<String, u64>,
    /// The time, in milliseconds since the epoch.
    pub now_ms: u64,
}

/// The result of the folded run, or `None` if the fold has no spec. Alerts are added later.
#[must_use]
pub fn finish(fold: &Fold, context: &ResultContext) -> Option<CleanupResult> {
    let now_ms = context.now_ms;
    let spec = fold.spec.as_ref()?;
    let coverage = coverage(fold, spec);
    let accounting = Accounting {
        balanced: fold.totals.accounting.is_balanced() && fold.totals.rescanned.is_balanced(),
        ..fold.totals.accounting
    };
    let counts = fold.totals.counts;
    // Keys that are only reported are keys that could be freed.
    let freed = if spec.rules.action.writes() { &fold.freed } else { &fold.statistics.reported };
    // Skipped keys are estimated from a sample; an empty sample provides no estimate.
    let all_known = coverage.complete && (counts.skipped == 0 || counts.sampled > 0);
    let error = key_statistics::skipped(&counts)
        .keys_error(counts.skipped)
        .filter(|_| all_known && !fold.approximate);
    let now = error.map(|error| About { keys: counts.matching(), error });
    let current_metrics = current(fold, context.hit_rates.current(), all_known);
    let metrics = Metrics {
        hit_rates: context.hit_rates.clone(),
        ttl: key_statistics::ttl(&fold.statistics),
        growth: now.and_then(|now| key_statistics::growth(&context.runs, &spec.selection(), now)),
        prefixes: key_statistics::prefixes(&fold.statistics, &counts, freed, ceiling(spec, &context.health)),
        redis_health: context.health.clone(),
    };
    let acted = !fold.batches.is_incomplete();
    let facts = facts(fold, spec, context, &accounting, &coverage, &current_metrics, &metrics);
    let findings = findings(&facts);
    Some(CleanupResult {
        schema_version: SCHEMA_VERSION,
        run_id: spec.run,
        job: spec.job.clone(),
        status: status(fold, &coverage, &accounting, &facts.replicas),
        started_at: rfc3339(spec.started_at_ms),
        finished_at: rfc3339(now_ms),
        duration_ms: now_ms.saturating_sub(spec.started_at_ms),
        started_by: spec.started_by.clone(),
        attempt: spec.attempt,
        dry_run: spec.dry_run,
        action: spec.rules.action.name().to_owned(),
        scanned_keys: counts.scanned,
        scanned_keys_approximate: fold.approximate,
        skipped_keys: counts.skipped,
        skipped: key_statistics::skipped(&counts),
        cleaned_keys: accounting.deleted,
        freed_bytes: key_statistics::freed_bytes(freed),
        stale_ttl_keys: counts.stale,
        stale_unprotected_keys: Some(counts.stale_unprotected()),
        inactive_user_caches: fold.totals.inactive_deleted,
        current_metrics,
        recommendations: messages(&findings, FindingKind::Recommendation),
        issues: messages(&findings, FindingKind::Issue),
        findings,
        alerts: Vec::new(),
        metrics,
        inactive: Box::new(inactive(fold, spec)),
        read_from: fold.sources.summary(spec),
        backup: spec.backup.as_ref().map(|policy| policy.target.clone()),
        pacing: pacing(spec, &fold.pacing, coverage.complete && acted),
        delete_backend: spec.delete_backend(),
        accounting,
        failover: facts.read_again,
        nodes: nodes(fold, spec, &coverage),
        coverage,
    })
}

/// An upper bound of the memory of all keys: the memory that the servers used before the run, or after it if that is
/// more.
fn ceiling(spec: &RunSpec, health: &RedisHealth) -> Option<u64> {
    let before = spec.measure.used_memory?;
    let mut after = health.nodes.iter().map(|node| node.used_memory_bytes);
    let after = after.try_fold(0_u64, |sum, bytes| Some(sum.saturating_add(bytes?)))?;
    Some(before.max(after))
}

fn failover_rescan(fold: &Fold, spec: &RunSpec) -> FailoverRescan {
    let slots =
        fold.durability().slots_to_rescan().into_values().fold(SlotSet::new(), |all, some| all.union(&some));
    let again = fold.totals.rescanned;
    FailoverRescan {
        // A replaced standalone server is left to the next run.
        rescanned: (spec.cluster && !slots.is_empty()).then(|| slots.to_string()),
        replaced: fold.durability().replaced().into_iter().collect(),
        unconfirmed: fold.durability().unconfirmed().into_iter().collect(),
        redeleted: again.deleted,
        accounting: Accounting { balanced: again.is_balanced(), ..again },
    }
}

fn inactive(fold: &Fold, spec: &RunSpec) -> InactiveCaches {
    let rule = spec.rules.inactive.as_ref();
    let counts = fold.totals.counts;
    let looked_for = |keys: u64| rule.map(|_| keys);
    InactiveCaches {
        searched: rule.is_some(),
        refused: spec.inactive_refused.clone(),
        source: spec.activity_source.clone(),
        active_users: rule.and_then(|rule| match rule.activity {
            ActivityRule::Users { users, .. } => Some(users),
            ActivityRule::Idle => None,
        }),
        sampled_user_keys: spec.sampled_users.map(|sampled| sampled.keys),
        sampled_active_percent: spec.sampled_users.and_then(|sampled| sampled.active_percent()),
        active_user: looked_for(counts.active_user),
        found: looked_for(counts.inactive),
        near_expiry: looked_for(counts.near_expiry),
        unknown_user: looked_for(counts.unknown_user),
        no_active_user: looked_for(counts.no_active_user),
    }
}

/// The input of the rules.
fn facts(
    fold: &Fold,
    spec: &RunSpec,
    context: &ResultContext,
    accounting: &Accounting,
    coverage: &Coverage,
    current: &CurrentMetrics,
    metrics: &Metrics,
) -> Facts {
    let rates = &context.hit_rates;
    Facts {
        window: rates.current().clone(),
        configured_ttl_ms: spec.application.known_ttl_ms(),
        avg_ttl: current.avg_ttl,
        keys_with_ttl: metrics.ttl.keys,
        read_late_percent: metrics.ttl.read_late_percent,
        late_keys: fold.statistics.late,
        total_keys: current.total_keys,
        growth: metrics.growth.clone(),
        aggressive: spec.rules.inactive.is_some() || spec.inactive_refused.is_some(),
        aggressive_refused: spec.inactive_refused.clone(),
        no_active_user: fold.totals.counts.no_active_user,
        insecure: spec.insecure,
        left_out: spec.unreachable_nodes.clone(),
        scripts_refused: spec.scripts_refused.clone(),
        replicas: replicas(spec, &context.health),
        memory_usage_percent: context.health.memory_usage_percent,
        stale_keys: fold.totals.counts.stale_unprotected(),
        stale_protected_keys: fold.totals.counts.stale_protected,
        stopped: fold.cancel.as_ref().map(|cancel| (cancel.kind, cancel.cause.clone())),
        coverage: coverage.clone(),
        accounting: *accounting,
        too_long: (fold.totals.counts.too_long, fold.long_keys.clone()),
        causes: fold.causes.clone(),
        dead: context.dead.clone(),
        approximate: fold.approximate,
        read_from: fold.sources.summary(spec),
        read_again: failover_rescan(fold, spec),
        hit_rate_problem: rates.problem.clone(),
        redis_problems: context.health.problems.clone(),
    }
}

/// The replicas that were read like primaries, each with its address and the worse of its states at the plan and at the
/// end of the run.
fn replicas(spec: &RunSpec, end: &RedisHealth) -> Vec<(String, AsReplica)> {
    let planned = spec.nodes.iter().filter_map(|node| {
        let begin = node.replica.as_ref()?;
        let end = end.nodes.iter().find(|health| health.node == node.node);
        let end = end.and_then(|health| health.replica.as_ref()).filter(|end| !end.is_linked());
        let worse = if begin.is_linked() { end.unwrap_or(begin) } else { begin };
        Some((node.address.clone(), worse.clone()))
    });
    planned.collect()
}

/// Why the reading of a standalone server does not count.
const REPLACED: &str = "the server changed its replication history after keys were deleted, as after a restart or a \
                        failover: some keys may be back";

/// The same, if the server's history is unknown.
const UNCONFIRMED: &str = "the server did not report its replication history at the end of the run, so the deletions \
                           are unconfirmed";

fn coverage(fold: &Fold, spec: &RunSpec) -> Coverage {
    let mut causes = fold.losses.clone();
    let revoked = fold.durability().slots_to_rescan();
    if !spec.cluster {
        let extent = fold.coverage.database(&revoked);
        if extent != Extent::All && !revoked.is_empty() {
            let replaced = !fold.durability().replaced().is_empty();
            causes.insert(if replaced { REPLACED } else { UNCONFIRMED }.to_owned(), 1);
        }
        let missing = match extent {
            Extent::All => None,
            Extent::Part => Some(format!("part of database {}", spec.db)),
            Extent::Nothing => Some(format!("database {}", spec.db)),
        };
        let complete = missing.is_none();
        return Coverage { complete, extent: Some(extent), missing, causes, ..Coverage::default() };
    }
    let covered = fold.coverage.slots(&revoked);
    let missing = SlotSet::all().difference(&covered);
    Coverage {
        complete: missing.is_empty(),
        extent: Some(Extent::of(missing.is_empty(), !covered.is_empty())),
        slots_covered: Some(covered.len() as u64),
        missing: (!missing.is_empty()).then(|| missing.to_string()),
        causes,
        unresolved: (!fold.undone.is_empty()).then(|| fold.undone.to_string()),
    }
}

/// A run with a gap never reports success, and neither does one that read a replica without a link to its primary. A
/// run that could do nothing at all has failed.
fn status(
    fold: &Fold,
    coverage: &Coverage,
    accounting: &Accounting,
    replicas: &[(String, AsReplica)],
) -> Status {
    if fold.cancel.is_some() {
        return Status::Cancelled;
    }
    let undone = accounting.undone().saturating_add(fold.totals.rescanned.undone());
    let linked = replicas.iter().all(|(_, replica)| replica.is_linked());
    let acted = !fold.batches.is_incomplete();
    if coverage.complete && undone == 0 && accounting.balanced && linked && acted {
        return Status::Completed;
    }
    if coverage.extent == Some(Extent::Nothing) && fold.totals.counts.listed == 0 {
        Status::Failed
    } else {
        Status::Partial
    }
}

fn current(fold: &Fold, window: &HitRateWindow, all_known: bool) -> CurrentMetrics {
    let counts = fold.totals.counts;
    let with_ttl = counts.matching().saturating_sub(counts.stale).saturating_sub(counts.field_ttl);
    CurrentMetrics {
        hit_rate: window.hit_rate,
        hits: window.hits,
        misses: window.misses,
        total_keys: keys_left(fold).filter(|_| all_known),
        // A saturated sum is unknown.
        avg_ttl: mean(counts.ttl_sum_ms, with_ttl)
            .filter(|_| all_known && counts.ttl_sum_ms < u64::MAX)
            .map(|ms| ms / 1_000.0),
    }
}

/// The matching keys left by the run. `None` if the number is uncertain: a deletion is unconfirmed, or a failover
/// restored keys that were not deleted again.
fn keys_left(fold: &Fold) -> Option<u64> {
    let (first, again) = (&fold.totals.accounting, &fold.totals.rescanned);
    let gone = |of: &Accounting| of.deleted.saturating_add(of.vanished);
    let known = first.is_balanced() && first.unconfirmed == 0 && gone(again) == again.candidates;
    known.then(|| fold.totals.counts.matching().saturating_sub(gone(first)))
}

#[expect(clippy::cast_precision_loss, reason = "means need no more than 52 bits")]
fn mean(sum: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| sum as f64 / of as f64)
}

fn nodes(fold: &Fold, spec: &RunSpec, coverage: &Coverage) -> Vec<NodeRow> {
    let covered = fold.coverage.slots(&fold.durability().slots_to_rescan());
    let extent = |slots: &SlotSet| match spec.cluster {
        true => {
            Some(Extent::of(slots.difference(&covered).is_empty(), !slots.intersection(&covered).is_empty()))
        }
        false => coverage.extent,
    };
    let row =
        |node: NodeId, address: String, slots: u64, read: Option<Extent>, replica: Option<AsReplica>| {
            let totals = fold.nodes.get(&node).copied().unwrap_or_default();
            NodeRow {
                node,
                address,
                slots,
                read,
                listed_keys: totals.counts.listed,
                scanned_keys: totals.counts.scanned,
                skipped_keys: totals.counts.skipped,
                stale_ttl_keys: totals.counts.stale,
                cleaned_keys: totals.deleted,
                replica,
            }
        };
    let planned = spec.nodes.iter().map(|n| {
        row(n.node.clone(), n.address.clone(), n.slots.len() as u64, extent(&n.slots), n.replica.clone())
    });
    // Nodes that received slots after the plan.
    let late = fold.nodes.keys().filter(|node| spec.nodes.iter().all(|planned| planned.node != **node));
    planned.chain(late.map(|node| row(node.clone(), String::new(), 0, None, None))).collect()
}
