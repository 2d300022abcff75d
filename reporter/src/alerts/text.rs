//! The text of an alert on a page. If an issue on the same page already states the condition, the alert only refers to
//! it. Pure.

use keysweep_model::metrics::{Alert, FindingKind};
use keysweep_model::result::CleanupResult;
use serde_json::json;

use super::conditions::ALERTS;
use super::rules::RULE_ALERTS;

/// The text of `alert` on a page of `result`.
#[must_use]
pub(crate) fn text(alert: &Alert, result: &CleanupResult) -> String {
    if has_same_issue(alert, result) {
        return format!("`{}` is firing: see the issue about it", alert.alert);
    }
    alert.message.clone()
}

/// Whether an issue of `result` states the same. An alert that has been firing since another run has its own evidence.
#[must_use]
pub(crate) fn has_same_issue(alert: &Alert, result: &CleanupResult) -> bool {
    let of_this_run = alert.evidence.get("run").is_none_or(|run| *run == json!(result.run_id));
    let rule = ALERTS.iter().find(|def| def.name == alert.alert).and_then(|def| def.same_issue);
    let of_rule = RULE_ALERTS.into_iter().find(|(name, _)| *name == alert.alert).map(|(_, issue)| issue);
    let has_issue = |rule: &str| {
        let mut issues = result.findings.iter().filter(|finding| finding.kind == FindingKind::Issue);
        issues.any(|finding| {
            let is_same = (finding.rule.as_str(), &finding.policy_rule) == (rule, &alert.policy_rule);
            is_same && result.issues.contains(&finding.message)
        })
    };
    of_this_run && rule.or(of_rule).is_some_and(has_issue)
}
