//! Several attempts at a batch: only one of them acts, and keys that change all the time do not delay the others.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use keysweep_model::key::Key;
use keysweep_model::messages::{Group, Reason};
use keysweep_model::outcome::Outcome::{self, Deleted, Spared, Vanished};
use keysweep_redis::guard::{BatchWindow, Guard, GuardCall, GuardExecutor, GuardReply, GuardVerdict};
use keysweep_redis::{Batch, Conn, Reply};
use keysweep_servers::Server;
use keysweep_testkit::contracts::guard::DELETE;

use super::bench::{Backend, window};

all_backends! {
    of_several_attempts_one_acts_and_all_report_the_same,
    constantly_changing_keys_do_not_delay_others,
}

fn group(keys: &[String]) -> Group {
    let keys = keys.iter().map(|key| Key::new(key.as_bytes())).collect();
    Group { slot: 0, reason: Reason::Stale, keys, expires_at_ms: Vec::new(), fingerprints: Vec::new() }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("key:{n}")).collect()
}

async fn set(conn: &Conn, keys: &[String]) {
    for key in keys {
        conn.command(&[b"SET", key.as_bytes(), b"value"]).await.unwrap();
    }
}

async fn delete(
    backend: Backend,
    means: &GuardExecutor,
    conn: &Conn,
    window: BatchWindow,
    group: &Group,
) -> Vec<Outcome> {
    let part = backend.part(window.batch, 0, group, DELETE, None);
    let call = GuardCall { window, parts: &[part] };
    let GuardReply { verdict, .. } = means.call(conn, call).await.unwrap().remove(0).unwrap();
    let GuardVerdict::Outcomes(outcomes) = verdict else { panic!("{verdict:?}") };
    outcomes
}

/// How many UNLINK commands were executed so far.
async fn unlinks(conn: &Conn) -> u64 {
    let Reply::BulkString(text) = conn.info_text("INFO commandstats").await.unwrap() else {
        panic!("no text")
    };
    let text = String::from_utf8(text).unwrap();
    let calls = text.lines().find_map(|line| line.strip_prefix("cmdstat_unlink:calls="));
    calls.map_or(0, |calls| calls.split(',').next().unwrap().parse().unwrap())
}

async fn of_several_attempts_one_acts_and_all_report_the_same(backend: Backend) {
    let server = Server::start(&[]).await.unwrap();
    let conn = server.conn().await.unwrap();
    let keys = names(20);
    for round in 1..=25 {
        set(&conn, &keys).await;
        let (window, group) = (window(&conn).await, group(&keys));
        let attempts = (0..4).map(async |_| {
            let means = backend.prepare(&conn).await;
            delete(backend, &means, &conn, window, &group).await
        });
        for outcomes in join_all(attempts).await {
            assert_eq!(outcomes, [Deleted; 20], "round {round}");
        }
        // A script sends one command per key.
        let commands = if backend == Backend::Transactions { 1 } else { 20 };
        assert_eq!(unlinks(&conn).await, round * commands, "one of four has deleted");
    }
}

async fn constantly_changing_keys_do_not_delay_others(backend: Backend) {
    let server = Server::start(&[]).await.unwrap();
    let conn = server.conn().await.unwrap();
    let keys = names(64);
    set(&conn, &keys).await;
    // Counts how often it found the key missing, which must be the number of deletions.
    let stop = AtomicBool::new(false);
    let writing = async {
        let (conn, mut found_gone) = (server.conn().await.unwrap(), 0);
        while !stop.load(Ordering::Relaxed) {
            let mut batch = Batch::new();
            for _ in 0..50 {
                batch.add(&[b"APPEND", b"key:40", b"x"]);
            }
            let lengths = conn.batch(batch).await.unwrap();
            found_gone += lengths.iter().filter(|length| **length == Reply::Int(1)).count();
        }
        found_gone
    };
    let deleting = async {
        let means = backend.prepare(&conn).await;
        let mut deleted = 0;
        for _ in 0..20 {
            let outcomes = delete(backend, &means, &conn, window(&conn).await, &group(&keys)).await;
            for (n, outcome) in outcomes.iter().enumerate().filter(|(n, _)| *n != 40) {
                assert_eq!(*outcome, Deleted, "key {n}");
            }
            assert!(matches!(outcomes[40], Deleted | Spared | Vanished), "{:?}", outcomes[40]);
            deleted += usize::from(outcomes[40] == Deleted);
            set(&conn, &[&keys[..40], &keys[41..]].concat()).await;
        }
        stop.store(true, Ordering::Relaxed);
        deleted
    };
    let (found_gone, deleted) = tokio::join!(writing, deleting);
    let gone = conn.info_text("EXISTS key:40").await.unwrap() == Reply::Int(0);
    assert_eq!(found_gone + usize::from(gone), deleted, "the reported deletions are the real ones");
}
