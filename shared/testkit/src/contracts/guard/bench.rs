//! A server with a batch of stale keys that may act for a minute, and the ways to delete them.

use keysweep_model::ids::{BatchId, RunId};
use keysweep_model::key::Key;
use keysweep_model::ledger::{Ledger, LedgerKind};
use keysweep_model::messages::{DeleteBackend, Group, Lookups, Reason};
use keysweep_model::outcome::Outcome;
use keysweep_model::slot::slot_of;
use keysweep_redis::guard::{
    self, BatchWindow, Candidate, ExpectedContent, Guard, GuardCall, GuardExecutor, GuardMode, GuardReply,
    GuardVerdict, Part,
};
use keysweep_redis::{Conn, RedisError, Reply, node};
use keysweep_servers::Server;

/// An empty server.
pub struct GuardServer {
    conn: Conn,
    process: Option<Server>,
}

impl GuardServer {
    /// A real one, which ends with this value.
    pub async fn start() -> Self {
        let server = Server::start(&[]).await.unwrap();
        Self { conn: server.conn().await.unwrap(), process: Some(server) }
    }

    /// The server of this connection.
    pub fn of(conn: Conn) -> Self {
        Self { conn, process: None }
    }
}

/// How candidates are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// By a script with a node ledger.
    Node,
    /// By a script with the ledger of a slot.
    Slot,
    /// By transactions.
    Transactions,
}

impl Backend {
    /// What carries out calls.
    pub async fn prepare(self, conn: &Conn) -> GuardExecutor {
        let backend = match self {
            Self::Node | Self::Slot => DeleteBackend::Lua,
            Self::Transactions => DeleteBackend::Watch,
        };
        GuardExecutor::prepare(conn, backend, [0, 1]).await.unwrap()
    }

    /// The ledger of a group of a batch.
    pub fn ledger(self, batch: BatchId, group: u32, slot: u16) -> Ledger {
        let kind = if self == Self::Node { LedgerKind::Node } else { LedgerKind::Slot };
        Ledger { kind, batch, group, slot }
    }

    /// All candidates of `group`, which has this `number` in `batch`, with the `expected` contents.
    pub fn part<'a>(
        self,
        batch: BatchId,
        number: u32,
        group: &'a Group,
        mode: GuardMode<'a>,
        expected: Option<&[ExpectedContent]>,
    ) -> Part<'a> {
        let candidate = |index: usize| {
            let expected = expected.map(|expected| expected[index].clone());
            Candidate { expected, ..Candidate::of(group, index) }
        };
        Part {
            ledger: self.ledger(batch, number, group.slot),
            recorded: group.keys.len(),
            before: 0,
            reason: group.reason,
            mode,
            doubtful: false,
            candidates: (0..group.keys.len()).map(candidate).collect(),
        }
    }
}

/// A new batch that may act for a minute.
pub async fn window(conn: &Conn) -> BatchWindow {
    let now = node::time_ms(conn).await.unwrap();
    BatchWindow { run: RunId::new(), batch: BatchId::new(), not_before_ms: now, not_after_ms: now + 60_000 }
}

/// A server with one batch.
pub struct GuardBench {
    /// A connection to it.
    pub conn: Conn,
    _process: Option<Server>,
    /// How it deletes.
    pub backend: Backend,
    /// What carries out calls.
    pub means: GuardExecutor,
    /// When the batch may act.
    pub window: BatchWindow,
    /// Its candidates: group 7.
    pub group: Group,
}

impl GuardBench {
    /// With `keys` as the candidates. The batch claims slot 0 for all of them; a standalone server ignores it.
    pub async fn new(server: GuardServer, backend: Backend, keys: &[&[u8]]) -> Self {
        let GuardServer { conn, process } = server;
        let means = backend.prepare(&conn).await;
        let window = window(&conn).await;
        let keys = keys.iter().map(|key| Key::new(*key)).collect();
        let group = Group {
            slot: slot_of(b""),
            reason: Reason::Stale,
            expires_at_ms: Vec::new(),
            fingerprints: Vec::new(),
            keys,
        };
        Self { conn, _process: process, backend, means, window, group }
    }

