//! The namespaces of a keyspace as a page of text, and as JSON. What is not measured is null. Pure.

use keysweep_inspect::{KnownStructure, Namespace};
use keysweep_model::printable;
use keysweep_model::result::Coverage;
use reporter::printer::terminal;
use reporter::view::{Block, Kind, Table};
use reporter::{KeyNamespaces, counted, grouped, span};
use serde_json::{Value, json};

/// Namespaces that the page shows.
const SHOWN: usize = 30;

/// Characters of a template that the page shows.
const TEMPLATE_MAX: usize = 76;

/// A cell without a value.
const NONE: &str = "–";

/// The namespaces as a page of text.
#[must_use]
pub fn text(namespaces: &KeyNamespaces, coverage: &Coverage) -> String {
    let found = &namespaces.found;
    let (keys, no_ttl) = totals(namespaces);
    let mut blocks = vec![Block::Text(format!(
        "{} in {}; {} of them have no TTL{}",
        counted(keys, "key", "keys"),
        counted(found.rows.len() as u64, "namespace", "namespaces"),
        grouped(no_ttl),
        share(no_ttl, keys).map(|share| format!(" ({share})")).unwrap_or_default(),
    ))];
    if !found.rows.is_empty() {
        blocks.push(Block::Text(String::new()));
        blocks.push(Block::Table(table(&found.rows)));
    }
    let mut notes: Vec<Block<'_>> =
        rest(namespaces).into_iter().chain(kept(&found.rows)).map(Block::Text).collect();
    notes.extend(problems(namespaces, coverage).into_iter().map(Block::Problem));
    if !notes.is_empty() {
        blocks.push(Block::Text(String::new()));
        blocks.extend(notes);
    }
    terminal::blocks(&blocks)
}

fn table(rows: &[Namespace]) -> Table {
    let time = |ms: Option<u64>| ms.map_or_else(|| NONE.to_owned(), |ms| span(seconds(ms)));
    let row = |row: &Namespace| {
        // Where some keys were counted elsewhere, the figure is the least.
        let least = if row.missed_max > 0 { "≥ " } else { "" };
        vec![
            shortened(&row.template),
            format!("{least}{}", grouped(row.keys)),
            share(row.no_ttl, row.keys).unwrap_or_else(|| NONE.to_owned()),
            time(row.ttl_median_ms),
            time(row.ttl_max_ms),
        ]
    };
    Table::new("Namespaces", "namespaces")
        .columns(Kind::Code, ["Namespace"])
        .columns(Kind::Number, ["Keys", "No TTL", "Median TTL", "Max TTL"])
        .rows(rows.iter().take(SHOWN).map(row))
}

/// What the table does not show.
fn rest(namespaces: &KeyNamespaces) -> Vec<String> {
    let found = &namespaces.found;
    let mut sentences = Vec::new();
    if let Some(more) = found.rows.get(SHOWN..).filter(|more| !more.is_empty()) {
        let keys = more.iter().map(|row| row.keys).sum::<u64>();
        sentences.push(format!(
            "{} with {} not shown; `--json` has all",
            counted(more.len() as u64, "more namespace", "more namespaces"),
            counted(keys, "key is", "keys are"),
        ));
    }
    if found.other_keys > 0 {
        sentences.push(format!(
            "{} in none of these namespaces: their names have little in common",
            counted(found.other_keys, "key is", "keys are"),
        ));
    }
    sentences
}

/// Whose the namespaces are, as far as known.
fn kept(rows: &[Namespace]) -> Vec<String> {
    let mut owners: Vec<(&KnownStructure, String, usize)> = Vec::new();
    for row in rows {
        let Some(known) = row.known else { continue };
        match owners.iter_mut().find(|(owner, ..)| *owner == known) {
            Some((.., more)) => *more += 1,
            None => owners.push((known, shortened(&row.template), 0)),
        }
    }
    let sentence = |(owner, first, more): (&KnownStructure, String, usize)| {
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}: {first}{more}; {}", owner.label, owner.advice)
    };
    owners.into_iter().map(sentence).collect()
}

/// What makes the figures incomplete.
fn problems(namespaces: &KeyNamespaces, coverage: &Coverage) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(missing) = &coverage.missing {
        problems.push(format!("Not everything was read: {missing} is missing"));
    }
    problems.extend(coverage.causes.keys().cloned());
    if namespaces.approximate {
        problems.push("Some keys may be counted twice, because a table was resized meanwhile".to_owned());
    }
    if namespaces.repeated_max > 0 {
        let keys = counted(namespaces.repeated_max, "key", "keys");
        problems.push(format!("Up to {keys} may be counted twice, because their slots moved meanwhile"));
    }
    problems
}

/// The namespaces as JSON.
#[must_use]
pub fn json(namespaces: &KeyNamespaces, coverage: &Coverage) -> Value {
    let (found, (keys, no_ttl)) = (&namespaces.found, totals(namespaces));
    json!({
        "totalKeys": keys,
        "noTtl": no_ttl,
        "complete": coverage.complete,
        "missing": coverage.missing,
        "approximate": namespaces.approximate || namespaces.repeated_max > 0,
        "namespaces": found.rows.iter().map(row).collect::<Vec<_>>(),
        "other": { "keys": found.other_keys, "noTtl": found.other_no_ttl },
    })
}

fn row(row: &Namespace) -> Value {
    json!({
        "template": row.template,
        "pattern": row.pattern.to_string(),
        "keys": row.keys,
        "keysMax": row.keys.saturating_add(row.missed_max),
        "noTtl": row.no_ttl,
        "ttl": { "p50": row.ttl_median_ms.map(seconds), "max": row.ttl_max_ms.map(seconds) },
        "memoryBytes": null,
        "types": null,
        "idle": null,
        "known": row.known.map(|known| &known.name),
        "owner": null,
        "sampleKeys": row.sample_keys,
    })
}

/// A template, shortened if it is longer than a line.
fn shortened(template: &str) -> String {
    printable::shortened(template, TEMPLATE_MAX).into_owned()
}

/// All keys, and those without TTL.
fn totals(namespaces: &KeyNamespaces) -> (u64, u64) {
    let found = &namespaces.found;
    let sum = |of: fn(&Namespace) -> u64| found.rows.iter().map(of).sum::<u64>();
    (sum(|row| row.keys) + found.other_keys, sum(|row| row.no_ttl) + found.other_no_ttl)
}

#[expect(clippy::cast_precision_loss, reason = "a time that is shown")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

/// `31.4 %`; `None` of nothing.
#[expect(clippy::cast_precision_loss, reason = "a share, shown with one decimal")]
fn share(part: u64, of: u64) -> Option<String> {
    (of > 0).then(|| format!("{:.1} %", part as f64 * 100.0 / of as f64))
}
