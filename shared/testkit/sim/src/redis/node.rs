//! One server: its keys, its clock, and what INFO says of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::keyspace::Keyspace;

/// The version that it says it is.
const VERSION: &str = "7.0.15";

/// A server process with its data.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Its name in the cluster.
    pub(crate) id: String,
    pub(crate) address: SocketAddr,
    /// Identifies the process.
    pub(crate) run_id: String,
    /// Identifies the history of its data.
    pub(crate) replication_id: String,
    /// Bytes of that history.
    pub(crate) offset: u64,
    pub(crate) keys: Keyspace,
    /// Its replica, if it has one.
    pub(crate) replica: Option<Replica>,
    /// Whether the replica gets nothing more.
    pub(crate) is_behind: bool,
    pub(crate) scripts: BTreeMap<String, Arc<str>>,
    /// How far its clock is ahead of the world's, in milliseconds.
    pub(crate) ahead_ms: i64,
    /// When the process started, by the world's clock.
    pub(crate) started_ms: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    /// How often each command was called, as the server names it.
    pub(crate) calls: BTreeMap<String, u64>,
    /// Whether it refuses writes, because it cannot save them.
    pub(crate) refuses_writes: bool,
    /// Whether it accepts connections.
    pub(crate) is_up: bool,
    /// Counts how often its connections were cut.
    pub(crate) cut: u64,
}

/// A server that gets what its primary writes.
#[derive(Clone, Debug)]
pub(crate) struct Replica {
    /// Its name in the cluster.
    pub(crate) id: String,
    pub(crate) address: SocketAddr,
    /// Identifies the process.
    pub(crate) run_id: String,
    /// What it has of its primary's data, and how many bytes of their history.
    pub(crate) keys: Keyspace,
    pub(crate) offset: u64,
}

impl Replica {
    /// A new one, which has what its primary has.
    pub(crate) fn new(address: SocketAddr, keys: Keyspace, offset: u64) -> Self {
        Self { id: random_id(), address, run_id: random_id(), keys, offset }
    }
}

/// Forty hexadecimal digits.
pub(crate) fn random_id() -> String {
    (0..5).map(|_| format!("{:08x}", fastrand::u32(..))).collect()
}

impl Node {
    /// A new, empty server.
    pub(crate) fn new(address: SocketAddr, now_ms: u64) -> Self {
        Self {
            id: random_id(),
            address,
            run_id: random_id(),
            replication_id: random_id(),
            offset: 1,
            keys: Keyspace::default(),
            replica: None,
            is_behind: false,
            scripts: BTreeMap::new(),
            ahead_ms: 0,
            started_ms: now_ms,
            hits: 0,
            misses: 0,
            calls: BTreeMap::new(),
            refuses_writes: false,
            is_up: true,
            cut: 0,
        }
    }

    /// Its clock.
    pub(crate) fn clock_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_add_signed(self.ahead_ms)
    }

    /// The process starts again: it has lost its scripts and its connections, and keeps its data.
    pub(crate) fn restart(&mut self, now_ms: u64) {
        self.run_id = random_id();
        self.scripts.clear();
        self.calls.clear();
        (self.hits, self.misses, self.started_ms) = (0, 0, now_ms);
        self.cut += 1;
        self.is_up = true;
    }

    /// Lets the node answer from what its replica has, or from its own keys again.
    pub(crate) fn swap_with_replica(&mut self) {
        if let Some(replica) = &mut self.replica {
            std::mem::swap(&mut self.keys, &mut replica.keys);
        }
    }

    /// The reply of INFO of the replica.
    pub(crate) fn info_of_replica(&self, is_cluster: bool, now_ms: u64) -> String {
        let Some(replica) = &self.replica else { return String::new() };
        let own = Self {
            run_id: replica.run_id.clone(),
            keys: replica.keys.clone(),
            offset: replica.offset,
            replica: None,
            scripts: BTreeMap::new(),
            ..self.clone()
        };
        let (link, offset) = (if self.is_behind { "down" } else { "up" }, replica.offset);
        let role = format!(
            "role:slave\r\nmaster_link_status:{link}\r\nmaster_last_io_seconds_ago:0\r\n\
             master_sync_in_progress:0\r\nslave_repl_offset:{offset}\r\n"
        );
        own.info(is_cluster, now_ms).replace("role:master\r\n", &role)
    }

    /// The section `commandstats` of INFO.
    pub(crate) fn command_stats(&self) -> String {
        let line = |(name, calls): (&String, &u64)| {
            format!(
                "cmdstat_{name}:calls={calls},usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=0\r\n"
            )
        };
        format!("# Commandstats\r\n{}", self.calls.iter().map(line).collect::<String>())
    }

    /// The reply of INFO with the default sections.
    pub(crate) fn info(&self, is_cluster: bool, now_ms: u64) -> String {
        let uptime = now_ms.saturating_sub(self.started_ms) / 1_000;
        let (keys, expires) = (self.keys.len(), self.keys.expiring());
        let replicas = u8::from(self.replica.is_some());
        let replica = self.replica.as_ref().map_or_else(String::new, |replica| {
            let (ip, port) = (replica.address.ip(), replica.address.port());
            format!("slave0:ip={ip},port={port},state=online,offset={},lag=0\r\n", replica.offset)
        });
        let keyspace =
            if keys > 0 { format!("db0:keys={keys},expires={expires},avg_ttl=0\r\n") } else { String::new() };
        format!(
            "# Server\r\nredis_version:{VERSION}\r\nredis_mode:{mode}\r\nrun_id:{run_id}\r\nuptime_in_seconds:{uptime}\r\n\
             # Clients\r\nconnected_clients:1\r\nmaxclients:10000\r\n\
             # Memory\r\nused_memory:{memory}\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n\
             # Persistence\r\nloading:0\r\n\
             # Stats\r\nkeyspace_hits:{hits}\r\nkeyspace_misses:{misses}\r\nexpired_keys:0\r\nevicted_keys:0\r\n\
             # Replication\r\nrole:master\r\nconnected_slaves:{replicas}\r\n{replica}master_replid:{replid}\r\n\
             master_repl_offset:{offset}\r\n\
             # Cluster\r\ncluster_enabled:{cluster}\r\n# Keyspace\r\n{keyspace}",
            mode = if is_cluster { "cluster" } else { "standalone" },
            run_id = self.run_id,
            memory = 1_000_000 + keys * 80,
            hits = self.hits,
            misses = self.misses,
            replid = self.replication_id,
            offset = self.offset,
            cluster = u8::from(is_cluster),
        )
    }
}
