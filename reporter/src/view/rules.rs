//! What a run did by each of its rules.

use keysweep_model::result::{CleanupResult, RuleRow};

use super::Section;
use super::blocks::{Block, Kind, Table};
use crate::format::{counted, grouped};

pub(super) fn section(result: &CleanupResult) -> Option<Section<'_>> {
    if result.rules.is_empty() {
        return None;
    }
    let table = Table::new("Rules", "rules")
        .columns(Kind::Code, ["Rule"])
        .columns(Kind::Text, ["Owner", "Does"])
        .columns(Kind::Number, ["Its keys", "No TTL", "Candidates"])
        .columns(Kind::Text, ["Outcomes"])
        .rows(result.rules.iter().map(row));
    let undecided: u64 = result.rules.iter().map(|rule| rule.undecided).sum();
    let left = (undecided > 0).then(|| {
        let keys = counted(undecided, "key was", "keys were");
        Block::Text(format!("{keys} left alone, because a fact that decides about them was unknown"))
    });
    let summary = std::iter::once(Block::Table(table)).chain(left).collect();
    Some(Section { id: "rules", title: "Rules", summary, details: Vec::new() })
}

fn row(rule: &RuleRow) -> Vec<String> {
    let outcomes: Vec<String> = rule
        .accounting
        .rows()
        .into_iter()
        .filter(|(_, keys)| *keys > 0)
        .map(|(name, keys)| format!("{} {name}", grouped(keys)))
        .collect();
    vec![
        format!("{} {}", rule.index, rule.matching.join(" ")),
        rule.owner.clone().unwrap_or_default(),
        rule.action.clone(),
        grouped(rule.scanned),
        grouped(rule.without_ttl),
        grouped(rule.accounting.candidates),
        outcomes.join(", "),
    ]
}
