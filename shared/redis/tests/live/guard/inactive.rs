//! Keys of inactive users are deleted only if they are unchanged since the scan.

use keysweep_model::ids::{BatchId, RunId};
use keysweep_model::key::Key;
use keysweep_model::messages::{Action, Group, Lookups, Reason};
use keysweep_model::outcome::Outcome::{self, Deleted, Failed, Spared, Unconfirmed, Unreached, Vanished};
use keysweep_redis::guard::{
    self, Act, BatchWindow, ExpectedContent, Guard, GuardCall, GuardExecutor, GuardMode, GuardReply,
    GuardVerdict, Part,
};
use keysweep_redis::{Conn, Reply, node};
use keysweep_servers::Server;

use super::bench::{Backend, counted, since};

all_backends! {
    only_keys_that_are_as_they_were_seen_are_deleted,
    asking_again_changes_nothing_and_what_is_sealed_stays,
    a_key_that_was_used_meanwhile_is_spared,
    a_server_that_does_not_know_idle_times_spares_all,
    as_many_as_one_call_may_have,
    what_was_saved_goes_only_if_it_is_still_that,
}

/// A server for such keys.
struct Bench {
    _server: Server,
    conn: Conn,
    backend: Backend,
    means: GuardExecutor,
    now_ms: u64,
}

const HOUR: u64 = 3_600_000;

impl Bench {
    async fn new(backend: Backend) -> Self {
        let server = Server::start(&[]).await.expect("a server can be started");
        let conn = server.conn().await.unwrap();
        let means = backend.prepare(&conn).await;
        let now_ms = node::time_ms(&conn).await.unwrap();
        Self { _server: server, conn, backend, means, now_ms }
    }

    async fn set(&self, key: &str, expires_at_ms: u64) {
        self.conn.info_text(&format!("SET {key} value PXAT {expires_at_ms}")).await.unwrap();
    }

    fn window(&self) -> BatchWindow {
        let (run, batch) = (RunId::new(), BatchId::new());
        BatchWindow { run, batch, not_before_ms: self.now_ms, not_after_ms: self.now_ms + 60_000 }
    }

    async fn call_in(&self, window: BatchWindow, mode: GuardMode<'_>, keys: &[(&str, u64)]) -> Vec<Outcome> {
        self.answer_in(window, mode, keys).await.0
    }

    /// The outcomes, and the lookups in addition to those that the outcomes imply.
    async fn answer_in(
        &self,
        window: BatchWindow,
        mode: GuardMode<'_>,
        keys: &[(&str, u64)],
    ) -> (Vec<Outcome>, Lookups) {
        self.answer_to(window, mode, keys, None, false).await
    }

    async fn answer_to(
        &self,
        window: BatchWindow,
        mode: GuardMode<'_>,
        keys: &[(&str, u64)],
        contents: Option<&[ExpectedContent]>,
        doubtful: bool,
    ) -> (Vec<Outcome>, Lookups) {
        let group = Group {
            slot: 0,
            reason: Reason::Inactive,
            keys: keys.iter().map(|(key, _)| Key::new(key.as_bytes())).collect(),
            expires_at_ms: keys.iter().map(|(_, at)| *at).collect(),
            fingerprints: Vec::new(),
        };
        let part = Part { doubtful, ..self.backend.part(window.batch, 0, &group, mode, contents) };
        let answers = self.means.call(&self.conn, GuardCall { window, parts: &[part] }).await.unwrap();
        let GuardReply { verdict, extra_lookups: extra } = answers.into_iter().next().unwrap().unwrap();
        match verdict {
            GuardVerdict::Outcomes(outcomes) => (outcomes, extra),
            other => panic!("{other:?}"),
        }
    }

    /// One call, and another one in doubt of what it left.
    async fn call(&self, act: Act<'_>, keys: &[(&str, u64)]) -> Vec<Outcome> {
        let outcomes = self.counted_call(act, keys, None, false).await;
        self.counted_call(act, keys, None, true).await;
        outcomes
    }

