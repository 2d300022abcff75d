//! Signed runs: if workers have `trusted_keys`, a client that can write to all streams, but has no key, cannot delete
//! a key or stop a run. NATS requires no login here, so that nothing else protects them.

use std::sync::Arc;
use std::time::Duration;

use keysweep_model::ids::{BatchId, RunId, TaskId};
use keysweep_model::key::Key;
use keysweep_model::messages::{
    Action, Cancel, CancelKind, Grant, Group, ListedBatch, ReapBatch, Reason, RunSpec, ScanTask, TaskReport,
};
use keysweep_model::wire;
use keysweep_nats::{Nats, NatsOptions, NatsQueue, NatsStore};
use keysweep_storage::queue::{Queue, Topic};
use keysweep_storage::records::{Decision, Record, Records};
use keysweep_storage::store::{Created, Store};
use keysweep_testkit::nats_server::NatsServer;
use tokio::time::{Instant, sleep};

use crate::cli::broker::{Broker, WORKERS, file};
use crate::cli::raw::Client;
use crate::cli::{Ended, Keysweep, Running, keysweep};

/// A new key: the path of its file, and its public half.
fn new_key(name: &str) -> (String, String) {
    let path = file(name, "");
    std::fs::remove_file(&path).expect("it was just made");
    let made = keysweep(&["nats", "keys", &path, "--json"]).run().exits(0).json();
    (path, made["publicKey"].as_str().expect("a key").to_owned())
}

async fn open(server: &NatsServer) -> Nats {
    Nats::connect(&NatsOptions::open(server.url()), "keysweep-test", None).await.expect("it is there")
}

/// The last run of `server`, and its tasks.
async fn last_run(records: &Records) -> (RunSpec, Vec<ScanTask>) {
    let spec = records.spec().await.unwrap().expect("a run");
    let (mut tasks, mut revision) = (Vec::new(), 0);
    while let Some((at, record)) = records.next_after(revision).await.unwrap() {
        revision = at;
        if let Some(Record::Decision { decision: Decision::Tasks { tasks: some, .. }, .. }) = record {
            tasks.extend(some);
        }
    }
    (spec, tasks)
}

/// A complete forged run: its spec and tasks, in the log and in the queue, and a batch of `keys` that a report lists.
async fn forge(nats: &Nats, spec: &RunSpec, tasks: &[ScanTask], keys: Vec<Key>, now_ms: u64) -> RunId {
    let run = RunId::new();
    let mut rules = spec.rules.clone();
    (rules.action, rules.grace_ms) = (Action::Delete, 0);
    let spec = RunSpec { run, rules, dry_run: false, started_at_ms: now_ms, ..spec.clone() };
    let store: Arc<dyn Store> = Arc::new(NatsStore::new(nats.clone()));
    let (records, queue) = (Records::new(store, run), NatsQueue::new(nats.clone()));
    let tasks: Vec<ScanTask> =
        tasks.iter().map(|task| ScanTask { run, task: TaskId::new(), ..task.clone() }).collect();
    records.create_plan(&spec, &tasks).await.unwrap();
    for task in &tasks {
        let payload = wire::encode(task).unwrap();
        queue.publish(Topic::Tasks, &task.task.to_string(), payload, None).await.unwrap();
    }
    let count = keys.len() as u64;
    let batch = ReapBatch {
        run,
        batch: BatchId::new(),
        task: tasks[0].task,
        alias: spec.alias.clone(),
        node: tasks[0].node.clone(),
        not_before_ms: now_ms,
        not_after_ms: now_ms + 600_000,
        groups: vec![Group {
            slot: 0,
            reason: Reason::Stale,
            keys,
            expires_at_ms: Vec::new(),
            fingerprints: Vec::new(),
        }],
        scan_generation: 0,
        ledger_keys: 0,
        rule: None,
    };
    let listed = ListedBatch { batch: batch.batch, keys: count, deletes: count, rule: None, digest: None };
    let report = TaskReport { batches: vec![listed], ..TaskReport::blank(&tasks[0]) };
    records.create_report(&report).await.unwrap();
    // No coordinator drives this run, so its grants are forged as well.
    records.create_grant(&Grant::of(&tasks[0], &report, &spec.rules).unwrap()).await.unwrap();
    queue.publish(Topic::Batches, "forged", wire::encode(&batch).unwrap(), None).await.unwrap();
    run
}

/// Settings of processes that sign, and of workers that verify.
fn coordinator(command: Keysweep, key: &(String, String)) -> Keysweep {
    worker(command, key).env("KEYSWEEP_NATS_SIGNING_KEY_FILE", &key.0)
}

fn worker(command: Keysweep, key: &(String, String)) -> Keysweep {
    command.env("KEYSWEEP_NATS_TRUSTED_KEYS", &key.1)
}

fn workers(broker: &Broker, change: impl Fn(Keysweep) -> Keysweep) -> Vec<Running> {
    let start = |name: &str| {
        let mut role = change(broker.command(&[name], &[])).start();
        role.wait_for(" is ready");
        role
    };
    WORKERS.into_iter().map(start).collect()
}

fn records(nats: &Nats, run: &str) -> Records {
    let store: Arc<dyn Store> = Arc::new(NatsStore::new(nats.clone()));
    Records::new(store, run.parse().expect("an id"))
}

