//! What one server reports about itself: its process, keys, counters, and the slots it serves.

use keysweep_model::counters::{CommandCounts, KeyRemovals, NodeCounters};
use keysweep_model::ids::NodeId;
use keysweep_model::messages::{AsReplica, Lookups};
use keysweep_model::slot::SlotSet;
use tokio::time::Instant;

use super::cluster_nodes;
use super::command_stats;
use super::conn::{Batch, Conn};
use super::error::{RedisError, RedisErrorKind};
use super::info::Info;
use super::replication_info;
use super::reply::{number, text};
use super::reply_size::ReplyUnit;
use super::throttle::Throttle;

/// A server's status, from one INFO reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// `run_id`: identifies the process. Cursors and counters are valid only within one process.
    pub process: String,
    /// `master_replid`: identifies what this server has written since it became a primary. It changes after a restart
    /// and after a failover.
    pub replication_id: String,
    /// Connected replicas.
    pub replicas: u64,
    /// Version for display, such as `redis 7.0.15`.
    pub version: String,
    /// The server's own name and version if it is neither Redis nor Valkey and reports so, such as `kvrocks 2.9.0`. Its
    /// counts and cursors are not trusted.
    pub foreign: Option<String>,
    /// Whether it knows all commands that a deletion needs (Redis 6.2 or newer, any Valkey).
    pub supported: bool,
    /// Whether it has `PEXPIRETIME` (Redis 7.0 or newer, any Valkey).
    pub reports_expiry: bool,
    /// Whether it is part of a cluster.
    pub cluster: bool,
    /// Its replication state, if it is a replica.
    pub replica: Option<AsReplica>,
    /// Connections that it still accepts in addition to the open ones; `None` if it does not report them.
    pub connections_left: Option<u64>,
    /// How long the process has run, in seconds.
    pub uptime_s: u64,
    /// Bytes of memory in use.
    pub used_memory: Option<u64>,
    /// Its memory limit, if it has one.
    pub max_memory: Option<u64>,
    /// Keys in the queried database.
    pub keys: u64,
    /// Those of them that have a TTL.
    pub expires: u64,
    /// Hashes there with a field that expires, or that had one: see [`field_ttls`].
    pub field_ttls: u64,
    /// Keyspace counters since the process started.
    pub lookups: Lookups,
    /// Lookups by command statistics; `None` if they were not queried, or the server does not report them.
    pub commands: Option<CommandCounts>,
    /// Keys that it removed by itself since its counters began; `None` if it does not report them.
    pub removals: Option<KeyRemovals>,
    /// How often SWAPDB was called since the process started or its statistics were reset; `None` as above.
    pub swaps: Option<u64>,
    /// Its `maxmemory-policy`; empty if it does not report it.
    pub eviction_policy: String,
    /// Whether it counts uses of keys (an LFU policy), and so does not report idle times.
    pub counts_uses: bool,
    /// Whether it keeps one hash table per slot if it is in cluster mode.
    pub slot_tables: bool,
}

/// `…_version` fields of Redis, Valkey and compatible servers (KeyDB names itself nowhere else), and those of
/// libraries, modules and formats.
const OWN_VERSIONS: &[&str] =
    &["redis", "valkey", "keydb", "gcc", "clang", "allocator", "module", "rdb", "lua", "os"];

/// Queries a server's status, with the key counts of database `db`.
pub async fn status(conn: &Conn, db: u32) -> Result<NodeStatus, RedisError> {
    of_info(conn, db, &Info::parse(text(conn, "INFO", conn.info_text("INFO").await?)?))
}

/// The databases of a standalone server that have keys, in order.
pub async fn databases(conn: &Conn) -> Result<Vec<u32>, RedisError> {
    Ok(Info::parse(text(conn, "INFO", conn.info_text("INFO keyspace").await?)?).databases())
}

