//! Fills servers fast: commands go to the owner of the key's slot, in large pipelines, to all nodes concurrently. It
//! follows no redirects: slots must not move meanwhile.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use keysweep_model::slot::{SLOTS, slot_of};
use keysweep_redis::{Batch, Conn, ConnectOptions, RedisError, Reply};

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
            for primary in primaries(&ask(&seed, "CLUSTER NODES").await?) {
                for slot in primary.slots.iter().flat_map(|&(first, last)| first..=last) {
                    owners[usize::from(slot)] = Some(conns.len());
                }
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

#[derive(Debug, PartialEq, Eq)]
struct SeedPrimary {
    host: String,
    port: u16,
    slots: Vec<(u16, u16)>,
}

/// The primaries with slots, from the reply to CLUSTER NODES. Invalid lines are skipped.
fn primaries(nodes: &str) -> Vec<SeedPrimary> {
    nodes.lines().filter_map(primary).filter(|primary| !primary.slots.is_empty()).collect()
}

fn primary(line: &str) -> Option<SeedPrimary> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let flags: Vec<&str> = fields.get(2)?.split(',').collect();
    if !flags.contains(&"master") || flags.contains(&"fail") {
        return None;
    }
    let (host, port) = fields[1].split('@').next()?.rsplit_once(':')?;
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    let slots = fields.iter().skip(8).filter_map(|range| slot_range(range)).collect();
    Some(SeedPrimary { host: host.to_owned(), port: port.parse().ok()?, slots })
}

/// `7` or `0-5460`; an open slot (`[7->-…]`) is listed among the owned ones as well.
fn slot_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && last < SLOTS).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primaries_are_read_with_their_slots() {
        let nodes = "a 127.0.0.1:7000@17000,host myself,master - 0 0 1 connected 0-5 9 [7->-b]\n\
                     b 127.0.0.1:7001@17001 slave a 0 0 1 connected\n\
                     c 127.0.0.1:7002@17002 master - 0 0 1 connected\n\
                     d :7003@17003 master - 0 0 1 connected 16383\n\
                     e 127.0.0.1:7004@17004 master,fail - 0 0 1 connected 10-12\nnonsense\n";
        let found = primaries(nodes);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].port, found[0].slots.clone()), (7000, [(0, 5), (9, 9)].into()));
        assert_eq!(
            (found[1].host.as_str(), found[1].slots.clone()),
            ("127.0.0.1", [(16_383, 16_383)].into())
        );
    }
}