    /// One call, whose lookups must be those that its outcomes imply.
    async fn counted_call(
        &self,
        act: Act<'_>,
        keys: &[(&str, u64)],
        contents: Option<&[ExpectedContent]>,
        doubtful: bool,
    ) -> Vec<Outcome> {
        let (before, mode) = (self.lookups().await, GuardMode::Act(act));
        let (outcomes, extra) = self.answer_to(self.window(), mode, keys, contents, doubtful).await;
        let counted = since(self.lookups().await, before);
        let texts: Option<Vec<bool>> = contents.map(|all| all.iter().map(ExpectedContent::is_text).collect());
        let idle = act.idle_ms.is_some();
        let mut reported = guard::lookups(Reason::Inactive, idle, texts.as_deref(), &outcomes);
        reported += extra;
        assert_eq!(counted, reported, "{outcomes:?}, doubtful: {doubtful}");
        outcomes
    }

    async fn lookups(&self) -> Lookups {
        counted(&self.conn).await
    }

    async fn exists(&self, key: &str) -> bool {
        matches!(self.conn.info_text(&format!("EXISTS {key}")).await.unwrap(), Reply::Int(1))
    }

    /// Writes a key that was idle for this many seconds.
    async fn make_idle(&self, key: &str, expires_at_ms: u64, idle_s: u64) {
        let Reply::BulkString(dump) = self.conn.info_text("DUMP template").await.unwrap() else {
            panic!("no dump")
        };
        let (at, idle) = (expires_at_ms.to_string(), idle_s.to_string());
        let args: [&[u8]; 8] = [
            b"RESTORE",
            key.as_bytes(),
            at.as_bytes(),
            &dump,
            b"REPLACE",
            b"ABSTTL",
            b"IDLETIME",
            idle.as_bytes(),
        ];
        self.conn.command(&args).await.unwrap();
    }
}

/// Keys with at most 300 s left are kept.
fn act(stale: Action, idle_ms: Option<u64>) -> Act<'static> {
    Act { near_expiry_ms: 300_000, idle_ms, ..Act::plain(stale) }
}

async fn only_keys_that_are_as_they_were_seen_are_deleted(backend: Backend) {
    let bench = Bench::new(backend).await;
    let at = bench.now_ms + HOUR;
    let near = bench.now_ms + 299_000;
    for action in [Action::Delete, Action::Expire { ttl_ms: 1, jitter_ms: 0 }] {
        for key in ["same", "later", "earlier", "same:too"] {
            bench.set(key, at).await;
        }
        bench.set("near", near).await;
        bench.conn.info_text("SET stale value").await.unwrap();
        let keys = [
            ("same", at),
            ("later", at - 1),
            ("earlier", at + 1),
            ("near", near),
            ("stale", at),
            ("gone", at),
            ("same:too", at),
        ];
        let outcomes = bench.call(act(action, None), &keys).await;
        assert_eq!(outcomes, [Deleted, Spared, Spared, Spared, Spared, Vanished, Deleted], "{action:?}");
        assert!(!bench.exists("same").await && !bench.exists("same:too").await);
        for key in ["later", "earlier", "near", "stale"] {
            assert!(bench.exists(key).await, "{key}");
        }
        assert_eq!(
            bench.conn.info_text("PTTL stale").await.unwrap(),
            Reply::Int(-1),
            "the stale rule's business"
        );
    }
}

async fn asking_again_changes_nothing_and_what_is_sealed_stays(backend: Backend) {
    let bench = Bench::new(backend).await;
    let (at, window) = (bench.now_ms + HOUR, bench.window());
    let keys = [("a", at), ("b", at)];
    bench.set("a", at).await;
    let mode = GuardMode::Act(act(Action::Delete, None));
    assert_eq!(bench.call_in(window, mode, &keys).await, [Deleted, Vanished]);
    bench.set("a", at).await;
    assert_eq!(bench.call_in(window, mode, &keys).await, [Deleted, Vanished]);
    assert!(bench.exists("a").await);
    let other = bench.window();
    assert_eq!(bench.call_in(other, GuardMode::Finalize(Unreached), &keys).await, [Unreached; 2]);
    assert_eq!(bench.call_in(other, mode, &keys).await, [Unreached; 2]);
    assert!(bench.exists("a").await);
}

