//! Experiments with another TTL, from the plan to the verdict, on real servers with an application that takes part.

use std::time::Duration;

use keysweep_redis::{Conn, Reply};
use keysweep_servers::{ClusterServers, Server};
use serde_json::Value;
use tokio::time::sleep;

use crate::cli::experiment_application::ExperimentApplication;
use crate::cli::state::State;
use crate::cli::{Ended, Keysweep};

/// The TTL of the control.
const CONTROL_MS: u64 = 1_000;

/// An application with 200 users.
const APPLICATION: ExperimentApplication =
    ExperimentApplication { users: 200, ttl_ms: CONTROL_MS, requests_per_s: 2_000, follows: true };

/// A question that one pair of periods answers.
const QUESTION: [&str; 8] = ["--other-ttl", "2s", "--period", "10500ms", "--effect", "40", "--buckets", "20"];

/// Figures of an application that does not run.
const GIVEN: [&str; 4] = ["--fills-per-second", "500", "--overdispersion", "5"];

/// The commands with one state directory, at one deployment.
struct Bench {
    state: State,
    url: String,
}

impl Bench {
    fn at(url: &str) -> Self {
        Self { state: State::new(), url: url.to_owned() }
    }

    fn command(&self, words: &[&str]) -> Keysweep {
        let place = ["--redis", &self.url, "--identity", "permissions:{user}:*", "--max-speed", "--json"];
        let args = [&["ttl", "experiment"][..], words, &place].concat();
        self.state.command(&args).env("KEYSWEEP_CONFIGURED_TTL", "1s")
    }

    #[track_caller]
    fn json(&self, words: &[&str]) -> (Ended, Value) {
        let ended = self.command(words).run();
        let value = serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended}"));
        (ended, value)
    }

    #[track_caller]
    fn start(&self, question: &[&str]) -> Value {
        let (ended, started) = self.json(&[&["start"][..], question, &GIVEN].concat());
        ended.exits(0);
        assert_eq!((&started["verdict"], &started["running"]), (&"goOn".into(), &true.into()), "{started}");
        started
    }

    /// The events of experiments.
    fn events(&self) -> Vec<Value> {
        let ended = self.state.command(&["events", "--json"]).run();
        let events = ended.exits(0).stdout.lines().map(|line| serde_json::from_str(line).unwrap());
        events.filter(|event: &Value| event["type"] == "dev.keysweep.ttl_experiment.v1").collect()
    }

    /// The status must be that a guard stopped it, and the control must be restored.
    async fn is_stopped(&self, conn: &Conn, words: &str) {
        let (ended, status) = self.json(&["status"]);
        assert_eq!(ended.code, Some(4), "{ended}");
        assert_eq!((&status["verdict"], &status["running"]), (&"guard".into(), &false.into()), "{status}");
        assert!(status["sentence"].as_str().unwrap().contains(words), "{status}");
        assert!(!is_published(conn).await, "the control was not restored");
        let last = self.events().pop().expect("an event");
        assert_eq!(last["data"]["verdict"], "guard", "{last}");
        assert_eq!(last["data"]["sentence"], status["sentence"]);
        // It stays so.
        assert_eq!(self.json(&["status"]).1["sentence"], status["sentence"]);
    }
}

/// The key of the default job's experiment.
const KEY: &str = "keysweep:ttl:permission-cache-cleanup";

async fn is_published(conn: &Conn) -> bool {
    conn.info_text(&format!("EXISTS {KEY}")).await.unwrap() == Reply::Int(1)
}