fn id(ended: &Ended) -> String {
    ended.json()["runId"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_no_trusted_key_has_signed_deletes_nothing() {
    let server = NatsServer::start("").await.expect("a nats-server can be started");
    let broker = Broker::start(&["--nats", &server.url()]).await;
    let key = new_key("ours.pem");
    let strict = workers(&broker, |command| worker(command, &key));
    // A key that the workers do not trust is rejected before anything happens.
    let untrusted = new_key("untrusted.pem");
    let run =
        |more: &[&str]| broker.command(&["run"], &[&["--yes", "--json", "--grace", "0s"], more].concat());
    let mixed = run(&[]).env("KEYSWEEP_NATS_SIGNING_KEY_FILE", &untrusted.0);
    worker(mixed, &key).run().fails(2, &["the signing key", &untrusted.1, "`[nats] trusted_keys`"]);
    let none = worker(run(&[]), &key).run();
    assert!(none.stderr.contains("`[nats] signing_key_file` is not"), "{none}");
    let dry = coordinator(run(&["--dry-run"]), &key).run();
    assert_eq!(dry.exits(0).result("completed")["staleTTLKeys"], broker.stale, "{dry}");
    // A client with a login and without a key publishes the same run again, with deletion.
    let nats = open(&server).await;
    let (spec, tasks) =
        last_run(&records(&nats, dry.result("completed")["runId"].as_str().expect("an id"))).await;
    let before = broker.place.keys("*").await;
    let stale = (0..)
        .step_by(10)
        .map(|n| Key::new(format!("permissions:{n}:documents").as_bytes()))
        .take(20)
        .collect();
    let now_ms = keysweep_model::time::now_ms();
    forge(&nats, &spec, &tasks, stale, now_ms).await;
    sleep(Duration::from_secs(4)).await;
    assert_eq!(broker.place.keys("*").await, before, "nothing may be deleted");
    for role in strict {
        role.signal("TERM");
        let ended = role.end();
        let rejected = ended.stderr.contains("is not signed") || ended.stderr.contains("reporter");
        assert!(rejected, "{ended}");
    }
    // Workers without trusted keys accept it, so the forged run was complete.
    let _trusting = workers(&broker, |command| command);
    let until = Instant::now() + Duration::from_secs(60);
    while broker.place.keys("*").await == before {
        assert!(Instant::now() < until, "the forged run was none");
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_stopped_only_with_a_trusted_key() {
    let server = NatsServer::start("").await.expect("a nats-server can be started");
    let broker = Broker::start(&["--nats", &server.url()]).await;
    let key = new_key("cancels.pem");
    let _workers = workers(&broker, |command| worker(command, &key));
    let nats = open(&server).await;
    let start = |grace: &str| {
        let flags = ["--yes", "--json", "--detach", "--grace", grace];
        id(coordinator(broker.command(&["run"], &flags), &key).run().exits(0))
    };
    let result = |run: &str, status: &str| {
        let attached = coordinator(broker.command(&["runs", "attach", run], &["--json"]), &key).run();
        assert_eq!(attached.json()["status"], status, "{attached}");
    };
    let cancel = Cancel { kind: CancelKind::Asked, cause: "an attacker".to_owned() };
    let first = start("4s");
    assert!(records(&nats, &first).create_cancel(&cancel).await.unwrap());
    result(&first, "completed");
    // The untrusted record is stored where the trusted one belongs, and is replaced by it.
    assert!(broker.place.seed(300).await > 0);
    let second = start("60s");
    assert!(records(&nats, &second).create_cancel(&cancel).await.unwrap());
    let unsigned = worker(broker.command(&["runs", "cancel", &second], &[]), &key).run();
    assert!(unsigned.stderr.contains("`[nats] signing_key_file` is not"), "{unsigned}");
    coordinator(broker.command(&["runs", "cancel", &second], &[]), &key).run().exits(0);
    result(&second, "cancelled");
}

/// A response of JetStream that was stored again as a record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_jetstream_stored_counts_as_absent() {
    let server = NatsServer::start("").await.expect("a nats-server can be started");
    let nats = open(&server).await;
    keysweep_nats::setup::ensure(&nats).await.unwrap();
    let mut attacker = Client::connect(&server, None);
    attacker.request("$KV.keysweep_runs.failures.1.task.2", "", "what an attacker wants");
    let direct = "$JS.API.DIRECT.GET.KV_keysweep_runs.$KV.keysweep_runs.failures.1.task.2";
    let store = NatsStore::new(nats.clone());
    store.create("history/2", b"a line".to_vec()).await.unwrap();
    for subject in
        ["$KV.keysweep_history.history.1", "$KV.keysweep_runs.runs.1.receipt.2", "keysweep.batches"]
    {
        attacker.publish(direct, subject, "", "");
    }
    attacker.settle();
    sleep(Duration::from_millis(500)).await;
    let all = attacker.request("$JS.API.STREAM.INFO.KV_keysweep_history", "", "");
    assert!(String::from_utf8_lossy(&all.payload).contains("\"messages\":2"), "it is stored: {all:?}");
    assert_eq!(store.get("history/1").await.unwrap(), None);
    assert_eq!(store.get("runs/1/receipt/2").await.unwrap(), None);
    let next = store.next_after("history/", 0).await.unwrap().map(|entry| entry.key);
    assert_eq!(next.as_deref(), Some("history/2"));
    assert_eq!(store.next_after("history/", 1).await.unwrap(), None, "not as another line, either");
    // It is replaced by the proper record.
    assert!(matches!(store.create("history/1", b"ours".to_vec()).await.unwrap(), Created::Now(_)));
    assert_eq!(store.get("history/1").await.unwrap().map(|entry| entry.value), Some(b"ours".to_vec()));
    let queue = NatsQueue::new(nats);
    let batch = queue.pull(Topic::Batches, 1, Duration::from_secs(5)).await.unwrap();
    assert!(batch[0].trust.is_err(), "it is in the queue");
}
