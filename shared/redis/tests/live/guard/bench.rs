//! The backends, and a server with a batch of stale keys that may act for a minute.

use keysweep_model::ids::{BatchId, RunId};
use keysweep_model::key::Key;
use keysweep_model::ledger::{Ledger, LedgerKind};
use keysweep_model::messages::{DeleteBackend, Group, Lookups, Reason};
use keysweep_model::slot::slot_of;
use keysweep_redis::guard::{BatchWindow, Candidate, ExpectedContent, Guard, GuardExecutor, GuardMode, Part};
use keysweep_redis::{Conn, node};
use keysweep_servers::Server;

/// How candidates are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// By a script with a node ledger.
    Node,
    /// By a script with the ledger of a slot.
    Slot,
    /// By transactions.
    Transactions,
}

impl Backend {
    pub(crate) async fn prepare(self, conn: &Conn) -> GuardExecutor {
        let backend = match self {
            Self::Node | Self::Slot => DeleteBackend::Lua,
            Self::Transactions => DeleteBackend::Watch,
        };
        let executor = GuardExecutor::prepare(conn, backend, [0, 1]).await.unwrap();
        // Redis 6.2 refuses the flag.
        if self == Self::Node && !executor.crosses_slots() {
            println!("this server has no node ledgers; a standalone server needs no flag for them");
        }
        executor
    }

    pub(crate) fn ledger(self, batch: BatchId, group: u32, slot: u16) -> Ledger {
        let kind = if self == Self::Node { LedgerKind::Node } else { LedgerKind::Slot };
        Ledger { kind, batch, group, slot }
    }

    /// All candidates of `group`, which has this `number` in `batch`, with the `expected` contents.
    pub(crate) fn part<'a>(
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
pub(crate) async fn window(conn: &Conn) -> BatchWindow {
    let now = node::time_ms(conn).await.unwrap();
    BatchWindow { run: RunId::new(), batch: BatchId::new(), not_before_ms: now, not_after_ms: now + 60_000 }
}

/// A server with one batch.
pub(crate) struct Bench {
    _server: Server,
    pub(crate) conn: Conn,
    pub(crate) backend: Backend,
    pub(crate) means: GuardExecutor,
    pub(crate) window: BatchWindow,
    pub(crate) group: Group,
}

impl Bench {
    /// With `keys` as the candidates. The batch claims slot 0 for all of them; a standalone server ignores it.
    pub(crate) async fn new(backend: Backend, keys: &[&[u8]]) -> Self {
        let server = Server::start(&[]).await.expect("a server can be started");
        let conn = server.conn().await.unwrap();
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
        Self { _server: server, conn, backend, means, window, group }
    }

    pub(crate) async fn lookups_since(&self, before: Lookups) -> Lookups {
        let after = self.lookups().await;
        since(after, before)
    }

    pub(crate) async fn lookups(&self) -> Lookups {
        counted(&self.conn).await
    }
}

/// The lookups that a server has counted; value reads are those that its command statistics do not explain.
pub(crate) async fn counted(conn: &Conn) -> Lookups {
    let status = node::status_with_commands(conn, 0).await.unwrap();
    let reads = status.lookups.all() - status.commands.unwrap().one_lookup;
    Lookups { reads, ..status.lookups }
}

/// The lookups since `before`.
pub(crate) fn since(after: Lookups, before: Lookups) -> Lookups {
    let Lookups { hits, misses, reads } = after;
    Lookups { hits: hits - before.hits, misses: misses - before.misses, reads: reads - before.reads }
}
