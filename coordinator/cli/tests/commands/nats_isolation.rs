//! Attacks by a client with the login of one role, which sends everything that this login allows: no record of the
//! coordinator or of another role is written, replaced or removed.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use keysweep_nats::NatsStore;
use keysweep_nats::setup::{SetupMode, ensure, setup};
use keysweep_storage::object_store::ObjectStore;
use keysweep_storage::store::Store;
use keysweep_testkit::nats_server::NatsServer;
use serde_json::{Value, json};

use super::nats_rights::{connected, password, server};
use crate::cli::broker::Broker;
use crate::cli::raw::Client;

const REPORT: &str = "$KV.keysweep_runs.runs.1.report.2";
const RECEIPT: &str = "$KV.keysweep_runs.runs.1.receipt.3";
const RESULT: &str = "$KV.keysweep_runs.runs.1.result";
const AUDIT: &str = "$KV.keysweep_audit.audit.1.3";
const BACKUP: &str = "$O.keysweep_backup.C.1";
const COMPLETED: &str = "keysweep.events.n.completed.1";

/// Every login but those of the coordinator and the admin, and which [`TARGETS`] each may write.
const LOGINS: [(&str, &[&str]); 7] = [
    ("scanner", &[REPORT]),
    ("reaper", &[RECEIPT, AUDIT, BACKUP]),
    ("restore", &[]),
    ("reporter", &[RESULT, "$KV.keysweep_history.history.1", COMPLETED]),
    // It is scanner, reaper and reporter.
    ("worker", &[REPORT, RECEIPT, AUDIT, BACKUP, RESULT, "$KV.keysweep_history.history.1", COMPLETED]),
    // It may send requests and receive responses; responses of JetStream sent in its name are ignored.
    ("client", &["keysweep.api.run", "keysweep.api.cancel"]),
    ("subscriber", &[]),
];

/// Subjects with other roles' records, or that trigger an action.
const TARGETS: [&str; 16] = [
    "keysweep.api.run",
    "keysweep.api.cancel",
    "keysweep.tasks",
    "$KV.keysweep_runs.runs.1.spec",
    "$KV.keysweep_runs.runs.1.log.000000000000",
    "$KV.keysweep_runs.runs.1.cancel",
    "$KV.keysweep_runs.activity.1.forms-0",
    REPORT,
    RECEIPT,
    RESULT,
    "$KV.keysweep_locks.locks.n",
    "$KV.keysweep_history.history.1",
    AUDIT,
    "keysweep.events.n.started.1",
    COMPLETED,
    BACKUP,
];

const STREAMS: [&str; 10] = [
    "KEYSWEEP_TASKS",
    "KEYSWEEP_BATCHES",
    "KEYSWEEP_EVENTS",
    "KEYSWEEP_DEAD",
    "KV_keysweep_runs",
    "KV_keysweep_locks",
    "KV_keysweep_history",
    "KV_keysweep_samples",
    "KV_keysweep_audit",
    "OBJ_keysweep_backup",
];

/// A client with the login of a role.
fn client(server: &NatsServer, user: &str) -> Client {
    Client::connect(server, Some((&format!("keysweep-{user}"), &password(user))))
}

/// Publishes a message to every target, and to every queue.
async fn furnish(server: &NatsServer) {
    let admin = connected(server, "admin").await;
    ensure(&admin).await.unwrap();
    admin.bucket("keysweep_backup").make().await.unwrap();
    let mut coordinator = client(server, "coordinator");
    for target in TARGETS.iter().filter(|target| !target.contains(".api.")) {
        // The account restricts these to their role.
        let user = match *target {
            target if target.starts_with("$KV.keysweep_audit") || target.starts_with("$O.") => "reaper",
            _ => "coordinator",
        };
        match user {
            "coordinator" => coordinator.request(target, "", "{}"),
            user => client(server, user).request(target, "", "{}"),
        };
    }
    client(server, "scanner").request("keysweep.batches", "", "{}");
    // A valid message for each subject: a run that a client might request.
    for (user, subject) in [
        ("scanner", "$KV.keysweep_runs.failures.1.task.2"),
        ("reaper", "$KV.keysweep_runs.failures.1.batch.2"),
        ("reporter", "$KV.keysweep_samples.alerts.n"),
    ] {
        client(server, user).request(subject, "", "{\"startedBy\":\"an attacker\"}");
    }
}

