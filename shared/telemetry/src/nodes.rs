//! The metrics of nodes, by the last check of their deployment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use keysweep_model::ids::Alias;
use keysweep_model::metrics::RedisHealth;

use super::labels::Redis;
use super::{Telemetry, at_node, integer, set_or_remove};

/// The addresses of nodes that have metrics, by deployment: those that are gone lose them.
#[derive(Debug, Default)]
pub(super) struct SeenNodes(Mutex<BTreeMap<Alias, BTreeSet<String>>>);

impl Telemetry {
    /// Sets what a check of a deployment has found.
    pub fn checked(&self, redis: &Alias, health: &RedisHealth) {
        let labels = Redis { redis: redis.to_string() };
        match health.memory_usage_percent {
            Some(percent) => drop(self.metrics.memory_used.get_or_create(&labels).set(percent / 100.0)),
            None => drop(self.metrics.memory_used.remove(&labels)),
        }
        let mut seen = self.seen.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.entry(redis.clone()).or_default();
        let now: BTreeSet<String> = health.nodes.iter().map(|node| node.address.clone()).collect();
        for gone in before.difference(&now) {
            let labels = at_node(redis, gone);
            self.metrics.redis_up.remove(&labels);
            self.metrics.redis_memory.remove(&labels);
        }
        for node in &health.nodes {
            self.node(redis, &node.address, node.latency.is_some(), node.used_memory_bytes);
        }
        *before = now;
    }

    /// Sets that the nodes of a deployment cannot be asked for, because `address` did not answer: those of the last check are
    /// down, or that address, if there was no check.
    pub fn unreachable(&self, redis: &Alias, address: &str) {
        self.metrics.memory_used.remove(&Redis { redis: redis.to_string() });
        let mut seen = self.seen.0.lock().unwrap_or_else(PoisonError::into_inner);
        let nodes = seen.entry(redis.clone()).or_default();
        if nodes.is_empty() {
            nodes.insert(address.to_owned());
        }
        nodes.iter().for_each(|node| self.node(redis, node, false, None));
    }

    fn node(&self, redis: &Alias, address: &str, up: bool, memory: Option<u64>) {
        let labels = at_node(redis, address);
        self.metrics.redis_up.get_or_create(&labels).set(i64::from(up));
        set_or_remove(&self.metrics.redis_memory, &labels, memory.map(integer));
    }
}
