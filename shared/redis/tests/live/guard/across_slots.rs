//! Node ledgers in a cluster: one call for keys of several slots, and what cannot be done with it.

use keysweep_model::ids::BatchId;
use keysweep_model::key::Key;
use keysweep_model::ledger::{Ledger, LedgerKind};
use keysweep_model::messages::{Action, DeleteBackend, Reason};
use keysweep_model::outcome::Outcome::{self, Deleted, Expired, Spared, Unconfirmed, Vanished};
use keysweep_model::slot::slot_of;
use keysweep_redis::guard::{
    Act, BatchWindow, Candidate, Guard, GuardCall, GuardExecutor, GuardMode, GuardVerdict, Part,
};
use keysweep_redis::{Conn, RedisErrorKind, Reply};
use keysweep_servers::ClusterServers;
use keysweep_testkit::reshard::Reshard;

use super::bench::window;

const DELETE: GuardMode<'static> = act(Action::Delete);

const fn act(stale: Action) -> GuardMode<'static> {
    GuardMode::Act(Act::plain(stale))
}

/// A cluster of two primaries, and keys that the first one serves, each in another slot.
struct Bench {
    servers: ClusterServers,
    conn: Conn,
    guard: GuardExecutor,
    window: BatchWindow,
    keys: Vec<Key>,
}

impl Bench {
    /// `None`, with a message, if the server refuses such scripts.
    async fn new(keys: usize) -> Option<Self> {
        let servers = ClusterServers::start(2, 0).await.unwrap();
        let conn = servers.nodes()[0].conn().await.unwrap();
        let guard = GuardExecutor::prepare(&conn, DeleteBackend::Lua, [0, 8_000]).await.unwrap();
        if !guard.crosses_slots() {
            println!("skipped: this server refuses scripts with keys of several slots");
            return None;
        }
        let window = window(&conn).await;
        let mut seen = Vec::new();
        let names = (0..).map(|n| Key::new(format!("key:{n}"))).filter(|key| {
            let slot = slot_of(key.as_bytes());
            let is_new = slot < 8_000 && !seen.contains(&slot);
            seen.push(slot);
            is_new
        });
        let keys: Vec<Key> = names.take(keys).collect();
        let bench = Self { servers, conn, guard, window, keys };
        for key in &bench.keys {
            bench.send(&[b"SET", key.as_bytes(), b"value"]).await;
        }
        Some(bench)
    }

    async fn send(&self, args: &[&[u8]]) -> Reply {
        self.conn.command(args).await.unwrap_or_else(|e| panic!("{e}"))
    }

    async fn exists(&self, key: &Key) -> bool {
        self.send(&[b"EXISTS", key.as_bytes()]).await == Reply::Int(1)
    }

    fn slot(&self, index: usize) -> u16 {
        slot_of(self.keys[index].as_bytes())
    }

    /// All keys with a ledger in the slot of the first one.
    fn part<'a>(&'a self, mode: GuardMode<'a>) -> Part<'a> {
        let candidate = |key| Candidate { key, expires_at_ms: 0, user_active: None, expected: None };
        Part {
            ledger: Ledger { kind: LedgerKind::Node, batch: self.window.batch, group: 0, slot: self.slot(0) },
            recorded: self.keys.len(),
            before: 0,
            reason: Reason::Stale,
            mode,
            doubtful: false,
            candidates: self.keys.iter().map(candidate).collect(),
        }
    }

    async fn call(&self, part: Part<'_>) -> GuardVerdict {
        self.call_at(&self.guard, &self.conn, part).await
    }

    async fn call_at(&self, guard: &GuardExecutor, conn: &Conn, part: Part<'_>) -> GuardVerdict {
        let call = GuardCall { window: self.window, parts: &[part] };
        guard.call(conn, call).await.unwrap().remove(0).unwrap().verdict
    }
}

fn outcomes(expected: &[Outcome]) -> GuardVerdict {
    GuardVerdict::Outcomes(expected.to_vec())
}

#[tokio::test]
async fn one_call_acts_in_many_slots_and_a_repetition_changes_nothing() {
    let Some(bench) = Bench::new(500).await else { return };
    let mut expected = vec![Deleted; 500];
    bench.send(&[b"PEXPIRE", bench.keys[7].as_bytes(), b"600000"]).await;
    bench.send(&[b"UNLINK", bench.keys[9].as_bytes()]).await;
    (expected[7], expected[9]) = (Spared, Vanished);
    assert_eq!(bench.call(bench.part(DELETE)).await, outcomes(&expected));
    assert_eq!(bench.send(&[b"DBSIZE"]).await, Reply::Int(2), "one key and the ledger");
    bench.send(&[b"SET", bench.keys[0].as_bytes(), b"new"]).await;
    for mode in [DELETE, GuardMode::Finalize(Outcome::Failed), GuardMode::Elsewhere] {
        assert_eq!(bench.call(bench.part(mode)).await, outcomes(&expected));
    }
    assert!(bench.exists(&bench.keys[0]).await);
}