/// The content of each stream: the sequence of the last message at each subject, and the first sequence of the stream.
fn picture(server: &NatsServer) -> BTreeMap<String, Value> {
    let mut coordinator = client(server, "coordinator");
    let mut picture = BTreeMap::new();
    for stream in STREAMS {
        let answer =
            coordinator.request(&format!("$JS.API.STREAM.INFO.{stream}"), "", "{\"subjects_filter\":\">\"}");
        let info: Value = serde_json::from_slice(&answer.payload).expect("JSON");
        let (state, config) = (&info["state"], &info["config"]);
        picture.insert(
            stream.to_owned(),
            json!({ "first": state["first_seq"], "messages": state["messages"], "subjects": state["subjects"],
                "last": state["last_seq"], "config": config, "consumers": state["consumer_count"] }),
        );
    }
    picture
}

/// Sends everything from `user` that leads to `target`.
fn attack(attacker: &mut Client, target: &str) {
    let words = "{\"startedBy\":\"an attacker\"}";
    for headers in ["", "Nats-Rollup: all", "Nats-Rollup: sub", "Nats-Expected-Last-Subject-Sequence: 0"] {
        attacker.publish(target, "", headers, words);
    }
    for api in ["$JS.API", "$JS.keysweep.API"] {
        for stream in STREAMS {
            // As a response, it would be published by the account.
            for subject in [
                "$KV.keysweep_runs.failures.1.task.2",
                "$KV.keysweep_runs.failures.1.batch.2",
                "$KV.keysweep_samples.alerts.n",
                "keysweep.events.n.started.1",
            ] {
                attacker.publish(&format!("{api}.DIRECT.GET.{stream}.{subject}"), target, "", "");
            }
            attacker.publish(&format!("{api}.DIRECT.GET.{stream}"), target, "", "{\"seq\":1}");
            attacker.publish(&format!("{api}.STREAM.MSG.GET.{stream}"), target, "", "{\"seq\":1}");
            attacker.publish(&format!("{api}.STREAM.INFO.{stream}"), target, "", "");
            attacker.publish(&format!("{api}.CONSUMER.INFO.{stream}.workers"), target, "", "");
            for consumer in ["workers", "hostile"] {
                let next = format!("{api}.CONSUMER.MSG.NEXT.{stream}.{consumer}");
                attacker.publish(&next, target, "", "{\"batch\":1,\"no_wait\":true}");
                attacker.publish(&next, target, "", "{\"batch\":1,\"expires\":1000000}");
            }
        }
    }
}

/// A consumer that delivers to `target`.
fn push(attacker: &mut Client, target: &str) {
    let config = json!({ "deliver_subject": target, "deliver_policy": "all", "ack_policy": "none", "headers_only": true });
    let body = json!({ "stream_name": "KEYSWEEP_EVENTS", "config": config }).to_string();
    for api in ["$JS.API", "$JS.keysweep.API"] {
        attacker.publish(&format!("{api}.CONSUMER.CREATE.KEYSWEEP_EVENTS"), "", "", &body);
    }
}

/// Sends every JetStream request of `user` that would remove records.
fn wipe(attacker: &mut Client) {
    for api in ["$JS.API", "$JS.keysweep.API"] {
        for stream in STREAMS {
            attacker.publish(&format!("{api}.STREAM.PURGE.{stream}"), "", "", "");
            attacker.publish(&format!("{api}.STREAM.MSG.DELETE.{stream}"), "", "", "{\"seq\":1}");
            attacker.publish(&format!("{api}.STREAM.DELETE.{stream}"), "", "", "");
            attacker.publish(&format!("{api}.CONSUMER.DELETE.{stream}.workers"), "", "", "");
        }
    }
    // From subjects that some role may write to.
    for own in [
        "$KV.keysweep_runs.failures.1.task.2",
        "$KV.keysweep_runs.failures.1.batch.2",
        "$KV.keysweep_runs.runs.9.report.9",
        "$KV.keysweep_runs.runs.9.receipt.9",
        "$KV.keysweep_runs.runs.9.result",
        "$KV.keysweep_audit.kept.9.9",
        "$KV.keysweep_audit.audit.9.9",
        "$KV.keysweep_history.history.9",
        "$KV.keysweep_samples.alerts.n",
        "$O.keysweep_backup.M.9",
        "keysweep.dead.9",
        "keysweep.events.n.completed.9",
        "keysweep.batches",
    ] {
        attacker.publish(own, "", "Nats-Rollup: all", "{}");
        attacker.publish(own, "", "Nats-Rollup: sub", "{}");
    }
}

