//! Moves slots between the nodes of a local cluster, completely or partially, like `redis-cli --cluster reshard`.
//! Nodes are given by their index in [`ClusterServers::nodes`]; both must be primaries.

use keysweep_redis::{Conn, RedisError, Reply};
use keysweep_servers::{ClusterServers, ServersError};

/// Keys per MIGRATE.
const MIGRATE_KEYS: usize = 100;

/// What moves slots.
pub trait Reshard {
    /// Moves `slot` with its keys from node `from` to node `to`, and notifies all primaries.
    fn move_slot(
        &self,
        slot: u16,
        from: usize,
        to: usize,
    ) -> impl Future<Output = Result<(), ServersError>> + Send;

    /// Starts to move `slot`: node `to` imports it, node `from` still owns it and migrates it. No key moves.
    fn open_slot(
        &self,
        slot: u16,
        from: usize,
        to: usize,
    ) -> impl Future<Output = Result<(), ServersError>> + Send;

    /// Moves at most `keys_max` keys of an open slot, and returns their number.
    fn move_keys(
        &self,
        slot: u16,
        from: usize,
        to: usize,
        keys_max: usize,
    ) -> impl Future<Output = Result<usize, ServersError>> + Send;

    /// Completes the move of an open slot without remaining keys: `to` owns it from now on.
    fn close_slot(
        &self,
        slot: u16,
        from: usize,
        to: usize,
    ) -> impl Future<Output = Result<(), ServersError>> + Send;

    /// Aborts a partial move at the nodes: `from` owns the slot, which is no longer open. Moved keys stay where they
    /// are.
    fn calm_slot(
        &self,
        slot: u16,
        from: usize,
        to: usize,
    ) -> impl Future<Output = Result<(), ServersError>> + Send;
}

impl Reshard for ClusterServers {
    async fn move_slot(&self, slot: u16, from: usize, to: usize) -> Result<(), ServersError> {
        self.open_slot(slot, from, to).await?;
        self.move_keys(slot, from, to, usize::MAX).await?;
        self.close_slot(slot, from, to).await
    }

    async fn open_slot(&self, slot: u16, from: usize, to: usize) -> Result<(), ServersError> {
        let (source, target) = (self.nodes()[from].conn().await?, self.nodes()[to].conn().await?);
        target.info_text(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", self.id(from))).await?;
        source.info_text(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", self.id(to))).await?;
        Ok(())
    }

    async fn move_keys(
        &self,
        slot: u16,
        from: usize,
        to: usize,
        keys_max: usize,
    ) -> Result<usize, ServersError> {
        let source = self.nodes()[from].conn().await?;
        let port = self.nodes()[to].port().to_string();
        let mut moved = 0;
        while moved < keys_max {
            let keys = keys_in_slot(&source, slot, MIGRATE_KEYS.min(keys_max - moved)).await?;
            if keys.is_empty() {
                break;
            }
            let mut args: Vec<&[u8]> =
                vec![b"MIGRATE", b"127.0.0.1", port.as_bytes(), b"", b"0", b"10000", b"KEYS"];
            args.extend(keys.iter().map(Vec::as_slice));
            source.command(&args).await?;
            moved += keys.len();
        }
        Ok(moved)
    }

    async fn close_slot(&self, slot: u16, from: usize, to: usize) -> Result<(), ServersError> {
        let owner = format!("CLUSTER SETSLOT {slot} NODE {}", self.id(to));
        // The target first: if this is interrupted, the slot has an owner that knows it.
        let others = (0..self.primaries().len()).filter(|index| ![from, to].contains(index));
        for index in [to, from].into_iter().chain(others) {
            self.nodes()[index].conn().await?.info_text(&owner).await?;
        }
        Ok(())
    }

    async fn calm_slot(&self, slot: u16, from: usize, to: usize) -> Result<(), ServersError> {
        for index in [to, from] {
            self.nodes()[index].conn().await?.info_text(&format!("CLUSTER SETSLOT {slot} STABLE")).await?;
        }
        Ok(())
    }
}

async fn keys_in_slot(conn: &Conn, slot: u16, count: usize) -> Result<Vec<Vec<u8>>, RedisError> {
    let unexpected = || RedisError::unexpected(conn.address(), "CLUSTER GETKEYSINSLOT");
    let Reply::Array(keys) = conn.info_text(&format!("CLUSTER GETKEYSINSLOT {slot} {count}")).await? else {
        return Err(unexpected());
    };
    let key = |reply| if let Reply::BulkString(key) = reply { Ok(key) } else { Err(unexpected()) };
    keys.into_iter().map(key).collect()
}
