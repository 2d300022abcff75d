//! The contract of [`keysweep_redis::guard::Guard`] at every server, real or simulated: a script with a node ledger, a script
//! with the ledger of a slot, and transactions give the same outcomes, repetition is idempotent, and every lookup is counted.
//! A function panics if the contract is violated.

mod bench;

use std::time::Duration;

use keysweep_model::ids::BatchId;
use keysweep_model::messages::{Action, Lookups, Reason};
use keysweep_model::outcome::Outcome::{Deleted, Expired, Failed, Spared, Unconfirmed, Unreached, Vanished};
use keysweep_redis::guard::{self, Act, BatchWindow, GuardMode, GuardReply, GuardVerdict};
use keysweep_redis::{Reply, Throttle, node};

pub use self::bench::{Backend, GuardBench, GuardServer, counted, outcomes, since, window};

/// Calls the macro `$each` with what follows it and the names of all functions of the contract, so that no server lacks
/// one.
#[macro_export]
macro_rules! each_guard_contract {
    ($each:ident $($first:tt)*) => {
        $each! { $($first)*
            each_candidate_gets_its_letter_and_asking_again_changes_nothing,
            the_ledger_lives_until_the_batch_may_no_longer_act,
            a_batch_that_is_too_old_does_nothing_whatever_it_did_before,
            a_batch_that_is_too_early_does_nothing_and_says_how_long_to_wait,
            what_is_sealed_stays_sealed_and_what_is_done_stays_done,
            expire_gives_each_stale_key_a_ttl_once,
            look_ups_are_known,
            what_a_lost_ledger_leaves_is_changed_or_unconfirmed,
            a_ttl_that_an_earlier_attempt_may_have_set_is_unconfirmed,
            a_call_that_died_half_way_is_not_taken_for_done,
            an_attempt_continues_an_interrupted_one,
            a_server_that_lost_its_scripts_refuses_the_call_before_it_does_anything,
        }
    };
}

/// Deletes stale keys.
pub const DELETE: GuardMode<'static> = act(Action::Delete);

const fn act(stale: Action) -> GuardMode<'static> {
    GuardMode::Act(Act::plain(stale))
}

