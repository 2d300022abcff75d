//! Recommendations and issues. Each rule is a small function that reads the records and the result of a run, and returns
//! messages (the specification's, where it has one) and the figures behind them. Pure.

mod cache;
pub(crate) mod rules;
mod run;
#[cfg(test)]
mod tests;
mod ttl;

use keysweep_model::messages::RunSpec;
use keysweep_model::metrics::{Finding, FindingKind, Severity};
use keysweep_model::result::CleanupResult;
use serde_json::Value;

use crate::finish::ResultContext;
use crate::fold::Fold;

pub use cache::{ERRORS_PERCENT_MAX, HIT_RATE_CRITICAL, LOOKUPS_MIN, too_many_errors};
pub use rules::RulesBefore;
pub(crate) use run::{STOPPED, replica_states};

/// The input of the rules.
pub(crate) struct RuleInput<'a> {
    /// The records of the run.
    pub(crate) fold: &'a Fold,
    /// The spec of the run.
    pub(crate) spec: &'a RunSpec,
    /// The rest of what the result was built from.
    pub(crate) context: &'a ResultContext,
    /// The result, without its findings.
    pub(crate) result: &'a CleanupResult,
}

/// A rule. It returns no finding if it does not apply.
type Rule = fn(&RuleInput<'_>) -> Vec<Finding>;

/// The findings of all rules on `input`.
pub(crate) fn findings(input: &RuleInput<'_>) -> Vec<Finding> {
    let rules = run::RULES.iter().chain(rules::RULES).chain(cache::RULES);
    let mut found: Vec<Finding> = rules.flat_map(|rule| rule(input)).collect();
    found.extend(ttl::advice(&found, input));
    found
}

/// Sets the findings of `result`, and the messages of its issues and recommendations. Praise is removed if there are
/// other findings, except what TTL advice says beside it; then that is, too, unless another finding judges the TTL.
pub(crate) fn set(result: &mut CleanupResult, mut findings: Vec<Finding>) {
    let praises = |finding: &Finding| matches!(finding.rule.as_str(), "hit-rate-good" | "hit-rate-excellent");
    if !findings.iter().all(|finding| praises(finding) || finding.rule == ttl::ADVICE) {
        findings.retain(|finding| !praises(finding));
        if !findings.iter().any(ttl::judges) {
            findings.retain(|finding| finding.rule != ttl::ADVICE);
        }
    }
    result.issues = messages(&findings, FindingKind::Issue);
    result.recommendations = messages(&findings, FindingKind::Recommendation);
    result.findings = findings;
}

fn messages(findings: &[Finding], kind: FindingKind) -> Vec<String> {
    findings.iter().filter(|finding| finding.kind == kind).map(|finding| finding.message.clone()).collect()
}

fn recommendation<const N: usize>(
    rule: &str,
    severity: Severity,
    message: impl Into<String>,
    evidence: [(&str, Value); N],
) -> Finding {
    finding(FindingKind::Recommendation, rule, severity, message.into(), evidence)
}

pub(crate) fn issue<const N: usize>(
    rule: &str,
    severity: Severity,
    message: impl Into<String>,
    evidence: [(&str, Value); N],
) -> Finding {
    finding(FindingKind::Issue, rule, severity, message.into(), evidence)
}

fn finding<const N: usize>(
    kind: FindingKind,
    rule: &str,
    severity: Severity,
    message: String,
    evidence: [(&str, Value); N],
) -> Finding {
    let evidence = evidence.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Finding { kind, rule: rule.to_owned(), severity, message, evidence, policy_rule: None }
}
