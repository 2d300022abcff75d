//! What was read: the coverage, and the keys of each node.

use std::cmp::Reverse;

use keysweep_model::result::{CleanupResult, Extent, NodeRow, ReadNode, ReadReplica};

use super::Section;
use super::blocks::{Block, Figure, Kind, Table, Tone, Verdict};
use super::known;
use crate::format::{NONE, grouped, share_text, slots};

pub(super) fn section(result: &CleanupResult) -> Section<'_> {
    let coverage = &result.coverage;
    let (tone, word) =
        if coverage.complete { (Tone::Good, "complete") } else { (Tone::Warning, "incomplete") };
    let mut summary = vec![Block::Verdict(Verdict { tone, word, sentence: sentence(result) })];
    summary.extend(skipped(result).map(Block::Text));
    let read: Vec<Figure> = result
        .read_from
        .iter()
        .flat_map(|read| &read.nodes)
        .map(|read| Figure::text("Read", read_by(read)))
        .collect();
    summary.extend((!read.is_empty()).then_some(Block::Figures(read)));
    // The issues state both.
    let missing = coverage.missing.iter().map(|missing| Block::Problem(format!("Not read: {missing}")));
    let mut details: Vec<Block<'_>> = missing.collect();
    if !coverage.causes.is_empty() {
        let rows = coverage.causes.iter().map(|(cause, tasks)| vec![cause.clone(), grouped(*tasks)]);
        let table = Table::new("Causes of gaps", "causes");
        let table = table.columns(Kind::Text, ["Cause"]).columns(Kind::Number, ["Tasks"]);
        details.push(Block::Table(table.rows(rows)));
    }
    Section { id: "coverage", title: "Coverage", summary, details }
}

fn sentence(result: &CleanupResult) -> String {
    let coverage = &result.coverage;
    match (coverage.complete, coverage.slots_covered) {
        (true, Some(slots)) => format!("All {} hash slots were read.", grouped(slots)),
        (true, None) => "The whole database was read.".to_owned(),
        (false, Some(slots)) => format!("{} of 16,384 hash slots were read.", grouped(slots)),
        (false, None) if known::nothing_read(result) => {
            "No part of the database was read completely.".to_owned()
        }
        (false, None) if coverage.extent == Some(Extent::Nothing) => {
            "What was read of the database no longer counts.".to_owned()
        }
        (false, None) => "Not all of the database was read.".to_owned(),
    }
}

/// Why nodes were skipped, and how exact the figures of their keys are.
fn skipped(result: &CleanupResult) -> Option<String> {
    let skipped = &result.skipped;
    let (why, error) = (skipped.reason.as_ref()?, skipped.sample_error_percent?);
    Some(format!(
        "Nodes were skipped: {why}. Their TTLs and prefixes are estimated from a sample of {} keys; shares are \
         accurate to {error} percentage points. `--full-scan` scans all keys.",
        grouped(skipped.sampled_keys)
    ))
}

/// The servers read in place of a primary, and their replication lag.
fn read_by(read: &ReadNode) -> String {
    let replica = |replica: &ReadReplica| {
        let ReadReplica { address, behind_bytes_max, waited_ms_max, .. } = replica;
        format!(
            "replica {address} (lag up to {} bytes, waited {waited_ms_max} ms)",
            grouped(*behind_bytes_max)
        )
    };
    let mut who: Vec<String> = read.replicas.iter().map(replica).collect();
    if read.primary_tasks > 0 {
        who.push(format!("primary {} in {} tasks", read.address, grouped(read.primary_tasks)));
    }
    who.join(", ")
}

/// One row per node. If there are many, those with the most keys without TTL come first.
pub(super) fn nodes(nodes: &[NodeRow]) -> Section<'_> {
    let mut sorted: Vec<&NodeRow> = nodes.iter().collect();
    let mut summary = Vec::new();
    if Table::is_long(nodes.len()) {
        sorted.sort_by_key(|node| Reverse(node.stale_ttl_keys));
        let sentence =
            format!("{} nodes, those with the most keys without TTL first.", grouped(nodes.len() as u64));
        summary.push(Block::Text(sentence));
    }
    if nodes.is_empty() {
        summary.push(Block::Text("No node was read.".to_owned()));
    } else {
        let table = Table::new("Keys by node", "nodes")
            .columns(Kind::Code, ["Node"])
            .columns(Kind::Number, ["Slots", "Keys", "Matching", "Without TTL", "Share", "Deleted"]);
        summary.push(Block::Table(table.rows(sorted.into_iter().map(row))));
    }
    Section { id: "nodes", title: "Nodes", summary, details: Vec::new() }
}

fn row(node: &NodeRow) -> Vec<String> {
    let name = if node.address.is_empty() { node.node.as_str() } else { &node.address };
    let unread = node.read == Some(Extent::Nothing) && node.listed_keys == 0 && node.skipped_keys == 0;
    let keys = |keys: u64| if unread { NONE.to_owned() } else { grouped(keys) };
    vec![
        name.to_owned(),
        slots(node.slots),
        keys(node.listed_keys.saturating_add(node.skipped_keys)),
        keys(node.scanned_keys),
        keys(node.stale_ttl_keys),
        share_text(node.stale_ttl_keys, node.scanned_keys),
        grouped(node.cleaned_keys),
    ]
}
