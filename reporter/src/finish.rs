//! Builds the result from the fold of a complete run. Pure: time and traffic are arguments. The sections of the result
//! are in `sections.rs`, its findings in `findings/`.

use std::collections::BTreeMap;

use keysweep_model::metrics::{HitRates, RedisHealth};
use keysweep_model::result::{Accounting, CleanupResult, Coverage, Extent, SCHEMA_VERSION, Status};
use keysweep_model::time::rfc3339;
use keysweep_model::ttl_advice::SampledTtlAdvice;
use keysweep_storage::history::RunLine;

use crate::findings::{self, RuleInput, RulesBefore, findings, replica_states};
use crate::fold::Fold;
use crate::key_statistics;
use crate::pacing::pacing;
use crate::sections;

/// The parts of a result that are not in the records of its run.
#[derive(Clone, Debug, Default)]
pub struct ResultContext {
    /// The application's hit rate.
    pub hit_rates: HitRates,
    /// The health of the servers.
    pub health: RedisHealth,
    /// The job's previous runs, the oldest first.
    pub runs: Vec<RunLine>,
    /// What an earlier run of the same keys found of the rules.
    pub rules_before: Option<RulesBefore>,
    /// The latest TTL advice for the job.
    pub ttl_advice: Option<SampledTtlAdvice>,
    /// Why messages could not be decoded during the run, and how many.
    pub dead_letters: BTreeMap<String, u64>,
    /// The time, in milliseconds since the epoch.
    pub now_ms: u64,
}

/// The result of the folded run, or `None` if the fold has no spec. Alerts are added later.
#[must_use]
pub fn finish(fold: &Fold, context: &ResultContext) -> Option<CleanupResult> {
    let spec = fold.spec.as_ref()?;
    let coverage = sections::coverage(fold, spec);
    let rules = sections::rules(fold, spec);
    let balanced = fold.totals.accounting.is_balanced() && fold.totals.rescanned.is_balanced();
    let accounting = Accounting {
        balanced: balanced && rules.iter().all(|rule| rule.accounting.balanced),
        ..fold.totals.accounting
    };
    let counts = fold.totals.counts;
    let linked = replica_states(spec, &context.health).all(|(_, replica)| replica.is_linked());
    let mut result = CleanupResult {
        schema_version: SCHEMA_VERSION,
        run_id: spec.run,
        job: spec.job.clone(),
        status: status(fold, &coverage, &accounting, linked),
        started_at: rfc3339(spec.started_at_ms),
        finished_at: rfc3339(context.now_ms),
        duration_ms: context.now_ms.saturating_sub(spec.started_at_ms),
        started_by: spec.started_by.clone(),
        attempt: spec.attempt,
        dry_run: spec.dry_run,
        action: spec.rules.action_name().to_owned(),
        scanned_keys: counts.scanned,
        scanned_keys_approximate: fold.approximate,
        skipped_keys: counts.skipped,
        skipped: key_statistics::skipped(&counts),
        cleaned_keys: accounting.deleted,
        freed_bytes: key_statistics::freed_bytes(sections::freed(fold, spec)),
        stale_ttl_keys: counts.stale,
        stale_unprotected_keys: Some(counts.stale_unprotected()),
        inactive_user_caches: fold.totals.inactive_deleted,
        current_metrics: sections::current(fold, &context.hit_rates, &coverage),
        recommendations: Vec::new(),
        issues: Vec::new(),
        findings: Vec::new(),
        alerts: Vec::new(),
        metrics: sections::metrics(fold, spec, context, &coverage),
        inactive: Box::new(sections::inactive(fold, spec)),
        read_from: fold.sources.summary(spec),
        backup: spec.backup.as_ref().map(|policy| policy.target.clone()),
        pacing: pacing(spec, &fold.pacing, coverage.complete && !fold.batches.is_incomplete()),
        delete_backend: spec.delete_backend(),
        accounting,
        rules,
        failover: sections::failover(fold, spec),
        nodes: sections::nodes(fold, spec, &coverage),
        coverage,
    };
    let found = findings(&RuleInput { fold, spec, context, result: &result });
    findings::set(&mut result, found);
    Some(result)
}

/// A run with a gap never reports success, and neither does one that read a replica not `linked` to its primary. A run
/// that could do nothing at all has failed.
fn status(fold: &Fold, coverage: &Coverage, accounting: &Accounting, linked: bool) -> Status {
    if fold.cancel.is_some() {
        return Status::Cancelled;
    }
    let undone = accounting.undone().saturating_add(fold.totals.rescanned.undone());
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
