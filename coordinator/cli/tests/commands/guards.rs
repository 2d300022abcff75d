//! Servers that are unfit for a run, and runs that need confirmation: refused with a reason before anything is
//! changed, or executed if possible.

use std::time::{Duration, Instant};

use keysweep_servers::{ClusterServers, Server};

use crate::cli::deployment::{DIGEST, TestDeployment};
use crate::cli::{Ended, keysweep, on_terminal};

pub fn run(url: &str, more: &[&str]) -> Ended {
    let args = ["run", "--yes", "--json", "--grace", "0s", "--redis", url];
    keysweep(&args.iter().chain(more).copied().collect::<Vec<_>>()).run()
}

/// Waits until INFO of the server contains `what`.
pub async fn until(server: &Server, what: &str) {
    let conn = server.conn().await.unwrap();
    let since = Instant::now();
    while !format!("{:?}", conn.info_text("INFO").await.unwrap()).contains(what) {
        assert!(since.elapsed() < Duration::from_secs(15), "it never said {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica() {
    let primary = Server::start(&DIGEST).await.unwrap();
    let replica = Server::start(&["--repl-diskless-sync-delay", "0"]).await.unwrap();
    let place = TestDeployment::standalone(&primary).await;
    let stale = place.seed(300).await;
    let before = place.digest().await;
    replica
        .conn()
        .await
        .unwrap()
        .info_text(&format!("REPLICAOF 127.0.0.1 {}", primary.port()))
        .await
        .unwrap();
    until(&replica, "master_link_status:up").await;
    let address = format!("127.0.0.1:{}", primary.port());
    run(&replica.url(), &[]).fails(1, &["is a replica", &address, &replica.url()[8..]]);
    let looked = run(&replica.url(), &["--dry-run"]);
    assert_eq!(looked.exits(0).result("completed")["accounting"]["reported"], stale, "{looked}");
    assert_eq!(place.digest().await, before);
    // A primary with fewer replicas than it requires rejects writes.
    place.all("CONFIG SET min-replicas-to-write 5").await;
    run(place.url(), &[]).fails(1, &["takes no writes", "NOREPLICAS", "--dry-run"]);
    assert_eq!(place.digest().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_and_a_full_memory() {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gone-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let args = [DIGEST[0], DIGEST[1], "--dir", dir.to_str().expect("the path is UTF-8")];
    let server = Server::start(&args).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let stale = place.seed(300).await;
    // Its snapshots fail, so it rejects writes: a full disk has the same effect.
    std::fs::remove_dir_all(&dir).unwrap();
    let conn = server.conn().await.unwrap();
    conn.command(&[b"CONFIG", b"SET", b"save", b"3600 1"]).await.unwrap();
    conn.info_text("BGSAVE").await.unwrap();
    until(&server, "rdb_last_bgsave_status:err").await;
    let before = place.digest().await;
    run(place.url(), &[]).fails(1, &[&place.url()[8..], "takes no writes", "MISCONF"]);
    assert_eq!(place.digest().await, before);
    run(place.url(), &["--dry-run"]).exits(0).result("completed");
    place.all("CONFIG SET stop-writes-on-bgsave-error no").await;
    // Deleting frees memory, so it works with full memory.
    place.all("CONFIG SET maxmemory 1").await;
    assert!(conn.info_text("SET a b").await.is_err(), "the memory is full");
    assert_eq!(run(place.url(), &[]).exits(0).result("completed")["cleanedKeys"], stale);
    assert_eq!(place.keys("keysweep:*").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_without_databases_and_disk_errors_on_every_node() {
    let cluster = ClusterServers::start_with(3, 0, &DIGEST, None).await.unwrap();
    let place = TestDeployment::cluster(&cluster).await;
    place.seed(300).await;
    let before = place.digest().await;
    // Clusters of Valkey 9 support numbered databases, but have one by default.
    let numbered = place.knows_cluster_databases().await;
    let said = if numbered {
        ["no such database", "`CONFIG GET cluster-databases`"]
    } else {
        ["only database 0", "leave `--db` out"]
    };
    run(place.url(), &["--db", "3"]).fails(2, &["`--db 3`", "redis at `127.0.0.1:", said[0], said[1]]);
    run(&format!("{}/3", place.url()), &[]).fails(2, &said);
    place.all("CONFIG SET min-replicas-to-write 1").await;
    run(place.url(), &[]).fails(1, &["takes no writes", "NOREPLICAS"]);
    assert_eq!(place.digest().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_without_confirmation_is_refused() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let stale = place.seed(300).await;
    let before = place.digest().await;
    let url = place.url().to_owned();
    // Off a terminal.
    let ended = keysweep(&["run", "--json", "--redis", &url]).run();
    ended.fails(4, &["there is no terminal to confirm on", "keysweep plan", "--yes"]);
    // More than the limit, with and without --yes.
    let ended = run(&url, &["--max-delete-percent", "5"]);
    ended.fails(4, &["30 of 300", "limit of 5 %", "--max-delete-percent 10", "--dry-run"]);
    // On a terminal.
    for (answer, code, text) in
        [("n\r", 4, "was not confirmed"), ("\r", 4, "not confirmed"), ("\u{3}", 130, "SIGINT")]
    {
        let mut running = on_terminal(&["run", "--redis", &url]).start();
        running.wait_for("Delete 30 keys (").wait_for("KiB) on 127.0.0.1:").wait_for("? [y/N]").types(answer);
        let ended = running.end();
        assert!(ended.exits(code).stdout.contains(text), "{ended}");
    }
    assert_eq!(place.digest().await, before);
    // A dry run needs no confirmation.
    assert_eq!(
        keysweep(&["run", "--dry-run", "--json", "--redis", &url]).run().exits(0).json()["dryRun"],
        true
    );
    assert_eq!(place.digest().await, before);
    let mut running = on_terminal(&["run", "--grace", "0s", "--redis", &url]).start();
    running.wait_for("Delete 30 keys (").wait_for("KiB) on 127.0.0.1:").wait_for("? [y/N]").types("y\r");
    let ended = running.end();
    let page = &ended.exits(0).stdout;
    assert!(page.contains("30 keys would be deleted (10.0%), within the limit of 50%"), "{ended}");
    assert!(page.contains("completed") && page.contains("balanced"), "{ended}");
    assert!(!page.contains("Issues detected"), "they stand on the page already\n{ended}");
    assert_eq!(place.keys("permissions:*").await as u64, 300 - stale);
}
