//! Stale keys: outcomes, remaining keys, and idempotent repetition.

use std::time::Duration;

use keysweep_model::ids::BatchId;
use keysweep_model::messages::{Action, Lookups, Reason};
use keysweep_model::outcome::Outcome::{
    self, Deleted, Expired, Failed, Spared, Unconfirmed, Unreached, Vanished,
};
use keysweep_redis::Throttle;
use keysweep_redis::guard::{
    self, Act, BatchWindow, Guard, GuardCall, GuardMode, GuardReply, GuardVerdict, Part,
};
use keysweep_redis::{RedisError, Reply, node};

use super::bench::{Backend, Bench};

pub(super) const DELETE: GuardMode<'static> = act(Action::Delete);

const fn act(stale: Action) -> GuardMode<'static> {
    GuardMode::Act(Act::plain(stale))
}

all_backends! {
    each_candidate_gets_its_letter_and_asking_again_changes_nothing,
    the_ledger_lives_until_the_batch_may_no_longer_act,
    a_batch_that_is_too_old_does_nothing_whatever_it_did_before,
    a_batch_that_is_too_early_does_nothing_and_says_how_long_to_wait,
    what_is_sealed_stays_sealed_and_what_is_done_stays_done,
    expire_gives_each_stale_key_a_ttl_once,
    deleting_stale_keys_looks_each_up_once_and_leaves_no_other_trace,
    look_ups_are_known,
    what_a_lost_ledger_leaves_is_changed_or_unconfirmed,
    a_ttl_that_an_earlier_attempt_may_have_set_is_unconfirmed,
    a_call_that_died_half_way_is_not_taken_for_done,
    what_was_done_can_be_recalled_from_a_server_that_takes_no_writes,
}

impl Bench {
    pub(super) async fn call(&self, mode: GuardMode<'_>) -> GuardVerdict {
        self.call_in(self.window, mode).await
    }

    async fn call_in(&self, window: BatchWindow, mode: GuardMode<'_>) -> GuardVerdict {
        self.answer_in(window, mode).await.verdict
    }

    async fn answer_in(&self, window: BatchWindow, mode: GuardMode<'_>) -> GuardReply {
        self.try_in(window, mode).await.unwrap()
    }

    pub(super) async fn try_in(
        &self,
        window: BatchWindow,
        mode: GuardMode<'_>,
    ) -> Result<GuardReply, RedisError> {
        self.try_part(window, self.backend.part(window.batch, 7, &self.group, mode, None)).await
    }

    async fn try_part(&self, window: BatchWindow, part: Part<'_>) -> Result<GuardReply, RedisError> {
        let call = GuardCall { window, parts: &[part] };
        self.means.call(&self.conn, call).await.unwrap().remove(0)
    }

    /// A call after an earlier attempt whose ledger may be lost.
    async fn answer_in_doubt(&self, mode: GuardMode<'_>) -> GuardReply {
        let part = self.backend.part(self.window.batch, 7, &self.group, mode, None);
        self.try_part(self.window, Part { doubtful: true, ..part }).await.unwrap()
    }

    fn ledger(&self) -> Vec<u8> {
        self.backend.ledger(self.window.batch, 7, self.group.slot).key(self.window.run)
    }

    async fn number(&self, args: &[&[u8]]) -> i64 {
        match self.conn.command(args).await.unwrap() {
            Reply::Int(number) => number,
            other => panic!("{other:?}"),
        }
    }

    async fn set(&self, key: &[u8]) {
        self.conn.command(&[b"SET", key, b"value"]).await.unwrap();
    }

    async fn exists(&self, key: &[u8]) -> bool {
        self.number(&[b"EXISTS", key]).await == 1
    }

    async fn stat(&self, name: &str) -> u64 {
        let Reply::BulkString(text) = self.conn.info_text("INFO stats").await.unwrap() else {
            panic!("no text")
        };
        let text = String::from_utf8(text).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.expect("such a counter").trim().parse().unwrap()
    }
}

pub(super) fn outcomes(expected: &[Outcome]) -> GuardVerdict {
    GuardVerdict::Outcomes(expected.to_vec())
}

async fn each_candidate_gets_its_letter_and_asking_again_changes_nothing(backend: Backend) {
    let bench = Bench::new(backend, &[b"stale", b"fresh", b"gone", b"\xff\x00\r\n"]).await;
    bench.set(b"stale").await;
    bench.set(b"\xff\x00\r\n").await;
    bench.conn.info_text("SET fresh value PX 3600000").await.unwrap();
    let expected = outcomes(&[Deleted, Spared, Vanished, Deleted]);
    assert_eq!(bench.call(DELETE).await, expected);
    assert!(
        !bench.exists(b"stale").await && !bench.exists(b"\xff\x00\r\n").await && bench.exists(b"fresh").await
    );
    assert!(bench.number(&[b"PTTL", b"fresh"]).await > 3_000_000, "its own TTL stays");
    // Written again since: they are other keys now, which this batch must not touch.
    for key in [b"stale".as_slice(), b"gone"] {
        bench.set(key).await;
    }
    for _ in 0..3 {
        assert_eq!(bench.call(DELETE).await, expected);
    }
    assert!(bench.exists(b"stale").await && bench.exists(b"gone").await);
    assert_eq!(bench.number(&[b"PTTL", b"stale"]).await, -1);
}

