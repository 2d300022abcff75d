//! Stale keys: outcomes, remaining keys, and idempotent repetition.

use keysweep_model::ids::BatchId;
use keysweep_model::messages::Action;
use keysweep_model::outcome::Outcome::{Deleted, Failed, Vanished};
use keysweep_redis::Reply;
use keysweep_redis::guard::{self, Act, BatchWindow, GuardMode};
use keysweep_testkit::contracts::guard::{DELETE, outcomes};

use super::bench::{Backend, Bench};

all_backends! {
    deleting_stale_keys_looks_each_up_once_and_leaves_no_other_trace,
    what_was_done_can_be_recalled_from_a_server_that_takes_no_writes,
}

impl Bench {
    async fn stat(&self, name: &str) -> u64 {
        let Reply::BulkString(text) = self.conn.info_text("INFO stats").await.unwrap() else {
            panic!("no text")
        };
        let text = String::from_utf8(text).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.expect("such a counter").trim().parse().unwrap()
    }
}

#[tokio::test]
async fn it_works_when_memory_is_used_up() {
    let bench = Bench::new(Backend::Slot, &[b"stale", b"gone"]).await;
    bench.set(b"stale").await;
    for setting in ["maxmemory-policy noeviction", "maxmemory 1"] {
        bench.conn.info_text(&format!("CONFIG SET {setting}")).await.unwrap();
    }
    let refused = bench.conn.info_text("SET other value").await.unwrap_err();
    assert!(refused.to_string().contains("OOM"), "{refused}");
    assert_eq!(bench.call(DELETE).await, outcomes(&[Deleted, Vanished]));
    assert_eq!(bench.call(DELETE).await, outcomes(&[Deleted, Vanished]));
    assert!(!bench.exists(b"stale").await && bench.exists(&bench.ledger()).await);
}

async fn deleting_stale_keys_looks_each_up_once_and_leaves_no_other_trace(backend: Backend) {
    let names: Vec<Vec<u8>> = (0..1_000).map(|n| format!("stale:{n}").into_bytes()).collect();
    let bench = Bench::new(backend, &names.iter().map(Vec::as_slice).collect::<Vec<_>>()).await;
    for name in &names {
        bench.set(name).await;
    }
    let before = bench.lookups().await;
    // The maximum of one call.
    assert_eq!(bench.call(DELETE).await, outcomes(&[Deleted; 1_000]));
    let after = bench.lookups().await;
    // Without a script, the ledger is read separately.
    let ledger = u64::from(backend == Backend::Transactions);
    assert_eq!((after.hits, after.misses), (before.hits + 1_000 + ledger, before.misses));
    assert_eq!((bench.stat("expired_keys").await, bench.stat("evicted_keys").await), (0, 0));
    assert_eq!(bench.number(&[b"DBSIZE"]).await, 1, "only the ledger");
}

#[tokio::test]
async fn what_the_server_refuses_half_way_is_an_error_and_not_recorded_as_done() {
    let bench = Bench::new(Backend::Slot, &[b"stale", b"fresh"]).await;
    bench.set(b"stale").await;
    let expire = Action::Expire { ttl_ms: 9, jitter_ms: 0 };
    let all = "ACL SETUSER default -@all +info +time +pttl +get +set +exists +evalsha +acl";
    for (mode, right) in [(DELETE, "+pexpire"), (GuardMode::Act(Act::plain(expire)), "+unlink")] {
        bench.conn.info_text(&format!("{all} {right}")).await.unwrap();
        let window = BatchWindow { batch: BatchId::new(), ..bench.window };
        let refused = bench.try_in(window, mode).await;
        let said = refused.unwrap_err().to_string();
        // The messages of Redis 7.0, and of later versions.
        assert!(said.contains("can't run this command") || said.contains("no permissions"), "{said}");
        assert_eq!(bench.call_in(window, mode).await, outcomes(&[Failed, Vanished]));
        bench.conn.info_text("ACL SETUSER default +@all").await.unwrap();
        assert_eq!(bench.number(&[b"PTTL", b"stale"]).await, -1, "nothing happened to it");
    }
}

async fn what_was_done_can_be_recalled_from_a_server_that_takes_no_writes(backend: Backend) {
    let bench = Bench::new(backend, &[b"stale", b"gone"]).await;
    bench.set(b"stale").await;
    assert_eq!(bench.call(DELETE).await, outcomes(&[Deleted, Vanished]));
    bench.conn.info_text("CONFIG SET min-replicas-to-write 1").await.unwrap();
    let ledgers = [7, 8].map(|group| (backend.ledger(bench.window.batch, group, bench.group.slot), 2));
    let recalled = guard::read_ledgers(&bench.conn, bench.window.run, &ledgers).await.unwrap();
    assert_eq!(recalled, [Some(outcomes(&[Deleted, Vanished])), None], "group 8 was never tried");
}
