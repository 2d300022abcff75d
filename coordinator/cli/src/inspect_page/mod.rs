//! What a look at all keys found, in its forms of output: the blocks of a page, JSON, CSV and a job file. Pure.

pub mod advice;
pub mod csv;
pub mod json;
pub mod policy_file;
pub mod view;

use keysweep_inspect::{KnownStructure, LargeKey, Namespace};
use keysweep_model::memory::ByteEstimate;
use keysweep_model::printable;
use reporter::view::{Block, Chart, Kind, Table};
use reporter::{bytes, counted, grouped, memory, share_text, short_span};

use self::advice::suggestions;
use self::view::{Inspected, InspectedDatabase, Row, Selection, SortKey, Totals};
use crate::rdb_page;

/// Namespaces that a page shows without `--top`.
pub const SHOWN: usize = 30;

/// Namespaces in the chart.
const CHART_PARTS_MAX: usize = 60;

/// Characters of a template that a page shows.
const TEMPLATE_MAX: usize = 76;

/// Characters of the name of a large key that a page shows; `--json` has all that is kept.
const LARGE_NAME_MAX: usize = 56;

/// A cell without a value.
const NONE: &str = "–";

/// The page.
#[must_use]
pub fn blocks(of: &Inspected, selection: Selection) -> Vec<Block<'static>> {
    let rows = of.rows(selection);
    let top = selection.top.unwrap_or(SHOWN);
    let mut blocks = vec![Block::Text(summary(of, rows.len(), selection))];
    blocks.extend(rdb_page::sentence(&of.files).or_else(|| memory_sentence(of)).map(Block::Text));
    if !rows.is_empty() {
        blocks.push(Block::Text(String::new()));
        blocks.push(Block::Table(table(&rows[..top.min(rows.len())], of.has_several())));
    }
    blocks.extend(largest(of));
    let mut notes: Vec<Block<'_>> = rest(of, rows.get(top..).unwrap_or_default())
        .into_iter()
        .chain(kept(&rows))
        .map(Block::Text)
        .collect();
    notes.extend(of.databases.iter().flat_map(problems).map(Block::Problem));
    notes.extend(of.unread_text().as_deref().map(unread).map(Block::Problem));
    if !notes.is_empty() {
        blocks.push(Block::Text(String::new()));
        blocks.extend(notes);
    }
    blocks.extend(next_commands(of));
    blocks
}

/// `blocks` with a chart of what the namespaces take: their memory, or their keys if that was not measured.
#[must_use]
pub fn with_chart(of: &Inspected, mut blocks: Vec<Block<'static>>) -> Vec<Block<'static>> {
    let rows = of.rows(Selection { sort: SortKey::Memory, ..Selection::default() });
    let is_measured = rows.iter().any(|row| row.namespace.memory.is_some());
    let title = if is_measured { "Memory by namespace" } else { "Keys by namespace" };
    let size = |row: &Row<'_>| match is_measured {
        true => row.namespace.memory.map_or(0, |memory| memory.estimate),
        false => row.namespace.keys,
    };
    let parts = rows.iter().map(|row| (shortened(&row.namespace.template), size(row)));
    let chart = Chart::Sizes(title, parts.take(CHART_PARTS_MAX).collect());
    // Below the figures of the whole.
    let place = blocks.iter().position(|block| matches!(block, Block::Table(_))).unwrap_or(blocks.len());
    blocks.insert(place, Block::Chart(chart));
    blocks
}

fn summary(of: &Inspected, shown: usize, selection: Selection) -> String {
    let Totals { keys, no_ttl, .. } = of.totals();
    let share = if keys > 0 { format!(" ({})", share_text(no_ttl, keys)) } else { String::new() };
    let databases = match of.databases.len() {
        1 => String::new(),
        several => format!(" of {several} databases"),
    };
    let only = if selection.only_no_ttl { " that have keys without TTL" } else { "" };
    format!(
        "{}{databases}, {} of them without TTL{share}, in {}{only}",
        counted(keys, "key", "keys"),
        grouped(no_ttl),
        counted(shown as u64, "namespace", "namespaces"),
    )
}

/// How much memory the keys take, and how that is known.
fn memory_sentence(of: &Inspected) -> Option<String> {
    let all = of.memory()?;
    let used = of.used_memory().map(|used| format!("; the servers use {}", bytes(used)));
    let measured = match all.is_exact() {
        true => "all were measured".to_owned(),
        false => format!("from {}", counted(all.samples, "measured key", "measured keys")),
    };
    Some(format!("Memory of the keys: {}, {measured}{}", memory(&all), used.unwrap_or_default()))
}

fn table(rows: &[Row<'_>], several: bool) -> Table {
    let row = |row: &Row<'_>| {
        let of = row.namespace;
        // Where some keys were counted elsewhere, the figure is the least.
        let least = if of.missed_max > 0 { "≥ " } else { "" };
        vec![
            in_database(several, row.db, &shortened(&of.template)),
            format!("{least}{}", grouped(of.keys)),
            share_text(of.no_ttl, of.keys),
            of.ttl_median_ms.map_or_else(|| NONE.to_owned(), time_of_ms),
            of.memory.map_or_else(|| NONE.to_owned(), |of| size(&of)),
            of.idle_median_s.map_or_else(|| NONE.to_owned(), time_of_s),
            kinds(of),
        ]
    };
    Table::new("Namespaces", "namespaces")
        .columns(Kind::Code, ["Namespace"])
        .columns(Kind::Number, ["Keys", "No TTL", "TTL", "Memory", "Idle"])
        .columns(Kind::Time, ["Type"])
        .rows(rows.iter().map(row))
}

