//! The check of rules as a page.

use keysweep_inspect::Namespace;
use keysweep_model::result::RuleRow;
use reporter::grouped;
use reporter::view::{Block, Kind, Table};

use super::checked::{Checked, Example, NAMESPACES_SHOWN, Unowned, fault};
use crate::rdb_page;

/// The page.
#[must_use]
pub fn blocks(of: &Checked) -> Vec<Block<'static>> {
    let row = |rule: &RuleRow| {
        vec![
            format!("{} {}", rule.index, rule.matching.join(" ")),
            rule.owner.clone().unwrap_or_default(),
            grouped(rule.scanned),
            grouped(rule.breaches()),
            grouped(rule.undecided),
            if rule.breaches() > 0 { of.fault(rule) } else { String::new() },
        ]
    };
    let table = Table::new("Rules", "rules")
        .columns(Kind::Code, ["Rule"])
        .columns(Kind::Text, ["Owner"])
        .columns(Kind::Number, ["Its keys", "Break it", "Unknown"])
        .columns(Kind::Text, ["Why"])
        .rows(of.rules.iter().map(row));
    let mut blocks = vec![Block::Text(of.sentence())];
    blocks.extend(rdb_page::sentence(&of.files).map(Block::Text));
    blocks.extend([Block::Text(String::new()), Block::Table(table)]);
    if !of.files.is_empty() {
        blocks.extend(of.coverage.causes.keys().cloned().map(Block::Problem));
    }
    blocks.extend(examples(of));
    blocks.extend(of.unowned.iter().flat_map(unowned));
    blocks
}

/// Some keys that break rules.
fn examples(of: &Checked) -> Vec<Block<'static>> {
    let row = |rule: &RuleRow, one: &Example| {
        vec![one.short(), rule.index.to_string(), fault(one.reason).to_owned()]
    };
    let of_rule = |rule: &RuleRow| {
        let names = of.examples.names(rule).unwrap_or_default();
        names.iter().map(|one| row(rule, one)).collect::<Vec<_>>()
    };
    let rows: Vec<Vec<String>> = of.rules.iter().flat_map(of_rule).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let table = Table::new("Some of the keys that break rules", "keys")
        .columns(Kind::Code, ["For example"])
        .columns(Kind::Number, ["Rule"])
        .columns(Kind::Text, ["Why"])
        .rows(rows);
    vec![Block::Text(String::new()), Block::Table(table)]
}

fn unowned(of: &Unowned) -> Vec<Block<'static>> {
    if of.keys == 0 {
        return Vec::new();
    }
    let row = |one: &Namespace| vec![one.template.clone(), grouped(one.keys), grouped(one.no_ttl)];
    let table = Table::new("Keys of no rule", "unowned")
        .columns(Kind::Code, ["Namespace"])
        .columns(Kind::Number, ["Keys", "Without TTL"])
        .rows(of.namespaces.iter().take(NAMESPACES_SHOWN).map(row));
    vec![Block::Text(String::new()), Block::Text(of.sentence()), Block::Table(table)]
}
