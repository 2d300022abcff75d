//! Who is compared: what each is called, where it works, on which data, and how many keys it gets. How each is
//! started is in `launch.rs`.

pub(crate) mod fleet;
pub(crate) mod launch;
pub(crate) mod packages;

use super::data::Data;
use super::deployment::Place;

/// One way of cleaning up, or of having nothing to clean up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Contender {
    /// keysweep in one process, as fast as it can.
    Keysweep,
    /// keysweep with the pace that it has by default.
    Gentle,
    /// keysweep on workers over NATS, as fast as it can.
    Nats,
    /// keysweep on a standalone server: what the document's job is compared with.
    Standalone,
    /// keysweep where every key has a TTL.
    Healthy,
    /// keysweep that looks at every key and finds next to nothing.
    Looks,
    /// `redis-cli --scan`, TTLs and UNLINKs as lines on its stdin.
    RedisCli,
    /// redis-py with pipelines.
    RedisPy,
    /// The job of the source document, as it is written there.
    Document,
    /// A pipelined client with one cursor, node after node.
    SingleCursor,
    /// The least that can be done.
    Floor,
}

use Contender::{
    Document, Floor, Gentle, Healthy, Keysweep, Looks, Nats, RedisCli, RedisPy, SingleCursor, Standalone,
};

/// The slow ones get no more keys than this: they would take minutes for all, at an unchanging rate.
const SAMPLE_KEYS_MAX: u64 = 50_000;

impl Contender {
    /// All of them, in the order of the tables and of each turn: next to each other who is compared closely.
    pub(crate) const ALL: [Self; 11] = [
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
    ];

    /// Its row in a table; at most 18 characters.
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
        }
    }

    /// What a reader has to know of it.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Keysweep => "`keysweep run` in one process, without a grace, at full speed",
            Gentle => "the same at the pace that it has by default",
            Nats => {
                "the same at full speed on three scanners, three reapers, two reporters and a service over NATS"
            }
            Standalone => "`keysweep`, on one server that is in no cluster",
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
                "the job of the document that keysweep was made after, as written there: Node.js with \
                 ioredis, SCAN with COUNT 100, a TTL per key, each awaited, DEL in batches of 100; on one server \
                 that is in no cluster"
            }
            SingleCursor => {
                "a client in Rust: SCAN with COUNT 1000, one pipeline of TTLs and one of UNLINKs for each \
                 page, node after node"
            }
            Floor => {
                "a bare client in Rust that checks nothing: a thread per node, windows of 16 slots, listings sent \
                 together with the PTTLs of the window before and the UNLINKs of the one before that"
            }
        }
    }

    /// The servers that it cleans.
    pub(crate) fn place(self) -> Place {
        if matches!(self, Standalone | Document) { Place::Standalone } else { Place::Cluster }
    }

    /// The keys that it finds there.
    pub(crate) fn data(self) -> Data {
        match self {
            Healthy => Data::Healthy,
            Looks => Data::OnePerNode,
            _ => Data::Tenth,
        }
    }

    /// Whether it deletes what is stale.
    pub(crate) fn cleans(self) -> bool {
        self != Looks
    }

    /// How many of `keys` keys it gets.
    pub(crate) fn keys(self, keys: u64) -> u64 {
        if matches!(self, RedisCli | Document) { keys.min(SAMPLE_KEYS_MAX) } else { keys }
    }

    /// Whether the foreground client's latency is measured while it works: not where it hardly works.
    pub(crate) fn disturbs(self) -> bool {
        !matches!(self, Healthy | Looks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contender_is_in_the_tables_and_fits_there() {
        use clap::ValueEnum;
        for contender in Contender::value_variants() {
            assert!(Contender::ALL.contains(contender), "{contender:?} is missing");
            assert!(contender.label().len() <= 18, "{contender:?}");
        }
    }
}