async fn a_key_that_was_used_meanwhile_is_spared(backend: Backend) {
    let bench = Bench::new(backend).await;
    let at = bench.now_ms + HOUR;
    bench.conn.info_text("SET template value").await.unwrap();
    for (key, idle_s) in [("idle", 100), ("long", 10_000), ("used", 98), ("read", 100)] {
        bench.make_idle(key, at, idle_s).await;
    }
    bench.conn.info_text("GET read").await.unwrap();
    let keys = ["idle", "long", "used", "read", "gone"].map(|key| (key, at));
    let outcomes = bench.call(act(Action::Delete, Some(99_500)), &keys).await;
    assert_eq!(outcomes, [Deleted, Deleted, Spared, Spared, Vanished]);
    assert!(bench.exists("used").await && bench.exists("read").await && !bench.exists("long").await);
}

async fn a_server_that_does_not_know_idle_times_spares_all(backend: Backend) {
    let bench = Bench::new(backend).await;
    let at = bench.now_ms + HOUR;
    bench.set("a", at).await;
    bench.conn.info_text("CONFIG SET maxmemory-policy allkeys-lfu").await.unwrap();
    let outcomes = bench.call(act(Action::Delete, Some(0)), &[("a", at), ("gone", at)]).await;
    assert_eq!(outcomes, [Spared, Vanished]);
    assert!(bench.exists("a").await);
}

async fn as_many_as_one_call_may_have(backend: Backend) {
    let bench = Bench::new(backend).await;
    let at = bench.now_ms + HOUR;
    let names: Vec<String> = (0..1_000).map(|n| format!("key:{n}")).collect();
    for name in &names {
        bench.set(name, at).await;
    }
    let keys: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), at)).collect();
    assert_eq!(bench.counted_call(act(Action::Delete, None), &keys, None, false).await, [Deleted; 1_000]);
    assert_eq!(bench.conn.info_text("DBSIZE").await.unwrap(), Reply::Int(1), "only the ledger");
}

async fn what_was_saved_goes_only_if_it_is_still_that(backend: Backend) {
    let bench = Bench::new(backend).await;
    let at = bench.now_ms + HOUR;
    for key in ["same", "other", "later", "unsaved"] {
        bench.set(key, at).await;
    }
    bench.conn.info_text("RPUSH list a").await.unwrap();
    bench.conn.info_text(&format!("PEXPIREAT list {at}")).await.unwrap();
    let Reply::BulkString(dump) = bench.conn.info_text("DUMP list").await.unwrap() else { panic!("no dump") };
    let text = || ExpectedContent::of_text(b"value");
    let contents = [
        text(),
        ExpectedContent::of_text(b"another"),
        text(),
        ExpectedContent::Unsaved,
        ExpectedContent::of(&dump),
        text(),
    ];
    let keys = [("same", at), ("other", at), ("later", at - 1), ("unsaved", at), ("list", at), ("gone", at)];
    let act = act(Action::Delete, None);
    let outcomes = bench.counted_call(act, &keys, Some(&contents), false).await;
    assert_eq!(outcomes, [Deleted, Spared, Spared, Failed, Deleted, Vanished]);
    assert_eq!(bench.counted_call(act, &keys, Some(&contents), true).await, [Unconfirmed; 6]);
    for (key, there) in
        [("same", false), ("other", true), ("later", true), ("unsaved", true), ("list", false)]
    {
        assert_eq!(bench.exists(key).await, there, "{key}");
    }
}
