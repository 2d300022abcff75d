//! Commands over NATS with invalid input: each ends soon, names the problem and the remedy, and shows no secret. And
//! their regular output.

use std::time::Duration;

use keysweep_model::ids::RunId;
use keysweep_testkit::nats_server::NatsServer;
use serde_json::{Value, json};

use crate::cli::broker::{Broker, file};
use crate::cli::{self, Ended, SECRET, fake, keysweep, raw};

async fn nats(config: &str) -> NatsServer {
    NatsServer::start(config).await.expect("a nats-server can be started")
}

#[test]
fn a_missing_nats_url_is_named() {
    let commands = [&["worker"][..], &["scanner"], &["reaper"], &["reporter"], &["nats", "setup"]];
    for words in commands {
        let ended = keysweep(&[words, &["--json"]].concat()).run();
        ended.fails(2, &[&format!("`keysweep {}", words[0]), "`--nats URL`", "`NATS_URL`", "`[nats]`"]);
    }
    let detached = keysweep(&["run", "--yes", "--json", "--detach"]).run();
    detached.fails(2, &["`--detach` needs workers", "`--nats URL`", "`NATS_URL`"]);
}

#[test]
fn nats_is_unreachable() {
    // Concurrently: each waits for some seconds.
    let start = |words: &[&str], url: &str| keysweep(&[words, &["--json", "--nats", url]].concat()).start();
    let url = format!("nats://{}", fake::unused_port());
    let with_login = url.replace("nats://", &format!("nats://me:{SECRET}@"));
    let refused = start(&["run", "--yes"], &with_login);
    let missing = "nats://no-such-host.invalid:4222";
    let unknown = start(&["runs", "list"], missing);
    let others = [fake::http(), fake::garbage(), fake::silent(), fake::hangs_up()];
    let others = others.map(|address| (start(&["stats"], &format!("nats://{address}")), address));
    let refused = refused.end();
    refused.fails(5, &[&url, "failed to reach NATS", "refused", "check `--nats` or `NATS_URL`"]);
    refused.log_contains(&["waiting for NATS at"]);
    assert!(refused.took < Duration::from_secs(9), "{refused}");
    unknown.end().fails(5, &[missing, "DNS"]);
    for (running, address) in others {
        let ended = running.end();
        ended.fails(5, &[&format!("nats://{address}"), "failed to reach NATS"]);
        assert!(ended.took < Duration::from_secs(15), "{ended}");
    }
}

#[test]
fn ctrl_c_ends_the_wait_for_nats() {
    let url = format!("nats://{}", fake::unused_port());
    let mut running = keysweep(&["run", "--yes", "--json", "--nats", &url]).start();
    running.wait_for("waiting for NATS").signal("INT");
    let ended = running.end();
    ended.fails(130, &["stopped by SIGINT", "nothing was changed"]);
    assert!(ended.took < Duration::from_secs(3), "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_jetstream() {
    let accounts = "accounts { A { users: [{user: a, password: pw}] }, S { users: [{user: s, password: s}] } }\n\
                    system_account: S";
    let server = nats(accounts).await;
    let url = server.url().replace("nats://", "nats://a:pw@");
    for words in [&["run", "--yes"][..], &["scanner"], &["nats", "setup"]] {
        let ended = keysweep(&[words, &["--json", "--nats", &url]].concat()).run();
        ended.fails(1, &[&server.url(), "no JetStream for this account", "`-js`"]);
    }
}

/// Not only roles fail: `nats setup` reports it before anything is created.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_messages_are_too_short_for_any_run() {
    let server = nats("max_payload: 65536").await;
    let url = server.url();
    for words in [&["nats", "setup"][..], &["nats", "setup", "--apply"], &["scanner"]] {
        let ended = keysweep(&[words, &["--json", "--nats", &url]].concat()).run();
        ended.fails(1, &[&url, "messages of 65536 bytes at most", "raise `max_payload` there"]);
    }
    let streams = raw::request(&server, "$JS.API.STREAM.NAMES", &json!({}));
    assert_eq!(streams["total"], 0, "{streams}");
}

