//! The keys of a task by namespace, and the keys of them that are measured. The measuring is the only part with I/O.

use keysweep_inspect::{Chosen, KeyDetails, Lifetime, Miner, Sampling};
use keysweep_model::key::Key;
use keysweep_model::messages::Lookups;
use keysweep_model::wire;
use keysweep_redis::memory_usage::{KeyQuery, memory_usage};
use keysweep_redis::{Conn, RedisError, Ttl};
use serde_bytes::ByteBuf;

use crate::memory_sampling::MeasureQueue;

/// Counts keys by namespace.
pub(crate) struct NamespaceScan {
    miner: Miner,
    /// Keys that wait to be measured.
    waiting: MeasureQueue<Chosen>,
    /// Why memory usage could not be queried, if it could not.
    refused: Option<String>,
}

impl NamespaceScan {
    /// For a task of about `keys` keys, of which all are measured if `whole`.
    pub(crate) fn new(keys: u64, whole: bool) -> Self {
        let sampling = if whole { Sampling::whole() } else { Sampling::of(keys) };
        Self::with(Miner::sampling(sampling))
    }

    /// Measures no key.
    pub(crate) fn unmeasured() -> Self {
        Self::with(Miner::default())
    }

    fn with(miner: Miner) -> Self {
        Self { miner, waiting: MeasureQueue::default(), refused: None }
    }

    /// Forgets all keys, for a task that restarts.
    pub(crate) fn restart(&mut self) {
        *self = Self { refused: self.refused.take(), ..Self::with(self.miner.fresh()) };
    }

    /// Adds a key that was looked up, unless it is gone.
    #[inline]
    pub(crate) fn seen(&mut self, key: &[u8], ttl: Ttl) {
        let Some(lifetime) = lifetime(ttl) else { return };
        if let Some(chosen) = self.miner.add(key, lifetime) {
            let query = KeyQuery { key: Key::new(key), idle: chosen.details, kind: chosen.details };
            self.waiting.push(query, chosen);
        }
    }

    /// Whether enough keys wait to be measured, by their number or by the size of their names.
    pub(crate) fn are_enough(&self, keys: usize) -> bool {
        self.waiting.are_enough(keys)
    }

    /// Measures `count` of the waiting keys in one write, or fewer with long names. Returns the lookups made.
    pub(crate) async fn measure_some(&mut self, count: usize, conn: &Conn) -> Result<Lookups, RedisError> {
        let queries = self.waiting.first(count);
        let found = memory_usage(conn, &queries).await?;
        for ((query, chosen), memory) in self.waiting.take(queries.len()).into_iter().zip(&found.memories) {
            let details =
                KeyDetails { bytes: memory.bytes, kind: memory.kind.as_deref(), idle_s: memory.idle_s };
            self.miner.measured(query.key.as_bytes(), chosen, details);
        }
        self.refused = self.refused.take().or(found.refused);
        Ok(found.lookups)
    }

    /// The state of the miner for the report, `None` if it is too large, which its limits exclude; and why memory usage
    /// could not be queried, if it could not.
    pub(crate) fn finish(mut self) -> (Option<ByteBuf>, Option<String>) {
        self.miner.shrink();
        let encoded = wire::encode(&self.miner);
        let encoded = encoded.inspect_err(|e| tracing::error!("namespaces are not reported: {e}"));
        (encoded.ok().map(ByteBuf::from), self.refused)
    }
}

/// How long a key with this TTL lives; `None` if it is not there.
#[inline]
pub(crate) fn lifetime(ttl: Ttl) -> Option<Lifetime> {
    Some(match ttl {
        Ttl::Gone | Ttl::Moved => return None,
        Ttl::Persistent => Lifetime::Unlimited,
        Ttl::FieldTtls => Lifetime::FieldTtls,
        Ttl::Remaining(ms) => Lifetime::Ms(ms),
    })
}
