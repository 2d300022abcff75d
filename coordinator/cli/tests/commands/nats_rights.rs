//! The NATS account for operators: with the permissions in `deploy/nats-account.conf` whole runs complete, each role
//! as its own user, and no role can act as another one.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use keysweep_model::secret::Secret;
use keysweep_nats::{Nats, NatsAuth, NatsOptions, NatsQueue, NatsStore, ask};
use keysweep_storage::object_store::ObjectStore;
use keysweep_storage::queue::{Queue, Topic};
use keysweep_storage::store::Store;
use keysweep_testkit::nats_server::NatsServer;

use crate::cli::broker::{Broker, WORKERS};
use crate::cli::raw::Client;
use crate::cli::{Ended, Keysweep, Running, raw};

pub fn password(user: &str) -> String {
    format!("replace-this-password-{user}")
}

fn account() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/nats-account.conf");
    std::fs::read_to_string(path).expect("deploy/nats-account.conf is there")
}

pub async fn server() -> NatsServer {
    NatsServer::start(&account()).await.expect("nats-server takes the file")
}

pub fn as_user(command: Keysweep, user: &str) -> Keysweep {
    command.env("NATS_USER", &format!("keysweep-{user}")).env("NATS_PASSWORD", &password(user))
}

pub fn role(broker: &Broker, name: &str, user: &str) -> Running {
    let mut role = as_user(broker.command(&[name], &[]), user).start();
    role.wait_for(" is ready");
    role
}

pub fn command(broker: &Broker, words: &[&str], more: &[&str], user: &str) -> Ended {
    as_user(broker.command(words, more), user).run()
}

/// Checks that no user was denied anything.
#[track_caller]
pub fn content(ended: &Ended) {
    ended.exits(0);
    let refused = ended.stderr.to_ascii_lowercase().contains("violation");
    assert!(!refused && !ended.stderr.contains("NATS reported an error"), "{ended}");
}