/// Outcomes are those of the keys, and a repeated call gives the same ones and touches nothing: it is idempotent.
pub async fn each_candidate_gets_its_letter_and_asking_again_changes_nothing(
    server: GuardServer,
    backend: Backend,
) {
    let bench = GuardBench::new(server, backend, &[b"stale", b"fresh", b"gone", b"\xff\x00\r\n"]).await;
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

/// A ledger expires when its batch may no longer act, and can be dropped before.
pub async fn the_ledger_lives_until_the_batch_may_no_longer_act(server: GuardServer, backend: Backend) {
    let bench = GuardBench::new(server, backend, &[b"stale"]).await;
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

/// After its window a batch changes nothing.
pub async fn a_batch_that_is_too_old_does_nothing_whatever_it_did_before(
    server: GuardServer,
    backend: Backend,
) {
    let mut bench = GuardBench::new(server, backend, &[b"stale"]).await;
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

/// Before its window a batch changes nothing.
pub async fn a_batch_that_is_too_early_does_nothing_and_says_how_long_to_wait(
    server: GuardServer,
    backend: Backend,
) {
    let bench = GuardBench::new(server, backend, &[b"stale"]).await;
    bench.set(b"stale").await;
    let now = node::time_ms(&bench.conn).await.unwrap();
    let window = BatchWindow { not_before_ms: now + 30_000, ..bench.window };
    let GuardVerdict::TooEarly(ms) = bench.call_in(window, DELETE).await else { panic!("it acted") };
    assert!((1..=30_000).contains(&ms), "{ms}");
    assert_eq!((bench.exists(b"stale").await, bench.exists(&bench.ledger()).await), (true, false));
    // Finalizing need not wait.
    assert_eq!(bench.call_in(window, GuardMode::Finalize(Unreached)).await, outcomes(&[Unreached]));
}

/// Finalizing settles what is not done, for good.
pub async fn what_is_sealed_stays_sealed_and_what_is_done_stays_done(server: GuardServer, backend: Backend) {
    let bench = GuardBench::new(server, backend, &[b"stale", b"gone"]).await;
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

/// A TTL is given once: one that a key has got since stays.
pub async fn expire_gives_each_stale_key_a_ttl_once(server: GuardServer, backend: Backend) {
    let bench = GuardBench::new(server, backend, &[b"stale", b"fresh", b"gone"]).await;
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

/// What the server counts as lookups is what outcomes imply and the reply adds.
pub async fn look_ups_are_known(server: GuardServer, backend: Backend) {
    let bench = GuardBench::new(server, backend, &[b"stale", b"fresh", b"gone", b"gone too"]).await;
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
pub async fn what_a_lost_ledger_leaves_is_changed_or_unconfirmed(server: GuardServer, backend: Backend) {
    let names = [b"missing".as_slice(), b"stale again", b"expires", b"gone before"];
    let bench = GuardBench::new(server, backend, &names).await;
    for name in &names[..3] {
        bench.set(name).await;
    }
    assert_eq!(bench.call(DELETE).await, outcomes(&[Deleted, Deleted, Deleted, Vanished]));
    bench.conn.command(&[b"UNLINK", &bench.ledger()]).await.unwrap();
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
    // The new ledger records it: a later call does not count them as vanished or spared.
    assert_eq!(bench.call(DELETE).await, outcomes(&expected));
}

/// In doubt, a key that does not qualify may have been changed by this batch.
pub async fn a_ttl_that_an_earlier_attempt_may_have_set_is_unconfirmed(
    server: GuardServer,
    backend: Backend,
) {
    let bench = GuardBench::new(server, backend, &[b"stale"]).await;
    bench.set(b"stale").await;
    let expire = act(Action::Expire { ttl_ms: 90_000, jitter_ms: 0 });
    assert_eq!(bench.call(expire).await, outcomes(&[Expired]));
    bench.conn.command(&[b"UNLINK", &bench.ledger()]).await.unwrap();
    assert_eq!(bench.answer_in_doubt(expire).await.verdict, outcomes(&[Unconfirmed]));
}

/// A ledger without outcomes says nothing of what was done.
pub async fn a_call_that_died_half_way_is_not_taken_for_done(server: GuardServer, backend: Backend) {
    let bench = GuardBench::new(server, backend, &[b"stale"]).await;
    bench.set(b"stale").await;
    bench.record(b"").await;
    assert_eq!(bench.call(DELETE).await, GuardVerdict::Incomplete);
    assert!(bench.exists(b"stale").await);
}

/// An attempt that was cut off is continued where it ended: what its ledger records is not done again.
pub async fn an_attempt_continues_an_interrupted_one(server: GuardServer, backend: Backend) {
    let keys = [b"key:0".as_slice(), b"key:1", b"key:2", b"key:3"];
    let bench = GuardBench::new(server, backend, &keys).await;
    for key in &keys[1..] {
        bench.set(key).await;
    }
    // A partially executed group: one is done, one is spared, the rest is open.
    bench.record(b"d.s.").await;
    let begun = GuardVerdict::Partial(vec![Some(Deleted), None, Some(Spared), None]);
    assert_eq!(bench.recalled().await, Some(begun));
    assert_eq!(bench.call(DELETE).await, outcomes(&[Deleted, Deleted, Spared, Deleted]));
    for (key, there) in keys.iter().zip([false, false, true, false]) {
        assert_eq!(bench.exists(key).await, there, "key:2 was spared");
    }
    // Finalizing keeps what is done.
    bench.record(b"d.s.").await;
    let sealed = outcomes(&[Deleted, Unreached, Spared, Unreached]);
    assert_eq!(bench.call(GuardMode::Finalize(Unreached)).await, sealed);
    // If nothing is done, it reports that.
    bench.record(b"....").await;
    assert_eq!(bench.recalled().await, Some(GuardVerdict::Partial(vec![None; 4])));
}

/// A server loses its scripts when it starts again, or by SCRIPT FLUSH. Transactions need none.
pub async fn a_server_that_lost_its_scripts_refuses_the_call_before_it_does_anything(
    server: GuardServer,
    backend: Backend,
) {
    let bench = GuardBench::new(server, backend, &[b"stale"]).await;
    bench.set(b"stale").await;
    bench.conn.command(&[b"SCRIPT", b"FLUSH"]).await.unwrap();
    let reply = bench.try_in(bench.window, DELETE).await;
    let is_there = (bench.exists(b"stale").await, bench.exists(&bench.ledger()).await);
    if backend == Backend::Transactions {
        assert_eq!((reply.unwrap().verdict, is_there), (outcomes(&[Deleted]), (false, true)));
        return;
    }
    let fault = reply.unwrap_err();
    assert!(fault.kind.is_refusal(), "{fault}");
    assert_eq!(is_there, (true, false));
}
