//! Requests through the API may only be gentler than their job: fewer deletions, or less load. Anything beyond that is
//! refused, except in the fields that the job's `allow_override` lists. Users of the command line and of the library
//! own the configuration, and are not restricted here. Pure.

use std::fmt::Display;
use std::time::Duration;

use keysweep_model::duration;

use super::ServedJob;
use super::handlers::{ApiResult, RunRequest, refused};
use crate::inactive_policy::DAY_MS;

/// A field in which a request exceeds its job.
#[derive(Debug, PartialEq, Eq)]
struct OverrideViolation {
    field: &'static str,
    /// The value in the request.
    requested: String,
    /// The value of the job.
    has: String,
}

/// Refuses a request that exceeds `job` in a field that its `allow_override` does not list. The values are within
/// their bounds.
///
/// # Errors
/// 403, with the fields, the job's values and `allow_override`.
pub(super) fn check(job: &ServedJob, request: &RunRequest) -> ApiResult<()> {
    let allowed = |widening: &OverrideViolation| job.allow_override.contains(&widening.field);
    let refusals: Vec<OverrideViolation> =
        widenings(job, request).into_iter().filter(|widening| !allowed(widening)).collect();
    if refusals.is_empty() {
        return Ok(());
    }
    let says = |OverrideViolation { field, requested: asked, has }: &OverrideViolation| {
        format!("`{field}` is {asked}, and the job has {has}")
    };
    let fields: Vec<String> = refusals.iter().map(|widening| format!("\"{}\"", widening.field)).collect();
    let why = format!(
        "a request may only be gentler than its job `{}`: {}; where programs may ask for more, set `allow_override = \
         [{}]` in the job",
        job.options.job,
        refusals.iter().map(says).collect::<Vec<_>>().join("; "),
        fields.join(", ")
    );
    refused(403, why)
}

/// The fields in which `request` exceeds `job`. The pattern lists all fields, so that a new one cannot be forgotten
/// here.
fn widenings(job: &ServedJob, request: &RunRequest) -> Vec<OverrideViolation> {
    let RunRequest {
        // Neutral: the job, the client, and whether a report is written.
        job: _,
        started_by: _,
        generate_report: _,
        scan_batch_size,
        aggressive_cleanup,
        inactivity_threshold_days,
        allow_no_active,
        dry_run,
        latency_budget,
        rate_limit,
        max_speed,
    } = request;
    let options = &job.options;
    let mut found = Vec::new();
    // A larger page blocks the server for longer.
    more(&mut found, "scanBatchSize", *scan_batch_size, options.rules.scan_batch_keys);
    more(&mut found, "aggressiveCleanup", *aggressive_cleanup, options.aggressive);
    // Without the removal of inactive users' keys, their threshold has no effect.
    let aggressive = aggressive_cleanup.unwrap_or(options.aggressive);
    if let Some(order) = options.inactive.as_ref().filter(|_| aggressive) {
        let days = order.threshold_ms / DAY_MS;
        if let Some(asked) = inactivity_threshold_days.filter(|asked| u64::from(*asked) < days) {
            found.push(OverrideViolation::new("inactivityThresholdDays", asked, days));
        }
        more(&mut found, "allowNoActive", *allow_no_active, order.allow_no_active);
    }
    if *dry_run == Some(false) && options.dry_run {
        found.push(OverrideViolation::new("dryRun", false, true));
    }
    if let Some(budget_ms) = options.pacing.latency_budget_ms {
        let has = duration::show(Duration::from_millis(budget_ms));
        let asked = latency_budget
            .as_deref()
            .filter(|text| duration::parse(text).is_ok_and(|asked| asked > Duration::from_millis(budget_ms)));
        found.extend(asked.map(|asked| OverrideViolation::new("latencyBudget", asked, &has)));
        if *max_speed == Some(true) {
            let has = format!("the latency budget `{has}`");
            found.push(OverrideViolation { field: "maxSpeed", requested: "`true`".to_owned(), has });
        }
    }
    if let Some(keys) = options.pacing.keys_per_s_max {
        more(&mut found, "rateLimit", *rate_limit, keys);
    }
    found
}

/// Adds a field with the value `asked` to `found`, if that exceeds the job's value `has`.
fn more<T: Ord + Display>(found: &mut Vec<OverrideViolation>, field: &'static str, asked: Option<T>, has: T) {
    if let Some(asked) = asked.filter(|asked| *asked > has) {
        found.push(OverrideViolation::new(field, asked, has));
    }
}

impl OverrideViolation {
    fn new(field: &'static str, asked: impl Display, has: impl Display) -> Self {
        Self { field, requested: format!("`{asked}`"), has: format!("`{has}`") }
    }
}

#[cfg(test)]
mod tests;
