//! Keys that are saved before: nothing else is deleted than what was saved.

use shared::cluster::guard::{self, Act, Answer, Means, Mode, Part, Seal, Verdict, Window};
use shared::cluster::{Conn, node, save};
use shared::ids::{BatchId, RunId};
use shared::key::Key;
use shared::messages::{Action, Group, Lookups, Reason, Way};
use shared::outcome::Outcome::{self, Deleted, Failed, Spared, Vanished};
use shared::servers::Server;
use shared::slot::slot_of;

const ACT: Act = Act { stale: Action::Delete, near_expiry_ms: 0, idle_ms: None };

both_ways! {
    what_has_changed_since_it_was_saved_is_spared,
    what_is_left_to_a_later_call_is_decided_there_and_only_once,
    a_ledger_that_was_begun_can_be_recalled,
}

/// A server that is ready to be acted at, and a batch that may act for a minute.
struct Bench {
    _server: Server,
    conn: Conn,
    means: Means,
    window: Window,
    group: Group,
}

impl Bench {
    async fn new(way: Way, keys: &[&str]) -> Self {
        let server = Server::start(&[]).await.expect("a server can be started");
        let conn = server.conn().await.unwrap();
        let means = Means::prepare(&conn, way).await.unwrap();
        let now = node::time_ms(&conn).await.unwrap();
        let window = Window {
            run: RunId::new(),
            batch: BatchId::new(),
            not_before_ms: now,
            not_after_ms: now + 60_000,
        };
        let keys = keys.iter().map(|key| Key::new(*key)).collect();
        let group = Group { slot: slot_of(b""), reason: Reason::Stale, expires_at_ms: Vec::new(), keys };
        Self { _server: server, conn, means, window, group }
    }

    async fn say(&self, command: &str) {
        self.conn.words(command).await.unwrap();
    }

    /// The seals of what the keys hold now.
    async fn seals(&self) -> Vec<Seal> {
        let keys: Vec<&Key> = self.group.keys.iter().collect();
        let sizes = save::sizes(&self.conn, &keys).await.unwrap();
        let sized: Vec<(&Key, u64)> =
            keys.into_iter().zip(sizes.into_iter().map(Option::unwrap_or_default)).collect();
        let before = self.lookups().await;
        let (values, lookups) = save::values(&self.conn, &sized).await.unwrap();
        assert_eq!(self.lookups_since(before).await, lookups);
        values.into_iter().map(|held| held.map_or(Seal::Absent, |held| held.seal)).collect()
    }

    async fn call(&self, seals: Vec<Seal>) -> Verdict {
        self.answer(&seals, false).await.verdict
    }

    async fn answer(&self, seals: &[Seal], again: bool) -> Answer {
        let part = Part { number: 7, group: &self.group, seals: Some(seals) };
        let mode = Mode::Act(ACT);
        self.means.call(&self.conn, (self.window, mode), &[part], again).await.unwrap().remove(0).unwrap()
    }

    async fn seal(&self, outcome: Outcome) -> Verdict {
        let (mode, part) = (Mode::Seal(outcome), Part::from(&(7, &self.group)));
        self.means
            .call(&self.conn, (self.window, mode), &[part], false)
            .await
            .unwrap()
            .remove(0)
            .unwrap()
            .verdict
    }

    /// The keys that are there, by their places.
    async fn there(&self) -> Vec<usize> {
        let keys: Vec<&Key> = self.group.keys.iter().collect();
        let sizes = save::sizes(&self.conn, &keys).await.unwrap();
        sizes.iter().enumerate().filter(|(_, size)| size.is_some()).map(|(at, _)| at).collect()
    }

    async fn lookups_since(&self, before: Lookups) -> Lookups {
        let after = self.lookups().await;
        Lookups { hits: after.hits - before.hits, misses: after.misses - before.misses }
    }

    async fn lookups(&self) -> Lookups {
        node::status(&self.conn, 0).await.unwrap().lookups
    }
}

