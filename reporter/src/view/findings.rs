//! Alerts, issues and recommendations, each with its evidence; the most severe first.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use keysweep_model::metrics::{Alert, Finding, FindingKind};
use keysweep_model::result::CleanupResult;
use serde_json::Value;

use super::Section;
use super::blocks::{Block, FindingView};
use crate::alerts::text::{has_same_issue, text};
use crate::format::{figure, moment, name};

pub(super) fn sections(result: &CleanupResult) -> [Section<'_>; 3] {
    let of = |sentences, kind| with_evidence(sentences, &result.findings, kind);
    let alerts = result.alerts.iter().map(|alert| of_alert(alert, result)).collect();
    let recommendations = of(&result.recommendations, FindingKind::Recommendation);
    [
        section("alerts", "Alerts", alerts, "No alert is firing."),
        section("issues", "Issues", of(&result.issues, FindingKind::Issue), "No issues were found."),
        section("recommendations", "Recommendations", recommendations, "There are no recommendations."),
    ]
}

fn section(
    id: &'static str,
    title: &'static str,
    mut findings: Vec<FindingView>,
    none: &str,
) -> Section<'static> {
    findings.sort_by_key(|finding| Reverse(finding.severity));
    let (summary, details) = match findings.is_empty() {
        true => (Vec::new(), vec![Block::Text(none.to_owned())]),
        false => (vec![Block::Findings(findings)], Vec::new()),
    };
    Section { id, title, summary, details }
}

fn of_alert(alert: &Alert, result: &CleanupResult) -> FindingView {
    FindingView {
        severity: Some(alert.severity),
        sentence: text(alert, result),
        rule: Some(alert.alert.clone()),
        since: Some(moment(&alert.since)),
        // The evidence is shown with the issue that the alert refers to.
        evidence: if has_same_issue(alert, result) { Vec::new() } else { evidence(&alert.evidence) },
    }
}

/// All sentences, each with its finding if there is one, and the findings without a sentence.
fn with_evidence(sentences: &[String], findings: &[Finding], kind: FindingKind) -> Vec<FindingView> {
    let mut left: Vec<&Finding> = findings.iter().filter(|finding| finding.kind == kind).collect();
    let mut views: Vec<FindingView> = Vec::new();
    for sentence in sentences {
        let found = left.iter().position(|finding| finding.message == *sentence).map(|at| left.remove(at));
        let bare = || FindingView { sentence: sentence.clone(), ..FindingView::default() };
        views.push(found.map_or_else(bare, of_finding));
    }
    views.extend(left.into_iter().map(of_finding));
    views
}

fn of_finding(finding: &Finding) -> FindingView {
    FindingView {
        severity: Some(finding.severity),
        sentence: finding.message.clone(),
        rule: Some(finding.rule.clone()),
        since: None,
        evidence: evidence(&finding.evidence),
    }
}

fn evidence(figures: &BTreeMap<String, Value>) -> Vec<(String, String)> {
    figures.iter().map(|(field, value)| (name(field), figure(value))).collect()
}
