//! Recommendations and issues: a table of rules over the facts of a run. Each rule is a small function that gives a
//! sentence, the document's where that has one, and the figures that it rests on. Pure.

mod cache;
mod run;

use std::collections::BTreeMap;

use serde_json::Value;
use shared::messages::{AsReplica, CancelKind, UnreachableNode};
use shared::metrics::{Finding, FindingKind, Growth, HitRateWindow, Severity};
use shared::result::{Accounting, Coverage, FailoverRescan, ReadFromReplicas};

pub use cache::{ERRORS_PERCENT_MAX, HIT_RATE_CRITICAL, LOOKUPS_MIN, TTLS_MIN, too_many_errors};

/// What the rules look at.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The application's look-ups since the run before, or while this one went on.
    pub window: HitRateWindow,
    /// The TTL that the application sets, in milliseconds; `None` if no user said which.
    pub configured_ttl_ms: Option<u64>,
    /// Mean TTL of the matching keys, in seconds; `None` if it is not known.
    pub avg_ttl: Option<f64>,
    /// Matching keys whose TTL was read.
    pub keys_with_ttl: u64,
    /// Of the keys near the end of their lives, how many were used there, in percent.
    pub read_late_percent: Option<f64>,
    /// The keys near the end of their lives of which that is known.
    pub late_keys: u64,
    /// Matching keys after the run; `None` if they are not known.
    pub total_keys: Option<u64>,
    /// How that number changed.
    pub growth: Option<Growth>,
    /// Whether inactive users' caches are removed.
    pub aggressive: bool,
    /// Why they are not, although it was asked for.
    pub aggressive_refused: Option<String>,
    /// Keys that seem inactive users' and were left, because their scan tasks met no active user.
    pub held_back: u64,
    /// Whether the servers did not have to prove who they are.
    pub insecure: bool,
    /// Nodes that the run was planned without.
    pub left_out: Vec<UnreachableNode>,
    /// Why the servers run no scripts, if they do not.
    pub scripts_refused: Option<String>,
    /// Replicas that were read as though they were primaries, by address.
    pub replicas: Vec<(String, AsReplica)>,
    /// The fullest primary's memory, 0 to 100 % of its limit.
    pub memory_usage_percent: Option<f64>,
    /// Keys without TTL found that no protected pattern keeps.
    pub stale_keys: u64,
    /// Those that one keeps: they are meant to be as they are.
    pub stale_protected_keys: u64,
    /// Why the run was stopped, if it was.
    pub stopped: Option<(CancelKind, String)>,
    /// What was read.
    pub coverage: Coverage,
    /// What became of the candidates.
    pub accounting: Accounting,
    /// Keys that are too long, and the beginnings of some.
    pub too_long: (u64, Vec<String>),
    /// Why candidates were not reached, failed or are unconfirmed, with how many batches.
    pub causes: BTreeMap<String, u64>,
    /// Why messages were put aside unread, and how many.
    pub dead: BTreeMap<String, u64>,
    /// What was read again because servers were replaced.
    pub read_again: FailoverRescan,
    /// Whether the number of scanned keys is approximate.
    pub approximate: bool,
    /// Who was read, if the run asked for replicas.
    pub read_from: Option<ReadFromReplicas>,
    /// Why the hit rate's source could not be used.
    pub hit_rate_problem: Option<String>,
    /// What is wrong with the servers.
    pub redis_problems: Vec<String>,
}

/// A rule: what it found in the facts, if anything.
type Rule = fn(&Facts) -> Vec<Finding>;

/// All rules, in the order in which their sentences are shown.
const RULES: [Rule; 26] = [
    run::stale,
    run::stopped,
    run::not_covered,
    run::unreachable_nodes,
    run::dead_lettered_tasks,
    run::too_long,
    run::undone,
    run::undone_slots,
    run::read_again,
    run::causes,
    run::dead_letters,
    run::approximate,
    run::primaries_read,
    run::replicas,
    run::aggressive_refused,
    run::held_back,
    run::insecure,
    run::scripts_refused,
    cache::hit_rate,
    cache::hit_rate_problem,
    cache::low_ttl,
    cache::read_late,
    cache::many_keys,
    cache::growth,
    cache::errors,
    cache::memory,
];

/// What the rules find in `facts`.
#[must_use]
pub fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found = RULES.iter().flat_map(|rule| rule(facts)).collect();
    keep_praise_alone(&mut found);
    found
}

/// Leaves out of `found` that all is well, if there is anything else in it.
pub fn keep_praise_alone(found: &mut Vec<Finding>) {
    let praises = |finding: &Finding| matches!(finding.rule.as_str(), "hit-rate-good" | "hit-rate-excellent");
    if !found.iter().all(praises) {
        found.retain(|finding| !praises(finding));
    }
}

/// The sentences of one kind.
#[must_use]
pub fn sentences(findings: &[Finding], kind: FindingKind) -> Vec<String> {
    findings.iter().filter(|finding| finding.kind == kind).map(|finding| finding.sentence.clone()).collect()
}

fn recommendation<const N: usize>(
    rule: &str,
    severity: Severity,
    sentence: impl Into<String>,
    evidence: [(&str, Value); N],
) -> Finding {
    finding(FindingKind::Recommendation, rule, severity, sentence.into(), evidence)
}

fn issue<const N: usize>(
    rule: &str,
    severity: Severity,
    sentence: impl Into<String>,
    evidence: [(&str, Value); N],
) -> Finding {
    finding(FindingKind::Issue, rule, severity, sentence.into(), evidence)
}

fn finding<const N: usize>(
    kind: FindingKind,
    rule: &str,
    severity: Severity,
    sentence: String,
    evidence: [(&str, Value); N],
) -> Finding {
    let evidence = evidence.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Finding { kind, rule: rule.to_owned(), severity, sentence, evidence }
}