async fn what_has_changed_since_it_was_saved_is_spared(way: Way) {
    let bench = Bench::new(
        way,
        &[
            "same",
            "other",
            "longer",
            "ttl",
            "gone",
            "new",
            "unsaved",
            "list",
            "same-list",
            "big",
            "other-big",
            "retyped",
        ],
    )
    .await;
    let big = "x".repeat(8_000);
    for command in [
        "MSET same 1 other 1 longer 1 ttl 1 gone 1 unsaved 1 retyped 1",
        "RPUSH list a b c",
        "RPUSH same-list a b c",
        &format!("MSET big {big} other-big {big}"),
    ] {
        bench.say(command).await;
    }
    let mut seals = bench.seals().await;
    seals[6] = Seal::Unsaved;
    assert_eq!(seals[5], Seal::Absent);
    for command in [
        "SET other 2",
        "APPEND longer 1",
        "EXPIRE ttl 1000",
        "DEL gone",
        "SET new 1",
        "LSET list 1 B",
        "SETRANGE other-big 4000 y",
        "DEL retyped",
        "RPUSH retyped 1",
    ] {
        bench.say(command).await;
    }
    let before = bench.lookups().await;
    let outcomes = vec![
        Deleted, Spared, Spared, Spared, Vanished, Spared, Failed, Spared, Deleted, Deleted, Spared, Spared,
    ];
    let Answer { verdict, beyond } = bench.answer(&seals, false).await;
    assert_eq!(verdict, Verdict::Outcomes(outcomes.clone()));
    let mut told = guard::lookups(Reason::Stale, false, true, &outcomes);
    told += beyond;
    assert_eq!(bench.lookups_since(before).await, told, "our look-ups are known");
    assert_eq!(bench.there().await, [1, 2, 3, 5, 6, 7, 10, 11]);
    // Asked again, whatever it is told and holds by now: the same answer, and no effect.
    bench.say("SET same 1").await;
    assert_eq!(bench.call(seals).await, Verdict::Outcomes(outcomes));
    assert_eq!(bench.there().await.len(), 9);
}

async fn what_is_left_to_a_later_call_is_decided_there_and_only_once(way: Way) {
    let bench = Bench::new(way, &["a", "b", "c", "d"]).await;
    bench.say("MSET a 1 b 2 c 3 d 4").await;
    let [a, b, c, d] = bench.seals().await.try_into().unwrap();
    let later = || Seal::Later;
    let first = bench.call(vec![a.clone(), later(), later(), later()]).await;
    assert_eq!(first, Verdict::Begun(vec![Some(Deleted), None, None, None]));
    assert_eq!(bench.there().await, [1, 2, 3]);
    bench.say("SET c changed").await;
    // What was decided before stays, although it could be deleted now.
    bench.say("SET a 1").await;
    let before = bench.lookups().await;
    let Answer { verdict, beyond } = bench.answer(&[later(), b, c, later()], true).await;
    assert_eq!(verdict, Verdict::Begun(vec![Some(Deleted), Some(Deleted), Some(Spared), None]));
    let mut told = guard::lookups(Reason::Stale, false, true, &[Deleted, Spared]);
    told += beyond;
    assert_eq!(bench.lookups_since(before).await, told);
    assert_eq!(bench.there().await, [0, 2, 3]);
    // Given up in the middle: what is not decided fails, and nothing happens any more.
    let sealed = Verdict::Outcomes(vec![Deleted, Deleted, Spared, Failed]);
    assert_eq!(bench.seal(Failed).await, sealed);
    assert_eq!(bench.call(vec![later(), later(), later(), d]).await, sealed);
    assert_eq!(bench.there().await, [0, 2, 3]);
}

async fn a_ledger_that_was_begun_can_be_recalled(way: Way) {
    let bench = Bench::new(way, &["a", "b"]).await;
    bench.say("MSET a 1 b 2").await;
    let [a, _] = bench.seals().await.try_into().unwrap();
    bench.call(vec![a, Seal::Later]).await;
    let recalled = guard::recall(&bench.conn, bench.window, &[(7, &bench.group)]).await.unwrap();
    assert_eq!(recalled, [Some(Verdict::Begun(vec![Some(Deleted), None]))]);
}
