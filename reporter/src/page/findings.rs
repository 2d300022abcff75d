//! Alerts, issues and recommendations, each with its evidence.

use std::collections::BTreeMap;

use askama::Template;
use keysweep_model::metrics::{Finding, FindingKind, Severity};
use keysweep_model::result::CleanupResult;
use serde_json::Value;

use crate::alerts::text::{has_same_issue, text};
use crate::format::{figure, moment, name};

/// A sentence with its evidence.
#[derive(Template)]
#[template(path = "note.html")]
pub(super) struct FindingView {
    /// The severity, if known.
    pub(super) severity: Option<Severity>,
    /// The sentence.
    pub(super) sentence: String,
    /// The rule that fired.
    pub(super) rule: Option<String>,
    /// Since when the alert has been firing.
    pub(super) since: Option<String>,
    /// The figures, by name.
    pub(super) evidence: Vec<(String, String)>,
}

fn evidence(figures: &BTreeMap<String, Value>) -> Vec<(String, String)> {
    figures.iter().map(|(field, value)| (name(field), figure(value))).collect()
}

pub(super) fn alerts(result: &CleanupResult) -> Vec<FindingView> {
    let mut alerts: Vec<_> = result.alerts.iter().collect();
    alerts.sort_by_key(|alert| std::cmp::Reverse(alert.severity));
    let note = |alert: &&keysweep_model::metrics::Alert| FindingView {
        severity: Some(alert.severity),
        sentence: text(alert, result),
        rule: Some(alert.alert.clone()),
        since: Some(moment(&alert.since)),
        // The evidence is shown with the issue that the alert refers to.
        evidence: if has_same_issue(alert, result) { Vec::new() } else { evidence(&alert.evidence) },
    };
    alerts.iter().map(note).collect()
}

pub(super) fn issues(result: &CleanupResult) -> Vec<FindingView> {
    notes(&result.issues, &result.findings, FindingKind::Issue)
}

pub(super) fn recommendations(result: &CleanupResult) -> Vec<FindingView> {
    notes(&result.recommendations, &result.findings, FindingKind::Recommendation)
}

/// All sentences, each with its finding if there is one; the most severe first.
fn notes(sentences: &[String], findings: &[Finding], kind: FindingKind) -> Vec<FindingView> {
    let mut left: Vec<&Finding> = findings.iter().filter(|finding| finding.kind == kind).collect();
    let mut notes: Vec<FindingView> = Vec::new();
    for sentence in sentences {
        let found = left.iter().position(|finding| finding.message == *sentence).map(|at| left.remove(at));
        notes.push(found.map_or_else(|| bare(sentence), with_evidence));
    }
    notes.extend(left.into_iter().map(with_evidence));
    notes.sort_by_key(|note| std::cmp::Reverse(note.severity));
    notes
}

fn bare(sentence: &str) -> FindingView {
    FindingView {
        severity: None,
        sentence: sentence.to_owned(),
        rule: None,
        since: None,
        evidence: Vec::new(),
    }
}

fn with_evidence(finding: &Finding) -> FindingView {
    FindingView {
        severity: Some(finding.severity),
        sentence: finding.message.clone(),
        rule: Some(finding.rule.clone()),
        since: None,
        evidence: evidence(&finding.evidence),
    }
}
