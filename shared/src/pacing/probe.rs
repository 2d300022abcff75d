//! Probing a node: a PING on a connection that carries nothing else, so that it waits only for what the node does.
//! Probes run in a thread of their own, so that they do not wait for what this process does.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::node::NodePacer;
use crate::cluster::{Conn, ConnectionUse, RedisClient, RedisError, RedisErrorKind};
use crate::ids::NodeId;
use crate::limits::{PROBE_BEFORE_EVERY, PROBE_EVERY, PROBE_TIMEOUT, PROBES_BEFORE};

/// Who is probed.
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

/// What one probe took; `None` if the connection is of no use any more. A node that refuses PING answers all the
/// same.
async fn probe(conn: &Conn) -> (Duration, bool) {
    let sent = Instant::now();
    match conn.command_within(&[b"PING"], PROBE_TIMEOUT).await {
        Err(fault) if fault.kind.is_transient() => (sent.elapsed().max(PROBE_TIMEOUT), false),
        _ => (sent.elapsed(), true),
    }
}

/// Tells what probes take before the first work; none if the node does not answer. Dropping the receiver changes
/// nothing.
pub(super) async fn before(target: ProbeTarget, told: oneshot::Sender<Vec<Duration>>) {
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
    let _ = told.send(before);
}

/// Probes a node until nobody works there any more. What fails is a late probe, and nothing else.
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
