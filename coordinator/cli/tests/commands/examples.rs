//! The example programs in Node and Python against real servers, each with the login that `deploy/nats-account.conf` has for
//! it. Not part of a usual test run, because they are installed from the registries of npm and PyPI: `cargo xtask examples`
//! runs it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use keysweep_redis::{ConnectOptions, RedisClient};
use keysweep_servers::Server;
use keysweep_testkit::nats_server::NatsServer;
use serde_json::{Value, json};

use super::nats_rights::{as_user, command, content, password, role, server};
use crate::cli::broker::{Broker, KEYS, WORKERS};
use crate::cli::examples::Examples;
use crate::cli::experiment_application::{read, ttl_ms};
use crate::cli::raw::Client;
use crate::cli::state::State;
use crate::cli::{Ended, Keysweep, Running, SECRET};

/// How long a service that has lost NATS may refuse requests.
const BACK: Duration = Duration::from_secs(60);

/// How long acknowledgements may take: less than the time after which an event is delivered again.
const SETTLED: Duration = Duration::from_secs(20);

/// The assignment of the default job's experiment.
const KEY: &str = "keysweep:ttl:permission-cache-cleanup";

/// A service over NATS with its workers, and the programs.
struct Site {
    examples: Examples,
    nats: NatsServer,
    broker: Broker,
    service: Running,
    workers: Vec<Running>,
    address: String,
    /// The name of the consumer, and of the file with what was handled: new in each run of the test.
    consumer: String,
}

impl Site {
    async fn start(examples: Examples) -> Self {
        let nats = server().await;
        let broker = Broker::start(&["--nats", &nats.url()]).await;
        let broker = broker.env("KEYSWEEP_GRACE", "0s").env("KEYSWEEP_API_TOKEN", SECRET);
        content(&command(&broker, &["nats", "setup"], &["--apply"], "admin"));
        let workers = WORKERS.iter().map(|name| role(&broker, name, name)).collect();
        let serve = broker.command(&["serve"], &["--admin-addr", "127.0.0.1:0"]);
        let mut service = as_user(serve, "coordinator").start();
        service.wait_for(" is ready, NATS at");
        let address = service.admin_address();
        let consumer = format!("pager-{}-{}", std::process::id(), nats.port());
        Self { examples, nats, broker, service, workers, address, consumer }
    }

    fn subscriber(&self) -> Keysweep {
        let program = self.examples.command("subscriber", &[&self.consumer]);
        as_user(program.env("NATS_URL", &self.nats.url()), "subscriber")
    }

    fn over_nats(&self, what: &str) -> Ended {
        as_user(self.examples.command("cleanup", &[what]).env("NATS_URL", &self.nats.url()), "client").run()
    }

    fn over_http(&self, what: &str, token: &str) -> Ended {
        let url = format!("http://{}", self.address);
        self.examples.command("cleanup", &[&url, what]).env("KEYSWEEP_API_TOKEN", token).run()
    }

    /// The answer of JetStream to the admin about the consumer.
    fn consumer(&self, what: &str, request: &str) -> Value {
        let subject = format!("$JS.keysweep.API.CONSUMER.{what}.KEYSWEEP_EVENTS.{}", self.consumer);
        let mut admin = Client::connect(&self.nats, Some(("keysweep-admin", &password("admin"))));
        let answer: Value = serde_json::from_slice(&admin.request(&subject, "", request).payload).unwrap();
        assert!(answer["error"].is_null(), "{answer:#}");
        answer
    }

    /// Like `nats consumer add` with the admin's login.
    fn make_consumer(&self) {
        let config = json!({ "durable_name": self.consumer, "ack_policy": "explicit", "ack_wait": 30_000_000_000_u64 });
        let request = json!({ "stream_name": "KEYSWEEP_EVENTS", "config": config });
        self.consumer("DURABLE.CREATE", &request.to_string());
    }

