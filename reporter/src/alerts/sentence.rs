//! The text of an alert on a page. If an issue on the same page already states the condition, the alert only refers to
//! it. Pure.

use keysweep_model::metrics::{Alert, FindingKind};
use keysweep_model::result::CleanupResult;
use serde_json::json;

/// Alerts and the finding rules with the same condition.
const SAME: [(&str, &str); 2] = [("stale-keys", "stale-keys"), ("errors-high", "errors-high")];

/// The text of `alert` on a page of `result`.
#[must_use]
pub fn sentence(alert: &Alert, result: &CleanupResult) -> String {
    if is_said(alert, result) {
        return format!("`{}` is firing: see the issue about it", alert.alert);
    }
    alert.message.clone()
}

/// Whether an issue of `result` states the same. An alert that has been firing since another run has its own evidence.
#[must_use]
pub fn is_said(alert: &Alert, result: &CleanupResult) -> bool {
    let of_this_run = alert.evidence.get("run").is_none_or(|run| *run == json!(result.run_id));
    let rule = SAME.iter().find(|(name, _)| *name == alert.alert).map(|(_, rule)| *rule);
    let has_issue = |rule: &str| {
        let issues = result.findings.iter().filter(|finding| finding.kind == FindingKind::Issue);
        issues.into_iter().any(|finding| finding.rule == rule && result.issues.contains(&finding.message))
    };
    of_this_run && rule.is_some_and(has_issue)
}
