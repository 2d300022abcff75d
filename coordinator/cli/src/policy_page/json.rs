//! The check of rules as JSON.

use keysweep_inspect::Namespace;
use keysweep_model::result::RuleRow;
use serde_json::{Value, json};

use super::checked::{Checked, Example, Verdict};
use crate::rdb_page;

/// The document.
#[must_use]
pub fn json(of: &Checked) -> Value {
    let key = |one: &Example| json!({ "key": one.name, "reason": <&str>::from(one.reason) });
    let rule = |rule: &RuleRow| {
        json!({
            "index": rule.index,
            "match": rule.matching,
            "owner": rule.owner,
            "action": rule.action,
            "scanned": rule.scanned,
            "withoutTtl": rule.without_ttl,
            "undecided": rule.undecided,
            "breaches": rule.breaches(),
            "sampleKeys": of.examples.names(rule).map(|names| names.iter().map(key).collect::<Vec<_>>()),
        })
    };
    let namespace = |one: &Namespace| {
        json!({
            "template": one.template,
            "pattern": one.pattern.to_string(),
            "keys": one.keys,
            "noTtl": one.no_ttl,
        })
    };
    let unowned = of.unowned.as_ref().map(|unowned| {
        json!({
            "keys": unowned.keys,
            "withoutTtl": unowned.without_ttl,
            "namespaces": unowned.namespaces.iter().map(namespace).collect::<Vec<_>>(),
        })
    });
    json!({
        "job": of.job,
        "source": rdb_page::json(&of.files),
        "complete": of.coverage.complete,
        "missing": of.coverage.missing,
        "breaches": of.breaches(),
        "undecided": of.undecided(),
        "allowed": of.allowed,
        "passes": passes(of.verdict()),
        "rules": of.rules.iter().map(rule).collect::<Vec<_>>(),
        "unowned": unowned,
    })
}

/// Null if it is not known.
fn passes(verdict: Verdict) -> Option<bool> {
    match verdict {
        Verdict::Passed => Some(true),
        Verdict::Breached => Some(false),
        Verdict::Unknown => None,
    }
}
