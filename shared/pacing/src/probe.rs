//! Probes a node: a PING on a connection that carries nothing else, so that its latency depends on the node only.
//! Probes run on their own thread, so that they do not wait for the work of this process.

use std::sync::{Arc, Weak};
use std::time::Duration;

use keysweep_model::ids::NodeId;
use keysweep_redis::{Conn, ConnectionUse, RedisClient, RedisError, RedisErrorKind};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::node::NodePacer;
use crate::limits::{PROBE_BEFORE_EVERY, PROBE_EVERY, PROBE_TIMEOUT, PROBES_BEFORE};

/// The node to probe.
#[derive(Clone)]
pub(super) struct ProbeTarget {
    pub(super) client: Arc<RedisClient>,
    pub(super) node: NodeId,
}

impl ProbeTarget {
    async fn connect(&self) -> Result<Conn, RedisError> {
        let late = || {
            RedisError::new(RedisErrorKind::Unreachable, self.node.as_str(), "it took too long to connect")
        };
        timeout(PROBE_TIMEOUT, self.client.connect_for(&self.node, ConnectionUse::Probes))
            .await
            .map_err(|_| late())?
    }
}

/// The latency of one probe, and whether the connection remains usable. A node that rejects PING has replied, too.
async fn probe(conn: &Conn) -> (Duration, bool) {
    let sent = Instant::now();
    match conn.command_within(&[b"PING"], PROBE_TIMEOUT).await {
        Err(fault) if fault.kind.is_transient() => (sent.elapsed().max(PROBE_TIMEOUT), false),
        _ => (sent.elapsed(), true),
    }
}

/// Sends the probe latencies before the first work; none if the node does not reply. Dropping the receiver changes
/// nothing.
pub(super) async fn before(target: ProbeTarget, result: oneshot::Sender<Vec<Duration>>) {
    let mut before = Vec::new();
    if let Ok(conn) = target.connect().await {
        let until = Instant::now() + PROBE_TIMEOUT;
        while before.len() < PROBES_BEFORE && Instant::now() < until {
            let (took, answered) = probe(&conn).await;
            if !answered {
                break;
            }
            before.push(took);
            sleep(PROBE_BEFORE_EVERY).await;
        }
    }
    let _ = result.send(before);
}

/// Probes a node until no task works there any more. A failed probe counts as late.
pub(super) async fn keep_probing(target: ProbeTarget, pacer: Weak<NodePacer>) {
    let mut conn: Option<Conn> = None;
    loop {
        match pacer.upgrade() {
            Some(pacer) if pacer.is_probed_on() => {}
            _ => return,
        }
        let sent = Instant::now();
        let open = match conn.take() {
            Some(open) => Some(open),
            None => target.connect().await.ok(),
        };
        let (took, pause) = match open {
            Some(open) => {
                let (took, answered) = probe(&open).await;
                conn = answered.then_some(open);
                (took, PROBE_EVERY)
            }
            None => (PROBE_TIMEOUT, PROBE_TIMEOUT),
        };
        if let Some(pacer) = pacer.upgrade() {
            pacer.observe(sent, took);
        }
        sleep(pause).await;
    }
}