/// A missing permission is reported at once, without the patience for a restart of NATS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_that_are_missing() {
    let denied = |subject: &str| format!("{{ publish: {{ deny: \"{subject}\" }} }}");
    let user = |name: &str, subject: &str| {
        format!("{{ user: {name}, password: \"{SECRET}\", permissions: {} }}", denied(subject))
    };
    let users = [
        user("looks", "$JS.API.STREAM.INFO.>"),
        user("consumes", "$JS.API.CONSUMER.INFO.>"),
        user("creates", "$JS.API.STREAM.CREATE.>"),
        user("reads", "$JS.API.DIRECT.GET.KV_keysweep_history"),
        user("holds", "$KV.keysweep_locks.>"),
        format!("{{ user: all, password: \"{SECRET}\" }}"),
    ];
    let server = nats(&format!("authorization {{ users: [{}] }}", users.join(", "))).await;
    let url = |name: &str| server.url().replace("nats://", &format!("nats://{name}:{SECRET}@"));
    let lacks = |words: &[&str], name: &str, code: i32, texts: &[&str]| {
        let ended = keysweep(&[words, &["--json", "--nats", &url(name)]].concat()).run();
        ended.fails(code, texts).fails(code, &["Permissions Violation for Publish to"]);
        assert!(ended.took < Duration::from_secs(8), "{ended}");
    };
    lacks(
        &["scanner"],
        "creates",
        1,
        &["create the stream `KEYSWEEP_TASKS`", "STREAM.CREATE.KEYSWEEP_TASKS"],
    );
    lacks(&["scanner"], "looks", 1, &["query the stream `KEYSWEEP_TASKS`", "STREAM.INFO.KEYSWEEP_TASKS"]);
    keysweep(&["nats", "setup", "--apply", "--nats", &url("all")]).run().exits(0);
    let consumer = ["query the consumer `KEYSWEEP_TASKS > workers`", "CONSUMER.INFO.KEYSWEEP_TASKS.workers"];
    lacks(&["nats", "setup"], "consumes", 1, &consumer);
    lacks(&["runs", "list"], "reads", 5, &["DIRECT.GET.KV_keysweep_history"]);
    let broker = Broker::start(&["--nats", &url("holds")]).await;
    let ended = broker.run(&[]);
    ended.fails(5, &["Permissions Violation", "$KV.keysweep_locks.locks."]);
    assert_eq!(broker.place.keys("permissions:*").await as u64, cli::broker::KEYS);
    assert_eq!(broker.place.keys("keysweep:*").await, 0, "no lock stays behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_another_application() {
    let server = nats("").await;
    let url = server.url();
    let setup = |env: (&str, &str), more: &[&str]| {
        let args = [&["nats", "setup", "--nats", &url], more].concat();
        keysweep(&args).env(env.0, env.1).run()
    };
    let none = ("KEYSWEEP_LOG", "");
    let missing = setup(none, &[]);
    missing.exits(1);
    assert_eq!(missing.stdout.matches(" missing\n").count(), 9, "nine streams\n{missing}");
    let name = "KEYSWEEP_TASKS";
    let theirs =
        json!({ "name": name, "subjects": ["keysweep.tasks"], "retention": "limits", "storage": "memory" });
    let made = raw::request(&server, "$JS.API.STREAM.CREATE.KEYSWEEP_TASKS", &theirs);
    assert_eq!(made["config"]["retention"], "limits", "{made}");
    let applied = setup(none, &["--apply"]);
    applied.exits(1);
    for text in ["retention is `limits`, not `workqueue` (cannot be changed)", "different", "created"] {
        assert!(applied.stdout.contains(text), "{applied}");
    }
    let role = keysweep(&["scanner", "--json", "--nats", &url]).run();
    let texts = [
        "`KEYSWEEP_TASKS` in NATS does not have the configuration that keysweep needs",
        "retention is `limits`",
        "--nats-prefix",
    ];
    role.fails(1, &texts);
    let now = raw::request(&server, "$JS.API.STREAM.INFO.KEYSWEEP_TASKS", &json!({}));
    assert_eq!(now["config"], made["config"], "it is as it was");
    // What can be changed is named, left alone by roles, and changed on request.
    let other = ("KEYSWEEP_NATS_QUEUE_BYTES", "33554432");
    let differs = setup(other, &["--json", "--nats-prefix", "other", "--apply"]);
    differs.exits(0);
    let differs = setup(none, &["--json", "--nats-prefix", "other"]);
    let pieces = differs.exits(1).json();
    let tasks = &pieces["pieces"][0];
    assert_eq!((&tasks["name"], &tasks["state"]), (&"OTHER_TASKS".into(), &"different".into()), "{differs}");
    // An eighth of it.
    assert_eq!(tasks["differences"][0]["found"], "4194304", "{differs}");
    let list = keysweep(&["runs", "list", "--nats", &url, "--nats-prefix", "other"]).run();
    list.exits(0).log_contains(&[
        "`OTHER_TASKS` in NATS: bytes is `4194304`",
        "`keysweep nats setup --apply` changes it",
    ]);
    assert_eq!(
        setup(none, &["--json", "--nats-prefix", "other", "--apply"]).exits(0).json()["pieces"][0]["state"],
        "changed"
    );
    assert_eq!(
        setup(none, &["--json", "--nats-prefix", "other"]).exits(0).json()["pieces"][0]["state"],
        "right"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arguments_that_do_not_fit() {
    let server = nats("").await;
    let url = server.url();
    let command = |words: &[&str]| keysweep(&[words, &["--json", "--nats", &url]].concat());
    let unknown = RunId::new().to_string();
    for word in ["show", "attach", "cancel", "audit"] {
        let ended = command(&["runs", word, &unknown]).run();
        ended.fails(2, &[&format!("there is no run `{unknown}`"), "`keysweep runs list`"]);
        command(&["runs", word, "yesterday"]).run().fails(2, &["`yesterday` is not a run id", "or `last`"]);
        command(&["runs", word, "01a2"]).run().fails(2, &["begins with `01a2`"]);
        command(&["runs", word, "last"]).run().fails(2, &["no runs are remembered"]);
    }
    command(&["events", "--since", "yesterday"])
        .run()
        .fails(2, &["`--since` is `yesterday`", "such as `15m`"]);
    let ended = command(&["events", "--since", "99999999d"]).run();
    ended.fails(2, &["`--since` is `99999999d`"]);
    command(&["serve"]).env("KEYSWEEP_SCHEDULE", "61 * * * *").run().fails(2, &["`61` is no minute"]);
    let zone = command(&["serve"]).env("KEYSWEEP_TIMEZONE", "Mars/Olympus").run();
    zone.fails(2, &["`Mars/Olympus` is not a time zone", "`Europe/Berlin`"]);
    let taken = fake::http();
    let ended = command(&["scanner", "--admin-addr", &taken]).run();
    ended.fails(2, &[&format!("failed to listen on `{taken}` (flag --admin-addr)"), "in use"]);
    command(&["scanner", "--admin-addr", "everywhere"]).run().fails(2, &["--admin-addr"]);
    command(&["scanner", "--at-once", "0"]).run().fails(2, &["--at-once"]);
}

/// Work on a deployment that a worker does not know is left to the others, and given up if none knows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alias_that_a_worker_does_not_know() {
    let server = nats("").await;
    let broker = Broker::start(&["--nats", &server.url()]).await;
    let unknown_alias = file("other-alias.toml", "[redis.other]\nurls = [\"redis://127.0.0.1:1\"]\n");
    let unknown = |name: &str| {
        let args = [name, "--config", &unknown_alias, "--nats", &server.url()];
        let mut role = keysweep(&args).start();
        role.wait_for("is ready");
        role
    };
    let mut unknown_alias = [unknown("scanner"), unknown("reaper")];
    let run = broker.command(&["run"], &["--yes", "--json", "--grace", "0s"]).start();
    unknown_alias[0].wait_for("no `[redis.main]` in the settings of this process");
    let workers = broker.workers();
    let ended = run.end();
    assert_eq!(ended.exits(0).result("completed")["cleanedKeys"], broker.stale, "{ended}");
    drop(workers);
}

/// Runs by prefixes of their ids, and the list of runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_are_found_by_the_beginning_of_their_id_and_listed_the_newest_first() {
    let server = nats("").await;
    let broker = Broker::start(&["--nats", &server.url()]).await;
    let workers = broker.workers();
    let run = |more: &[&str]| {
        let id = broker.run(more).exits(0).result("completed")["runId"].clone();
        id.as_str().expect("an id").to_owned()
    };
    // They share the prefix of their ids, which is the time.
    let ids = [run(&["--dry-run"]), run(&["--protect", "permissions:1*"]), run(&[])];
    let shown = |name: &str| {
        broker.command(&["runs", "show", name], &["--json"]).run().exits(0).json()["runId"].clone()
    };
    assert_eq!((shown("last"), shown(&ids[0][..23])), (ids[2].as_str().into(), ids[0].as_str().into()));
    let ambiguous = broker.command(&["runs", "show", &ids[0][..4]], &["--json"]).run();
    ambiguous.fails(2, &["of 3 run ids", &ids[0], &ids[1], &ids[2]]);
    let list = |more: &[&str]| {
        let list = broker.command(&["runs", "list"], &[more, &["--json"]].concat()).run().exits(0).json();
        let runs = list["runs"].as_array().expect("runs").clone();
        let ids: Vec<String> =
            runs.iter().map(|run| run["runId"].as_str().expect("an id").to_owned()).collect();
        assert!(runs.iter().all(|run| run["durationMs"].is_u64()), "{list:#}");
        (ids, list["of"].clone())
    };
    let newest_first = vec![ids[2].clone(), ids[1].clone(), ids[0].clone()];
    assert_eq!(list(&[]), (newest_first.clone(), 3.into()));
    assert_eq!(list(&["--limit", "2"]), (newest_first[..2].to_vec(), 3.into()));
    assert_eq!(list(&["--status", "failed"]), (vec![], 0.into()));
    assert_eq!(list(&["--job", "other"]), (vec![], 0.into()));
    assert_eq!(list(&["--job", "permission-cache-cleanup", "--status", "completed"]).0, newest_first);
    let page = broker.command(&["runs", "list"], &["--limit", "1"]).run();
    assert!(page.exits(0).stdout.contains("… and 2 older ones: `--limit 3` shows all"), "{page}");
    // The audit trail includes kept keys.
    let audit = |run: &str, more: &[&str]| {
        let trail = broker.command(&["runs", "audit", run], more).run();
        let outcome = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["outcome"].clone();
        trail.exits(0).stdout.lines().map(outcome).collect::<Vec<_>>()
    };
    let of = |trail: &[Value], outcome: &str| trail.iter().filter(|line| **line == outcome).count() as u64;
    let (dry, part) = (audit(&ids[0], &["--all"]), audit(&ids[1], &["--all"]));
    assert_eq!((of(&dry, "reported"), dry.len() as u64), (broker.stale, broker.stale));
    let protected = of(&part, "protected");
    assert!(protected > 0 && of(&part, "deleted") + protected == broker.stale, "{part:?}");
    assert_eq!(audit(&ids[1], &[]).len() as u64, broker.stale - protected);
    drop(workers);
}

