//! The servers in a report: coverage, figures per node, and health.

use std::cmp::Reverse;

use keysweep_model::metrics::{NodeHealth, RedisHealth};
use keysweep_model::result::{CleanupResult, NodeRow};

use super::table::{Kind, Table, rows_in_the_open};
use crate::format::bytes;
use crate::format::{NONE, percent, share_text};
use crate::{facts, grouped, slots};

/// The coverage of the run.
pub(super) struct CoverageView<'a> {
    /// The coverage as a sentence.
    pub(super) sentence: String,
    /// Whether everything was read.
    pub(super) complete: bool,
    /// What was not read.
    pub(super) missing: Option<&'a str>,
    /// Why it was not read.
    pub(super) causes: Option<Table>,
}

impl<'a> CoverageView<'a> {
    pub(super) fn of(result: &'a CleanupResult) -> Self {
        let coverage = &result.coverage;
        let sentence = match (coverage.complete, coverage.slots_covered) {
            (true, Some(slots)) => format!("All {} hash slots were read.", grouped(slots)),
            (true, None) => "The whole database was read.".to_owned(),
            (false, Some(slots)) => format!("{} of 16,384 hash slots were read.", grouped(slots)),
            (false, None) if facts::if_nothing_read(result).is_some() => {
                "No part of the database was read completely.".to_owned()
            }
            (false, None) => "Not all of the database was read.".to_owned(),
        };
        let rows: Vec<Vec<String>> =
            coverage.causes.iter().map(|(cause, tasks)| vec![cause.clone(), grouped(*tasks)]).collect();
        let causes = (!rows.is_empty()).then(|| Table {
            caption: "Causes of gaps",
            columns: vec![("Cause", Kind::Text), ("Tasks", Kind::Number)],
            rows,
            many: "causes",
            folding: true,
        });
        Self { sentence, complete: coverage.complete, missing: coverage.missing.as_deref(), causes }
    }
}

/// One row per node. If there are many, those with the most keys without TTL come first.
pub(super) fn nodes(nodes: &[NodeRow]) -> Table {
    let mut sorted: Vec<&NodeRow> = nodes.iter().collect();
    if rows_in_the_open(nodes.len()) < nodes.len() {
        sorted.sort_by_key(|node| Reverse(node.stale_ttl_keys));
    }
    let row = |node: &&NodeRow| {
        let name = if node.address.is_empty() { node.node.as_str() } else { &node.address };
        let met = |keys| facts::matching_keys(node, keys).map_or_else(|| NONE.to_owned(), grouped);
        vec![
            name.to_owned(),
            slots(node.slots),
            met(node.listed_keys),
            met(node.scanned_keys),
            met(node.stale_ttl_keys),
            share_text(node.stale_ttl_keys, node.scanned_keys),
            grouped(node.cleaned_keys),
        ]
    };
    Table {
        caption: "Keys by node",
        columns: vec![
            ("Node", Kind::Code),
            ("Slots", Kind::Number),
            ("Keys", Kind::Number),
            ("Matching", Kind::Number),
            ("Without TTL", Kind::Number),
            ("Share", Kind::Number),
            ("Deleted", Kind::Number),
        ],
        rows: sorted.iter().map(row).collect(),
        many: "nodes",
        folding: true,
    }
}

/// The health of the servers.
pub(super) struct ServersView<'a> {
    /// `healthy`, `degraded` or `unhealthy`; `None` if it was not checked.
    pub(super) status: Option<&'static str>,
    /// Their problems.
    pub(super) problems: &'a [String],
    /// Figures by name.
    pub(super) figures: Vec<(&'static str, String)>,
    /// One row per primary.
    pub(super) nodes: Option<Table>,
}

impl<'a> ServersView<'a> {
    pub(super) fn of(health: &'a RedisHealth) -> Self {
        let asked = !health.nodes.is_empty() || !health.problems.is_empty() || health.latency.is_some();
        if !asked {
            return Self { status: None, problems: &[], figures: Vec::new(), nodes: None };
        }
        let figures = vec![
            ("Slowest PING", latency(health.latency)),
            ("Highest memory usage", memory(health.memory_usage_percent)),
            ("Primaries", grouped(health.nodes.len() as u64)),
        ];
        Self {
            status: Some(health.status.as_str()),
            problems: &health.problems,
            figures,
            nodes: (!health.nodes.is_empty()).then(|| primaries(&health.nodes)),
        }
    }
}

fn latency(ms: Option<f64>) -> String {
    match ms.filter(|ms| ms.is_finite()) {
        Some(ms) if ms < 10.0 => format!("{ms:.2} ms"),
        Some(ms) => format!("{ms:.0} ms"),
        None => "no answer".to_owned(),
    }
}

fn memory(used: Option<f64>) -> String {
    used.map_or("no limit set".to_owned(), |used| percent(Some(used)))
}

/// One row per primary. If there are many, the least healthy come first.
fn primaries(nodes: &[NodeHealth]) -> Table {
    let mut sorted: Vec<&NodeHealth> = nodes.iter().collect();
    if rows_in_the_open(nodes.len()) < nodes.len() {
        let used = |node: &NodeHealth| node.memory_usage_percent.unwrap_or_default();
        sorted.sort_by(|a, b| b.status.cmp(&a.status).then(used(b).total_cmp(&used(a))));
    }
    let row = |node: &&NodeHealth| {
        let name = if node.address.is_empty() { node.node.as_str() } else { &node.address };
        let known = |n: Option<u64>| n.map_or(NONE.to_owned(), grouped);
        vec![
            name.to_owned(),
            node.status.as_str().to_owned(),
            latency(node.latency),
            memory(node.memory_usage_percent),
            node.used_memory_bytes.map_or(NONE.to_owned(), bytes),
            known(node.keys),
            known(node.keys_without_ttl),
        ]
    };
    Table {
        caption: "Health by primary",
        columns: vec![
            ("Primary", Kind::Code),
            ("State", Kind::Health),
            ("Latency", Kind::Number),
            ("Memory", Kind::Number),
            ("In use", Kind::Number),
            ("Keys", Kind::Number),
            ("Without TTL", Kind::Number),
        ],
        rows: sorted.iter().map(row).collect(),
        many: "primaries",
        folding: true,
    }
}
