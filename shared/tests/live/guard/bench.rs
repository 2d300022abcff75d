//! A server that is ready to be acted at, and a batch of stale keys that may act for a minute.

use shared::cluster::guard::{Means, Window};
use shared::cluster::{Conn, node};
use shared::ids::{BatchId, RunId};
use shared::key::Key;
use shared::messages::{Group, Lookups, Reason, Way};
use shared::servers::Server;
use shared::slot::slot_of;

/// See the module.
pub(crate) struct Bench {
    _server: Server,
    pub(crate) conn: Conn,
    pub(crate) means: Means,
    pub(crate) window: Window,
    pub(crate) group: Group,
}

impl Bench {
    /// With `keys` as the candidates, all of slot 0 as far as names go; a standalone server does not mind.
    pub(crate) async fn new(way: Way, keys: &[&[u8]]) -> Self {
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

    pub(crate) async fn lookups_since(&self, before: Lookups) -> Lookups {
        let after = self.lookups().await;
        Lookups { hits: after.hits - before.hits, misses: after.misses - before.misses }
    }

    pub(crate) async fn lookups(&self) -> Lookups {
        node::status(&self.conn, 0).await.unwrap().lookups
    }
}
