//! What rules ask of keys: conditions are checked again in the step that changes a key, as the evaluator would answer at
//! that moment, and TTLs are shortened only where they are longer.

use keysweep_model::ids::{BatchId, RunId};
use keysweep_model::key::Key;
use keysweep_model::messages::{Action, Group, Lookups, Reason};
use keysweep_model::outcome::Outcome::{self, Clamped, Deleted, Expired, Spared, Vanished};
use keysweep_policy::{Facts, KeyTtl, Predicate, Truth};
use keysweep_redis::guard::{
    self, Act, BatchWindow, Guard, GuardCall, GuardExecutor, GuardMode, GuardVerdict,
};
use keysweep_redis::key_facts::{self, FactQuery, KeyFacts, Presence};
use keysweep_redis::{Batch, Conn, Reply, node};
use keysweep_servers::Server;

use super::bench::{Backend, counted, since};

all_backends! {
    conditions_are_checked_in_the_same_step,
    long_ttls_are_shortened_once,
    keys_that_expire_are_deleted_only_as_they_were_seen,
    what_could_not_follow_from_a_rule_is_not_done,
    script_and_transactions_agree_with_the_evaluator,
}

const HOUR: u64 = 3_600_000;

/// The keys of each test: name, and the command that writes it. Idle times are in seconds.
const KEYS: [(&str, &str, u64); 7] = [
    ("text", "SET text value", 0),
    ("large", "SETRANGE large 3000 x", 0),
    ("old", "SET old value", 1_000_000),
    ("hash", "HSET hash a 1 b 2 c 3", 0),
    ("list", "RPUSH list a b", 2_000),
    ("set", "SADD set a", 0),
    ("zset", "ZADD zset 1 a", 90_000),
];

/// Whether the user of a key is active; that of some is not known.
fn user_active(key: &str) -> Option<bool> {
    match key {
        "text" | "hash" => Some(true),
        "large" | "list" | "zset" => Some(false),
        _ => None,
    }
}

struct Bench {
    _server: Server,
    conn: Conn,
    backend: Backend,
    means: GuardExecutor,
    now_ms: u64,
}

impl Bench {
    async fn new(backend: Backend) -> Self {
        let server = Server::start(&[]).await.expect("a server can be started");
        let conn = server.conn().await.unwrap();
        let means = backend.prepare(&conn).await;
        let now_ms = node::time_ms(&conn).await.unwrap();
        let bench = Self { _server: server, conn, backend, means, now_ms };
        bench.write(None).await;
        bench
    }

    /// Writes all keys again, with this time of expiry. RESTORE sets idle times.
    async fn write(&self, expires_at_ms: Option<u64>) {
        self.conn.info_text("FLUSHALL").await.unwrap();
        for (key, command, idle_s) in KEYS {
            self.conn.info_text(command).await.unwrap();
            let Reply::BulkString(value) = self.conn.command(&[b"DUMP", key.as_bytes()]).await.unwrap()
            else {
                panic!("no value")
            };
            let (at, idle) = (expires_at_ms.unwrap_or(0).to_string(), idle_s.to_string());
            let mut args: Vec<&[u8]> =
                vec![b"RESTORE", key.as_bytes(), at.as_bytes(), &value, b"REPLACE", b"ABSTTL"];
            args.extend([b"IDLETIME".as_slice(), idle.as_bytes()]);
            self.conn.command(&args).await.unwrap();
        }
    }

    async fn act(&self, act: Act<'_>, reason: Reason, keys: &[(&str, u64)]) -> Vec<Outcome> {
        let (run, batch) = (RunId::new(), BatchId::new());
        let window =
            BatchWindow { run, batch, not_before_ms: self.now_ms, not_after_ms: self.now_ms + 600_000 };
        let first = self.call(window, act, reason, keys).await;
        assert_eq!(self.call(window, act, reason, keys).await.0, first.0, "asking again changes nothing");
        first.0
    }