/// The number of messages at each subject that `user` may not write.
fn of_others(picture: &BTreeMap<String, Value>, may: &[&str]) -> BTreeMap<String, Value> {
    let mut others = BTreeMap::new();
    for (stream, info) in picture {
        others.insert(format!("{stream} config"), info["config"].clone());
        for (subject, count) in info["subjects"].as_object().into_iter().flatten() {
            if !may.contains(&subject.as_str()) {
                others.insert(format!("{stream} {subject}"), count.clone());
            }
        }
    }
    others
}

/// The last message at each target, by the coordinator.
fn sequences(server: &NatsServer, may: &[&str]) -> BTreeMap<&'static str, Value> {
    let mut coordinator = client(server, "coordinator");
    let of = |target: &str| match target {
        target if target.starts_with("$KV.keysweep_runs") => "KV_keysweep_runs",
        target if target.starts_with("$KV.keysweep_locks") => "KV_keysweep_locks",
        target if target.starts_with("$KV.keysweep_history") => "KV_keysweep_history",
        target if target.starts_with("$KV.keysweep_audit") => "KV_keysweep_audit",
        target if target.starts_with("$O.") => "OBJ_keysweep_backup",
        "keysweep.tasks" => "KEYSWEEP_TASKS",
        _ => "KEYSWEEP_EVENTS",
    };
    let wanted = TARGETS.into_iter().filter(|target| !target.contains(".api.") && !may.contains(target));
    wanted
        .map(|target| {
            let body = json!({ "last_by_subj": target }).to_string();
            let answer = coordinator.request(&format!("$JS.API.STREAM.MSG.GET.{}", of(target)), "", &body);
            let message: Value = serde_json::from_slice(&answer.payload).expect("JSON");
            (target, message["message"]["seq"].clone())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_login_changes_records_of_another_role() {
    let server = server().await;
    furnish(&server).await;
    for (user, may) in LOGINS {
        let (before, at) = (picture(&server), sequences(&server, may));
        let mut listener = client(&server, "coordinator");
        for heard in ["keysweep.api.*", "$KV.keysweep_runs.>", "$KV.keysweep_locks.>", "keysweep.events.>"] {
            listener.subscribe(heard);
        }
        listener.settle();
        let mut attacker = client(&server, user);
        for target in TARGETS {
            attack(&mut attacker, target);
            push(&mut attacker, target);
        }
        wipe(&mut attacker);
        attacker.settle();
        // Responses of JetStream arrive later.
        sleep(Duration::from_millis(700));
        let own = |subject: &str| may.contains(&subject) || TARGETS.iter().all(|target| *target != subject);
        let strange: Vec<_> = listener.settle().into_iter().filter(|heard| !own(&heard.subject)).collect();
        assert!(strange.is_empty(), "{user}: {strange:#?}");
        assert_eq!(sequences(&server, may), at, "{user}");
        let after = of_others(&picture(&server), may);
        for (what, count) in of_others(&before, may) {
            assert_eq!(after.get(&what), Some(&count), "{user}: {what}");
        }
    }
}

/// What the admin may not do. A smaller limit does empty a stream, as the threat model states.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_cannot_purge_delete_or_publish() {
    let server = server().await;
    furnish(&server).await;
    let (before, at) = (picture(&server), sequences(&server, &[]));
    let mut listener = client(&server, "coordinator");
    for heard in ["keysweep.api.*", "$KV.keysweep_runs.>", "$KV.keysweep_locks.>", "keysweep.events.>"] {
        listener.subscribe(heard);
    }
    listener.settle();
    let mut admin = client(&server, "admin");
    for target in TARGETS {
        attack(&mut admin, target);
    }
    wipe(&mut admin);
    // Streams that deny it keep denying it after a request to allow it.
    let mut config = before["KV_keysweep_runs"]["config"].clone();
    (config["deny_purge"], config["deny_delete"]) = (false.into(), false.into());
    let update = "$JS.keysweep.API.STREAM.UPDATE.KV_keysweep_runs";
    let answer = admin.request(update, "", &config.to_string());
    assert!(String::from_utf8_lossy(&answer.payload).contains("can not cancel deny"), "{answer:?}");
    admin.settle();
    // Responses of JetStream arrive later.
    sleep(Duration::from_millis(700));
    let strange = listener.settle();
    assert!(strange.is_empty(), "{strange:#?}");
    assert_eq!((picture(&server), sequences(&server, &[])), (before, at));
    config["deny_purge"] = true.into();
    (config["deny_delete"], config["max_bytes"]) = (true.into(), 1.into());
    let answer = admin.request(update, "", &config.to_string());
    assert!(!String::from_utf8_lossy(&answer.payload).contains("\"error\""), "{answer:?}");
    assert_eq!(picture(&server)["KV_keysweep_runs"]["messages"], 0);
}

/// Streams created by earlier versions, and by `nats object add`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roll_ups_empty_no_stream_and_existing_streams_are_changed() {
    let server = NatsServer::start("").await.expect("a nats-server can be started");
    let nats =
        keysweep_nats::Nats::connect(&keysweep_nats::NatsOptions::open(server.url()), "keysweep-test", None)
            .await
            .unwrap();
    let mut client = Client::connect(&server, None);
    let bucket = json!({ "name": "KV_keysweep_runs", "subjects": ["$KV.keysweep_runs.>"], "retention": "limits",
        "max_msgs_per_subject": 1, "allow_rollup_hdrs": true, "deny_delete": true, "allow_direct": true, "discard": "old",
        "storage": "file", "num_replicas": 1, "max_age": 604_800_000_000_000_u64, "max_msg_size": 1_042_048,
        "max_bytes": -1, "max_msgs": -1, "max_consumers": -1, "duplicate_window": 120_000_000_000_u64 });
    let objects = json!({ "name": "OBJ_keysweep_backup", "subjects": ["$O.keysweep_backup.C.>", "$O.keysweep_backup.M.>"],
        "retention": "limits", "allow_rollup_hdrs": true, "discard": "new", "storage": "file", "num_replicas": 1,
        "max_bytes": -1, "max_msgs": -1, "max_consumers": -1, "max_age": 0 });
    for config in [&bucket, &objects] {
        let name = config["name"].as_str().unwrap();
        let made = client.request(&format!("$JS.API.STREAM.CREATE.{name}"), "", &config.to_string());
        assert!(!String::from_utf8_lossy(&made.payload).contains("\"error\""), "{made:?}");
    }
    let changed = setup(&nats, SetupMode::Apply).await.unwrap();
    let of = |name: &str| changed.iter().find(|piece| piece.name == name).unwrap();
    let texts: Vec<String> = of("KV_keysweep_runs").differences.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["roll-up is `allowed`, not `denied`", "purge is `allowed`, not `denied`"]);
    let buckets = keysweep_nats::setup::buckets(&nats, &[], SetupMode::Apply).await.unwrap();
    let texts: Vec<String> = buckets[0].differences.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["direct get is `false`, not `true`", "roll-up is `allowed`, not `denied`"]);
    for mode in [SetupMode::Compare, SetupMode::Apply] {
        let again = setup(&nats, mode).await.unwrap();
        assert!(again.iter().all(|piece| piece.differences.is_empty()), "{again:#?}");
    }
    // Existing records stay when other keys are written.
    let store = NatsStore::new(nats.clone());
    store.create("runs/1/receipt/3", b"a receipt".to_vec()).await.unwrap();
    nats.bucket("keysweep_backup").put("an object", &[7; 300_000]).await.unwrap();
    for subject in
        ["$KV.keysweep_runs.failures.1.task.2", "$O.keysweep_backup.M.9", "keysweep.events.n.started.1"]
    {
        for rollup in ["Nats-Rollup: all", "Nats-Rollup: sub"] {
            let refused = client.request(subject, rollup, "{}");
            let refused = String::from_utf8_lossy(&refused.payload).into_owned();
            assert!(refused.contains("rollup not permitted"), "{subject}: {refused}");
        }
    }
    for stream in ["KV_keysweep_runs", "KEYSWEEP_EVENTS", "KEYSWEEP_BATCHES"] {
        let purged = client.request(&format!("$JS.API.STREAM.PURGE.{stream}"), "", "");
        assert!(String::from_utf8_lossy(&purged.payload).contains("not permitted"), "{stream}: {purged:?}");
    }
    assert!(store.get("runs/1/receipt/3").await.unwrap().is_some());
}

