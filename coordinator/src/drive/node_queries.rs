//! Queries to the nodes while a run is driven: which nodes serve which slots, how many keys they have, and whether
//! replication histories still exist. Reads only.

use keysweep_model::ids::NodeId;
use keysweep_model::messages::RunSpec;
use keysweep_model::slot::SlotSet;
use keysweep_redis::{ConnectOptions, RedisClient, RedisError, Throttle, Topology, node, replication};
use keysweep_runtime::context::Context;
use keysweep_tasks::concurrency::join_bounded;
use reporter::NodeReplicationId;

use super::input::HistoryReply;
use super::plan_request::{NodeAnswer, NodeQuery, PlanRequest};
use crate::plan::NodeKeys;

/// The client for the nodes of a run, connected for the first query.
pub(super) struct NodeQueries {
    options: ConnectOptions,
    client: Option<RedisClient>,
}

impl NodeQueries {
    pub(super) fn new(context: &Context, spec: &RunSpec) -> Self {
        let options = context.access(&spec.alias, spec.db);
        Self { options: options.unwrap_or_else(|| ConnectOptions::open(Vec::new())), client: None }
    }

    /// The answers to the queries of a request, in order; `None` for a query that failed.
    pub(super) async fn query(&mut self, request: &PlanRequest) -> Vec<Option<NodeAnswer>> {
        let mut answers = Vec::new();
        for query in request.queries() {
            let answer = match self.client().await {
                Ok(client) => answer(client, query).await,
                Err(fault) => Err(fault),
            };
            if let Err(fault) = &answer {
                tracing::warn!(error = %fault, "failed to query nodes, planned again as before");
                self.client = None;
            }
            answers.push(answer.ok());
        }
        answers
    }

    /// Whether the histories still exist.
    pub(super) async fn query_histories(
        &mut self,
        histories: Vec<NodeReplicationId>,
    ) -> Vec<(NodeReplicationId, HistoryReply)> {
        let replies = match self.client().await {
            Ok(client) => query_histories(client, &histories).await,
            Err(fault) => Err(fault),
        };
        let replies = replies.unwrap_or_else(|fault| {
            tracing::debug!(error = %fault, "no node reports whether the writes of a run still exist");
            vec![HistoryReply::NoAnswer; histories.len()]
        });
        histories.into_iter().zip(replies).collect()
    }

    async fn client(&mut self) -> Result<&RedisClient, RedisError> {
        if self.client.is_none() {
            self.client = Some(RedisClient::discover(self.options.clone()).await?);
        }
        self.client.as_ref().ok_or_else(|| RedisError::unexpected("?", "discovery"))
    }
}

async fn answer(client: &RedisClient, query: &NodeQuery) -> Result<NodeAnswer, RedisError> {
    match query {
        NodeQuery::Database(node) => {
            let nodes = vec![database(client, node).await?];
            Ok(NodeAnswer { nodes, unserved: SlotSet::new() })
        }
        NodeQuery::Slots(slots) => owners(client, slots).await,
    }
}

/// The keys of a standalone server. A server that only its cursors reveal not to be Redis is noticed by the task that
/// scans it.
async fn database(client: &RedisClient, node: &NodeId) -> Result<NodeKeys, RedisError> {
    Ok(keys_of(node, client.status(node).await?, Vec::new()))
}

fn keys_of(node: &NodeId, status: node::NodeStatus, slots: Vec<(u16, u64)>) -> NodeKeys {
    NodeKeys {
        node: node.clone(),
        keys: status.keys,
        process: status.process,
        slot_tables: status.slot_tables,
        one_lane: status.foreign.is_some(),
        slots,
    }
}

/// The present owners of slots, with their numbers of keys.
async fn owners(client: &RedisClient, slots: &SlotSet) -> Result<NodeAnswer, RedisError> {
    let topology = client.refresh().await?;
    let (mut nodes, mut unserved) = (Vec::new(), slots.clone());
    for primary in &topology.primaries {
        let here = unserved.intersection(&primary.slots);
        if here.is_empty() {
            continue;
        }
        unserved = unserved.difference(&here);
        let conn = client.conn(&primary.node).await?;
        let status = node::status(&conn, client.db()).await?;
        let counts = node::slot_counts(&conn, &here, Throttle::NONE).await?;
        nodes.push(keys_of(&primary.node, status, counts));
    }
    Ok(NodeAnswer { nodes, unserved })
}

async fn query_histories(
    client: &RedisClient,
    histories: &[NodeReplicationId],
) -> Result<Vec<HistoryReply>, RedisError> {
    let topology = client.refresh().await?;
    let queries = histories.iter().map(|(node, _)| query_history(client, &topology, node));
    Ok(join_bounded(queries.collect()).await)
}

async fn query_history(client: &RedisClient, topology: &Topology, node: &NodeId) -> HistoryReply {
    if topology.cluster && topology.primaries.iter().all(|primary| primary.node != *node) {
        return HistoryReply::NotPrimary;
    }
    let reply = async { replication::caught_up(&client.conn(node).await?).await };
    match reply.await {
        Ok((replication_id, replicas)) => HistoryReply::Answered { replication_id, replicas },
        Err(fault) => {
            tracing::debug!(error = %fault, "a primary does not answer");
            client.forget(node);
            HistoryReply::NoAnswer
        }
    }
}