    /// Every event that was delivered is acknowledged soon, and what is no event is ended.
    fn nothing_stays_unacknowledged(&self) {
        let until = Instant::now() + SETTLED;
        while self.consumer("INFO", "")["num_ack_pending"] != 0 {
            assert!(Instant::now() < until, "{:#}", self.consumer("INFO", ""));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Publishes bodies as events of the kind `missed`.
    fn publish(&self, bodies: &[&str]) {
        let mut coordinator =
            Client::connect(&self.nats, Some(("keysweep-coordinator", &password("coordinator"))));
        for (n, body) in bodies.iter().enumerate() {
            coordinator.publish(&format!("keysweep.events.other.missed.{n}"), "", "", body);
        }
        coordinator.settle();
    }

    fn stop(self) {
        for process in self.workers.into_iter().chain([self.service]) {
            process.signal("TERM");
            content(&process.end());
        }
    }
}

/// An event about `count` missed runs.
fn missed(id: &str, count: u32) -> String {
    let time = "2026-11-24T08:09:38Z";
    json!({
        "specversion": "1.0", "id": id, "source": "/keysweep/jobs/other", "type": "dev.keysweep.run.missed.v1",
        "subject": id, "time": time, "datacontenttype": "application/json",
        "data": { "count": count, "first": time, "last": time, "caughtUp": false }
    })
    .to_string()
}

/// The id in the line that a program prints when it has started a run.
#[track_caller]
fn started(ended: &Ended) -> String {
    let line = ended.exits(0).stdout.trim();
    line.strip_prefix("started run ").unwrap_or_else(|| panic!("{ended}")).to_owned()
}

async fn programs_start_runs_and_follow_them(examples: Examples) {
    let site = Site::start(examples).await;
    let stale = site.broker.stale;
    // Its login may not create the consumer; the error says who does, and how.
    site.subscriber()
        .run()
        .exits(1)
        .log_contains(&["failed to create the consumer", "nats consumer add KEYSWEEP_EVENTS"]);
    site.make_consumer();
    let mut subscriber = site.subscriber().start();
    subscriber.wait_for("following `keysweep.events.>`");

    let first = started(&site.over_nats(r#"{"startedBy": "an example"}"#));
    let counts = format!("{KEYS} keys, {stale} stale, {stale} deleted");
    subscriber.wait_for(&format!("permission-cache-cleanup {first} completed: {counts}"));

    // The same event twice, one of a later version, what is no event, and one more.
    let (twice, paused) = (missed("twice", 2), missed("paused", 5).replace("run.missed.v1", "run.paused.v1"));
    site.publish(&[&twice, &twice, &paused, "no JSON", "[1]", &missed("last", 7)]);
    subscriber.wait_for("other missed 7 runs");
    site.nothing_stays_unacknowledged();

    site.nats.restart().await.unwrap();
    subscriber.wait_for("NATS: reconnect");
    let second = site.run_again();
    // No key without a TTL is left, so no node is read.
    let left = "0 keys, 0 stale, 0 deleted";
    subscriber.wait_for(&format!("permission-cache-cleanup {second} completed: {left}"));

    subscriber.signal("TERM");
    let ended = subscriber.end();
    for once in ["missed 2 runs", "missed 7 runs", &first, &second] {
        assert_eq!(ended.exits(0).stdout.matches(once).count(), 1, "{once}: {ended}");
    }
    assert!(!ended.stdout.contains("missed 5 runs"), "{ended}");
    // Twice as often, if NATS was killed before it had stored that they were ended.
    let ends = ended.stderr.matches("is no event, and is left out").count();
    assert!((2..=4).contains(&ends), "{ended}");

    // It goes on where it was, and knows what it has handled.
    site.publish(&[&twice]);
    let mut subscriber = site.subscriber().start();
    let third = started(&site.over_nats(r#"{"dryRun": true}"#));
    subscriber.wait_for(&format!("{third} completed: {left}"));
    subscriber.signal("TERM");
    let ended = subscriber.end();
    assert_eq!(ended.exits(0).stdout.lines().count(), 1, "{ended}");

    site.refusals_say_what_to_do();
    site.stop();
}

impl Site {
    /// A run over HTTP, as soon as the service has NATS again.
    fn run_again(&self) -> String {
        let until = Instant::now() + BACK;
        loop {
            let ended = self.over_http("{}", SECRET);
            if ended.code == Some(0) {
                return started(&ended);
            }
            assert!(Instant::now() < until, "{ended}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn refusals_say_what_to_do(&self) {
        for refused in
            [self.over_nats(r#"{"maxSpeed": true}"#), self.over_http(r#"{"maxSpeed": true}"#, SECRET)]
        {
            refused.exits(1).log_contains(&["error: keysweep refused the request (403)", "allow_override"]);
        }
        for unknown in [self.over_nats(r#"{"job": "none"}"#), self.over_http(r#"{"job": "none"}"#, SECRET)] {
            unknown.exits(1).log_contains(&["(404): there is no job `none`"]);
        }
        self.over_http("{}", "wrong").exits(1).log_contains(&["(401)", "check the token"]);
        self.over_nats("{").exits(1).log_contains(&["`{` is not JSON", "pass an object"]);
        for statistics in [self.over_nats("stats"), self.over_http("stats", SECRET)] {
            assert_eq!(statistics.exits(0).json()["jobQueue"]["completed"], 3, "{statistics}");
        }
    }
}

/// Without accounts, a subscriber creates its consumer, and a client says that there is no service, or no NATS.
async fn programs_need_no_accounts(examples: Examples) {
    let nats = NatsServer::start("").await.unwrap();
    let url = nats.url();
    let program = |name: &str, args: &[&str]| examples.command(name, args).env("NATS_URL", &url);
    program("subscriber", &[])
        .run()
        .exits(1)
        .log_contains(&["there is no stream `KEYSWEEP_EVENTS`", "keysweep nats setup --apply"]);
    program("cleanup", &[])
        .run()
        .exits(1)
        .log_contains(&["(503): no `keysweep serve` listens", "is it running"]);
    let broker = Broker::start(&["--nats", &url]).await;
    broker.command(&["nats", "setup"], &["--apply"]).run().exits(0);
    let name = format!("open-{}-{}", std::process::id(), nats.port());
    let mut subscriber = program("subscriber", &[&name]).start();
    subscriber.wait_for("following");
    subscriber.signal("INT");
    subscriber.end().exits(0);
    drop(nats);
    program("cleanup", &[])
        .run()
        .exits(1)
        .log_contains(&["failed to connect to NATS", "check that the server is running"]);
    let nowhere = examples.command("cleanup", &["http://127.0.0.1:1"]).run();
    nowhere.exits(1).log_contains(&["no answer from `http://127.0.0.1:1`", "keysweep runs list"]);
}

/// What an application asks for is what keysweep counts: the TTL of each user, before, during and after an experiment.
async fn programs_follow_an_experiment(examples: &Examples, program: &str) {
    const TODAY_MS: u64 = 1_000;
    let (server, state) = (Server::start(&[]).await.unwrap(), State::new());
    let experiment = |words: &[&str]| {
        let place = ["--redis", &server.url(), "--identity", "permissions:{user}:*"];
        let command = state.command(&[&["ttl", "experiment"][..], words, &place].concat());
        command.env("KEYSWEEP_CONFIGURED_TTL", "1s").run().exits(0);
    };
    let users: Vec<String> = (0..50).map(|n| format!("u{n}")).chain(["Zoë".to_owned()]).collect();
    let (url, today) = (server.url(), TODAY_MS.to_string());
    let args: Vec<&str> = [&url, KEY, &today].into_iter().chain(users.iter().map(String::as_str)).collect();
    let asked = |assignment: &HashMap<String, String>| -> String {
        let line = |user| format!("{user} {}\n", ttl_ms(assignment, user, TODAY_MS));
        users.iter().map(String::as_str).map(line).collect()
    };
    let today_for_all = asked(&HashMap::new());
    assert_eq!(examples.command(program, &args).run().exits(0).stdout, today_for_all);

    // A period is a day: the arms are not swapped between the two readings.
    let question = ["--other-ttl", "2s", "--period", "1d", "--effect", "40"];
    experiment(
        &[&["start"][..], &question, &["--fills-per-second", "500", "--overdispersion", "5"]].concat(),
    );
    let client = RedisClient::discover(ConnectOptions::open(vec![url.clone()])).await.unwrap();
    let published = asked(&read(&client, KEY).await);
    assert!(published.contains(" 1000\n") && published.contains(" 2000\n"), "{published}");
    assert_eq!(examples.command(program, &args).run().exits(0).stdout, published);

    experiment(&["stop"]);
    assert_eq!(examples.command(program, &args).run().exits(0).stdout, today_for_all);
    examples.command(program, &[]).run().exits(1).log_contains(&["pass URL, KEY, today's TTL in ms"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Node and the npm registry: `cargo xtask examples`"]
async fn examples_in_node_work() {
    programs_follow_an_experiment(&Examples::node(), "ttlExperiment").await;
    programs_start_runs_and_follow_them(Examples::node()).await;
    programs_need_no_accounts(Examples::node()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Python and PyPI: `cargo xtask examples`"]
async fn examples_in_python_work() {
    programs_follow_an_experiment(&Examples::python(), "ttl_experiment").await;
    programs_start_runs_and_follow_them(Examples::python()).await;
    programs_need_no_accounts(Examples::python()).await;
}