async fn the_ledger_lives_until_the_batch_may_no_longer_act(backend: Backend) {
    let bench = Bench::new(backend, &[b"stale"]).await;
    bench.set(b"stale").await;
    bench.call(DELETE).await;
    let ledger = bench.ledger();
    // PEXPIRETIME would return it, but not in Redis 6.2.
    let before = node::time_ms(&bench.conn).await.unwrap();
    let left = bench.number(&[b"PTTL", &ledger]).await.unsigned_abs();
    let after = node::time_ms(&bench.conn).await.unwrap();
    assert!(
        (before + left..=after + left + 1).contains(&bench.window.not_after_ms),
        "{before} {left} {after}"
    );
    assert_eq!(bench.conn.command(&[b"GET", &ledger]).await.unwrap(), Reply::BulkString(b"d".to_vec()));
    let ledgers = [7, 8].map(|group| backend.ledger(bench.window.batch, group, bench.group.slot));
    let dropped = guard::drop_ledgers(&bench.conn, bench.window.run, &ledgers, Throttle::NONE).await.unwrap();
    assert_eq!(dropped, 1, "there is none of group 8");
    assert!(!bench.exists(&ledger).await);
}

async fn a_batch_that_is_too_old_does_nothing_whatever_it_did_before(backend: Backend) {
    let mut bench = Bench::new(backend, &[b"stale"]).await;
    bench.set(b"stale").await;
    let now = node::time_ms(&bench.conn).await.unwrap();
    let past = BatchWindow { not_after_ms: now, ..bench.window };
    for mode in [DELETE, GuardMode::Finalize(Failed)] {
        assert_eq!(bench.call_in(past, mode).await, GuardVerdict::TooLate);
    }
    assert_eq!((bench.exists(b"stale").await, bench.exists(&bench.ledger()).await), (true, false));
    // One that acts in time, and is repeated too late.
    bench.window.not_after_ms = now + 400;
    assert_eq!(bench.call(DELETE).await, outcomes(&[Deleted]));
    bench.set(b"stale").await;
    while node::time_ms(&bench.conn).await.unwrap() < bench.window.not_after_ms {
        assert!(bench.exists(b"stale").await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(bench.call(DELETE).await, GuardVerdict::TooLate);
    assert!(bench.exists(b"stale").await);
}

async fn a_batch_that_is_too_early_does_nothing_and_says_how_long_to_wait(backend: Backend) {
    let bench = Bench::new(backend, &[b"stale"]).await;
    bench.set(b"stale").await;
    let now = node::time_ms(&bench.conn).await.unwrap();
    let window = BatchWindow { not_before_ms: now + 30_000, ..bench.window };
    let GuardVerdict::TooEarly(ms) = bench.call_in(window, DELETE).await else { panic!("it acted") };
    assert!((1..=30_000).contains(&ms), "{ms}");
    assert_eq!((bench.exists(b"stale").await, bench.exists(&bench.ledger()).await), (true, false));
    // Finalizing need not wait.
    assert_eq!(bench.call_in(window, GuardMode::Finalize(Unreached)).await, outcomes(&[Unreached]));
}

async fn what_is_sealed_stays_sealed_and_what_is_done_stays_done(backend: Backend) {
    let bench = Bench::new(backend, &[b"stale", b"gone"]).await;
    bench.set(b"stale").await;
    assert_eq!(bench.call(GuardMode::Finalize(Unreached)).await, outcomes(&[Unreached; 2]));
    assert_eq!(bench.call(DELETE).await, outcomes(&[Unreached; 2]), "sealed before it acted");
    assert!(bench.exists(b"stale").await);
    assert_eq!(bench.number(&[b"PTTL", b"stale"]).await, -1);

    let other = BatchWindow { batch: BatchId::new(), ..bench.window };
    assert_eq!(bench.call_in(other, DELETE).await, outcomes(&[Deleted, Vanished]));
    assert_eq!(
        bench.call_in(other, GuardMode::Finalize(Failed)).await,
        outcomes(&[Deleted, Vanished]),
        "acted before"
    );
}

async fn expire_gives_each_stale_key_a_ttl_once(backend: Backend) {
    let bench = Bench::new(backend, &[b"stale", b"fresh", b"gone"]).await;
    bench.set(b"stale").await;
    bench.conn.info_text("SET fresh value PX 3600000").await.unwrap();
    let mode = act(Action::Expire { ttl_ms: 600_000, jitter_ms: 60_000 });
    let before = node::time_ms(&bench.conn).await.unwrap();
    assert_eq!(bench.call(mode).await, outcomes(&[Expired, Spared, Vanished]));
    let left = bench.number(&[b"PTTL", b"stale"]).await.unsigned_abs();
    let after = node::time_ms(&bench.conn).await.unwrap();
    assert!((before + 600_000..=after + 660_000).contains(&(after + left)), "{left}");
    bench.conn.info_text("PEXPIRE stale 5000000").await.unwrap();
    assert_eq!(bench.call(mode).await, outcomes(&[Expired, Spared, Vanished]));
    assert!(bench.number(&[b"PTTL", b"stale"]).await > 4_000_000, "the TTL that it has got since");
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

async fn look_ups_are_known(backend: Backend) {
    let bench = Bench::new(backend, &[b"stale", b"fresh", b"gone", b"gone too"]).await;
    bench.set(b"stale").await;
    bench.conn.info_text("SET fresh value PX 3600000").await.unwrap();
    let before = bench.lookups().await;
    let GuardReply { verdict, extra_lookups: extra } = bench.answer_in(bench.window, DELETE).await;
    let GuardVerdict::Outcomes(done) = verdict else { panic!("no outcomes") };
    let counted = bench.lookups_since(before).await;
    let mut reported = guard::lookups(Reason::Stale, false, None, &done);
    assert_eq!(reported, Lookups::of(2, 2));
    reported += extra;
    assert_eq!(counted, reported);
}

/// Of the keys that were deleted, one is missing, one was written again, and one was written again with a TTL.
async fn what_a_lost_ledger_leaves_is_changed_or_unconfirmed(backend: Backend) {
    let names = [b"missing".as_slice(), b"stale again", b"expires", b"gone before"];
    let bench = Bench::new(backend, &names).await;
    for name in &names[..3] {
        bench.set(name).await;
    }
    assert_eq!(bench.call(DELETE).await, outcomes(&[Deleted, Deleted, Deleted, Vanished]));
    bench.conn.info_text("FLUSHALL").await.unwrap();
    bench.set(b"stale again").await;
    bench.conn.info_text("SET expires value PX 3600000").await.unwrap();
    let before = bench.lookups().await;
    let GuardReply { verdict, extra_lookups } = bench.answer_in_doubt(DELETE).await;
    let counted = bench.lookups_since(before).await;
    let expected = [Unconfirmed, Deleted, Unconfirmed, Unconfirmed];
    assert_eq!(verdict, outcomes(&expected));
    assert!(bench.exists(b"expires").await && !bench.exists(b"stale again").await);
    let mut reported = guard::lookups(Reason::Stale, false, None, &expected);
    reported += extra_lookups;
    assert_eq!(counted, reported);
    // The new ledger records it: whoever comes later does not count them as vanished or spared.
    assert_eq!(bench.call(DELETE).await, outcomes(&expected));
}

async fn a_ttl_that_an_earlier_attempt_may_have_set_is_unconfirmed(backend: Backend) {
    let bench = Bench::new(backend, &[b"stale"]).await;
    bench.set(b"stale").await;
    let expire = act(Action::Expire { ttl_ms: 90_000, jitter_ms: 0 });
    assert_eq!(bench.call(expire).await, outcomes(&[Expired]));
    bench.conn.command(&[b"UNLINK", &bench.ledger()]).await.unwrap();
    assert_eq!(bench.answer_in_doubt(expire).await.verdict, outcomes(&[Unconfirmed]));
}

#[tokio::test]
async fn what_the_server_refuses_half_way_is_an_error_and_not_recorded_as_done() {
    let bench = Bench::new(Backend::Slot, &[b"stale", b"fresh"]).await;
    bench.set(b"stale").await;
    let all = "ACL SETUSER default -@all +info +time +pttl +get +set +exists +evalsha +acl";
    for (mode, right) in [(DELETE, "+pexpire"), (act(Action::Expire { ttl_ms: 9, jitter_ms: 0 }), "+unlink")]
    {
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

async fn a_call_that_died_half_way_is_not_taken_for_done(backend: Backend) {
    let bench = Bench::new(backend, &[b"stale"]).await;
    bench.set(b"stale").await;
    let end = bench.window.not_after_ms.to_string();
    bench.conn.command(&[b"SET", &bench.ledger(), b"", b"PXAT", end.as_bytes()]).await.unwrap();
    assert_eq!(bench.call(DELETE).await, GuardVerdict::Incomplete);
    assert!(bench.exists(b"stale").await);
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
