//! The contract suites of queue and store on a real nats-server, and server behavior: restarts, different
//! configuration, rejections.
#![cfg(test)]

use std::time::Duration;

use keysweep_nats::limits::TASK_QUEUE_PART;
use keysweep_nats::setup::{PieceState, SetupMode, ensure, setup};
use keysweep_nats::{Nats, NatsError, NatsOptions, NatsQueue, NatsStore};
use keysweep_storage::queue::{Queue, Topic};
use keysweep_storage::store::{Created, Store};
use keysweep_testkit::nats_server::NatsServer;
use keysweep_testkit::{contracts, each_store_contract};

const ACK_WAIT: Duration = Duration::from_millis(1_000);

/// Bytes of the queue of tasks. Much more than these small messages need: nats-server 2.9.10 ignores a message's envelope
/// when it checks the limit, and then drops the oldest message if it is exceeded.
const QUEUE_BYTES: u64 = 100_000;

async fn server() -> NatsServer {
    NatsServer::start("").await.expect("a nats-server can be started")
}

/// A connection with its own streams.
async fn connect(server: &NatsServer, prefix: &str) -> Nats {
    let access = NatsOptions {
        prefix: prefix.to_owned(),
        ack_wait: ACK_WAIT,
        queue_bytes: QUEUE_BYTES * TASK_QUEUE_PART,
        ..NatsOptions::open(server.url())
    };
    let nats = Nats::connect(&access, "keysweep-test", Some(Duration::from_secs(10))).await.unwrap();
    ensure(&nats).await.unwrap();
    nats
}

macro_rules! contract {
    ($make:expr; $($name:ident$(($($more:expr),*))?),* $(,)?) => {{
        let server = server().await;
        $({
            println!("{}", stringify!($name));
            let nats = connect(&server, stringify!($name)).await;
            contract_of::$name(&$make(nats) $($(, $more)*)?).await;
        })*
    }};
}

#[tokio::test]
async fn the_queue_keeps_the_contract() {
    use contracts::queue as contract_of;
    contract!(NatsQueue::new;
        delivers_in_order_and_removes_acknowledged_messages,
        redelivers_after_the_deadline(ACK_WAIT),
        extending_the_deadline_delays_redelivery(ACK_WAIT),
        requeues_after_the_delay(ACK_WAIT),
        refuses_when_full_and_accepts_again(100_000),
        topics_are_separate,
        reports_its_load,
        an_empty_pull_waits_and_ends,
        concurrent_consumers_lose_and_duplicate_nothing,
    );
}

#[tokio::test]
async fn the_store_keeps_the_contract() {
    use contracts::store as contract_of;
    each_store_contract!(contract NatsStore::new;);
}

/// No acknowledged write is lost, and waiting operations continue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_forgets_nothing() {
    let server = server().await;
    let nats = connect(&server, "keysweep").await;
    let (queue, store) = (NatsQueue::new(nats.clone()), NatsStore::new(nats));
    queue.publish(Topic::Tasks, "1", b"task".to_vec(), None).await.unwrap();
    store.create("runs/1/spec", b"spec".to_vec()).await.unwrap();
    let mut watch = store.watch("runs/1/").await.unwrap();
    assert_eq!(watch.next().await.unwrap().value, b"spec");
    server.kill().unwrap();
    let (entry, created) = tokio::join!(watch.next(), async {
        // It waits for the server.
        let (created, ()) = tokio::join!(store.create("runs/1/result", b"result".to_vec()), async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            server.restart().await.unwrap();
        });
        created
    });
    assert!(matches!(created.unwrap(), Created::Now(_)));
    assert_eq!(entry.unwrap().value, b"result");
    assert!(matches!(store.create("runs/1/spec", b"other".to_vec()).await.unwrap(), Created::Before(_)));
    let mut pulled = Vec::new();
    while pulled.is_empty() {
        pulled = queue.pull(Topic::Tasks, 1, Duration::from_secs(1)).await.unwrap();
    }
    assert_eq!(pulled[0].payload.as_ref(), b"task");
    pulled[0].handle.ack().await.unwrap();
}

