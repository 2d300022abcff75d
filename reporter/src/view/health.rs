//! The health of the servers.

use keysweep_model::metrics::{Health, NodeHealth, RedisHealth};

use super::Section;
use super::blocks::{Block, Figure, Kind, Table, Tone, Verdict};
use crate::format::{NONE, bytes, grouped, percent};

pub(super) fn section(health: &RedisHealth) -> Section<'_> {
    let checked = !health.nodes.is_empty() || !health.problems.is_empty() || health.latency.is_some();
    let details = if checked {
        let mut details = vec![Block::Verdict(verdict(health.status))];
        details.extend(health.problems.iter().cloned().map(Block::Problem));
        details.push(Block::Figures(Figure::numbers([
            ("Slowest PING", latency(health.latency)),
            ("Highest memory usage", memory(health.memory_usage_percent)),
            ("Primaries", grouped(health.nodes.len() as u64)),
        ])));
        details.extend((!health.nodes.is_empty()).then(|| Block::Table(primaries(&health.nodes))));
        details
    } else {
        vec![Block::Text("The health of the servers was not checked.".to_owned())]
    };
    Section { id: "health", title: "Health of Redis", summary: Vec::new(), details }
}

fn verdict(status: Health) -> Verdict {
    let tone = match status {
        Health::Healthy => Tone::Good,
        Health::Degraded => Tone::Warning,
        Health::Unhealthy => Tone::Bad,
    };
    Verdict { tone, word: status.into(), sentence: "At the end of the run.".to_owned() }
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
    if Table::is_long(nodes.len()) {
        let used = |node: &NodeHealth| node.memory_usage_percent.unwrap_or_default();
        sorted.sort_by(|a, b| b.status.cmp(&a.status).then(used(b).total_cmp(&used(a))));
    }
    Table::new("Health by primary", "primaries")
        .columns(Kind::Code, ["Primary"])
        .columns(Kind::Health, ["State"])
        .columns(Kind::Number, ["Latency", "Memory", "In use", "Keys", "Without TTL"])
        .rows(sorted.into_iter().map(row))
}

fn row(node: &NodeHealth) -> Vec<String> {
    let name = if node.address.is_empty() { node.node.as_str() } else { &node.address };
    let known = |n: Option<u64>| n.map_or(NONE.to_owned(), grouped);
    vec![
        name.to_owned(),
        node.status.to_string(),
        latency(node.latency),
        memory(node.memory_usage_percent),
        node.used_memory_bytes.map_or(NONE.to_owned(), bytes),
        known(node.keys),
        known(node.keys_without_ttl),
    ]
}