    async fn call(
        &self,
        window: BatchWindow,
        act: Act<'_>,
        reason: Reason,
        keys: &[(&str, u64)],
    ) -> (Vec<Outcome>, Lookups) {
        let group = Group {
            slot: 0,
            reason,
            keys: keys.iter().map(|(key, _)| Key::new(key.as_bytes())).collect(),
            expires_at_ms: keys.iter().filter(|_| reason.is_timed()).map(|(_, at)| *at).collect(),
            fingerprints: Vec::new(),
        };
        let mut part = self.backend.part(window.batch, 0, &group, GuardMode::Act(act), None);
        for (candidate, (key, _)) in part.candidates.iter_mut().zip(keys) {
            candidate.user_active = user_active(key);
        }
        let replies = self.means.call(&self.conn, GuardCall { window, parts: &[part] }).await.unwrap();
        let reply = replies.into_iter().next().unwrap().unwrap();
        match reply.verdict {
            GuardVerdict::Outcomes(outcomes) => (outcomes, reply.extra_lookups),
            other => panic!("{other:?}"),
        }
    }

    /// What the evaluator says of `condition` and each of [`KEYS`], which have this TTL.
    async fn truths(&self, condition: &Predicate, ttl: KeyTtl) -> Vec<Truth> {
        let (wanted, presence) = (condition.facts(), Presence::There);
        let query = |key: &'static str| FactQuery {
            key: key.as_bytes(),
            wanted,
            known: KeyFacts::default(),
            presence,
        };
        let mut queries: Vec<FactQuery<'_>> = KEYS.iter().map(|(key, ..)| query(key)).collect();
        key_facts::ask(&self.conn, &mut queries).await.unwrap();
        let truth = |(query, (key, ..)): (&FactQuery<'_>, &(&str, &str, u64))| {
            let facts = query.known.with(query.key, Some(ttl));
            condition.truth(&Facts { user_active: user_active(key), ..facts })
        };
        queries.iter().zip(&KEYS).map(truth).collect()
    }

    async fn number(&self, command: &str) -> i64 {
        match self.conn.info_text(command).await.unwrap() {
            Reply::Int(number) => number,
            other => panic!("{other:?}"),
        }
    }
}

fn names() -> Vec<(&'static str, u64)> {
    KEYS.iter().map(|(key, ..)| (*key, 0)).collect()
}

fn deleting(condition: &Predicate) -> Act<'_> {
    Act { condition: Some(condition), ..Act::plain(Action::Delete) }
}

async fn conditions_are_checked_in_the_same_step(backend: Backend) {
    let bench = Bench::new(backend).await;
    let check = async |text: &str, expected: &[&str]| {
        bench.write(None).await;
        let condition: Predicate = text.parse().unwrap();
        let outcomes = bench.act(deleting(&condition), Reason::Stale, &names()).await;
        for ((key, ..), outcome) in KEYS.iter().zip(outcomes) {
            let wanted = if expected.contains(key) { Deleted } else { Spared };
            assert_eq!(outcome, wanted, "{text}: {key}");
            let there = bench.number(&format!("EXISTS {key}")).await == 1;
            assert_eq!(there, wanted == Spared, "{text}: {key}");
        }
    };
    check("type = hash", &["hash"]).await;
    check("type not in (string, hash)", &["list", "set", "zset"]).await;
    check("idle > 1d", &["old", "zset"]).await;
    check("not idle > 1d", &["text", "large", "hash", "list", "set"]).await;
    check("bytes > 1KiB", &["large"]).await;
    check("length >= 2", &["hash", "list"]).await;
    // Strings have no elements, so that this is unknown of them, and so is the opposite.
    check("not length >= 2", &["set", "zset"]).await;
    check("length >= 2 or type = string", &["text", "large", "old", "hash", "list"]).await;
    // Under this server's policy, accesses are not counted.
    check("freq >= 0 or not freq >= 0", &[]).await;
    check("freq >= 0 or type = set", &["set"]).await;
    check("key ~ \"^l\" and not type = list", &["large"]).await;
    check("ttl = none and (key ~ \"t$\" or idle > 10d)", &["text", "old", "list", "set", "zset"]).await;
    check("user = inactive", &["large", "list", "zset"]).await;
    check("not user = inactive and key ~ \"t\"", &["text"]).await;
    check("user = active or type = set", &["text", "hash", "set"]).await;
    check("ttl != none or ttl > 1s", &[]).await;
    check("ttl != 1s", &["text", "large", "old", "hash", "list", "set", "zset"]).await;
    // The same of the other actions.
    bench.write(None).await;
    let condition: Predicate = "type = hash".parse().unwrap();
    let expire = Action::Expire { ttl_ms: HOUR, jitter_ms: 0 };
    let act = Act { condition: Some(&condition), ..Act::plain(expire) };
    let outcomes = bench.act(act, Reason::Stale, &[("hash", 0), ("list", 0), ("none", 0)]).await;
    assert_eq!(outcomes, [Expired, Spared, Vanished]);
    assert!(bench.number("PTTL hash").await > 0 && bench.number("PTTL list").await == -1);
}

