//! A cluster of as many nodes as wanted, all of them slow, simulated in this process: enough of Redis 7.0 for
//! whole dry runs. Its keys are computed, not stored, so there can be millions. Commands that a dry run has no
//! business to send, above all writes, are refused and remembered.

mod keys;
mod node;
mod resp;

use std::sync::Arc;
use std::time::Duration;

use shared::messages::ScanTask;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::keys::Keys;
use self::node::{Node, Turn};

/// Bytes that are read from a connection at a time.
const READ_BYTES: usize = 256 << 10;

/// How long a node is busy with what it is asked. It does one thing after the other, whoever asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Service {
    /// With each command.
    pub command: Duration,
    /// With each key listed or looked up.
    pub key: Duration,
}

/// See the module. Dropping it ends the nodes.
pub struct SlowNodes {
    nodes: Vec<Arc<Node>>,
    keys: Keys,
    _tasks: JoinSet<()>,
}

impl SlowNodes {
    /// Starts `nodes` nodes that share the slots evenly, each slot with as many keys as told, a tenth of which
    /// have no TTL.
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

    /// The address of the first node, as a seed of the others.
    pub fn urls(&self) -> Vec<String> {
        vec![format!("redis://127.0.0.1:{}", self.nodes[0].port())]
    }

    /// From now on nodes take so long. A survey samples the nodes one after the other, so a test of the scan
    /// alone makes the nodes slow only after it.
    pub fn set_service(&self, service: Service) {
        for node in &self.nodes {
            node.set_service(service);
        }
    }

    /// All keys; all of them match `permissions:*`.
    pub fn keys(&self) -> u64 {
        self.keys.all()
    }

    /// Those without TTL.
    pub fn stale(&self) -> u64 {
        self.keys.stale()
    }

    /// For each node, the keys in slots that were listed as a whole: its keys, if each slot was listed once.
    pub fn listed(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.listed()).collect()
    }

    /// For each node, how long it has been busy.
    pub fn busy(&self) -> Vec<Duration> {
        self.nodes.iter().map(|node| node.busy()).collect()
    }

    /// For each node, the connections that it had at one time, at most.
    pub fn connections_at_once(&self) -> Vec<usize> {
        self.nodes.iter().map(|node| node.connections_at_once()).collect()
    }

    /// For each node, how many of `tasks` it was working on at one time, at most. A task lasts from the listing
    /// of the first of its slots to the last look-up of a key in one of them, so this never says too many.
    pub fn tasks_at_once(&self, tasks: &[ScanTask]) -> Vec<usize> {
        let slots: Vec<_> = tasks.iter().map(|task| task.scope.slots()).collect();
        let spans = |node: &Arc<Node>| {
            slots.iter().filter_map(|slots| node.span(slots)).collect::<Vec<(Instant, Instant)>>()
        };
        self.nodes.iter().map(|node| overlap(&spans(node))).collect()
    }

    /// Commands that were refused, each once.
    pub fn refused(&self) -> Vec<String> {
        let mut refused: Vec<String> = self.nodes.iter().flat_map(|node| node.refused()).collect();
        refused.sort();
        refused.dedup();
        refused
    }
}

/// The most spans that hold one moment.
fn overlap(spans: &[(Instant, Instant)]) -> usize {
    let at = |moment: Instant| spans.iter().filter(|(from, to)| *from <= moment && moment < *to).count();
    spans.iter().map(|(from, _)| at(*from)).max().unwrap_or(0)
}

/// Takes connections until dropped, which ends them all.
async fn accept(listener: TcpListener, node: Arc<Node>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        connections.spawn(serve(stream, Arc::clone(&node)));
        while connections.try_join_next().is_some() {}
    }
}

/// Answers until the other side hangs up.
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
