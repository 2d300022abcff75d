//! A scanner's login in the wrong hands, with the permissions of `deploy/nats-account.conf`: a raw client takes the
//! tasks of real runs, and replies with batches and reports of its own. `coordinator/tests/embedded/forged.rs` has
//! more of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use keysweep_model::ids::{Alias, BatchId, NodeId, RunId, TaskId};
use keysweep_model::key::Key;
use keysweep_model::messages::{Action, ListedBatch, ReapBatch, Reason, ScanTask, TaskReport};
use keysweep_model::time::now_ms;
use keysweep_model::wire;
use keysweep_redis::Reply;
use keysweep_servers::Seeder;
use keysweep_testkit::nats_server::NatsServer;
use serde::Serialize;
use serde_json::Value;

use super::nats_rights::{as_user, password, server};
use crate::cli::broker::Broker;
use crate::cli::raw::Client;
use keysweep_testkit::kit::forger::{Forged, batch, covering};

const HEALTHY: usize = 5_000;

/// A hostile scanner. Dropping it stops it.
struct Impostor {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Impostor {
    /// Replies to every task with the result of `forge`.
    fn start(server: &NatsServer, forge: impl Fn(&ScanTask) -> Forged + Send + 'static) -> Self {
        let mut client = Client::connect(server, Some(("keysweep-scanner", &password("scanner"))));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            client.subscribe("_INBOX.impostor");
            while !stopped.load(Ordering::Relaxed) {
                let next = "$JS.keysweep.API.CONSUMER.MSG.NEXT.KEYSWEEP_TASKS.workers";
                client.publish(next, "_INBOX.impostor", "", "{\"batch\":1,\"no_wait\":true}");
                thread::sleep(Duration::from_millis(50));
                for heard in client.settle() {
                    let Some(ack) = heard.reply.filter(|reply| reply.starts_with("$JS.ACK.")) else {
                        continue;
                    };
                    let task: ScanTask = wire::decode(&heard.payload).expect("a task");
                    answer(&mut client, &task, forge(&task));
                    client.publish(&ack, "", "", "+ACK");
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }

    /// Stops it; it must not have failed.
    fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("joined once").join().expect("it was answered");
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn answer(client: &mut Client, task: &ScanTask, forged: Forged) {
    for (id, payload) in forged.batches {
        client.publish_bytes("keysweep.batches", "", &format!("Nats-Msg-Id: {id}"), &payload);
    }
    for report in forged.reports {
        let subject = format!("$KV.keysweep_runs.runs.{}.report.{}", task.run, report.task);
        client.publish_bytes(&subject, "", "", &wire::encode(&report).expect("it fits"));
    }
}

/// A server with healthy keys that all expire at one moment, and a few stale ones.
struct Scene {
    server: NatsServer,
    broker: Broker,
    healthy: Vec<Vec<u8>>,
    at_ms: u64,
}

impl Scene {
    async fn new() -> Self {
        let server = server().await;
        let broker = Broker::start(&["--nats", &server.url()]).await;
        broker.place.all("FLUSHALL").await;
        let at_ms = now_ms() + 3_600_000;
        let healthy: Vec<Vec<u8>> =
            (0..HEALTHY).map(|n| format!("permissions:user{n}:x").into_bytes()).collect();
        let mut seeder = Seeder::connect(&[broker.redis.url()]).await.unwrap();
        let at = at_ms.to_string();
        for key in &healthy {
            seeder.command(key, &[b"SET", key, b"v", b"PXAT", at.as_bytes()]).await.unwrap();
        }
        for n in 0..10 {
            let key = format!("permissions:stale{n}:x").into_bytes();
            seeder.set(&key, b"v", None).await.unwrap();
        }
        seeder.finish().await.unwrap();
        as_user(broker.command(&["nats", "setup"], &["--apply"]), "admin").run().exits(0);
        Self { server, broker, healthy, at_ms }
    }

    /// Keys that expire when the healthy ones did, and all keys.
    async fn keys(&self) -> (i64, i64) {
        let script = "local same = 0 local all = redis.call('KEYS', 'permissions:*') \
            for _, key in ipairs(all) do \
            if redis.call('PEXPIRETIME', key) == tonumber(ARGV[1]) then same = same + 1 end end \
            return {same, #all}";
        let conn = &self.broker.place.conns()[0];
        let at = self.at_ms.to_string();
        let said = conn.command(&[b"EVAL", script.as_bytes(), b"0", at.as_bytes()]).await.expect("it runs");
        match said {
            Reply::Array(numbers) => match numbers[..] {
                [Reply::Int(same), Reply::Int(all)] => (same, all),
                ref other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    /// A run with `flags` whose scanner replies with `forge`: it ends, changes nothing, and its result states `why`.
    async fn refused(&self, flags: &[&str], why: &str, forge: impl Fn(&ScanTask) -> Forged + Send + 'static) {
        let impostor = Impostor::start(&self.server, forge);
        let run = ["--yes", "--json", "--grace", "0s"];
        let ended = as_user(self.broker.command(&["run"], &[&run, flags].concat()), "coordinator").run();
        impostor.end();
        let result: Value = ended.json();
        assert!(matches!(result["status"].as_str(), Some("partial" | "cancelled")), "{why}: {ended}");
        assert_eq!(
            (&result["cleanedKeys"], &result["accounting"]["expired"]),
            (&0.into(), &0.into()),
            "{ended}"
        );
        assert_eq!(result["accounting"]["balanced"], true, "{ended}");
        let issues = result["issues"].to_string();
        assert!(issues.contains(why), "{why}: {issues}");
        assert!(ended.took < Duration::from_secs(30), "{why}: it took {:?}", ended.took);
        assert_eq!(self.keys().await, (HEALTHY as i64, HEALTHY as i64 + 10), "{why}");
    }
}

/// A batch in its wire format, without checks.
#[derive(Serialize)]
struct Raw {
    run: RunId,
    batch: BatchId,
    task: TaskId,
    alias: Alias,
    node: NodeId,
    not_before_ms: u64,
    not_after_ms: u64,
    groups: Vec<(u16, Reason, Vec<Key>, Vec<u64>)>,
    scan_generation: u32,
}

/// A batch of 100,000 groups without keys, listed as one of seven.
fn hollow(task: &ScanTask) -> Forged {
    let ReapBatch { run, batch, task: of, alias, node, not_before_ms, not_after_ms, scan_generation, .. } =
        batch(task, Reason::Stale, &[], 0);
    let groups = (0..100_000).map(|_| (0, Reason::Stale, Vec::new(), Vec::new())).collect();
    let raw = Raw { run, batch, task: of, alias, node, not_before_ms, not_after_ms, groups, scan_generation };
    let batches = vec![(batch.to_string(), wire::encode(&raw).expect("it fits"))];
    Forged {
        batches,
        ..Forged::of(task, &[], vec![ListedBatch { batch, keys: 7, deletes: 7, rule: None, digest: None }])
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgeries_with_a_scanners_login_delete_no_healthy_key() {
    let scene = Scene::new().await;
    let roles = ["reaper", "reporter"].map(|name| {
        let mut role = as_user(scene.broker.command(&[name], &[]), name).start();
        role.wait_for(" is ready");
        role
    });
    let expire = ["--action", "expire", "--expire-ttl", "60s"];
    for action in [&[][..], &expire] {
        for (listed, limit, why) in [
            // As in the audit.
            (0, "2", "with an impossible number of keys"),
            (1, "2", "its number of keys differs from the report"),
            (4_000, "2", "more than the limit of"),
            (4_000, "100", "does not look for inactive users"),
        ] {
            let flags = [action, &["--max-delete-percent", limit]].concat();
            let (healthy, at_ms) = (scene.healthy[..4_000].to_vec(), scene.at_ms);
            let forge = move |task: &ScanTask| {
                let batch = batch(task, Reason::Inactive, &healthy, at_ms);
                let listed = ListedBatch {
                    batch: batch.batch,
                    keys: listed,
                    deletes: listed,
                    rule: None,
                    digest: None,
                };
                Forged::of(task, &[batch], vec![listed])
            };
            scene.refused(&flags, why, forge).await;
        }
        // A report of its own, on a task that is not in the plan.
        let healthy = scene.healthy[..100].to_vec();
        let forge = move |task: &ScanTask| {
            let mut batch = batch(task, Reason::Stale, &healthy, 0);
            batch.task = TaskId::new();
            let listed = vec![ListedBatch::of(&batch, Action::Delete)];
            let own = TaskReport { task: batch.task, batches: listed, ..covering(task) };
            Forged { reports: vec![own, covering(task)], ..Forged::of(task, &[batch], Vec::new()) }
        };
        scene.refused(action, "its task was not planned", forge).await;
        scene.refused(action, "a group without keys", hollow).await;
    }
    for role in roles {
        role.signal("TERM");
        role.end().exits(0);
    }
}