/// If all clients share one account: messages of JetStream to the subjects of the service start nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_ignores_messages_that_jetstream_sends() {
    let server = NatsServer::start("").await.expect("a nats-server can be started");
    let broker = Broker::start(&["--nats", &server.url()]).await;
    broker.command(&["nats", "setup"], &["--apply"]).run().exits(0);
    let mut service = broker.command(&["serve"], &[]).start();
    service.wait_for(" is ready");
    let mut attacker = Client::connect(&server, None);
    // The service may take a moment to subscribe.
    while attacker.request("keysweep.api.stats", "", "{}").headers.contains("503") {
        sleep(Duration::from_millis(50));
    }
    let run = "keysweep.api.run";
    let refused = attacker.request(run, "", "");
    assert!(refused.headers.contains("Nats-Service-Error-Code: 400"), "{refused:?}");
    assert!(refused.headers.contains("it has no body"), "{refused:?}");
    let refused = attacker.request(run, "Nats-Stream: KEYSWEEP_EVENTS", "{}");
    assert!(refused.headers.contains("JetStream headers"), "{refused:?}");
    attacker.publish(run, "", "", "{}");
    for subject in ["$KV.keysweep_runs.failures.1.task.2", "keysweep.events.n.started.1"] {
        attacker.request(subject, "", "{}");
    }
    attacker.publish("$JS.API.DIRECT.GET.KV_keysweep_runs.$KV.keysweep_runs.failures.1.task.2", run, "", "");
    attacker.publish("$JS.API.STREAM.MSG.GET.KV_keysweep_runs", run, "", "{\"seq\":1}");
    for headers_only in [true, false] {
        for (name, deliver) in [("push", json!(run)), ("pull", Value::Null)] {
            let mut config = json!({ "durable_name": format!("{name}{headers_only}"), "deliver_policy": "all",
                "ack_policy": "explicit", "headers_only": headers_only });
            if !deliver.is_null() {
                config["deliver_subject"] = deliver;
            }
            let create = format!("$JS.API.CONSUMER.DURABLE.CREATE.KEYSWEEP_EVENTS.{name}{headers_only}");
            let body = json!({ "stream_name": "KEYSWEEP_EVENTS", "config": config }).to_string();
            let made = attacker.request(&create, "", &body);
            assert!(!String::from_utf8_lossy(&made.payload).contains("\"error\""), "{made:?}");
        }
        let next = format!("$JS.API.CONSUMER.MSG.NEXT.KEYSWEEP_EVENTS.pull{headers_only}");
        // The event, and then none.
        attacker.publish(&next, run, "", "{\"batch\":2,\"expires\":100000000}");
        attacker.publish(&next, run, "", "{\"batch\":1,\"no_wait\":true}");
    }
    attacker.settle();
    sleep(Duration::from_secs(1));
    let runs = broker.command(&["runs", "list"], &["--json"]).run();
    assert_eq!(runs.exits(0).json()["of"], 0, "{runs}");
    let answered = attacker.request(run, "", "{\"dryRun\": true}");
    let answer: Value = serde_json::from_slice(&answered.payload).expect("JSON");
    assert!(answer["runId"].is_string(), "{answered:?}");
    service.signal("TERM");
    service.end().exits(0).log_contains(&["rejected an invalid request"]);
}
