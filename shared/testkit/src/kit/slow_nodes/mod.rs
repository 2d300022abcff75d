//! A simulated cluster of any number of slow nodes in this process: enough of Redis 7.0 for whole dry runs. Its keys
//! are computed, not stored, so there can be millions. Commands that a dry run must not send, above all writes, are
//! rejected and recorded.

mod keys;
mod node;
mod resp;

use std::sync::Arc;
use std::time::Duration;

use keysweep_model::messages::ScanTask;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::keys::Keys;
use self::node::{Node, Turn};

/// The read buffer of a connection, in bytes.
const READ_BYTES: usize = 256 << 10;

/// The service time of a node, which serves all clients sequentially.
#[derive(Clone, Copy, Debug, Default)]
pub struct Service {
    /// Per command.
    pub command: Duration,
    /// Per key listed or looked up.
    pub key: Duration,
}

/// A simulated cluster. Dropping it ends the nodes.
pub struct SlowNodes {
    nodes: Vec<Arc<Node>>,
    keys: Keys,
    _tasks: JoinSet<()>,
}

impl SlowNodes {
    /// Starts `nodes` nodes that share the slots evenly, with `keys_per_slot` keys in each slot, a tenth of them
    /// without TTL.
    pub async fn start(nodes: u16, keys_per_slot: u64, service: Service) -> Self {
        let mut listeners = Vec::new();
        for _ in 0..nodes {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.expect("a free port"));
        }
        let ports: Vec<u16> = listeners.iter().map(|l| l.local_addr().expect("it is bound").port()).collect();
        let (lines, ports, keys) = (node::lines(&ports), Arc::<[u16]>::from(ports), Keys::new(keys_per_slot));
        let (mut tasks, mut started) = (JoinSet::new(), Vec::new());
        for (index, listener) in listeners.into_iter().enumerate() {
            let node = Arc::new(Node::new(index, (Arc::clone(&ports), Arc::clone(&lines)), keys, service));
            started.push(Arc::clone(&node));
            tasks.spawn(accept(listener, node));
        }
        Self { nodes: started, keys, _tasks: tasks }
    }

    /// The URL of the first node, as a seed.
    pub fn urls(&self) -> Vec<String> {
        vec![format!("redis://127.0.0.1:{}", self.nodes[0].port())]
    }

    /// Changes the service time. The preflight samples one node after the other, so a test of the scan alone makes the
    /// nodes slow after it.
    pub fn set_service(&self, service: Service) {
        for node in &self.nodes {
            node.set_service(service);
        }
    }

    /// The number of keys; all of them match `permissions:*`.
    pub fn keys(&self) -> u64 {
        self.keys.all()
    }

    /// The number of keys without TTL.
    pub fn stale(&self) -> u64 {
        self.keys.stale()
    }

    /// For each node, the keys in slots that were listed as a whole: its keys, if each slot was listed once.
    pub fn listed(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.listed()).collect()
    }

    /// For each node, its busy time.
    pub fn busy(&self) -> Vec<Duration> {
        self.nodes.iter().map(|node| node.busy()).collect()
    }

    /// For each node, the maximum of concurrent connections.
    pub fn connections_at_once(&self) -> Vec<usize> {
        self.nodes.iter().map(|node| node.connections_at_once()).collect()
    }

    /// For each node, a lower bound of the maximum of its concurrent `tasks`. A task lasts from the listing of its
    /// first slot to the last lookup in one of its slots.
    pub fn tasks_at_once(&self, tasks: &[ScanTask]) -> Vec<usize> {
        let slots: Vec<_> = tasks.iter().map(|task| task.scope.slots()).collect();
        let spans = |node: &Arc<Node>| {
            slots.iter().filter_map(|slots| node.span(slots)).collect::<Vec<(Instant, Instant)>>()
        };
        self.nodes.iter().map(|node| overlap(&spans(node))).collect()
    }

    /// The distinct rejected commands.
    pub fn refused(&self) -> Vec<String> {
        let mut refused: Vec<String> = self.nodes.iter().flat_map(|node| node.refused()).collect();
        refused.sort();
        refused.dedup();
        refused
    }
}

/// The maximum of overlapping spans.
fn overlap(spans: &[(Instant, Instant)]) -> usize {
    let at = |moment: Instant| spans.iter().filter(|(from, to)| *from <= moment && moment < *to).count();
    spans.iter().map(|(from, _)| at(*from)).max().unwrap_or(0)
}

/// Accepts connections until dropped, which ends them all.
async fn accept(listener: TcpListener, node: Arc<Node>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        connections.spawn(serve(stream, Arc::clone(&node)));
        while connections.try_join_next().is_some() {}
    }
}

/// Replies until the client closes the connection.
async fn serve(mut stream: TcpStream, node: Arc<Node>) {
    let _open = node.connected();
    let mut unread = Vec::new();
    loop {
        unread.reserve(READ_BYTES);
        match stream.read_buf(&mut unread).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
        let mut turn = Turn::new();
        for command in resp::take_commands(&mut unread) {
            node.answer(&command, &mut turn);
        }
        tokio::time::sleep_until(node.finish(&turn)).await;
        if stream.write_all(&turn.replies).await.is_err() {
            return;
        }
    }
}