/// The last document of a command that prints several.
fn last_document(stdout: &str) -> Value {
    serde_json::Deserializer::from_str(stdout)
        .into_iter::<Value>()
        .map(Result::unwrap)
        .last()
        .expect("a document")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_the_plan_to_the_verdict_on_a_cluster() {
    let _turn = super::TURN.lock().await;
    let cluster = ClusterServers::start(3, 0).await.unwrap();
    let bench = Bench::at(&cluster.urls()[0]);
    let application = APPLICATION.start(cluster.urls(), "permission-cache-cleanup");
    sleep(Duration::from_secs(2)).await;
    let (ended, plan) = bench.json(&[&["plan"][..], &QUESTION].concat());
    ended.exits(0);
    let fills = plan["fillsPerSecond"].as_f64().unwrap();
    // 1,000 keys, each with two requests per second: one fill per 1.5 s.
    assert!((400.0..800.0).contains(&fills) && plan["fillsMeasured"] == true, "{plan}");
    assert_eq!((&plan["periods"], &plan["lookEverySeconds"]), (&2.into(), &0.25.into()), "{plan}");
    bench.json(&[&["start"][..], &QUESTION].concat()).0.exits(0);

    // A process that is killed leaves what the looks before it counted.
    let mut watch = bench.command(&["status", "--watch"]).start();
    watch.wait_for("\"looks\": 5");
    watch.kill();
    let ended = bench.command(&["status", "--watch"]).run();
    ended.exits(0);
    let status = last_document(&ended.stdout);
    application.stop().await;
    assert_eq!((&status["verdict"], &status["running"]), (&"benefit".into(), &false.into()), "{status}");
    // One fill per 2.5 s instead of 1.5 s.
    let misses = &status["misses"];
    let [low, estimate, high] = ["low", "estimate", "high"].map(|name| misses[name].as_f64().unwrap());
    assert!(low < 0.62 && high > 0.58 && high < 1.0 && (estimate - 0.6).abs() < 0.08, "{misses}");
    assert!(
        status["covered"].as_array().unwrap().iter().all(|share| share.as_f64().unwrap() > 0.9),
        "{status}"
    );
    assert_eq!((&status["pairs"], &status["impossibleKeys"]), (&1.into(), &0.into()), "{status}");
    let kinds: Vec<_> = bench.events().iter().map(|event| event["data"]["verdict"].clone()).collect();
    assert_eq!(kinds, ["goOn", "benefit"]);
    for node in cluster.primaries() {
        let conn = node.conn().await.unwrap();
        let there = conn.info_text(&format!("EXISTS {KEY}")).await;
        assert!(!matches!(there, Ok(Reply::Int(1))), "the assignment is still published");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_does_not_follow_is_found() {
    let _turn = super::TURN.lock().await;
    let server = Server::start(&[]).await.unwrap();
    let bench = Bench::at(&server.url());
    let application = ExperimentApplication { follows: false, ..APPLICATION }
        .start(vec![server.url()], "permission-cache-cleanup");
    sleep(Duration::from_secs(2)).await;
    bench.start(&QUESTION);
    let ended = bench.command(&["status", "--watch"]).run();
    application.stop().await;
    assert_eq!(ended.code, Some(3), "{ended}");
    let status = last_document(&ended.stdout);
    assert_eq!(status["verdict"], "invalid", "{status}");
    assert!(status["sentence"].as_str().unwrap().contains("does not follow"), "{status}");
    assert!(!is_published(&server.conn().await.unwrap()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_misses_stop_it_and_restore_the_control() {
    let _turn = super::TURN.lock().await;
    let server = Server::start(&[]).await.unwrap();
    let bench = Bench::at(&server.url());
    let application = ExperimentApplication { ttl_ms: 4_000, ..APPLICATION };
    let application = application.start(vec![server.url()], "permission-cache-cleanup");
    sleep(Duration::from_secs(4)).await;
    let question = ["start", "--other-ttl", "1s", "--period", "22s", "--effect", "40", "--buckets", "20"];
    let start = bench.command(&[&question[..], &GIVEN].concat()).env("KEYSWEEP_CONFIGURED_TTL", "4s");
    start.run().exits(0);
    let ended = bench.command(&["status", "--watch"]).run();
    application.stop().await;
    assert_eq!(ended.code, Some(4), "{ended}");
    let status = last_document(&ended.stdout);
    assert_eq!(status["verdict"], "guard", "{status}");
    assert!(status["sentence"].as_str().unwrap().contains("more misses"), "{status}");
    assert!(!is_published(&server.conn().await.unwrap()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_evictions_and_errors_stop_it_and_restore_the_control() {
    let _turn = super::TURN.lock().await;
    let server = Server::start(&[]).await.unwrap();
    let (bench, conn) = (Bench::at(&server.url()), server.conn().await.unwrap());
    conn.info_text("CONFIG SET maxmemory 50mb").await.unwrap();
    conn.info_text("CONFIG SET maxmemory-policy noeviction").await.unwrap();
    let fill = async |megabytes: u32| {
        for n in 0..megabytes {
            let key = format!("other:{n}");
            // With its header, a mebibyte of the allocator.
            conn.command(&[b"SET", key.as_bytes(), &vec![b'x'; (1 << 20) - 64]]).await.unwrap();
        }
    };

    bench.start(&QUESTION);
    assert_eq!(bench.json(&["status"]).1["verdict"], "goOn");
    fill(42).await;
    bench.is_stopped(&conn, "of `maxmemory` are used").await;
    // It would be stopped at once.
    let (refused, why) = bench.json(&[&["start"][..], &QUESTION, &GIVEN].concat());
    assert!(refused.code == Some(4) && why["error"].as_str().unwrap().contains("at once"), "{refused}");
    assert!(!is_published(&conn).await);

    conn.info_text("FLUSHALL").await.unwrap();
    conn.info_text("CONFIG SET maxmemory-policy allkeys-random").await.unwrap();
    bench.start(&QUESTION);
    fill(60).await;
    if !is_published(&conn).await {
        // The assignment itself was evicted: users have the TTL of the control, which the status notices.
        assert_eq!(bench.json(&["status"]).1["verdict"], "stopped");
    } else {
        bench.is_stopped(&conn, "were evicted").await;
    }

    conn.info_text("FLUSHALL").await.unwrap();
    bench.start(&QUESTION);
    conn.info_text("SET permissions:text 1").await.unwrap();
    assert_eq!(bench.json(&["status"]).1["verdict"], "goOn");
    for _ in 0..150 {
        assert!(conn.info_text("LPUSH permissions:text 1").await.is_err());
    }
    bench.is_stopped(&conn, "errors").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_experiment_of_a_name_at_a_time() {
    let _turn = super::TURN.lock().await;
    let server = Server::start(&[]).await.unwrap();
    let (bench, conn) = (Bench::at(&server.url()), server.conn().await.unwrap());
    let started = bench.start(&QUESTION);
    let again = [&["start"][..], &QUESTION, &GIVEN].concat();
    let (refused, why) = bench.json(&again);
    assert!(refused.code == Some(4) && why["error"].as_str().unwrap().contains("is running"), "{refused}");
    // Another machine does not know it, but sees the assignment.
    let other = Bench::at(&server.url());
    let (refused, why) = other.json(&again);
    let id = started["id"].as_str().unwrap();
    assert!(refused.code == Some(4) && why["error"].as_str().unwrap().contains(id), "{refused}");
    assert_eq!(other.json(&["status"]).0.code, Some(2));
    // Under another name it may.
    let (ended, _) = other.json(&[&again[..], &["--name", "other"]].concat());
    ended.exits(0);
    let fields = conn.info_text(&format!("HGET {KEY} id")).await.unwrap();
    assert_eq!(fields, Reply::BulkString(id.as_bytes().to_vec()));
    // The assignment ends by itself.
    let Reply::Int(left) = conn.info_text(&format!("PTTL {KEY}")).await.unwrap() else { panic!("a number") };
    assert!((15_000..=21_000).contains(&left), "{left}");

    let (ended, stopped) = bench.json(&["stop"]);
    ended.exits(0);
    assert_eq!((&stopped["verdict"], &stopped["running"]), (&"stopped".into(), &false.into()), "{stopped}");
    assert!(!is_published(&conn).await);
    bench.start(&QUESTION);
    conn.info_text(&format!("DEL {KEY}")).await.unwrap();
    let (ended, status) = bench.json(&["status"]);
    ended.exits(0);
    assert!(status["sentence"].as_str().unwrap().contains("removed"), "{status}");
    // A key of another program is left alone.
    conn.info_text(&format!("SET {KEY} text")).await.unwrap();
    let (refused, why) = bench.json(&again);
    assert!(
        refused.code == Some(4) && why["error"].as_str().unwrap().contains("not the assignment"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_gone_or_empty_and_settings_that_are_missing() {
    let _turn = super::TURN.lock().await;
    let server = Server::start(&[]).await.unwrap();
    let bench = Bench::at(&server.url());
    let (empty, why) = bench.json(&[&["plan"][..], &QUESTION].concat());
    assert!(empty.code == Some(3) && why["error"].as_str().unwrap().contains("no key of a user"), "{empty}");
    let short = ["plan", "--other-ttl", "2s", "--period", "5s"];
    let (refused, why) = bench.json(&[&short[..], &GIVEN].concat());
    assert!(refused.code == Some(2) && why["error"].as_str().unwrap().contains("too short"), "{refused}");
    let unset = bench.command(&[&["plan"][..], &QUESTION].concat()).env("KEYSWEEP_CONFIGURED_TTL", "");
    assert_ne!(unset.run().code, Some(0));

    bench.start(&QUESTION);
    assert_eq!(bench.json(&["status"]).1["looks"], 1);
    let url = server.url();
    drop(server);
    let (gone, why) = Bench { state: bench.state, url }.json(&["status"]);
    assert!(gone.code == Some(5) && why["exitCode"] == 5, "{gone}");
}