#[tokio::test]
async fn ttls_are_set_in_many_slots() {
    let Some(bench) = Bench::new(50).await else { return };
    let part = bench.part(act(Action::Expire { ttl_ms: 600_000, jitter_ms: 0 }));
    assert_eq!(bench.call(part).await, outcomes(&[Expired; 50]));
    for key in &bench.keys {
        let Reply::Int(left) = bench.send(&[b"PTTL", key.as_bytes()]).await else { panic!("no number") };
        assert!((500_000..=600_000).contains(&left), "{left}");
    }
}

/// Key 2 is in a slot that this node does not serve any more; key 3 is in a slot that moves, and was moved already.
#[tokio::test]
async fn keys_of_other_nodes_are_left_to_their_slots_for_good() {
    let Some(bench) = Bench::new(6).await else { return };
    bench.servers.move_slot(bench.slot(2), 0, 1).await.unwrap();
    bench.servers.open_slot(bench.slot(3), 0, 1).await.unwrap();
    bench.servers.move_keys(bench.slot(3), 0, 1, 10).await.unwrap();
    bench.servers.open_slot(bench.slot(4), 0, 1).await.unwrap();
    let left = bench.call(bench.part(DELETE)).await;
    // Key 4 is still at this node. A script on Redis 8.0 cannot use it, because its slot moves.
    let expected = [Some(Deleted), None]
        .map(|of_4| [Some(Deleted), Some(Deleted), None, None, of_4, Some(Deleted)].to_vec());
    assert!(expected.map(GuardVerdict::Partial).contains(&left), "{left:?}");
    // The slot comes back with the key; the ledger has left it to the ledger of the slot.
    bench.servers.move_slot(bench.slot(2), 1, 0).await.unwrap();
    assert_eq!(bench.call(bench.part(DELETE)).await, left);
    assert!(bench.exists(&bench.keys[2]).await);
}

#[tokio::test]
async fn recorded_outcomes_move_with_the_slot_of_the_ledger() {
    let Some(bench) = Bench::new(3).await else { return };
    assert_eq!(bench.call(bench.part(DELETE)).await, outcomes(&[Deleted; 3]));
    bench.servers.move_slot(bench.slot(0), 0, 1).await.unwrap();
    let call = GuardCall { window: bench.window, parts: &[bench.part(DELETE)] };
    let refused = bench.guard.call(&bench.conn, call).await.unwrap().remove(0).unwrap_err();
    assert_eq!(refused.kind, RedisErrorKind::Moved);
    let there = bench.servers.nodes()[1].conn().await.unwrap();
    let guard = GuardExecutor::prepare(&there, DeleteBackend::Lua, [9_000, 16_000]).await.unwrap();
    assert_eq!(bench.call_at(&guard, &there, bench.part(DELETE)).await, outcomes(&[Deleted; 3]));
}

/// While the slot of the ledger moves, and at a node that imports it, the call is refused as a whole.
#[tokio::test]
async fn nothing_is_done_while_the_slot_of_the_ledger_moves() {
    let Some(bench) = Bench::new(3).await else { return };
    bench.servers.open_slot(bench.slot(0), 0, 1).await.unwrap();
    let there = bench.servers.nodes()[1].conn().await.unwrap();
    let guard = GuardExecutor::prepare(&there, DeleteBackend::Lua, [9_000, 16_000]).await.unwrap();
    for (guard, conn) in [(&bench.guard, &bench.conn), (&guard, &there)] {
        let call = GuardCall { window: bench.window, parts: &[bench.part(DELETE)] };
        let refused = guard.call(conn, call).await.unwrap().remove(0).unwrap_err();
        assert_eq!(refused.kind, RedisErrorKind::Moved, "{refused}");
    }
    for key in &bench.keys {
        assert!(bench.exists(key).await);
    }
    bench.servers.calm_slot(bench.slot(0), 0, 1).await.unwrap();
    assert_eq!(bench.call(bench.part(DELETE)).await, outcomes(&[Deleted; 3]));
}