/// [`status`] with [`NodeStatus::commands`], all from one reply, because two replies would not be consistent. It costs
/// a server about twice as much as [`status`], so it is queried at the beginning and the end of a run and between runs.
pub async fn status_with_commands(conn: &Conn, db: u32) -> Result<NodeStatus, RedisError> {
    // Redis 6.2 accepts one section per call, so all sections are requested.
    match text(conn, "INFO", conn.info_text("INFO all").await?).map(Info::parse) {
        Ok(info) if process(&info).is_some() => of_info(conn, db, &info),
        // A proxy that does not know sections returns an error or an empty reply.
        Err(fault) if fault.kind != RedisErrorKind::CommandError => Err(fault),
        _ => status(conn, db).await,
    }
}

pub(super) fn of_info(conn: &Conn, db: u32, info: &Info) -> Result<NodeStatus, RedisError> {
    let process = process(info).ok_or_else(|| RedisError::unexpected(conn.address(), "INFO"))?;
    let foreign = foreign(info);
    if info.number("loading") == Some(1) {
        return Err(RedisError::new(
            RedisErrorKind::Unavailable,
            conn.address(),
            "it is loading its data set",
        ));
    }
    let counts = info.keyspace(db);
    let policy = info.text("maxmemory_policy").unwrap_or_default();
    let max_memory = info.number("maxmemory").filter(|limit| *limit > 0);
    Ok(NodeStatus {
        process,
        replication_id: info.text("master_replid").unwrap_or_default().to_owned(),
        replicas: info.number("connected_slaves").unwrap_or_default(),
        version: version(info),
        // The Redis version that another kind of server reports says little: preflight tries its commands.
        supported: foreign.is_some() || from_redis(info, (6, 2)),
        reports_expiry: from_redis(info, (7, 0)),
        cluster: info.number("cluster_enabled") == Some(1),
        replica: replication_info::as_replica(info),
        connections_left: connections_left(info),
        uptime_s: info.number("uptime_in_seconds").unwrap_or_default(),
        used_memory: info.number("used_memory"),
        max_memory,
        keys: counts.keys,
        expires: counts.expires,
        field_ttls: counts.field_ttls,
        lookups: Lookups::of(
            info.number("keyspace_hits").unwrap_or_default(),
            info.number("keyspace_misses").unwrap_or_default(),
        ),
        commands: command_stats::read(info),
        removals: info
            .number("expired_keys")
            .zip(info.number("evicted_keys"))
            .map(|(expired, evicted)| KeyRemovals { expired, evicted }),
        swaps: command_stats::swaps(info),
        counts_uses: policy.contains("lfu"),
        eviction_policy: policy.to_owned(),
        slot_tables: slot_tables(info),
        foreign,
    })
}

impl NodeStatus {
    /// Memory in use as a percentage of the limit, 0 to 100; `None` without a limit.
    #[must_use]
    pub fn memory_percent(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
        self.used_memory.zip(self.max_memory).map(|(used, limit)| used as f64 * 100.0 / limit as f64)
    }

    /// The counters of `node`, with our own lookups that follow right after the reading.
    #[must_use]
    pub fn counters(&self, node: &NodeId, own_after: Lookups) -> NodeCounters {
        NodeCounters {
            node: node.clone(),
            process: self.process.clone(),
            uptime_s: self.uptime_s,
            lookups: self.lookups,
            commands: self.commands,
            own_before: Lookups::default(),
            own_after,
            keys: self.keys,
            without_ttl: Some(self.keys.saturating_sub(self.expires)),
            removals: self.removals,
        }
    }
}

/// What `maxclients` leaves. It includes replicas and cluster links, which `connected_clients` does not count.
fn connections_left(info: &Info) -> Option<u64> {
    let others =
        ["connected_slaves", "cluster_connections"].map(|name| info.number(name).unwrap_or_default());
    let taken = info.number("connected_clients")?.saturating_add(others.iter().sum());
    Some(info.number("maxclients")?.saturating_sub(taken))
}

/// What identifies the process: `run_id`, or where it is missing, another field that changes on a restart.
fn process(info: &Info) -> Option<String> {
    let fields = ["run_id", "process_id", "master_replid"].into_iter();
    fields.filter_map(|name| info.text(name)).find(|value| !value.is_empty()).map(str::to_owned)
}

