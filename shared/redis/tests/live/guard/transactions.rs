//! What guarded deletion by transactions relies on, and where its answers differ from those of the script.

use std::time::Duration;

use keysweep_model::outcome::Outcome::Deleted;
use keysweep_redis::{Batch, Reply, node};
use keysweep_servers::Server;
use keysweep_testkit::contracts::guard::{DELETE, outcomes};

use super::bench::{Backend, Bench};

#[tokio::test]
async fn transaction_is_rejected_without_its_ledger() {
    let server = Server::start(&[]).await.unwrap();
    let conn = server.conn().await.unwrap();
    for ends in [true, false] {
        let now = node::time_ms(&conn).await.unwrap();
        let end = (now + if ends { 60 } else { 60_000 }).to_string();
        conn.info_text("SET key value").await.unwrap();
        conn.info_text(&format!("SET ledger ? PXAT {end}")).await.unwrap();
        let own = conn.dedicated().await.unwrap();
        own.info_text("WATCH ledger key").await.unwrap();
        if ends {
            tokio::time::sleep(Duration::from_millis(100)).await;
        } else {
            conn.info_text("UNLINK ledger").await.unwrap();
        }
        let mut batch = Batch::new();
        for command in [
            &[b"MULTI".as_slice()][..],
            &[b"SET", b"ledger", b"d", b"KEEPTTL"],
            &[b"UNLINK", b"key"],
            &[b"EXEC"],
        ] {
            batch.add(command);
        }
        assert_eq!(own.batch(batch).await.unwrap().last(), Some(&Reply::Nil));
        assert_eq!(conn.info_text("EXISTS key ledger").await.unwrap(), Reply::Int(1), "the key is there");
    }
}

#[tokio::test]
async fn server_rejection_is_an_error_without_effect() {
    let bench = Bench::new(Backend::Transactions, &[b"key:0", b"key:1", b"key:2"]).await;
    bench.conn.info_text("MSET key:0 a key:1 b key:2 c").await.unwrap();
    let refused_for = async |words: &str| {
        let said = bench.try_in(bench.window, DELETE).await.unwrap_err().to_string();
        assert!(said.contains(words), "{said}");
    };
    bench.conn.info_text("ACL SETUSER default -unlink").await.unwrap();
    refused_for("'unlink' command").await;
    bench.conn.info_text("ACL SETUSER default +@all").await.unwrap();
    bench.conn.info_text("CONFIG SET maxmemory 1").await.unwrap();
    refused_for("OOM").await;
    bench.conn.info_text("CONFIG SET maxmemory 0").await.unwrap();
    assert_eq!(bench.call(DELETE).await, outcomes(&[Deleted; 3]), "it was not done before");
}
