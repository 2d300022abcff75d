//! How a run was throttled, from the records to its result. Pure.

use std::collections::BTreeMap;

use keysweep_model::ids::NodeId;
use keysweep_model::messages::{NodePacing, RunSpec};
use keysweep_model::result::{PacedNode, Pacing, Waited};

use crate::format::{duration, grouped};

/// The pacing section of the result of run `spec`, from the figures of its tasks and batches per node; `whole`: all of
/// them are known.
#[must_use]
pub fn pacing(spec: &RunSpec, nodes: &BTreeMap<NodeId, NodePacing>, whole: bool) -> Pacing {
    let sum = |of: fn(&NodePacing) -> u64| nodes.values().map(of).sum();
    let mut pacing = Pacing {
        mode: if spec.pacing.latency_budget_ms.is_some() { "latency-budget" } else { "max-speed" }.to_owned(),
        latency_budget_ms: spec.pacing.latency_budget_ms,
        rate_limit: spec.pacing.keys_per_s_max,
        slowdowns: sum(|node| node.slowdowns),
        waited_ms: Waited {
            latency: sum(|node| node.latency_wait_ms),
            rate_limit: sum(|node| node.rate_wait_ms),
        },
        nodes: Vec::new(),
        summary: String::new(),
    };
    if spec.pacing.latency_budget_ms.is_some() {
        pacing.nodes = nodes.iter().filter_map(|(node, stats)| paced_node(spec, node, stats)).collect();
    }
    pacing.summary = summary(&pacing, whole);
    pacing
}

fn paced_node(spec: &RunSpec, node: &NodeId, stats: &NodePacing) -> Option<PacedNode> {
    let planned = spec.nodes.iter().find(|planned| planned.node == *node);
    #[expect(clippy::cast_precision_loss, reason = "far less than 2^52 microseconds")]
    let ms = |us: u64| us as f64 / 1_000.0;
    Some(PacedNode {
        node: node.clone(),
        address: planned.map_or(node.as_str(), |planned| &planned.address).to_owned(),
        slowdowns: stats.slowdowns,
        lowest_duty_cycle: stats.duty_cycle_min?,
        probe_ms_before: stats.before_us.map(ms),
        probe_ms_p99: stats.probes_us.quantile(0.99).map(|us| us / 1_000.0),
        probes: stats.probes_us.count(),
        late_probes: stats.late,
    })
}

/// Explains the speed of the run for people.
fn summary(pacing: &Pacing, whole: bool) -> String {
    // A task that did not end has not reported its waiting time.
    let least = if whole { "" } else { "at least " };
    let waited = pacing.waited_ms.latency + pacing.waited_ms.rate_limit;
    let mut parts = vec![match (pacing.latency_budget_ms, pacing.rate_limit) {
        (Some(budget), None) => format!("latency budget {budget} ms"),
        (Some(budget), Some(limit)) => {
            format!("latency budget {budget} ms, at most {} keys/s", grouped(limit))
        }
        (None, Some(limit)) => format!("full speed up to {} keys/s", grouped(limit)),
        (None, None) => "full speed, without a latency budget".to_owned(),
    }];
    if pacing.slowdowns > 0 {
        let times = match pacing.slowdowns {
            1 => "once".to_owned(),
            times => format!("{} times", grouped(times)),
        };
        let worst = pacing.nodes.iter().max_by_key(|node| node.slowdowns).and_then(worst);
        parts.push(format!("slowed down {least}{times}{}", worst.unwrap_or_default()));
    } else if pacing.latency_budget_ms.is_some() && whole {
        parts.push("never slowed down".to_owned());
    }
    if waited > 0 {
        // Several tasks may have waited at the same time.
        parts.push(format!("waited {least}{} in all", duration(waited)));
    }
    parts.join("; ")
}

/// The probes of the node that was slowed down most.
fn worst(node: &PacedNode) -> Option<String> {
    let before = node.probe_ms_before.map(|before| format!(", {before:.1} ms before"));
    let p99 = node.probe_ms_p99?;
    Some(format!(" ({}: p99 of probes {p99:.1} ms{})", node.address, before.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pacing(budget: Option<u64>, limit: Option<u64>, slowdowns: u64, waited_ms: u64) -> Pacing {
        let node = PacedNode {
            node: NodeId::new("n"),
            address: "10.0.0.1:6379".to_owned(),
            slowdowns,
            lowest_duty_cycle: 0.1,
            probe_ms_before: Some(0.21),
            probe_ms_p99: Some(1.14),
            probes: 900,
            late_probes: 9,
        };
        Pacing {
            latency_budget_ms: budget,
            rate_limit: limit,
            slowdowns,
            waited_ms: Waited { latency: waited_ms, rate_limit: 0 },
            nodes: vec![node],
            ..Pacing::default()
        }
    }

    #[test]
    fn the_summary_explains_the_throttling() {
        let check = |pacing: &Pacing, expected| assert_eq!(summary(pacing, true), expected);
        let part = |slowdowns, waited_ms| summary(&pacing(Some(1), None, slowdowns, waited_ms), false);
        assert_eq!(part(0, 0), "latency budget 1 ms", "unfinished tasks report nothing");
        assert_eq!(part(0, 1_500), "latency budget 1 ms; waited at least 1.5 s in all");
        assert!(part(1, 0).contains("slowed down at least once ("));
        check(&pacing(None, None, 0, 0), "full speed, without a latency budget");
        check(&pacing(None, Some(5_000), 0, 1_500), "full speed up to 5,000 keys/s; waited 1.5 s in all");
        check(&pacing(Some(1), None, 0, 0), "latency budget 1 ms; never slowed down");
        check(
            &pacing(Some(1), None, 12, 3_100),
            "latency budget 1 ms; slowed down 12 times (10.0.0.1:6379: p99 of probes 1.1 ms, 0.2 ms before); waited \
             3.1 s in all",
        );
        check(
            &pacing(Some(2), Some(9), 1, 0),
            "latency budget 2 ms, at most 9 keys/s; slowed down once (10.0.0.1:6379: p99 of probes 1.1 ms, 0.2 ms \
             before)",
        );
    }
}