/// The name of another kind of server: a field such as `kvrocks_version` that neither Redis nor Valkey has.
fn foreign(info: &Info) -> Option<String> {
    info.names_ending("_version").find_map(|(name, version)| {
        let kind = name.strip_suffix("_version")?;
        (!OWN_VERSIONS.contains(&kind)).then(|| format!("{kind} {version}"))
    })
}

fn version(info: &Info) -> String {
    if let Some(foreign) = foreign(info) {
        return foreign;
    }
    match info.text("valkey_version") {
        Some(version) => format!("valkey {version}"),
        None => format!("redis {}", info.text("redis_version").unwrap_or("of unknown version")),
    }
}

/// Redis 7.4 and Valkey 8 keep one table per slot. Valkey reports Redis 7.2 for compatibility with old clients, so its
/// own version is checked, too.
fn slot_tables(info: &Info) -> bool {
    let recent = at_least(info, "valkey_version", (8, 0)) || at_least(info, "redis_version", (7, 4));
    recent && foreign(info).is_none()
}

/// Whether it is Redis of at least this version (major, minor), or any Valkey: all Valkey versions follow Redis 7.0.
fn from_redis(info: &Info, wanted: (u32, u32)) -> bool {
    at_least(info, "valkey_version", (0, 0)) || at_least(info, "redis_version", wanted)
}

/// Whether the version under `name` exists and is at least `wanted` (major, minor).
fn at_least(info: &Info, name: &str, wanted: (u32, u32)) -> bool {
    let Some(version) = info.text(name) else { return false };
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= wanted
}

/// The slots that a node serves at one moment, as the node itself reports them: open slots are shown nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotView {
    /// The node's config epoch: it changes when slots change owners.
    pub epoch: u64,
    /// Slots it serves; empty if it is not a primary.
    pub owned: SlotSet,
    /// Slots that are being migrated from or to it.
    pub open: SlotSet,
}

impl SlotView {
    /// Those of `slots` that were served here and closed both now and in an `earlier` view. Empty if the config epoch
    /// has changed: a slot may have moved away and back.
    #[must_use]
    pub fn stable_since(&self, earlier: &Self, slots: &SlotSet) -> SlotSet {
        if self.epoch != earlier.epoch {
            return SlotSet::new();
        }
        let both = slots.intersection(&earlier.owned).intersection(&self.owned);
        both.difference(&earlier.open).difference(&self.open)
    }
}

/// Queries a cluster node for the slots it serves.
pub async fn slot_view(conn: &Conn) -> Result<SlotView, RedisError> {
    let mut batch = Batch::new();
    batch.add(&[b"CLUSTER", b"NODES"]);
    let reply = conn.sized((ReplyUnit::Description, 1), batch).await?.pop().unwrap_or(redis::Value::Nil);
    let reply_text = text(conn, "CLUSTER NODES", reply)?;
    cluster_nodes::own_slots(&reply_text)
        .map_err(|e| RedisError::new(RedisErrorKind::Protocol, conn.address(), e.to_string()))
}

/// The number of keys in each of `slots`, in their order.
pub async fn slot_counts(
    conn: &Conn,
    slots: &SlotSet,
    breaks: Throttle,
) -> Result<Vec<(u16, u64)>, RedisError> {
    let all: Vec<u16> = slots.iter().collect();
    let mut counts = Vec::with_capacity(all.len());
    for chunk in all.chunks(breaks.at_once(1_000)) {
        let (mut batch, sent) = (Batch::new(), Instant::now());
        for slot in chunk {
            batch.add(&[b"CLUSTER", b"COUNTKEYSINSLOT", slot.to_string().as_bytes()]);
        }
        for (slot, reply) in chunk.iter().zip(conn.batch(batch).await?) {
            counts.push((*slot, number(conn, "CLUSTER COUNTKEYSINSLOT", &reply)?));
        }
        breaks.rest(sent).await;
    }
    Ok(counts)
}

