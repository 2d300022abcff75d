//! Whether the simulated parts answer as real ones do: queue, store and server pass the contracts that the real ones pass, and
//! the same random calls of the guard have the same results at a simulated server and at a real one.

mod slots;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use keysweep_model::ids::{BatchId, RunId};
use keysweep_model::key::Key;
use keysweep_model::ledger::{Ledger, LedgerKind};
use keysweep_model::messages::{Action, DeleteBackend, Group, Reason};
use keysweep_model::outcome::Outcome;
use keysweep_redis::guard::{
    Act, BatchWindow, Candidate, Guard, GuardCall, GuardExecutor, GuardMode, GuardVerdict, Part,
};
use keysweep_redis::{Conn, ConnectOptions, Network, RedisClient, Reply, node};
use keysweep_servers::Server;
use keysweep_storage::queue::MemoryQueue;
use keysweep_storage::store::{MemoryStore, Store};
use keysweep_testkit::contracts::guard::{self, GuardServer};
use keysweep_testkit::contracts::{queue, store};
use keysweep_testkit::{each_guard_contract, each_store_contract};

use crate::broker::{BrokerLink, SimQueue, SimStore};
use crate::clock;
use crate::life::Life;
use crate::network::{Net, ProcessNet};
use crate::redis::deployment::Deployment;
use crate::witness::Witness;

const ACK_WAIT: Duration = Duration::from_millis(200);

fn link() -> BrokerLink {
    BrokerLink { rates: Arc::default(), life: Arc::default(), witness: Arc::default() }
}

fn sim_store() -> SimStore {
    SimStore { inner: Arc::new(MemoryStore::default()), link: link() }
}

fn sim_queue() -> SimQueue {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    SimQueue { inner: Arc::new(MemoryQueue::new(ACK_WAIT, 10_000, 10_000)), store, link: link() }
}

#[tokio::test(start_paused = true)]
async fn the_simulated_queue_passes_the_contract() {
    queue::holds(sim_queue, ACK_WAIT, 10_000).await;
}

#[tokio::test(start_paused = true)]
async fn the_simulated_store_passes_the_contract() {
    macro_rules! passes {
        ($($name:ident),* $(,)?) => { $(store::$name(&sim_store()).await;)* };
    }
    each_store_contract!(passes);
}

/// Simulated servers: a standalone one, or a cluster.
async fn simulated(primaries: usize) -> RedisClient {
    clock::begin();
    let deployment = Deployment::new(primaries, false, keysweep_model::time::now_ms());
    let urls = vec![format!("redis://{}", deployment.nodes[0].address)];
    let (witness, life) = (Arc::<Witness>::default(), Arc::<Life>::default());
    let net = Net::new(deployment, Arc::default(), witness);
    let network = Network::simulated(Arc::new(ProcessNet { net, process: 0, life }));
    RedisClient::discover(ConnectOptions { network, ..ConnectOptions::open(urls) }).await.unwrap()
}

/// A standalone one.
async fn simulated_server() -> Conn {
    let client = simulated(1).await;
    let node = client.topology().primaries[0].node.clone();
    client.conn(&node).await.unwrap()
}

#[tokio::test]
async fn the_simulated_server_passes_the_contract_of_the_guard() {
    macro_rules! passes {
        ($backend:ident, $($name:ident,)*) => {
            $(guard::$name(GuardServer::of(simulated_server().await), guard::Backend::$backend).await;)*
        };
    }
    each_guard_contract!(passes Node,);
    each_guard_contract!(passes Slot,);
    each_guard_contract!(passes Transactions,);
}

/// A call of the guard, as both servers get it.
struct Call {
    kind: LedgerKind,
    /// The batch: some are called again.
    batch: BatchId,
    mode: GuardMode<'static>,
    reason: Reason,
    keys: Vec<Key>,
    doubtful: bool,
    /// From when to when it may act, from now on, in milliseconds.
    window: (i64, i64),
}

fn name(number: usize) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}

/// A command of another client.
fn command(rng: &mut Rng) -> Vec<Vec<u8>> {
    let (key, text) = (name(rng.usize(..12)), |text: &str| text.as_bytes().to_vec());
    match rng.u8(..5) {
        0 => vec![text("UNLINK"), key],
        1 => vec![text("PEXPIRE"), key, text("5000000")],
        2 => vec![text("SET"), key, text("expiring"), text("PX"), text("9000000")],
        _ => vec![text("SET"), key, text(&format!("value {}", rng.u8(..)))],
    }
}

fn call(rng: &mut Rng, before: &[(RunId, BatchId)], kinds: &[LedgerKind]) -> Call {
    let act = |action| GuardMode::Act(Act::plain(action));
    let (mode, reason) = match rng.u8(..6) {
        0 => (act(Action::Expire { ttl_ms: 100_000, jitter_ms: 0 }), Reason::Stale),
        1 => (GuardMode::Act(Act { clamp_ms: Some(200_000), ..Act::plain(Action::Report) }), Reason::LongTtl),
        2 => (GuardMode::Finalize(Outcome::Unreached), Reason::Stale),
        _ => (act(Action::Delete), Reason::Stale),
    };
    let window = [(0, 60_000), (0, 60_000), (0, 60_000), (60_000, 90_000), (-60_000, -1_000)][rng.usize(..5)];
    let again = before.get(rng.usize(..before.len() * 3 + 1)).map(|(_, batch)| *batch);
    let mut keys: Vec<usize> = (0..12).collect();
    rng.shuffle(&mut keys);
    keys.truncate(4);
    Call {
        kind: kinds[rng.usize(..kinds.len())],
        batch: again.unwrap_or_else(BatchId::new),
        mode,
        reason,
        keys: keys.into_iter().map(|key| Key::new(name(key))).collect(),
        doubtful: rng.bool(),
        window,
    }
}