/// The service responds to what `nats micro info keysweep` requests.
fn check_micro_service(server: &NatsServer) {
    for (subject, kind) in
        [("$SRV.PING", "ping"), ("$SRV.INFO.keysweep", "info"), ("$SRV.STATS.keysweep", "stats")]
    {
        let reported = raw::request_as(server, "keysweep-coordinator", &password("coordinator"), subject);
        let expected = format!("io.nats.micro.v1.{kind}_response");
        assert_eq!(
            (&reported["name"], &reported["type"]),
            (&"keysweep".into(), &expected.as_str().into()),
            "{reported}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_works_as_its_own_user() {
    let server = server().await;
    let broker = Broker::start(&["--nats", &server.url()]).await;
    let early = command(&broker, &["scanner"], &["--json"], "scanner");
    early.fails(1, &["create the stream `KEYSWEEP_TASKS`", "Permissions Violation", "STREAM.CREATE"]);
    content(&command(&broker, &["nats", "setup"], &["--apply"], "admin"));
    content(&command(&broker, &["nats", "setup"], &[], "coordinator"));
    let workers: Vec<Running> = WORKERS.iter().map(|name| role(&broker, name, name)).collect();
    // Driven by a process that the command starts, which has its permissions.
    let run = ["--yes", "--json", "--grace", "0s"];
    let first = command(&broker, &["run"], &run, "coordinator");
    content(&first);
    assert_eq!(first.result("completed")["cleanedKeys"], broker.stale, "{first}");
    // Driven by the service.
    let service = role(&broker, "serve", "coordinator");
    check_micro_service(&server);
    let mut program = Client::connect(&server, Some(("keysweep-client", &password("client"))));
    let reported = program.request("keysweep.api.stats", "", "{}");
    assert!(String::from_utf8_lossy(&reported.payload).contains("\"jobQueue\""), "{reported:?}");
    let second = command(&broker, &["run"], &run, "coordinator");
    content(&second);
    assert_eq!(second.result("completed")["cleanedKeys"], 0, "{second}");
    // The coordinator stores the active users with the run, for the scanner.
    broker.place.all("SADD warm alice").await;
    for user in ["alice", "bob"] {
        broker.place.all(&format!("SET permissions:{user}:cache read PX 3600000")).await;
    }
    let users = ["--aggressive", "--activity", "set:warm", "--identity", "permissions:{user}:cache"];
    let third = command(&broker, &["run"], &[&run[..], &users].concat(), "coordinator");
    content(&third);
    assert_eq!(third.result("completed")["inactiveUserCaches"], 1, "{third}");
    // Deleted keys are saved to the bucket, and restored.
    connected(&server, "admin").await.bucket("keysweep_backup").make().await.unwrap();
    let stale = broker.place.seed(300).await;
    let backup = ["--backup", "nats://keysweep_backup"];
    let fourth = command(&broker, &["run"], &[&run[..], &backup].concat(), "coordinator");
    content(&fourth);
    assert_eq!(fourth.result("completed")["cleanedKeys"], stale, "{fourth}");
    let restore = ["restore", "nats://keysweep_backup"];
    let restored = command(&broker, &restore, &["--yes", "--json"], "restore");
    content(&restored);
    assert_eq!(restored.json()["restored"], stale, "{restored}");
    let runs = command(&broker, &["runs", "list"], &["--json"], "coordinator");
    content(&runs);
    let first = runs.json()["runs"].as_array().and_then(|runs| runs.last().cloned()).expect("a run");
    let id = first["runId"].as_str().expect("an id").to_owned();
    let stats = command(&broker, &["stats"], &["--json"], "coordinator");
    content(&stats);
    assert_eq!(stats.json()["jobQueue"]["completed"], 4, "{stats}");
    for words in [&["runs", "show", &id][..], &["runs", "attach", &id], &["runs", "audit", &id], &["events"]]
    {
        content(&command(&broker, words, &[], "coordinator"));
    }
    let audit = command(&broker, &["runs", "audit", &id], &[], "coordinator");
    assert_eq!(audit.stdout.lines().count() as u64, broker.stale, "{audit}");
    for role in workers.into_iter().chain([service]) {
        role.signal("TERM");
        content(&role.end());
    }
}

/// Also with what only some runs need: names of keys that are kept, and backups.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_with_all_roles_works_as_its_own_user() {
    let server = server().await;
    let broker = Broker::start(&["--nats", &server.url()]).await;
    content(&command(&broker, &["nats", "setup"], &["--apply"], "admin"));
    connected(&server, "admin").await.bucket("keysweep_backup").make().await.unwrap();
    let processes = [role(&broker, "worker", "worker"), role(&broker, "serve", "coordinator")];
    let run = ["--yes", "--json", "--grace", "0s"];
    let dry = command(&broker, &["run"], &[&run[..], &["--dry-run"]].concat(), "coordinator");
    content(&dry);
    assert_eq!(dry.result("completed")["staleTTLKeys"], broker.stale, "{dry}");
    let backup = ["--backup", "nats://keysweep_backup"];
    let whole = command(&broker, &["run"], &[&run[..], &backup].concat(), "coordinator");
    content(&whole);
    assert_eq!(whole.result("completed")["cleanedKeys"], broker.stale, "{whole}");
    for process in processes {
        process.signal("TERM");
        content(&process.end());
    }
}

/// The replacements in the file for other prefixes and domains.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_prefix_and_a_domain_take_the_replacements_that_the_file_names() {
    let account = account().replace("user: keysweep-", "user: KEEP-").replace("keysweep", "other");
    let account = account.replace("KEYSWEEP", "OTHER").replace("user: KEEP-", "user: keysweep-");
    let server = NatsServer::start(&format!("jetstream {{ domain: hub, max_file_store: 1TB }}\n{account}"))
        .await
        .unwrap();
    let flags = ["--nats", &server.url(), "--nats-prefix", "other", "--nats-domain", "hub"];
    let broker = Broker::start(&flags).await;
    content(&command(&broker, &["nats", "setup"], &["--apply"], "admin"));
    let workers: Vec<Running> = WORKERS.iter().map(|name| role(&broker, name, name)).collect();
    let run = command(&broker, &["run"], &["--yes", "--json", "--grace", "0s"], "coordinator");
    content(&run);
    assert_eq!(run.result("completed")["cleanedKeys"], broker.stale, "{run}");
    for role in workers {
        role.signal("TERM");
        content(&role.end());
    }
}

pub async fn connected(server: &NatsServer, user: &str) -> Nats {
    let login = NatsAuth::Password(format!("keysweep-{user}"), Secret::new(password(user)));
    let access = NatsOptions { login, ..NatsOptions::open(server.url()) };
    let patience = Some(Duration::from_secs(10));
    Nats::connect(&access, &format!("keysweep-{user}"), patience).await.expect("the login is right")
}

