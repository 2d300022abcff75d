//! What is kept of an experiment between commands: one entry, under `ttl-experiments/<name>`, as JSON.

use std::collections::BTreeMap;

use keysweep_storage::store::{self, Store, StoreError};
use keysweep_ttl_experiment::{Design, Health, Observed, Plan};
use serde::{Deserialize, Serialize};

/// An experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExperimentRecord {
    /// Distinguishes it from another of the same name.
    pub(super) id: String,
    pub(super) job: String,
    pub(super) design: Design,
    pub(super) plan: Plan,
    pub(super) observed: Observed,
    /// Counters of the servers at the last look, by node.
    pub(super) servers: BTreeMap<String, ServerCounters>,
    /// Keys that were evicted since the beginning.
    pub(super) evicted: u64,
    pub(super) ended: Option<Ended>,
}

/// Counters of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServerCounters {
    pub(super) process: String,
    pub(super) evicted: u64,
    pub(super) errors: u64,
    pub(super) hits: u64,
    /// Bytes in use, and the limit, in case there is one.
    #[serde(skip)]
    pub(super) memory: Option<(u64, u64)>,
}

/// How an experiment ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ended {
    pub(super) at_ms: u64,
    pub(super) verdict: super::Verdict,
    pub(super) reason: String,
}

impl ExperimentRecord {
    /// Takes the counters of a look: what is known of the servers since the beginning, and since the look before.
    pub(super) fn note_servers(&mut self, now: BTreeMap<String, ServerCounters>) -> Health {
        let (mut errors, mut hits) = (0, 0);
        for (node, now) in &now {
            // A process that began meanwhile counts from 0.
            let same = self.servers.get(node).filter(|before| before.process == now.process);
            let before = |part: fn(&ServerCounters) -> u64| same.map_or(0, part);
            let is_known = self.servers.contains_key(node);
            if is_known {
                self.evicted += now.evicted.saturating_sub(before(|of| of.evicted));
                errors += now.errors.saturating_sub(before(|of| of.errors));
                hits += now.hits.saturating_sub(before(|of| of.hits));
            }
        }
        let shares = now.values().filter_map(|server| server.memory);
        let memory = shares.map(|(used, limit)| used as f64 / limit as f64).reduce(f64::max);
        self.servers = now;
        Health { memory, evicted: self.evicted, errors, hits }
    }
}

/// The experiment `name`, and the revision at which it is kept.
pub(super) async fn read(
    store: &dyn Store,
    name: &str,
) -> Result<Option<(ExperimentRecord, u64)>, StoreError> {
    let Some(entry) = store.get(&key(name)).await? else { return Ok(None) };
    let record = serde_json::from_slice(&entry.value)
        .map_err(|e| StoreError(format!("the experiment `{name}` was kept in another format: {e}")))?;
    Ok(Some((record, entry.revision)))
}

/// Keeps an experiment that was read at `revision`. `None` if another process was faster; otherwise the new revision.
pub(super) async fn keep(
    store: &dyn Store,
    name: &str,
    record: &ExperimentRecord,
    revision: Option<u64>,
) -> Result<Option<u64>, StoreError> {
    let value = serde_json::to_vec(record).map_err(|e| StoreError(e.to_string()))?;
    store::write(store, &key(name), value, revision).await
}

fn key(name: &str) -> String {
    format!("ttl-experiments/{name}")
}

#[cfg(test)]
mod tests {
    use keysweep_ttl_experiment::Assignment;

    use super::*;

    fn counters(process: &str, evicted: u64, memory: Option<(u64, u64)>) -> BTreeMap<String, ServerCounters> {
        let counters =
            ServerCounters { process: process.to_owned(), evicted, errors: 2 * evicted, hits: 9, memory };
        BTreeMap::from([("node".to_owned(), counters)])
    }

    fn record() -> ExperimentRecord {
        let assignment = Assignment {
            salt: String::new(),
            buckets: 20,
            control_ttl_ms: 1_000,
            treated_ttl_ms: 2_000,
            start_ms: 0,
            period_ms: 20_000,
            until_ms: 40_000,
        };
        ExperimentRecord {
            id: "id".to_owned(),
            job: "job".to_owned(),
            design: Design { assignment, margin: 0.0, alpha: 0.05, planned_variance: 0.1 },
            plan: Plan {
                period_ms: 20_000,
                measured_ms: 0,
                periods: 2,
                duration_ms: 0,
                fills_per_arm: 0.0,
                fills_per_arm_once: 0.0,
                fills_per_bucket: 0.0,
                equivalence_periods: None,
                planned_variance: 0.1,
                look_every_ms: 250,
                look_back_ms: 500,
            },
            observed: Observed::default(),
            servers: counters("a", 10, None),
            evicted: 0,
            ended: None,
        }
    }

    #[test]
    fn counters_begin_again_with_another_process() {
        let mut record = record();
        let check = |record: &mut ExperimentRecord,
                     now: BTreeMap<String, ServerCounters>,
                     evicted: u64,
                     errors: u64| {
            let health = record.note_servers(now);
            assert_eq!((health.evicted, health.errors), (evicted, errors));
        };
        check(&mut record, counters("a", 10, None), 0, 0);
        check(&mut record, counters("a", 13, None), 3, 6);
        check(&mut record, counters("b", 1, None), 4, 2);
        // A server that joined has evicted before.
        let other = BTreeMap::from([("other".to_owned(), counters("c", 100, None).remove("node").unwrap())]);
        check(&mut record, other, 4, 0);
        let health = record.note_servers(counters("b", 1, Some((90, 100))));
        assert_eq!(health.memory, Some(0.9));
    }

    #[tokio::test]
    async fn what_is_kept_is_read_again() {
        let store = keysweep_storage::store::MemoryStore::default();
        let kept = record();
        let revision = keep(&store, "x", &kept, None).await.unwrap().unwrap();
        assert_eq!(keep(&store, "x", &kept, None).await.unwrap(), None);
        assert_eq!(read(&store, "x").await.unwrap(), Some((kept, revision)));
        assert_eq!(read(&store, "y").await.unwrap(), None);
    }
}