/// What the guard answers; milliseconds are left out, because two servers have two clocks.
async fn answer(conn: &Conn, guard: &GuardExecutor, run: RunId, call: &Call) -> String {
    let now = node::time_ms(conn).await.unwrap();
    let group = Group {
        slot: 0,
        reason: call.reason,
        expires_at_ms: Vec::new(),
        fingerprints: Vec::new(),
        keys: call.keys.clone(),
    };
    let part = Part {
        ledger: Ledger { kind: call.kind, batch: call.batch, group: 0, slot: 0 },
        recorded: group.keys.len(),
        before: 0,
        reason: call.reason,
        mode: call.mode,
        doubtful: call.doubtful,
        candidates: (0..group.keys.len()).map(|index| Candidate::of(&group, index)).collect(),
    };
    let window = BatchWindow {
        run,
        batch: call.batch,
        not_before_ms: now.saturating_add_signed(call.window.0),
        not_after_ms: now.saturating_add_signed(call.window.1),
    };
    let replies = guard.call(conn, GuardCall { window, parts: &[part] }).await.unwrap();
    match replies.into_iter().next().unwrap() {
        Ok(reply) => match reply.verdict {
            GuardVerdict::TooEarly(_) => "too early".to_owned(),
            verdict => format!("{verdict:?}, {:?}", reply.extra_lookups),
        },
        Err(e) => format!("{:?}", e.kind),
    }
}

/// What a client sees of all keys: their values, and TTLs to the minute.
async fn seen(conn: &Conn) -> Vec<String> {
    let mut all = Vec::new();
    for number in 0..12 {
        let (key, mut line) = (name(number), String::new());
        for words in [[b"TYPE".as_slice(), &key], [b"GET", &key], [b"EXISTS", &key]] {
            line += &format!("{:?} ", conn.command(&words).await.unwrap());
        }
        let left = match conn.command(&[b"PTTL", &key]).await.unwrap() {
            Reply::Int(ms) if ms > 0 => (ms + 30_000) / 60_000,
            Reply::Int(other) => other,
            other => panic!("{other:?}"),
        };
        all.push(format!("{line}{left}"));
    }
    all
}

/// All keys that SCAN lists.
async fn listed(conn: &Conn, count: &str) -> BTreeSet<String> {
    let (mut all, mut cursor) = (BTreeSet::new(), b"0".to_vec());
    loop {
        let reply = conn.command(&[b"SCAN", &cursor, b"COUNT", count.as_bytes()]).await.unwrap();
        let Reply::Array(parts) = reply else { panic!("{reply:?}") };
        let [Reply::BulkString(next), Reply::Array(keys)] = parts.as_slice() else { panic!("{parts:?}") };
        all.extend(keys.iter().map(|key| format!("{key:?}")).filter(|key| key.contains("key:")));
        if next == b"0" {
            return all;
        }
        cursor.clone_from(next);
    }
}

async fn both_answer_alike(backend: DeleteBackend, kinds: &[LedgerKind], seed: u64) {
    let server = Server::start(&[]).await.unwrap();
    let conns = [simulated_server().await, server.conn().await.unwrap()];
    let mut guards = Vec::new();
    for conn in &conns {
        guards.push(GuardExecutor::prepare(conn, backend, [0, 1]).await.unwrap());
    }
    let (mut rng, mut before, mut acted) = (Rng::with_seed(seed), Vec::new(), 0);
    for round in 0..60 {
        for _ in 0..rng.usize(..6) {
            let command = command(&mut rng);
            let words: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
            let [ours, theirs] = [conns[0].command(&words).await, conns[1].command(&words).await];
            assert_eq!(ours.unwrap(), theirs.unwrap(), "{words:?}");
        }
        let (run, call) = (RunId::new(), call(&mut rng, &before, kinds));
        let run = before.iter().find(|(_, batch)| *batch == call.batch).map_or(run, |(run, _)| *run);
        before.push((run, call.batch));
        let ours = answer(&conns[0], &guards[0], run, &call).await;
        let theirs = answer(&conns[1], &guards[1], run, &call).await;
        assert_eq!(ours, theirs, "seed {seed}, round {round}");
        acted += usize::from(ours.contains("Deleted"));
        assert_eq!(seen(&conns[0]).await, seen(&conns[1]).await, "seed {seed}, round {round}");
        assert_eq!(
            listed(&conns[0], "3").await,
            listed(&conns[1], "1000").await,
            "seed {seed}, round {round}"
        );
    }
    assert!(acted > 5, "{acted} calls deleted something");
}

#[tokio::test]
async fn the_script_does_the_same_at_simulated_and_real_servers() {
    both_answer_alike(DeleteBackend::Lua, &[LedgerKind::Node, LedgerKind::Slot], 1).await;
}

#[tokio::test]
async fn transactions_do_the_same_at_simulated_and_real_servers() {
    both_answer_alike(DeleteBackend::Watch, &[LedgerKind::Slot], 2).await;
}