/// The largest keys.
fn largest(of: &Inspected) -> Vec<Block<'static>> {
    let keys = of.largest();
    if keys.is_empty() {
        return Vec::new();
    }
    let caption = match of.memory().is_some_and(|memory| memory.is_exact()) {
        true => "Largest keys",
        false => "Largest of the keys that were measured",
    };
    let row = |(db, key): &(u32, &LargeKey)| {
        let name = printable::shortened(&key.name, LARGE_NAME_MAX);
        let kind = key.kind.clone().unwrap_or_else(|| NONE.to_owned());
        vec![in_database(of.has_several(), *db, &name), bytes(key.bytes), kind]
    };
    let table = Table::new(caption, "keys")
        .columns(Kind::Code, ["Key"])
        .columns(Kind::Number, ["Memory"])
        .columns(Kind::Time, ["Type"])
        .rows(keys.iter().map(row));
    vec![Block::Text(String::new()), Block::Text(format!("{caption}:")), Block::Table(table)]
}

/// A name, behind the number of its database if that matters.
fn in_database(several: bool, db: u32, name: &str) -> String {
    if several { format!("{db}: {name}") } else { name.to_owned() }
}

/// A memory size; `~` marks an estimate.
fn size(of: &ByteEstimate) -> String {
    format!("{}{}", if of.is_exact() { "" } else { "~" }, bytes(of.estimate))
}

/// The type of the keys; that of most of them, if there are several.
fn kinds(of: &Namespace) -> String {
    let most = of.types.iter().max_by_key(|(_, keys)| **keys);
    match (most, of.types.len()) {
        (None, _) => NONE.to_owned(),
        (Some((kind, _)), 1) => kind.clone(),
        (Some((kind, _)), _) => format!("{kind}, …"),
    }
}

/// What the table does not show.
fn rest(of: &Inspected, more: &[Row<'_>]) -> Vec<String> {
    let mut sentences = Vec::new();
    if !more.is_empty() {
        let keys = more.iter().map(|row| row.namespace.keys).sum::<u64>();
        sentences.push(format!(
            "{} with {} not shown; `--top` and `--json` show more",
            counted(more.len() as u64, "more namespace", "more namespaces"),
            counted(keys, "key is", "keys are"),
        ));
    }
    let other = of.totals().other_keys;
    if other > 0 {
        sentences.push(format!(
            "{} in none of these namespaces: their names have little in common",
            counted(other, "key is", "keys are"),
        ));
    }
    sentences
}

/// Whose the namespaces are, as far as known.
fn kept(rows: &[Row<'_>]) -> Vec<String> {
    let mut owners: Vec<(&KnownStructure, String, usize)> = Vec::new();
    for row in rows {
        let Some(known) = row.namespace.known else { continue };
        match owners.iter_mut().find(|(owner, ..)| *owner == known) {
            Some((.., more)) => *more += 1,
            None => owners.push((known, shortened(&row.namespace.template), 0)),
        }
    }
    let sentence = |(owner, first, more): (&KnownStructure, String, usize)| {
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}: {first}{more}; {}", owner.label, owner.advice)
    };
    owners.into_iter().map(sentence).collect()
}

/// What makes the figures of a database incomplete.
fn problems(of: &InspectedDatabase) -> Vec<String> {
    let (namespaces, coverage) = (&of.namespaces, &of.coverage);
    let mut problems = Vec::new();
    if let Some(missing) = &coverage.missing {
        problems.push(format!("Not everything was read: {missing} is missing"));
    }
    problems.extend(coverage.causes.keys().cloned());
    if let Some(refused) = &namespaces.memory_refused {
        problems.push(format!("Memory could not be measured: {refused}"));
    }
    if namespaces.approximate {
        problems.push("Some keys may be counted twice, because a table was resized meanwhile".to_owned());
    }
    if namespaces.repeated_max > 0 {
        let keys = counted(namespaces.repeated_max, "key", "keys");
        problems.push(format!("Up to {keys} may be counted twice, because their slots moved meanwhile"));
    }
    problems
}

fn unread(databases: &str) -> String {
    format!("Not everything was read: {databases}, because a signal arrived first")
}

/// The next commands.
fn next_commands(of: &Inspected) -> Vec<Block<'static>> {
    let suggestions = suggestions(of);
    if suggestions.is_empty() {
        return Vec::new();
    }
    let mut blocks =
        vec![Block::Text(String::new()), Block::Text("Next, without changing anything:".to_owned())];
    for suggestion in suggestions {
        blocks.push(Block::Text(format!("{}: {}", shortened(&suggestion.template), suggestion.finding)));
        blocks.push(Block::Command(suggestion.command));
    }
    blocks
}

/// A template, shortened if it is longer than a line.
fn shortened(template: &str) -> String {
    printable::shortened(template, TEMPLATE_MAX).into_owned()
}

/// A time to show, of seconds.
#[expect(clippy::cast_precision_loss, reason = "a time that is shown")]
fn time_of_s(seconds: u64) -> String {
    short_span(seconds as f64)
}

/// A time to show, of milliseconds.
fn time_of_ms(ms: u64) -> String {
    short_span(seconds(ms))
}

#[expect(clippy::cast_precision_loss, reason = "a time that is shown")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}