async fn long_ttls_are_shortened_once(backend: Backend) {
    let bench = Bench::new(backend).await;
    for (key, ttl) in [("text", 10 * HOUR), ("list", HOUR / 2)] {
        bench.conn.info_text(&format!("PEXPIRE {key} {ttl}")).await.unwrap();
    }
    let act = Act { clamp_ms: Some(HOUR), ..Act::plain(Action::Report) };
    let keys = [("text", 0), ("list", 0), ("hash", 0), ("none", 0)];
    let before = counted(&bench.conn).await;
    let (run, batch) = (RunId::new(), BatchId::new());
    let window =
        BatchWindow { run, batch, not_before_ms: bench.now_ms, not_after_ms: bench.now_ms + 600_000 };
    let (outcomes, extra) = bench.call(window, act, Reason::LongTtl, &keys).await;
    assert_eq!(outcomes, [Clamped, Spared, Spared, Vanished]);
    let mut reported = guard::lookups(Reason::LongTtl, false, None, &outcomes);
    reported += extra;
    assert_eq!(since(counted(&bench.conn).await, before), reported);
    let left = bench.number("PTTL text").await.unsigned_abs();
    assert!((HOUR - 600_000..=HOUR).contains(&left), "{left}");
    assert!(bench.number("PTTL list").await > 0 && bench.number("PTTL hash").await == -1);
    // The application gives it a long TTL again: the batch has acted.
    bench.conn.info_text(&format!("PEXPIRE text {}", 10 * HOUR)).await.unwrap();
    assert_eq!(bench.call(window, act, Reason::LongTtl, &keys).await.0, outcomes);
    assert!(bench.number("PTTL text").await.unsigned_abs() > 9 * HOUR);
    let condition: Predicate = "type = hash".parse().unwrap();
    let act = Act { condition: Some(&condition), ..act };
    assert_eq!(bench.act(act, Reason::LongTtl, &[("text", 0)]).await, [Spared]);
}

async fn keys_that_expire_are_deleted_only_as_they_were_seen(backend: Backend) {
    let bench = Bench::new(backend).await;
    let at_ms = bench.now_ms + 10 * HOUR;
    bench.write(Some(at_ms)).await;
    bench.conn.info_text("PERSIST set").await.unwrap();
    let condition: Predicate = "ttl > 5h and type != list".parse().unwrap();
    let seen = [("text", at_ms), ("hash", at_ms - 1), ("list", at_ms), ("set", at_ms), ("none", at_ms)];
    let outcomes = bench.act(deleting(&condition), Reason::Expiring, &seen).await;
    assert_eq!(outcomes, [Deleted, Spared, Spared, Spared, Vanished]);
    let other: Predicate = "ttl > 20h".parse().unwrap();
    assert_eq!(bench.act(deleting(&other), Reason::Expiring, &[("old", at_ms)]).await, [Spared]);
}

/// A forged batch could combine reasons and actions that do not belong together.
async fn what_could_not_follow_from_a_rule_is_not_done(backend: Backend) {
    let bench = Bench::new(backend).await;
    let at_ms = bench.now_ms + 10 * HOUR;
    bench.write(Some(at_ms)).await;
    let condition: Predicate = "ttl > 1s".parse().unwrap();
    let expire = Action::Expire { ttl_ms: 1_000, jitter_ms: 0 };
    for (act, reason) in [
        // Without a condition, and so without a rule that takes keys which expire.
        (Act::plain(Action::Delete), Reason::Expiring),
        (Act { condition: Some(&condition), ..Act::plain(expire) }, Reason::Expiring),
        (Act { condition: Some(&condition), ..Act::plain(Action::Report) }, Reason::Expiring),
        (Act::plain(Action::Delete), Reason::LongTtl),
        (Act { clamp_ms: Some(1), ..Act::plain(Action::Report) }, Reason::Stale),
    ] {
        assert_eq!(bench.act(act, reason, &[("text", at_ms)]).await, [Outcome::Unreached], "{act:?}");
        assert!(bench.number("PTTL text").await.unsigned_abs() > 9 * HOUR);
    }
}

