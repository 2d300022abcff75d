//! Checks the health of all primaries of a deployment, and reads their counters. Makes no lookups of keys.

use std::time::Instant;

use keysweep_model::counters::NodeCounters;
use keysweep_model::duration;
use keysweep_model::messages::Lookups;
use keysweep_model::metrics::{Health, NodeHealth, RedisHealth};
use keysweep_tasks::concurrency::join_bounded_within;

use super::client::RedisClient;
use super::error::RedisError;
use super::node::{self, NodeStatus};
use super::topology::Primary;
use crate::limits::{LATENCY_MS_MAX, MEMORY_PERCENT_MAX, PREFLIGHT_TIMEOUT, UNREACHABLE_NAMED_MAX};

/// The result of a health check.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HealthCheck {
    /// The health of the deployment.
    pub health: RedisHealth,
    /// The counters of the primaries that answered.
    pub readings: Vec<NodeCounters>,
    /// Bytes of memory that all primaries use; `None` unless each of them answered.
    pub used_memory_bytes: Option<u64>,
}

impl HealthCheck {
    /// The result for a deployment that could not be checked.
    #[must_use]
    pub fn failed(why: impl Into<String>) -> Self {
        let health = RedisHealth { problems: vec![why.into()], ..RedisHealth::default() };
        Self { health, ..Self::default() }
    }
}

/// Checks `client`'s deployment. A primary that does not answer is part of the result, not an error.
pub async fn check_health(client: &RedisClient) -> HealthCheck {
    let topology = client.topology();
    let sent = topology.primaries.iter().map(async |primary| Box::pin(ask(client, primary)).await);
    let (mut check, mut failed, mut silent) = (HealthCheck::default(), 0, 0);
    let all = join_bounded_within(sent.collect(), PREFLIGHT_TIMEOUT).await;
    for (primary, answer) in topology.primaries.iter().zip(all) {
        silent += usize::from(answer.is_none());
        failed += usize::from(matches!(answer, Some(Err(_))));
        let Some(answer) = answer.filter(|answer| answer.is_ok() || failed <= UNREACHABLE_NAMED_MAX) else {
            continue;
        };
        let (node, reading) = node_health(primary, answer, &mut check.health.problems);
        check.health.nodes.push(node);
        check.readings.extend(reading);
    }
    let further = failed.saturating_sub(UNREACHABLE_NAMED_MAX);
    check.health.problems.extend(uncounted(topology.primaries.len(), silent, further));
    let nodes = &check.health.nodes;
    let most = |part: fn(&NodeHealth) -> Option<f64>| nodes.iter().filter_map(part).reduce(f64::max);
    check.health.latency = most(|node| node.latency);
    check.health.memory_usage_percent = most(|node| node.memory_usage_percent);
    let used = nodes.iter().try_fold(0_u64, |sum, node| Some(sum.saturating_add(node.used_memory_bytes?)));
    check.used_memory_bytes = used.filter(|_| nodes.len() == topology.primaries.len());
    check.health.status = overall(nodes);
    if silent + further > 0 && check.health.status == Health::Healthy {
        check.health.status = Health::Degraded;
    }
    check
}

/// The problem line for primaries that are not listed individually: `silent` ones that did not answer, and `further`
/// ones that failed, of `all`.
fn uncounted(all: usize, silent: usize, further: usize) -> Option<String> {
    let limit = duration::show(PREFLIGHT_TIMEOUT);
    (silent + further > 0).then(|| {
        format!("of {all} primaries, {silent} did not answer within {limit}, and {further} more than are named failed")
    })
}

/// A deployment is as healthy as its worst primary, and unhealthy only if none answers.
fn overall(nodes: &[NodeHealth]) -> Health {
    let is = |health: Health| nodes.iter().filter(move |node| node.status == health).count();
    if is(Health::Unhealthy) == nodes.len() {
        Health::Unhealthy
    } else if is(Health::Healthy) == nodes.len() {
        Health::Healthy
    } else {
        Health::Degraded
    }
}

async fn ask(client: &RedisClient, primary: &Primary) -> Result<(f64, NodeStatus), RedisError> {
    let conn = client.conn(&primary.node).await?;
    let sent = Instant::now();
    conn.info_text("PING").await?;
    let latency = sent.elapsed().as_secs_f64() * 1_000.0;
    Ok((latency, node::status_with_commands(&conn, client.db()).await?))
}

fn node_health(
    primary: &Primary,
    answer: Result<(f64, NodeStatus), RedisError>,
    problems: &mut Vec<String>,
) -> (NodeHealth, Option<NodeCounters>) {
    let mut health = NodeHealth {
        node: primary.node.clone(),
        address: format!("{}:{}", primary.host, primary.port),
        status: Health::Unhealthy,
        latency: None,
        memory_usage_percent: None,
        used_memory_bytes: None,
        keys: None,
        keys_without_ttl: None,
        replica: None,
    };
    let (latency, status) = match answer {
        Ok(answer) => answer,
        Err(fault) => {
            problems.push(fault.to_string());
            return (health, None);
        }
    };
    let memory = status.memory_percent();
    let before = problems.len();
    if let Some(percent) = memory.filter(|percent| *percent > MEMORY_PERCENT_MAX) {
        problems.push(format!("memory of `{}` is {percent:.1} % full", health.address));
    }
    if latency > LATENCY_MS_MAX {
        problems.push(format!("`{}` takes {latency:.0} ms to answer", health.address));
    }
    if let Some(replica) = status.replica.as_ref().filter(|replica| !replica.is_linked()) {
        problems.push(replica.sentence(&health.address));
    }
    health.status = if problems.len() == before { Health::Healthy } else { Health::Degraded };
    health.latency = Some(latency);
    health.memory_usage_percent = memory;
    health.used_memory_bytes = status.used_memory;
    health.keys = Some(status.keys);
    health.keys_without_ttl = Some(status.keys.saturating_sub(status.expires));
    health.replica = status.replica.clone();
    let reading = status.counters(&primary.node, Lookups::default());
    (health, Some(reading))
}
