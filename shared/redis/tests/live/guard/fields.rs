//! Hashes whose fields expire at the time of deletion are spared; they are only queried if that is requested.

use keysweep_model::ids::{BatchId, RunId};
use keysweep_model::key::Key;
use keysweep_model::messages::{Action, Group, Lookups, Reason};
use keysweep_model::outcome::Outcome::{self, Deleted, Expired, FieldTtl, Spared, Vanished};
use keysweep_redis::fields::{self, FieldTtls};
use keysweep_redis::guard::{
    self, Act, BatchWindow, ExpectedContent, Guard, GuardCall, GuardExecutor, GuardMode, GuardReply,
    GuardVerdict, Part,
};
use keysweep_redis::{Conn, Reply, node};
use keysweep_servers::Server;

use super::bench::{Backend, counted, since};

all_backends! {
    a_hash_whose_fields_expire_is_spared,
    what_changed_since_the_look_counts,
    recorded_outcomes_are_repeated,
    a_large_hash_is_asked_for_some_of_its_fields,
    nothing_is_asked_where_no_fields_expire,
    what_was_saved_is_compared_as_well,
}

const ASKED: [&str; 3] = ["type", "hrandfield", "hpttl"];

struct Bench {
    _server: Server,
    conn: Conn,
    backend: Backend,
    means: GuardExecutor,
}

impl Bench {
    /// `None`, with a message, if the server does not support field TTLs.
    async fn new(backend: Backend) -> Option<Self> {
        let server = Server::start(&[]).await.expect("a server can be started");
        let conn = server.conn().await.unwrap();
        if !knows_field_ttls(&conn).await {
            println!("skipped: this server knows no TTLs of fields");
            return None;
        }
        let means = backend.prepare(&conn).await;
        Some(Self { _server: server, conn, backend, means })
    }

    async fn send(&self, words: &str) {
        self.conn.info_text(words).await.unwrap_or_else(|e| panic!("{words}: {e}"));
    }

    fn window() -> BatchWindow {
        BatchWindow {
            run: RunId::new(),
            batch: BatchId::new(),
            not_before_ms: 0,
            not_after_ms: u64::MAX >> 12,
        }
    }

    async fn answer(
        &self,
        window: BatchWindow,
        act: Act<'_>,
        keys: &[&str],
        contents: Option<&[ExpectedContent]>,
        doubtful: bool,
    ) -> GuardReply {
        let keys = keys.iter().map(|key| Key::new(key.as_bytes())).collect();
        let group = Group {
            slot: 0,
            reason: Reason::Stale,
            keys,
            expires_at_ms: Vec::new(),
            fingerprints: Vec::new(),
        };
        let part = self.backend.part(window.batch, 0, &group, GuardMode::Act(act), contents);
        let part = Part { doubtful, ..part };
        let call = GuardCall { window, parts: &[part] };
        let answers = self.means.call(&self.conn, call).await.unwrap();
        answers.into_iter().next().unwrap().unwrap()
    }

    /// One call, and another one in doubt of what it left.
    async fn call(&self, act: Act<'_>, keys: &[&str], contents: Option<&[ExpectedContent]>) -> Vec<Outcome> {
        let outcomes = self.counted_call(act, keys, contents, false).await;
        self.counted_call(act, keys, contents, true).await;
        outcomes
    }

    /// One call, whose lookups must be those that it reports.
    async fn counted_call(
        &self,
        act: Act<'_>,
        keys: &[&str],
        contents: Option<&[ExpectedContent]>,
        doubtful: bool,
    ) -> Vec<Outcome> {
        let before = counted(&self.conn).await;
        let GuardReply { verdict, extra_lookups: extra } =
            self.answer(Self::window(), act, keys, contents, doubtful).await;
        let GuardVerdict::Outcomes(outcomes) = verdict else { panic!("{verdict:?}") };
        let made = since(counted(&self.conn).await, before);
        let texts =
            contents.map(|contents| contents.iter().map(ExpectedContent::is_text).collect::<Vec<_>>());
        let mut reported = guard::lookups(Reason::Stale, false, texts.as_deref(), &outcomes);
        reported += extra;
        assert_eq!(made, reported, "{outcomes:?}, doubtful: {doubtful}");
        outcomes
    }

    async fn exists(&self, key: &str) -> bool {
        matches!(self.conn.info_text(&format!("EXISTS {key}")).await.unwrap(), Reply::Int(1))
    }

    /// The field commands that were called since the counters were reset.
    async fn asked(&self) -> Vec<&'static str> {
        let Reply::BulkString(text) = self.conn.info_text("INFO commandstats").await.unwrap() else {
            panic!("no text")
        };
        let text = String::from_utf8(text).unwrap();
        ASKED.into_iter().filter(|name| text.contains(&format!("cmdstat_{name}:"))).collect()
    }
}

async fn knows_field_ttls(conn: &Conn) -> bool {
    let said = conn.info_text("COMMAND INFO hpexpire").await.unwrap();
    matches!(said, Reply::Array(commands) if commands.iter().any(|command| matches!(command, Reply::Array(_))))
}

fn act(stale: Action) -> Act<'static> {
    Act { fields: true, ..Act::plain(stale) }
}

