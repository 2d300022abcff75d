//! Recommendations and issues: a table of rules over the facts of a run. Each rule is a small function that returns a
//! message (the document's, where it has one) and the figures behind it. Pure.

mod cache;
mod run;

use std::collections::BTreeMap;

use keysweep_model::messages::{AsReplica, CancelKind, UnreachableNode};
use keysweep_model::metrics::{Finding, FindingKind, Growth, HitRateWindow, Severity};
use keysweep_model::result::{Accounting, Coverage, FailoverRescan, ReadFromReplicas};
use serde_json::Value;

pub use cache::{ERRORS_PERCENT_MAX, HIT_RATE_CRITICAL, LOOKUPS_MIN, TTLS_MIN, too_many_errors};

/// The input of the rules.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The application's lookups since the previous run, or during this run.
    pub window: HitRateWindow,
    /// The TTL that the application sets, in milliseconds; `None` if it is not configured.
    pub configured_ttl_ms: Option<u64>,
    /// Mean TTL of the matching keys, in seconds; `None` if unknown.
    pub avg_ttl: Option<f64>,
    /// Matching keys whose TTL was read.
    pub keys_with_ttl: u64,
    /// Percentage of keys used late in their TTL.
    pub read_late_percent: Option<f64>,
    /// The number of keys behind that percentage.
    pub late_keys: u64,
    /// Matching keys after the run; `None` if unknown.
    pub total_keys: Option<u64>,
    /// How that number changed.
    pub growth: Option<Growth>,
    /// Whether caches of inactive users are removed.
    pub aggressive: bool,
    /// Why they are not removed although this was requested.
    pub aggressive_refused: Option<String>,
    /// Keys of apparently inactive users that were kept, because their scan tasks found no active user.
    pub no_active_user: u64,
    /// Whether TLS certificates were not verified.
    pub insecure: bool,
    /// Nodes that were excluded from the run.
    pub left_out: Vec<UnreachableNode>,
    /// Why the servers do not run scripts, if so.
    pub scripts_refused: Option<String>,
    /// Replicas that were read like primaries, by address.
    pub replicas: Vec<(String, AsReplica)>,
    /// The highest memory usage of a primary, in percent of its limit.
    pub memory_usage_percent: Option<f64>,
    /// Keys without TTL that no protected pattern matches.
    pub stale_keys: u64,
    /// Keys without TTL that a protected pattern matches: they are intended.
    pub stale_protected_keys: u64,
    /// Why the run was cancelled, if it was.
    pub stopped: Option<(CancelKind, String)>,
    /// The coverage of the run.
    pub coverage: Coverage,
    /// The outcomes of the candidates.
    pub accounting: Accounting,
    /// How many keys are too long, and the first bytes of some.
    pub too_long: (u64, Vec<String>),
    /// Why candidates were not reached, failed or are unconfirmed, with the number of batches.
    pub causes: BTreeMap<String, u64>,
    /// Why messages could not be decoded, and how many.
    pub dead: BTreeMap<String, u64>,
    /// What was read again after failovers.
    pub read_again: FailoverRescan,
    /// Whether the number of scanned keys is approximate.
    pub approximate: bool,
    /// Which servers were read, if the run requested replicas.
    pub read_from: Option<ReadFromReplicas>,
    /// Why the source of the hit rate could not be read.
    pub hit_rate_problem: Option<String>,
    /// Problems of the Redis servers.
    pub redis_problems: Vec<String>,
}

/// A rule: returns its findings on the facts.
type Rule = fn(&Facts) -> Vec<Finding>;

/// All rules, in the order of their messages.
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
    run::no_active_user,
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

/// The findings of all rules on `facts`.
#[must_use]
pub fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found = RULES.iter().flat_map(|rule| rule(facts)).collect();
    keep_praise_alone(&mut found);
    found
}

/// Removes praise from `found` if there are other findings.
pub fn keep_praise_alone(found: &mut Vec<Finding>) {
    let praises = |finding: &Finding| matches!(finding.rule.as_str(), "hit-rate-good" | "hit-rate-excellent");
    if !found.iter().all(praises) {
        found.retain(|finding| !praises(finding));
    }
}

/// The messages of one kind.
#[must_use]
pub fn messages(findings: &[Finding], kind: FindingKind) -> Vec<String> {
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

fn issue<const N: usize>(
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
    Finding { kind, rule: rule.to_owned(), severity, message, evidence }
}