    /// The verdict about all candidates.
    pub async fn call(&self, mode: GuardMode<'_>) -> GuardVerdict {
        self.call_in(self.window, mode).await
    }

    /// The same, of a batch that acts in `window`.
    pub async fn call_in(&self, window: BatchWindow, mode: GuardMode<'_>) -> GuardVerdict {
        self.answer_in(window, mode).await.verdict
    }

    /// The whole reply.
    pub async fn answer_in(&self, window: BatchWindow, mode: GuardMode<'_>) -> GuardReply {
        self.try_in(window, mode).await.unwrap()
    }

    /// The whole reply, or why the server refused the call.
    pub async fn try_in(&self, window: BatchWindow, mode: GuardMode<'_>) -> Result<GuardReply, RedisError> {
        self.try_part(window, self.backend.part(window.batch, 7, &self.group, mode, None)).await
    }

    /// The same, of these candidates.
    pub async fn try_part(&self, window: BatchWindow, part: Part<'_>) -> Result<GuardReply, RedisError> {
        let call = GuardCall { window, parts: &[part] };
        self.means.call(&self.conn, call).await.unwrap().remove(0)
    }

    /// A call after an earlier attempt whose ledger may be lost.
    pub async fn answer_in_doubt(&self, mode: GuardMode<'_>) -> GuardReply {
        let part = self.backend.part(self.window.batch, 7, &self.group, mode, None);
        self.try_part(self.window, Part { doubtful: true, ..part }).await.unwrap()
    }

    /// The key of the ledger.
    pub fn ledger(&self) -> Vec<u8> {
        self.backend.ledger(self.window.batch, 7, self.group.slot).key(self.window.run)
    }

    /// The reply to a command that is a number.
    pub async fn number(&self, args: &[&[u8]]) -> i64 {
        match self.conn.command(args).await.unwrap() {
            Reply::Int(number) => number,
            other => panic!("{other:?}"),
        }
    }

    /// Writes a key without TTL.
    pub async fn set(&self, key: &[u8]) {
        self.conn.command(&[b"SET", key, b"value"]).await.unwrap();
    }

    /// Whether a key exists.
    pub async fn exists(&self, key: &[u8]) -> bool {
        self.number(&[b"EXISTS", key]).await == 1
    }

    /// Writes the ledger as an attempt would have left it.
    pub async fn record(&self, letters: &[u8]) {
        let end = self.window.not_after_ms.to_string();
        self.conn.command(&[b"SET", &self.ledger(), letters, b"PXAT", end.as_bytes()]).await.unwrap();
    }

    /// What the ledger says; `None` without one.
    pub async fn recalled(&self) -> Option<GuardVerdict> {
        let ledger = self.backend.ledger(self.window.batch, 7, self.group.slot);
        let size = self.group.keys.len();
        guard::read_ledgers(&self.conn, self.window.run, &[(ledger, size)]).await.unwrap().remove(0)
    }

    /// The lookups that the server has counted since `before`.
    pub async fn lookups_since(&self, before: Lookups) -> Lookups {
        let after = self.lookups().await;
        since(after, before)
    }

    /// The lookups that the server has counted.
    pub async fn lookups(&self) -> Lookups {
        counted(&self.conn).await
    }
}

/// The lookups that a server has counted; value reads are those that its command statistics do not explain, and none are known
/// without such statistics.
pub async fn counted(conn: &Conn) -> Lookups {
    let status = node::status_with_commands(conn, 0).await.unwrap();
    let reads = status.commands.map_or(0, |commands| status.lookups.all() - commands.one_lookup);
    Lookups { reads, ..status.lookups }
}

/// The lookups since `before`.
pub fn since(after: Lookups, before: Lookups) -> Lookups {
    let Lookups { hits, misses, reads } = after;
    Lookups { hits: hits - before.hits, misses: misses - before.misses, reads: reads - before.reads }
}

/// The verdict with these outcomes.
pub fn outcomes(expected: &[Outcome]) -> GuardVerdict {
    GuardVerdict::Outcomes(expected.to_vec())
}