/// A random condition.
fn condition(rng: &mut fastrand::Rng, depth: u32, counts: bool) -> String {
    let comparison = |rng: &mut fastrand::Rng| *rng.choice(&["<", "<=", "=", "!=", ">=", ">"]).unwrap();
    if depth == 0 || rng.u8(..4) == 0 {
        let sign = comparison(rng);
        return match rng.u8(..8) {
            0 => format!("ttl {} none", rng.choice(["=", "!="]).unwrap()),
            1 => format!("ttl {sign} {}", rng.choice(["1s", "5h", "100d"]).unwrap()),
            2 => format!(
                "type {} {}",
                rng.choice(["=", "!="]).unwrap(),
                rng.choice(["string", "hash"]).unwrap()
            ),
            3 => format!("type {} (set, zset, \"ReJSON-RL\")", rng.choice(["in", "not in"]).unwrap()),
            4 => format!("bytes {sign} {}", rng.choice(["0", "1KiB", "1MiB"]).unwrap()),
            5 => format!("key ~ \"{}\"", rng.choice(["^l", "t$", "s", "^$"]).unwrap()),
            6 => format!("user = {}", rng.choice(["active", "inactive"]).unwrap()),
            _ if counts => format!("length {sign} {}", rng.u8(..4)),
            _ => match rng.bool() {
                true => format!("idle {sign} {}", rng.choice(["10m", "12h", "5d"]).unwrap()),
                false => format!("freq {sign} {}", rng.choice(["0", "3", "200"]).unwrap()),
            },
        };
    }
    let part = |rng: &mut fastrand::Rng| condition(rng, depth - 1, counts);
    match rng.u8(..3) {
        0 => format!("not ({})", part(rng)),
        1 => format!("({}) and ({})", part(rng), part(rng)),
        _ => format!("({}) or ({}) or ({})", part(rng), part(rng), part(rng)),
    }
}

async fn script_and_transactions_agree_with_the_evaluator(backend: Backend) {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let bench = Bench::new(backend).await;
    let (mut acted, mut spared) = (0, 0);
    for round in 0..80 {
        // The second half on a server that counts accesses instead of keeping idle times.
        if round == 40 {
            bench.conn.info_text("CONFIG SET maxmemory-policy allkeys-lfu").await.unwrap();
        }
        let text = condition(&mut rng, 3, round % 2 == 0);
        let condition: Predicate = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        let at_ms = bench.now_ms + 10 * HOUR;
        for (reason, expires_at_ms, ttl) in [
            (Reason::Stale, None, KeyTtl::None),
            (Reason::Expiring, Some(at_ms), KeyTtl::Ms(10 * HOUR - 60_000)),
        ] {
            if round < 40 {
                bench.write(expires_at_ms).await;
            } else {
                rewrite(&bench.conn, expires_at_ms).await;
            }
            let keys: Vec<(&str, u64)> = KEYS.iter().map(|(key, ..)| (*key, at_ms)).collect();
            let expected = bench.truths(&condition, ttl).await;
            let outcomes = bench.act(deleting(&condition), reason, &keys).await;
            for (((key, _), outcome), truth) in keys.iter().zip(&outcomes).zip(expected) {
                let wanted = if truth == Truth::True { Deleted } else { Spared };
                assert_eq!(*outcome, wanted, "{text}: {key} {truth:?}");
                *(if wanted == Deleted { &mut acted } else { &mut spared }) += 1;
            }
        }
    }
    assert!(acted > 50 && spared > 50, "{acted} {spared}");
}

/// The keys without idle times, for a server that does not keep them.
async fn rewrite(conn: &Conn, expires_at_ms: Option<u64>) {
    let mut batch = Batch::new();
    batch.add(&[b"FLUSHALL"]);
    for (key, command, _) in KEYS {
        batch.add(&command.split(' ').map(str::as_bytes).collect::<Vec<_>>());
        if let Some(at_ms) = expires_at_ms {
            batch.add(&[b"PEXPIREAT", key.as_bytes(), at_ms.to_string().as_bytes()]);
        }
    }
    conn.batch(batch).await.unwrap();
}