/// A user that may read some keys and not change them.
#[tokio::test]
async fn a_refused_effect_is_left_to_its_slot_and_the_others_are_done() {
    let Some(bench) = Bench::new(4).await else { return };
    let keys: Vec<&str> = bench.keys.iter().map(|key| str::from_utf8(key.as_bytes()).unwrap()).collect();
    let rules = format!(
        "ACL SETUSER default resetkeys ~keysweep:* ~{} %R~{} ~{} ~{}",
        keys[0], keys[1], keys[2], keys[3]
    );
    bench.conn.info_text(&rules).await.unwrap();
    let left = GuardVerdict::Partial(vec![Some(Deleted), None, Some(Deleted), Some(Deleted)]);
    for mode in [DELETE, act(Action::Expire { ttl_ms: 9, jitter_ms: 0 })] {
        assert_eq!(bench.call(bench.part(mode)).await, left);
    }
    let own = Ledger { kind: LedgerKind::Slot, batch: bench.window.batch, group: 1, slot: bench.slot(1) };
    let candidates = vec![bench.part(DELETE).candidates[1].clone()];
    let part = Part { ledger: own, recorded: 1, candidates, ..bench.part(DELETE) };
    let call = GuardCall { window: bench.window, parts: &[part] };
    let refused = bench.guard.call(&bench.conn, call).await.unwrap().remove(0).unwrap_err();
    assert_eq!(refused.kind, RedisErrorKind::PermissionDenied, "{refused}");
    bench.conn.info_text("ACL SETUSER default allkeys").await.unwrap();
    assert!(bench.exists(&bench.keys[1]).await);
}

/// After an earlier attempt whose ledger is lost, a key that does not qualify may be one that it deleted, or one that was
/// written again since.
#[tokio::test]
async fn what_does_not_qualify_is_unconfirmed_if_the_ledger_may_be_lost() {
    let Some(bench) = Bench::new(3).await else { return };
    assert_eq!(bench.call(bench.part(DELETE)).await, outcomes(&[Deleted; 3]));
    let ledger = bench.part(DELETE).ledger.key(bench.window.run);
    bench.send(&[b"UNLINK", &ledger]).await;
    bench.send(&[b"SET", bench.keys[1].as_bytes(), b"new"]).await;
    let doubtful = || Part { doubtful: true, ..bench.part(DELETE) };
    bench.send(&[b"SET", bench.keys[2].as_bytes(), b"new", b"EX", b"1000"]).await;
    let expected = outcomes(&[Unconfirmed, Deleted, Unconfirmed]);
    assert_eq!(bench.call(doubtful()).await, expected);
    assert!(bench.exists(&bench.keys[2]).await);
    // It is recorded: a later attempt, which has no doubt, does not count them as vanished either.
    assert_eq!(bench.call(bench.part(DELETE)).await, expected);
}

/// At full memory, and where too few replicas are connected.
#[tokio::test]
async fn servers_that_refuse_writes_do_nothing_or_all() {
    let Some(bench) = Bench::new(3).await else { return };
    bench.conn.info_text("CONFIG SET min-replicas-to-write 1").await.unwrap();
    let call = GuardCall { window: bench.window, parts: &[bench.part(DELETE)] };
    let refused = bench.guard.call(&bench.conn, call).await.unwrap().remove(0).unwrap_err();
    assert_eq!(refused.kind, RedisErrorKind::NotWritable, "{refused}");
    bench.conn.info_text("CONFIG SET min-replicas-to-write 0").await.unwrap();
    bench.conn.info_text("CONFIG SET maxmemory-policy noeviction").await.unwrap();
    bench.conn.info_text("CONFIG SET maxmemory 1").await.unwrap();
    assert_eq!(bench.call(bench.part(DELETE)).await, outcomes(&[Deleted; 3]));
}

/// Errors inside a script do not disturb the next calls on its connection.
#[tokio::test]
async fn a_connection_is_usable_after_errors_in_a_script() {
    let Some(bench) = Bench::new(4).await else { return };
    bench.servers.move_slot(bench.slot(2), 0, 1).await.unwrap();
    for _ in 0..3 {
        let verdict = bench.call(bench.part(DELETE)).await;
        assert_eq!(verdict, GuardVerdict::Partial(vec![Some(Deleted), Some(Deleted), None, Some(Deleted)]));
    }
    let other = BatchWindow { batch: BatchId::new(), ..bench.window };
    let ledger = Ledger { batch: other.batch, ..bench.part(DELETE).ledger };
    let part = Part { ledger, ..bench.part(DELETE) };
    let call = GuardCall { window: other, parts: &[part] };
    let verdict = bench.guard.call(&bench.conn, call).await.unwrap().remove(0).unwrap().verdict;
    assert_eq!(verdict, GuardVerdict::Partial(vec![Some(Vanished), Some(Vanished), None, Some(Vanished)]));
}
