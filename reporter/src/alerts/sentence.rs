//! How a page speaks of an alert: one whose sentence would say what a finding of the same page says already only refers
//! to it, so that everything is said once. Pure.

use serde_json::json;
use shared::metrics::{Alert, FindingKind};
use shared::result::CleanupResult;

/// The alerts whose condition is that of a finding, under its rule.
const SAME: [(&str, &str); 2] = [("stale-keys", "stale-keys"), ("errors-high", "errors-high")];

/// What a page of `result` says of `alert`.
#[must_use]
pub fn sentence(alert: &Alert, result: &CleanupResult) -> String {
    if is_said(alert, result) {
        return format!("`{}` holds: see the issue about it", alert.alert);
    }
    alert.sentence.clone()
}

/// Whether an issue of `result` says the same. An alert that holds since another run says something else.
#[must_use]
pub fn is_said(alert: &Alert, result: &CleanupResult) -> bool {
    let of_this_run = alert.evidence.get("run").is_none_or(|run| *run == json!(result.run_id));
    let rule = SAME.iter().find(|(name, _)| *name == alert.alert).map(|(_, rule)| *rule);
    let has_issue = |rule: &str| {
        let issues = result.findings.iter().filter(|finding| finding.kind == FindingKind::Issue);
        issues.into_iter().any(|finding| finding.rule == rule && result.issues.contains(&finding.sentence))
    };
    of_this_run && rule.is_some_and(has_issue)
}