async fn a_hash_whose_fields_expire_is_spared(backend: Backend) {
    let Some(bench) = Bench::new(backend).await else { return };
    let repair = Action::Expire { ttl_ms: 600_000, jitter_ms: 0 };
    for (action, done) in [(Action::Delete, Deleted), (repair, Expired)] {
        for hash in ["all", "some", "none", "whole"] {
            bench.send(&format!("HSET {hash} a 1 b 2")).await;
        }
        bench.send("HPEXPIRE all 600000 FIELDS 2 a b").await;
        bench.send("HPEXPIRE some 600000 FIELDS 1 a").await;
        bench.send("PEXPIRE whole 600000").await;
        bench.send("HPEXPIRE whole 600000 FIELDS 1 a").await;
        bench.send("SET text x").await;
        bench.send("SADD set x").await;
        assert!(node::field_ttls(&bench.conn, 0).await.unwrap(), "the server tells");
        assert!(!node::field_ttls(&bench.conn, 1).await.unwrap(), "of this database alone");
        let keys = ["all", "some", "none", "whole", "text", "set", "gone"];
        let outcomes = bench.call(act(action), &keys, None).await;
        assert_eq!(outcomes, [FieldTtl, done, done, Spared, done, done, Vanished], "{action:?}");
        assert!(bench.exists("all").await && bench.exists("whole").await);
        assert_eq!(bench.conn.info_text("PTTL all").await.unwrap(), Reply::Int(-1), "{action:?}");
        bench.send("FLUSHALL").await;
    }
}

async fn what_changed_since_the_look_counts(backend: Backend) {
    let Some(bench) = Bench::new(backend).await else { return };
    bench.send("HSET gets a 1 b 2").await;
    bench.send("HSET loses a 1 b 2").await;
    bench.send("HPEXPIRE loses 600000 FIELDS 2 a b").await;
    let looked = fields::ask(&bench.conn, &[b"gets", b"loses", b"gone"]).await.unwrap();
    assert_eq!(looked.0, [FieldTtls::Lasting, FieldTtls::Expire, FieldTtls::Gone]);
    assert_eq!(looked.1, Lookups { hits: 6, misses: 1, reads: 2 });
    bench.send("HPEXPIRE gets 600000 FIELDS 2 a b").await;
    bench.send("HSET loses c 3").await;
    assert_eq!(bench.call(act(Action::Delete), &["gets", "loses"], None).await, [FieldTtl, Deleted]);
    assert!(bench.exists("gets").await && !bench.exists("loses").await);
}

async fn recorded_outcomes_are_repeated(backend: Backend) {
    let Some(bench) = Bench::new(backend).await else { return };
    bench.send("HSET all a 1").await;
    bench.send("HPEXPIRE all 600000 FIELDS 1 a").await;
    bench.send("SET text x").await;
    let (window, keys) = (Bench::window(), ["all", "text"]);
    let first = bench.answer(window, act(Action::Delete), &keys, None, false).await;
    assert_eq!(first.verdict, GuardVerdict::Outcomes(vec![FieldTtl, Deleted]));
    bench.send("HPERSIST all FIELDS 1 a").await;
    let again = bench.answer(window, act(Action::Delete), &keys, None, false).await;
    assert_eq!(again.verdict, first.verdict);
    assert!(bench.exists("all").await);
    let recalled = guard::read_ledgers(&bench.conn, window.run, &[(backend.ledger(window.batch, 0, 0), 2)])
        .await
        .unwrap();
    assert_eq!(recalled, [Some(first.verdict)]);
}

async fn a_large_hash_is_asked_for_some_of_its_fields(backend: Backend) {
    let Some(bench) = Bench::new(backend).await else { return };
    let names: Vec<String> = (0..5_000).map(|n| format!("field-{n}")).collect();
    for (key, expiring) in [("all", 5_000), ("half", 2_500)] {
        let values: Vec<String> = names.iter().map(|name| format!("{name} x")).collect();
        bench.send(&format!("HSET {key} {}", values.join(" "))).await;
        bench.send(&format!("HPEXPIRE {key} 600000 FIELDS {expiring} {}", names[..expiring].join(" "))).await;
    }
    assert_eq!(bench.call(act(Action::Delete), &["all", "half"], None).await, [FieldTtl, Deleted]);
}

async fn nothing_is_asked_where_no_fields_expire(backend: Backend) {
    let Some(bench) = Bench::new(backend).await else { return };
    bench.send("HSET hash a 1").await;
    assert!(!node::field_ttls(&bench.conn, 0).await.unwrap());
    bench.send("CONFIG RESETSTAT").await;
    let plain = Act { fields: false, ..act(Action::Delete) };
    assert_eq!(bench.call(plain, &["hash"], None).await, [Deleted]);
    assert_eq!(bench.asked().await, Vec::<&str>::new());
}

async fn what_was_saved_is_compared_as_well(backend: Backend) {
    let Some(bench) = Bench::new(backend).await else { return };
    for key in ["all", "some", "changed"] {
        bench.send(&format!("HSET {key} a 1 b 2")).await;
        bench.send(&format!("HPEXPIRE {key} 600000 FIELDS 1 a")).await;
    }
    bench.send("SET text x").await;
    let mut contents = Vec::new();
    for key in ["all", "some", "changed"] {
        let Reply::BulkString(dump) = bench.conn.info_text(&format!("DUMP {key}")).await.unwrap() else {
            panic!("no dump")
        };
        contents.push(ExpectedContent::of(&dump));
    }
    contents.push(ExpectedContent::of_text(b"x"));
    bench.send("HSET changed b 3").await;
    bench.send("HPEXPIRE all 600000 FIELDS 1 b").await;
    let outcomes =
        bench.call(act(Action::Delete), &["all", "some", "changed", "text"], Some(&contents)).await;
    assert_eq!(outcomes, [FieldTtl, Deleted, Spared, Deleted]);
}
