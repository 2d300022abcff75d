//! Servers with impossible replies, or with escape sequences for the user's terminal.

use std::path::Path;

use keysweep_backup::{BackupEntry, FileKind, FileName, Header, Saved};
use keysweep_model::ids::{Alias, BatchId, NodeId, RunId};
use keysweep_model::key::Key;
use keysweep_model::messages::Reason;
use keysweep_redis::{Reply, packed_string};
use keysweep_servers::Server;
use serde_json::json;

use crate::cli::deployment::DIGEST;
use crate::cli::hostile::{INFO, bulk, server, shards, usual};
use crate::cli::keysweep;

/// A server that reports to belong to a cluster of `primaries`.
fn cluster(primaries: &'static [(&'static str, &'static str, u16, u16)]) -> String {
    server(move |words| match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["CLUSTER", "SHARDS"] => shards(primaries),
        ["INFO", ..] => bulk(&format!("{INFO}cluster_enabled:1\r\n")),
        _ => usual(words),
    })
}

#[test]
fn slots_that_two_shards_claim_are_counted_at_neither() {
    let address = cluster(&[("aaaa", "127.0.0.1", 0, 9_000), ("bbbb", "127.0.0.2", 8_000, 16_383)]);
    let mut running = keysweep(&["run", "--yes", "--redis", &format!("redis://{address}")]).start();
    running.wait_for("waiting for it").signal("INT");
    let ended = running.end();
    ended.log_contains(&[
        &address,
        "is not ready",
        "the nodes `aaaa` at `127.0.0.1:6379` and `bbbb` at `127.0.0.2:6379` both claim the slots 8000-9000",
        "redis-cli --cluster check",
    ]);
}

#[test]
fn a_host_name_that_is_none_is_refused_and_writes_nothing_to_the_terminal() {
    let address = cluster(&[("aaaa", "evil\u{1b}[2J\r\nwarning: fake\u{202e}", 0, 16_383)]);
    for format in ["text", "json"] {
        let url = format!("redis://{address}");
        let ended = keysweep(&["run", "--yes", "-vv", "--log-format", format, "--redis", &url]).run();
        ended.exits(5).log_contains(&["not a valid host name", "cluster-announce-ip"]);
        let all = format!("{}{}", ended.stdout, ended.stderr);
        let shown = |c: char| c == '\n' || keysweep_model::printable::is_printable(c);
        assert!(all.chars().all(shown), "{all:?}");
        assert!(!all.lines().any(|line| line.starts_with("warning: fake")), "{all}");
    }
}

#[test]
fn text_from_a_server_moves_no_terminal_cursor() {
    let address = server(|words| match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["INFO", ..] => {
            let odd = INFO.replace("redis_version:7.0.15", "redis_version:7.0.15\u{1b}[31m\u{9b}2J\u{202e}");
            bulk(&format!("{odd}cluster_enabled:0\r\n"))
        }
        ["PING" | "CLIENT" | "SELECT", ..] => usual(words),
        [..] => "-ERR \u{1b}[2J\u{9b}\u{202e} words\r\n".bytes().collect(),
    });
    for args in [["plan", "-vv"], ["plan", "--json"]] {
        let ended = keysweep(&[&args[..], &["--redis", &format!("redis://{address}")]].concat()).run();
        let all = format!("{}{}", ended.stdout, ended.stderr);
        let shown = |c: char| c == '\n' || keysweep_model::printable::is_printable(c);
        assert!(all.chars().all(shown), "{all:?}");
        assert!(all.contains("7.0.15") || all.contains("words"), "it was asked: {ended}");
    }
}

/// A backup of one file with these keys in `folder`.
fn crafted(folder: &Path, keys: &[&str]) {
    let (run, batch) = (RunId::new(), BatchId::new());
    let header = Header {
        run,
        job: "job".to_owned(),
        alias: Alias::new("main"),
        db: 0,
        node: NodeId::new("standalone"),
        batch,
        at_ms: 1,
    };
    let mut file = Saved::new(header);
    for (index, key) in (0..).zip(keys) {
        let (key, value) = (Key::new(*key), packed_string(b"value"));
        file.add(&BackupEntry { group: 0, index, reason: Reason::Stale, expires_at_ms: None, key, value });
    }
    let name = FileName { at_ms: 1, run, batch, attempt: 1, kind: FileKind::Save(0) };
    let path = folder.join(name.to_string());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, file.finish()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restore_skips_locks_and_ledgers() {
    let server = Server::start(&DIGEST).await.unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(RunId::new().to_string());
    crafted(&folder, &["keysweep:lock:job", "keysweep:ledger:{aaaa}:1:2:0", "permissions:1"]);
    let from = folder.display().to_string();
    let url = server.url();
    let ended = keysweep(&["restore", &from, "--yes", "--json", "--redis", &url])
        .env("KEYSWEEP_REDIS_ALIAS", "main")
        .run();
    let account = ended.exits(3).json();
    let causes = account["causes"].to_string();
    assert!(causes.contains("keys of keysweep itself (locks, ledgers) are never restored"), "{ended}");
    assert_eq!((&account["failed"], &account["restored"]), (&json!(2), &json!(1)), "{ended}");
    let conn = server.conn().await.unwrap();
    let there = conn.info_text("EXISTS keysweep:lock:job keysweep:ledger:{aaaa}:1:2:0").await.unwrap();
    let back = conn.info_text("EXISTS permissions:1").await.unwrap();
    assert_eq!((there, back), (Reply::Int(0), Reply::Int(1)), "{ended}");
}

#[test]
fn unbounded_replies_are_cut_off_within_64_mb() {
    let flood = |reply: Vec<u8>| {
        server(move |words| match words.first().map(String::as_str) {
            Some("INFO") => reply.clone(),
            _ => usual(words),
        })
    };
    let claimed = b"$2147483648\r\nredis_version:7.0.15\r\n".to_vec();
    let bulk = [&b"$60000000\r\n"[..], &vec![b'x'; 60_000_000], b"\r\n"].concat();
    let elements = [&b"*10000000\r\n"[..], &b":1\r\n".repeat(10_000_000)].concat();
    let line = [&b"+"[..], &vec![b'x'; 60_000_000]].concat();
    let nested = b"*1\r\n".repeat(10_000);
    let cases = [
        ("a text", bulk, "the reply is larger than requested"),
        ("elements", elements, "the reply is larger than requested"),
        ("a line", line, "the reply is larger than requested"),
        ("nesting", nested, "does not answer as a Redis server does"),
        ("a claim", claimed, "did not answer"),
    ];
    for (what, reply, said) in cases {
        let address = flood(reply);
        let running = keysweep(&["plan", "--json", "--redis", &format!("redis://{address}")]).start();
        let (ended, peak_kib) = running.end_with_peak();
        println!("{what}: {peak_kib} KiB");
        ended.exits(5).log_contains(&[said]);
        assert!((1..64 << 10).contains(&peak_kib), "{what}: {peak_kib} KiB\n{ended}");
    }
}