/// Checks that `user` may write `allowed` and nothing else.
async fn may_write_only(server: &NatsServer, user: &str, allowed: &[&str]) {
    const ALL: [&str; 17] = [
        "runs/1/spec",
        "runs/1/log/000000000000",
        "runs/1/report/2",
        "runs/1/receipt/3",
        "runs/1/cancel",
        "runs/1/unsaved",
        "runs/1/result",
        "failures/1/task/2",
        "failures/1/batch/3",
        "attempts/1/3",
        "locks/nightly",
        "history/1",
        "audit/1/3",
        "kept/1/2",
        "dead/1",
        "events/nightly/started/1",
        "events/nightly/completed/1",
    ];
    assert!(allowed.iter().all(|key| ALL.contains(key)), "{allowed:?}");
    let attempts = ALL.map(|key| async move {
        let ours = key.replacen("/1", &format!("/{user}"), 1);
        // One connection each: an error of the server is reported with the operations of that connection.
        let store = NatsStore::new(connected(server, user).await);
        let written = store.create(&ours, b"x".to_vec()).await;
        match (written, allowed.contains(&key)) {
            (Ok(_), true) => {}
            (Err(e), false) => {
                let text = e.to_string();
                assert!(text.contains("Permissions Violation for Publish"), "{user}, {key}: {text}");
                assert!(text.contains(&ours.replace('/', ".")), "{user}, {key}: {text}");
            }
            (written, _) => panic!("{user}, {key}: {written:?}"),
        }
    });
    join_all(attempts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_role_writes_subjects_of_another_role() {
    let server = server().await;
    keysweep_nats::setup::ensure(&connected(&server, "admin").await).await.unwrap();
    may_write_only(&server, "scanner", &["runs/1/report/2", "failures/1/task/2", "kept/1/2", "dead/1"]).await;
    let reaper = [
        "runs/1/receipt/3",
        // For a run whose keys cannot be saved.
        "runs/1/unsaved",
        "failures/1/batch/3",
        "attempts/1/3",
        "audit/1/3",
        "dead/1",
    ];
    may_write_only(&server, "reaper", &reaper).await;
    may_write_only(&server, "restore", &[]).await;
    let scanner = ["runs/1/report/2", "failures/1/task/2", "kept/1/2"];
    let reporter = ["runs/1/result", "history/1", "events/nightly/completed/1"];
    may_write_only(&server, "reporter", &reporter).await;
    may_write_only(&server, "worker", &[&scanner[..], &reaper, &reporter].concat()).await;
    may_write_only(&server, "subscriber", &[]).await;
    may_write_only(&server, "admin", &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_role_requests_or_acks_for_another_role() {
    let server = server().await;
    keysweep_nats::setup::ensure(&connected(&server, "admin").await).await.unwrap();
    let check = |user: &'static str, topic: Topic, may: bool| {
        let server = &server;
        async move {
            let queue = NatsQueue::new(connected(server, user).await);
            let published = queue.publish(topic, user, b"x".to_vec(), None).await;
            assert_eq!(published.is_ok(), may, "{user}, {topic:?}: {published:?}");
        }
    };
    tokio::join!(
        check("coordinator", Topic::Tasks, true),
        check("coordinator", Topic::Batches, false),
        check("scanner", Topic::Batches, true),
        check("scanner", Topic::Tasks, false),
        check("reaper", Topic::Tasks, false),
        check("reaper", Topic::Batches, false),
        check("reporter", Topic::Tasks, false),
        check("reporter", Topic::Batches, false),
    );
    let users = ["scanner", "reaper", "reporter", "subscriber", "admin"];
    let requests = users.iter().flat_map(|user| ["run", "cancel", "stats"].map(|endpoint| (*user, endpoint)));
    let refused = requests.map(|(user, endpoint)| {
        let server = &server;
        async move {
            // One connection each: an error of the server is reported with the operations of that connection.
            let asked = ask(&connected(server, user).await, endpoint, b"{}".to_vec()).await;
            let text = asked.expect_err("it may not").to_string();
            let expected = format!("Permissions Violation for Publish to \"keysweep.api.{endpoint}\"");
            assert!(text.contains(&expected), "{user}: {text}");
        }
    });
    join_all(refused).await;
}