/// As text within the width of a terminal, and as valid JSON.
#[track_caller]
fn both(broker: &Broker, words: &[&str]) -> (Ended, Value) {
    let text = broker.command(words, &[]).run();
    text.exits(0);
    for line in text.stdout.lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}\n{text}", line.chars().count());
    }
    let json = broker.command(words, &["--json"]).run();
    (text, json.exits(0).json())
}

/// The report of a run that has ended, on stdout and in a file.
#[track_caller]
fn reported(broker: &Broker, id: &str) {
    let markdown = broker.command(&["runs", "report", id], &[]).run();
    assert!(markdown.exits(0).stdout.contains("**✓ Completed in "), "{markdown}");
    let html = broker.command(&["runs", "report", id], &["--html"]).run();
    assert!(html.exits(0).stdout.starts_with("<!doctype html>") && html.stdout.contains(id), "{html}");
    let path = format!("{}/report-{id}.html", env!("CARGO_TARGET_TMPDIR"));
    let written = broker.command(&["runs", "report", id], &["--html", "-o", &path]).run();
    assert_eq!(std::fs::read_to_string(&path).ok().as_deref(), Some(html.stdout.as_str()), "{written}");
    written.exits(0).log_contains(&[&path]);
    broker
        .command(&["runs", "report", id, "-o", "/no/such/folder"], &[])
        .run()
        .exits(1)
        .log_contains(&["`/no/such`"]);
    broker.command(&["runs", "report", id], &["--json"]).run().fails(2, &["runs show --json"]);
    let unknown = RunId::new().to_string();
    broker
        .command(&["runs", "report", &unknown], &[])
        .run()
        .exits(2)
        .log_contains(&["there is no run", &unknown]);
    // The command that followed the run wrote it, too.
    let pid = std::process::id();
    let kept = format!("{}/{pid}/keysweep/reports/permission-cache-cleanup/{id}.html", cli::STATE);
    assert_eq!(std::fs::read_to_string(kept).ok().as_deref(), Some(html.stdout.as_str()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_kept_of_a_run() {
    let server = nats("").await;
    let broker = Broker::start(&["--nats", &server.url()]).await;
    let workers = broker.workers();
    let detached = broker.run(&["--detach"]);
    let id = detached.exits(0).json()["runId"].as_str().expect("a run").to_owned();
    let attached = broker.command(&["runs", "attach", &id], &["--json"]).run();
    assert_eq!(attached.exits(0).result("completed")["cleanedKeys"], broker.stale, "{attached}");
    let (text, list) = both(&broker, &["runs", "list"]);
    assert!(text.stdout.contains(&id) && text.stdout.contains("completed"), "{text}");
    assert_eq!(
        (&list["runs"][0]["runId"], &list["runs"][0]["cleanedKeys"]),
        (&id.as_str().into(), &broker.stale.into())
    );
    let (text, shown) = both(&broker, &["runs", "show", &id]);
    assert!(text.stdout.contains("60"), "{text}");
    assert_eq!(shown["status"], "completed");
    reported(&broker, &id);
    let (text, stats) = both(&broker, &["stats"]);
    assert!(text.stdout.contains("1 completed"), "{text}");
    assert_eq!(
        (&stats["jobQueue"]["completed"], &stats["redisHealth"]["status"]),
        (&1.into(), &"healthy".into())
    );
    let cancelled = broker.command(&["runs", "cancel", &id], &["--json"]).run();
    assert_eq!(
        (&cancelled.exits(0).json()["ended"], &cancelled.json()["cancelled"]),
        (&true.into(), &false.into())
    );
    // One document per line.
    let lines = |words: &[&str]| {
        let ended = broker.command(words, &["--json"]).run();
        let parse = |line| serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        ended.exits(0).stdout.lines().map(parse).collect::<Vec<_>>()
    };
    let audit = lines(&["runs", "audit", &id]);
    assert_eq!(audit.len() as u64, broker.stale);
    let is_whole = |line: &Value| line["key"].as_str().is_some_and(|key| key.starts_with("permissions:"));
    assert!(
        audit.iter().all(|line| is_whole(line) && line["outcome"] == "deleted" && line["reason"] == "stale")
    );
    let events = lines(&["events", "--run", &id]);
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(kinds.first(), Some(&"dev.keysweep.run.started.v1"), "{kinds:?}");
    assert_eq!(kinds.last(), Some(&"dev.keysweep.run.completed.v1"), "{kinds:?}");
    assert!(lines(&["events", "--run", &RunId::new().to_string()]).is_empty());
    assert!(lines(&["events", "--since", "0s"]).is_empty());
    let of_runs =
        |event: &&Value| event["type"].as_str().is_some_and(|kind| kind.starts_with("dev.keysweep.run."));
    // Stale keys are an alert, which is of the job.
    let all = lines(&["events", "--since", "1h"]);
    assert_eq!((all.iter().filter(of_runs).count(), all.len()), (events.len(), events.len() + 1));
    let text = broker.command(&["events"], &[]).run();
    let heads = text.exits(0).stdout.lines().filter(|line| line.ends_with(&id)).count();
    assert_eq!(heads, events.len(), "{text}");
    for line in text.stdout.lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
    let mut follower = broker.command(&["events"], &["--follow"]).start();
    follower.wait_for("completed").signal("INT");
    follower.end().exits(0);
    drop(workers);
}