/// Whether database `db` has hashes with field TTLs, as far as the server keeps track of them. It may no longer have
/// any.
pub async fn field_ttls(conn: &Conn, db: u32) -> Result<bool, RedisError> {
    let reply_text = text(conn, "INFO", conn.info_text("INFO keyspace").await?)?;
    Ok(Info::parse(reply_text).keyspace(db).field_ttls > 0)
}

/// The server's clock as [`time_ms`] returns it, and [`field_ttls`], in one write.
pub async fn time_and_field_ttls(conn: &Conn, db: u32) -> Result<(u64, bool), RedisError> {
    let mut batch = Batch::new();
    batch.add(&[b"TIME"]);
    batch.add(&[b"INFO", b"keyspace"]);
    let mut replies = conn.batch(batch).await?.into_iter();
    let (Some(time), Some(keyspace)) = (replies.next(), replies.next()) else {
        return Err(RedisError::unexpected(conn.address(), "TIME"));
    };
    let reply_text = text(conn, "INFO", keyspace)?;
    Ok((server_time(conn, &time)?, Info::parse(reply_text).keyspace(db).field_ttls > 0))
}

/// How often SWAPDB was called; `None` if the server does not report it.
pub async fn swaps(conn: &Conn) -> Result<Option<u64>, RedisError> {
    let reply_text = text(conn, "INFO", conn.info_text("INFO commandstats").await?)?;
    Ok(command_stats::swaps(&Info::parse(reply_text)))
}

/// The server's clock, in milliseconds since the Unix epoch.
pub async fn time_ms(conn: &Conn) -> Result<u64, RedisError> {
    server_time(conn, &conn.info_text("TIME").await?)
}

/// Parses the reply to TIME, in milliseconds since the Unix epoch.
pub(super) fn server_time(conn: &Conn, reply: &redis::Value) -> Result<u64, RedisError> {
    let unexpected = || conn.fault(reply).unwrap_or_else(|| RedisError::unexpected(conn.address(), "TIME"));
    let redis::Value::Array(parts) = reply else { return Err(unexpected()) };
    let part = |n: usize| match parts.get(n) {
        Some(redis::Value::BulkString(digits)) => str::from_utf8(digits).ok()?.parse::<u64>().ok(),
        _ => None,
    };
    let (Some(seconds), Some(micros)) = (part(0), part(1)) else { return Err(unexpected()) };
    Ok(seconds.saturating_mul(1_000).saturating_add(micros / 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_kinds_of_servers_are_recognized_by_their_version_field() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(foreign(&Info::parse(text)).as_deref(), expected, "{text}");
        };
        check("redis_version:7.0.15\r\ngcc_version:12.2.0\r\nprocess_id:3", None);
        check("redis_version:7.2.4\r\nvalkey_version:8.1.1", None);
        check("redis_version:4.0.0\r\nkvrocks_version:2.9.0", Some("kvrocks 2.9.0"));
        check("garnet_version:1.0.40\r\nredis_version:7.4.3", Some("garnet 1.0.40"));
    }

    #[test]
    fn version_determines_support_and_slot_tables() {
        let check = |text: &str, supported, reports_expiry, expected| {
            let info = Info::parse(text);
            let known = (from_redis(&info, (6, 2)), from_redis(&info, (7, 0)));
            assert_eq!((known, slot_tables(&info)), ((supported, reports_expiry), expected), "{text}");
        };
        check("redis_version:6.0.16", false, false, false);
        check("redis_version:6.2.14", true, false, false);
        check("redis_version:7.0.15", true, true, false);
        check("redis_version:7.2.4\r\nvalkey_version:7.2.8", true, true, false);
        check("redis_version:7.2.4\r\nvalkey_version:8.1.1", true, true, true);
        check("redis_version:7.4.0", true, true, true);
        check("redis_version:10.0.0", true, true, true);
        check("redis_version:7.4.0\r\ndragonfly_version:df-v1.27.1", true, true, false);
        check("redis_version:garbage", false, false, false);
    }
}