/// A dropped pull does not lose the message that it receives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_pull_puts_back_what_comes() {
    let server = server().await;
    let queue = NatsQueue::new(connect(&server, "keysweep").await);
    let abandoned =
        tokio::time::timeout(Duration::from_millis(200), queue.pull(Topic::Tasks, 1, Duration::from_secs(5)));
    assert!(abandoned.await.is_err());
    queue.publish(Topic::Tasks, "1", b"x".to_vec(), None).await.unwrap();
    let since = std::time::Instant::now();
    let pulled = queue.pull(Topic::Tasks, 1, Duration::from_secs(5)).await.unwrap();
    assert_eq!(pulled.len(), 1);
    assert!(since.elapsed() < ACK_WAIT, "it was put back, not left to its deadline");
    queue.close().await;
}

#[tokio::test]
async fn a_message_published_again_is_taken_once() {
    let server = server().await;
    let queue = NatsQueue::new(connect(&server, "keysweep").await);
    for _ in 0..2 {
        queue.publish(Topic::Tasks, "1", b"x".to_vec(), None).await.unwrap();
    }
    queue.pull(Topic::Tasks, 1, Duration::from_secs(5)).await.unwrap()[0].handle.ack().await.unwrap();
    assert!(queue.pull(Topic::Tasks, 1, Duration::from_millis(300)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_difference_is_named_and_never_overwritten() {
    let server = server().await;
    let small = connect(&server, "keysweep").await;
    assert!(
        setup(&small, SetupMode::Compare).await.unwrap().iter().all(|piece| piece.state == PieceState::Right)
    );
    let access = NatsOptions { queue_bytes: 2 * QUEUE_BYTES, ..NatsOptions::open(server.url()) };
    let large = Nats::connect(&access, "keysweep-test", None).await.unwrap();
    ensure(&large).await.unwrap();
    let different = |pieces: Vec<keysweep_nats::setup::Piece>| {
        let named = pieces.into_iter().filter(|piece| piece.state != PieceState::Right);
        named.map(|piece| (piece.name, piece.state)).collect::<Vec<_>>()
    };
    let tasks = |state| ("KEYSWEEP_TASKS".to_owned(), state);
    assert!(
        different(setup(&large, SetupMode::Compare).await.unwrap()).contains(&tasks(PieceState::Different))
    );
    assert!(different(setup(&large, SetupMode::Apply).await.unwrap()).contains(&tasks(PieceState::Changed)));
    assert_eq!(different(setup(&large, SetupMode::Compare).await.unwrap()), []);
}

#[tokio::test]
async fn what_cannot_work_is_refused_with_its_cause() {
    let none = NatsServer::start("").await.unwrap();
    let url = none.url();
    drop(none);
    let connect_to = |access: NatsOptions| async move {
        Nats::connect(&access, "keysweep-test", Some(Duration::ZERO)).await
    };
    assert!(matches!(connect_to(NatsOptions::open(url)).await, Err(NatsError::Unreachable { .. })));
    let accounts = "accounts { A { users: [{user: a, password: pw}] }, SYS { users: [{user: s, password: pw}] } }\nsystem_account: SYS";
    let server = NatsServer::start(accounts).await.unwrap();
    assert!(matches!(connect_to(NatsOptions::open(server.url())).await, Err(NatsError::Refused { .. })));
    let login = keysweep_nats::NatsAuth::Password("a".to_owned(), keysweep_model::secret::Secret::new("pw"));
    let nats = connect_to(NatsOptions { login, ..NatsOptions::open(server.url()) }).await.unwrap();
    assert!(matches!(ensure(&nats).await, Err(NatsError::NoJetStream(_))), "{:?}", ensure(&nats).await);
}
