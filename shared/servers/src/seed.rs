//! Fills servers fast: commands go to the owner of the key's slot, in large pipelines, to all nodes concurrently. It
//! follows no redirects: slots must not move meanwhile.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use keysweep_model::slot::{SLOTS, slot_of};
use keysweep_redis::{Batch, Conn, ConnectOptions, RedisClient, RedisError, Reply};

use super::{DatasetEntry, DatasetValue, ServersError, ask};

/// Commands in one write.
const BATCH_COMMANDS: usize = 1000;
/// The size at which a batch is sent earlier, in bytes.
const BATCH_BYTES: usize = 1 << 20;
/// Batches in flight per node: the server executes one while the next is written.
const BATCHES_PER_NODE: usize = 2;

/// Writes keys to a cluster or a standalone server. All keys are written when [`Seeder::finish`] returns.
pub struct Seeder {
    nodes: Vec<SeedNode>,
    /// The index of the owner of each slot; `None` without owner.
    owners: Vec<Option<usize>>,
    in_flight: FuturesUnordered<BoxFuture<'static, Result<(), RedisError>>>,
}

struct SeedNode {
    conn: Conn,
    batch: Batch,
    bytes: usize,
}

impl Seeder {
    /// Connects to the deployment of the first of `urls`, without a password.
    pub async fn connect(urls: &[String]) -> Result<Self, ServersError> {
        Self::open(&ConnectOptions::open(urls.to_vec())).await
    }

    /// Connects to the deployment of the first seed of `access`, with its credentials and database.
    pub async fn open(access: &ConnectOptions) -> Result<Self, ServersError> {
        let Some(url) = access.urls.first() else {
            return Err(ServersError::Unusable("no address was given to seed".to_owned()));
        };
        let seed = access.connect_dedicated(url).await?;
        let mut owners = vec![None; usize::from(SLOTS)];
        let mut conns = Vec::new();
        if ask(&seed, "INFO cluster").await?.contains("cluster_enabled:1") {
            for primary in &RedisClient::discover(access.clone()).await?.topology().primaries {
                primary.slots.iter().for_each(|slot| owners[usize::from(slot)] = Some(conns.len()));
                conns.push(access.connect_node_dedicated(&primary.host, primary.port).await?);
            }
        } else {
            owners.fill(Some(0));
            conns.push(seed);
        }
        let nodes = conns.into_iter().map(|conn| SeedNode { conn, batch: Batch::new(), bytes: 0 }).collect();
        Ok(Self { nodes, owners, in_flight: FuturesUnordered::new() })
    }

    /// Whether a node owns the key's slot.
    #[must_use]
    pub fn covers(&self, key: &[u8]) -> bool {
        self.owners[usize::from(slot_of(key))].is_some()
    }

    /// Adds `SET key value`, with `PX ttl_ms` if there is one.
    pub async fn set(&mut self, key: &[u8], value: &[u8], ttl_ms: Option<u64>) -> Result<(), ServersError> {
        match ttl_ms.map(|ttl| ttl.to_string()) {
            Some(ttl) => self.command(key, &[b"SET", key, value, b"PX", ttl.as_bytes()]).await,
            None => self.command(key, &[b"SET", key, value]).await,
        }
    }

    /// Adds a command for the owner of `key`; `args` is the whole command.
    pub async fn command(&mut self, key: &[u8], args: &[&[u8]]) -> Result<(), ServersError> {
        let slot = slot_of(key);
        let Some(index) = self.owners[usize::from(slot)] else {
            return Err(ServersError::Unusable(format!(
                "slot {slot} has no owner, so a key of it cannot be seeded"
            )));
        };
        let node = &mut self.nodes[index];
        node.batch.add(args);
        node.bytes += args.iter().map(|arg| arg.len()).sum::<usize>();
        if node.batch.len() >= BATCH_COMMANDS || node.bytes >= BATCH_BYTES {
            self.send(index).await?;
        }
        Ok(())
    }

    /// Adds an entry of a data set.
    pub async fn entry(&mut self, entry: &DatasetEntry) -> Result<(), ServersError> {
        let key = entry.key.as_slice();
        let mut args: Vec<&[u8]> = Vec::new();
        match &entry.value {
            DatasetValue::Text(text) => return self.set(key, text, entry.ttl_ms).await,
            DatasetValue::Hash(fields) => {
                args.extend([b"HSET", key]);
                args.extend(fields.iter().flat_map(|(field, value)| [field.as_bytes(), value.as_bytes()]));
            }
            DatasetValue::Set(members) => {
                args.extend([b"SADD", key]);
                args.extend(members.iter().map(String::as_bytes));
            }
        }
        self.command(key, &args).await?;
        match entry.ttl_ms.map(|ttl| ttl.to_string()) {
            Some(ttl) => self.command(key, &[b"PEXPIRE", key, ttl.as_bytes()]).await,
            None => Ok(()),
        }
    }

    /// Sends the rest and waits for all replies.
    pub async fn finish(&mut self) -> Result<(), ServersError> {
        for index in 0..self.nodes.len() {
            self.send(index).await?;
        }
        while let Some(done) = self.in_flight.next().await {
            done?;
        }
        Ok(())
    }

    /// The number of keys of all primaries (in the database of the seeder).
    pub async fn keys(&self) -> Result<u64, ServersError> {
        let mut keys = 0;
        for node in &self.nodes {
            match node.conn.info_text("DBSIZE").await? {
                Reply::Int(count) => keys += count.unsigned_abs(),
                _ => return Err(RedisError::unexpected(node.conn.address(), "DBSIZE").into()),
            }
        }
        Ok(keys)
    }

    /// A connection to each primary.
    pub fn conns(&self) -> impl Iterator<Item = &Conn> {
        self.nodes.iter().map(|node| &node.conn)
    }

    async fn send(&mut self, index: usize) -> Result<(), ServersError> {
        let node = &mut self.nodes[index];
        let batch = std::mem::take(&mut node.batch);
        node.bytes = 0;
        self.in_flight.push(deliver(node.conn.clone(), batch).boxed());
        while self.in_flight.len() > BATCHES_PER_NODE * self.nodes.len() {
            self.in_flight.next().await.unwrap_or(Ok(()))?;
        }
        // Polled once, so that the new batch is in flight while the next one is filled.
        self.in_flight.next().now_or_never().flatten().unwrap_or(Ok(()))?;
        Ok(())
    }
}

async fn deliver(conn: Conn, batch: Batch) -> Result<(), RedisError> {
    let replies = conn.batch(batch).await?;
    replies.iter().find_map(|reply| conn.fault(reply)).map_or(Ok(()), Err)
}
