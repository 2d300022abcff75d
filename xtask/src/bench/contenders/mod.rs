//! The contenders: their names, servers, data and numbers of keys. `launch.rs` starts them.

pub(crate) mod fleet;
pub(crate) mod launch;
pub(crate) mod packages;

use super::data::Data;
use super::deployment::Place;

/// A cleanup method, or keysweep in a special case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Contender {
    /// keysweep in one process at full speed.
    Keysweep,
    /// keysweep at its default pace.
    Gentle,
    /// keysweep on workers over NATS at full speed.
    Nats,
    /// keysweep on a standalone server, for comparison with the specification's job.
    Standalone,
    /// keysweep on data in which every key has a TTL.
    Healthy,
    /// keysweep that reads every key and finds almost nothing.
    Looks,
    /// `redis-cli --scan`, TTLs and UNLINKs as lines on its stdin.
    RedisCli,
    /// redis-py with pipelines.
    RedisPy,
    /// The job of the source document, as written there.
    Document,
    /// A pipelined client with one cursor, one node after another.
    SingleCursor,
    /// The least possible work.
    Floor,
    /// The floor on the data of [`Contender::Looks`].
    FloorLooks,
}

use Contender::{
    Document, Floor, FloorLooks, Gentle, Healthy, Keysweep, Looks, Nats, RedisCli, RedisPy, SingleCursor,
    Standalone,
};

/// Contenders that wait for each reply get at most this many keys: all keys would take minutes, at the same rate.
const SAMPLE_KEYS_MAX: u64 = 50_000;

impl Contender {
    /// All contenders, in the order of the tables and of each turn; closely compared ones are next to each other.
    pub(crate) const ALL: [Self; 12] = [
        Keysweep,
        Floor,
        Nats,
        Gentle,
        SingleCursor,
        RedisPy,
        RedisCli,
        Standalone,
        Document,
        Healthy,
        Looks,
        FloorLooks,
    ];

    /// Its name in the tables; at most 18 characters.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Keysweep => "keysweep",
            Gentle => "keysweep, gentle",
            Nats => "keysweep over NATS",
            Standalone => "keysweep, one node",
            Healthy => "keysweep, healthy",
            Looks => "keysweep, looking",
            RedisCli => "redis-cli",
            RedisPy => "redis-py",
            Document => "document's job",
            SingleCursor => "single cursor",
            Floor => "floor",
            FloorLooks => "floor, looking",
        }
    }

    /// Its description for readers.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Keysweep => "`keysweep run` in one process, without a grace, at full speed",
            Gentle => "`keysweep` at its default pace",
            Nats => {
                "`keysweep` at full speed on three scanners, three reapers, two reporters and a service over NATS"
            }
            Standalone => "`keysweep`, on one standalone server",
            Healthy => "`keysweep`, where every key has a TTL",
            Looks => "`keysweep` with `--action report`, where all but one key of each node have a TTL",
            RedisCli => {
                "`redis-cli --scan`, then a TTL for each key and an UNLINK for each stale one as lines on the \
                 standard input of `redis-cli`, node after node (`xargs redis-cli unlink` would need a process for \
                 each key: in a cluster the keys of one UNLINK have to share a slot)"
            }
            RedisPy => {
                "`scan_iter` with COUNT 1000, and pipelines of 1,000 PTTLs and of UNLINKs, node after node"
            }
            Document => {
                "the job of the document that keysweep implements, as written there: Node.js with \
                 ioredis, SCAN with COUNT 100, a TTL per key, each awaited, DEL in batches of 100; on one standalone \
                 server"
            }
            SingleCursor => {
                "a client in Rust: SCAN with COUNT 1000, one pipeline of TTLs and one of UNLINKs for each \
                 page, node after node"
            }
            Floor => {
                "a bare client in Rust that checks nothing: a thread per node, windows of 16 slots, listings sent \
                 together with the PTTLs of the window before and the UNLINKs of the one before that"
            }
            FloorLooks => {
                "the floor on the same data as `keysweep, looking`; it deletes the one key of each node"
            }
        }
    }

    /// The servers that it cleans.
    pub(crate) fn place(self) -> Place {
        if matches!(self, Standalone | Document) { Place::Standalone } else { Place::Cluster }
    }

    /// Whether it is measured with several shares of stale keys.
    pub(crate) fn is_varied(self) -> bool {
        matches!(self, Keysweep | Floor)
    }

    /// Its data, if it does not depend on the share of stale keys.
    pub(crate) fn own_data(self) -> Option<Data> {
        match self {
            Healthy => Some(Data::Stale { percent: 0 }),
            Looks | FloorLooks => Some(Data::OnePerNode),
            _ => None,
        }
    }

    /// The contender that it is compared with, on the same servers and data; `None` for keysweep itself.
    pub(crate) fn counterpart(self) -> Option<Self> {
        match self {
            Floor | Nats | SingleCursor | RedisPy | RedisCli => Some(Keysweep),
            Document => Some(Standalone),
            FloorLooks => Some(Looks),
            Keysweep | Gentle | Standalone | Healthy | Looks => None,
        }
    }

    /// Whether it deletes stale keys.
    pub(crate) fn cleans(self) -> bool {
        self != Looks
    }

    /// The most keys that it gets.
    pub(crate) fn keys_max(self) -> u64 {
        if matches!(self, RedisCli | Document) { SAMPLE_KEYS_MAX } else { u64::MAX }
    }

    /// Whether the foreground client's latency is measured for it: not if it hardly works.
    pub(crate) fn disturbs(self) -> bool {
        !matches!(self, Healthy | Looks | FloorLooks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contender_is_in_the_tables() {
        use clap::ValueEnum;
        for contender in Contender::value_variants() {
            assert!(Contender::ALL.contains(contender), "{contender:?} is missing");
        }
    }
}
