//! A server and a batch of stale keys that may act for a minute.

use keysweep_model::ids::{BatchId, RunId};
use keysweep_model::key::Key;
use keysweep_model::messages::{DeleteBackend, Group, Lookups, Reason};
use keysweep_model::slot::slot_of;
use keysweep_redis::guard::{BatchWindow, GuardExecutor};
use keysweep_redis::{Conn, node};
use keysweep_servers::Server;

/// A server with one batch.
pub(crate) struct Bench {
    _server: Server,
    pub(crate) conn: Conn,
    pub(crate) means: GuardExecutor,
    pub(crate) window: BatchWindow,
    pub(crate) group: Group,
}

impl Bench {
    /// With `keys` as the candidates. The batch claims slot 0 for all of them; a standalone server ignores it.
    pub(crate) async fn new(way: DeleteBackend, keys: &[&[u8]]) -> Self {
        let server = Server::start(&[]).await.expect("a server can be started");
        let conn = server.conn().await.unwrap();
        let means = GuardExecutor::prepare(&conn, way).await.unwrap();
        let now = node::time_ms(&conn).await.unwrap();
        let window = BatchWindow {
            run: RunId::new(),
            batch: BatchId::new(),
            not_before_ms: now,
            not_after_ms: now + 60_000,
        };
        let keys = keys.iter().map(|key| Key::new(*key)).collect();
        let group = Group {
            slot: slot_of(b""),
            reason: Reason::Stale,
            expires_at_ms: Vec::new(),
            fingerprints: Vec::new(),
            keys,
        };
        Self { _server: server, conn, means, window, group }
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
