//! One look at the databases of a deployment: the counters of its servers, a sample of the keys that expire, and what has
//! become of keys that were sampled before. Reads only; every request but that for the counters is followed by a break, where
//! a latency budget is kept.

use std::collections::{BTreeMap, HashSet};

use keysweep_model::ids::NodeId;
use keysweep_model::key::Key;
use keysweep_model::messages::{Lookups, Rules};
use keysweep_model::slot::slot_of;
use keysweep_redis::health::{HealthCheck, check_health};
use keysweep_redis::memory_usage::{KeyQuery, memory_usage};
use keysweep_redis::node::{self, NodeStatus};
use keysweep_redis::{
    Conn, LookupKind, Primary, RedisClient, RedisError, RedisErrorKind, Throttle, Ttl, WindowReply,
};
use scanner::Classifier;
use scanner::limits::SAMPLE_BYTES_MAX;
use scanner::sample::{KeySample, SampleRequest, SampledTables, sample};
use scanner::sample_whole::sample_whole;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

use super::TtlAdviceError;
use super::panel::{Found, PanelKey};
use crate::cursors::why_one_lane;
use crate::limits::{TTL_FOLLOWED_AT_ONCE, TTL_MEASURED_AT_ONCE, TTL_MEASURED_ONE_IN};

/// A live key that expires.
#[derive(Clone, Debug)]
pub(super) struct SeenKey {
    pub(super) db: u32,
    pub(super) key: Key,
    pub(super) remaining_ms: u64,
    pub(super) expires_at_ms: u64,
    /// As OBJECT IDLETIME says it.
    pub(super) idle_s: Option<u64>,
    /// How long the process of its server has run, in ms.
    pub(super) uptime_ms: u64,
    /// The memory that it takes; measured of some keys only.
    pub(super) bytes: Option<u64>,
}

/// A sample of the keys that expire.
#[derive(Debug, Default)]
pub(super) struct TtlSample {
    /// They were chosen with equal probability over all nodes and databases.
    pub(super) keys: Vec<SeenKey>,
    /// About how many there are.
    pub(super) live_keys: u64,
}

impl TtlSample {
    /// The mean memory of a key in bytes; `None` if none was measured.
    pub(super) fn key_bytes(&self) -> Option<f64> {
        let sizes: Vec<u64> = self.keys.iter().filter_map(|key| key.bytes).collect();
        #[expect(clippy::cast_precision_loss, reason = "a mean needs no more than 52 bits")]
        (!sizes.is_empty()).then(|| sizes.iter().sum::<u64>() as f64 / sizes.len() as f64)
    }
}

/// The connections to a deployment, one client per database.
pub(super) struct Places {
    clients: Vec<(u32, RedisClient)>,
    breaks: Throttle,
}

/// A primary in one database.
struct Place<'a> {
    db: u32,
    primary: &'a Primary,
    conn: Conn,
    status: NodeStatus,
}

impl Place<'_> {
    fn has(&self, key: &SeenKey) -> bool {
        let is_cluster = self.status.cluster;
        self.db == key.db && (!is_cluster || self.primary.slots.contains(slot_of(key.key.as_bytes())))
    }
}

impl Places {
    pub(super) fn new(clients: Vec<(u32, RedisClient)>, breaks: Throttle) -> Self {
        Self { clients, breaks }
    }

    /// The client of the first database: health and counters are those of servers, and the same in every database.
    pub(super) fn first(&self) -> Option<&RedisClient> {
        self.clients.first().map(|(_, client)| client)
    }

    /// The counters of all primaries.
    ///
    /// # Errors
    /// When one of them does not answer.
    pub(super) async fn counters(&self) -> Result<HealthCheck, TtlAdviceError> {
        let Some(client) = self.first() else { return Ok(HealthCheck::default()) };
        let checked = check_health(client).await;
        if checked.readings.len() == client.topology().primaries.len() {
            return Ok(checked);
        }
        Err(TtlAdviceError::Silent(checked.health.problems.first().cloned().unwrap_or_default()))
    }

    /// Samples `wanted` keys of those that `rules` select; the lookups made are added to `own`.
    pub(super) async fn sample(
        &self,
        rules: &Rules,
        wanted: u64,
        own: &mut BTreeMap<NodeId, Lookups>,
    ) -> Result<TtlSample, TtlAdviceError> {
        let topologies: Vec<_> =
            self.clients.iter().map(|(db, client)| (*db, client, client.topology())).collect();
        let mut places = Vec::new();
        for (db, client, topology) in &topologies {
            for primary in &topology.primaries {
                let conn = client.conn(&primary.node).await?;
                let status = node::status(&conn, *db).await?;
                if !status.reports_expiry {
                    return Err(TtlAdviceError::TooOld {
                        address: conn.address().to_owned(),
                        version: status.version,
                    });
                }
                places.push(Place { db: *db, primary, conn, status });
            }
        }
        let expiring: u64 = places.iter().map(|place| place.status.expires).sum();
        let (classifier, mut found) = (Classifier::new(rules, None), Vec::new());
        for place in &places {
            // As many as it takes to find the wanted number with a TTL.
            let keys = u128::from(wanted) * u128::from(place.status.keys) / u128::from(expiring.max(1));
            let keys = u64::try_from(keys).unwrap_or(u64::MAX).clamp(1, 10 * wanted);
            let listed = self.list(place, &classifier, keys).await?;
            *own.entry(place.primary.node.clone()).or_default() += listed.lookups;
            found.push(Expiring::of(listed, place));
        }
        let mut chosen = evenly(found, wanted);
        let measured = usize::try_from(wanted / TTL_MEASURED_ONE_IN).unwrap_or(usize::MAX);
        self.measure(&places, chosen.keys.iter_mut().take(measured)).await?;
        Ok(chosen)
    }

    /// About so many `keys` of a place.
    async fn list(
        &self,
        place: &Place<'_>,
        classifier: &Classifier<'_>,
        keys: u64,
    ) -> Result<KeySample, RedisError> {
        let Place { primary, conn, status, .. } = place;
        if status.expires == 0 {
            return Ok(KeySample { all: true, ..KeySample::default() });
        }
        let mut lister = conn.lister();
        let request = SampleRequest {
            keys,
            bytes: SAMPLE_BYTES_MAX,
            search: true,
            ask: LookupKind::ExpiryAndIdle,
            breaks: self.breaks,
        };
        let one_lane = match status.cluster {
            true => None,
            false => why_one_lane(&mut lister, status, self.breaks).await?,
        };
        if one_lane.is_some() {
            return Ok(sample_whole(&mut lister, status.keys, request, classifier).await?.0);
        }
        let slot_tables = status.cluster && status.slot_tables;
        let slots = match slot_tables {
            true => node::slot_counts(conn, &primary.slots, self.breaks).await?,
            false => Vec::new(),
        };
        let tables = SampledTables { keys: status.keys, slot_tables, slots: &slots };
        sample(&mut lister, &tables, request, classifier).await
    }

    /// Measures the memory of `keys`, as far as servers allow it.
    async fn measure(
        &self,
        places: &[Place<'_>],
        keys: impl Iterator<Item = &mut SeenKey>,
    ) -> Result<(), RedisError> {
        let mut keys: Vec<&mut SeenKey> = keys.collect();
        for place in places {
            let mut here: Vec<&mut &mut SeenKey> = keys.iter_mut().filter(|key| place.has(key)).collect();
            for some in here.chunks_mut(self.breaks.at_once(TTL_MEASURED_AT_ONCE)) {
                let queries: Vec<KeyQuery> =
                    some.iter().map(|key| KeyQuery::memory(key.key.clone())).collect();
                let sent = Instant::now();
                let found = memory_usage(&place.conn, &queries).await?;
                self.breaks.rest(sent).await;
                if found.refused.is_some() {
                    return Ok(());
                }
                some.iter_mut().zip(found.memories).for_each(|(key, memory)| key.bytes = memory.bytes);
            }
        }
        Ok(())
    }

    /// What has become of `keys`, in their order; the lookups made are added to `own`.
    pub(super) async fn follow(
        &self,
        keys: &[&PanelKey],
        own: &mut BTreeMap<NodeId, Lookups>,
    ) -> Result<Vec<Found>, TtlAdviceError> {
        let mut found = vec![Found::Unknown; keys.len()];
        for (db, client) in &self.clients {
            let topology = client.topology();
            for primary in &topology.primaries {
                let owns = |key: &PanelKey| {
                    let slot = slot_of(key.key.as_bytes());
                    key.db == *db && topology.owner(slot).is_some_and(|owner| owner.node == primary.node)
                };
                let here: Vec<usize> = (0..keys.len()).filter(|index| owns(keys[*index])).collect();
                let conn = client.conn(&primary.node).await?;
                let lookups = own.entry(primary.node.clone()).or_default();
                for some in here.chunks(self.breaks.at_once(TTL_FOLLOWED_AT_ONCE)) {
                    let names: Vec<&[u8]> = some.iter().map(|index| keys[*index].key.as_bytes()).collect();
                    let sent = Instant::now();
                    let states = look_again(&conn, &names, lookups).await?;
                    self.breaks.rest(sent).await;
                    some.iter().zip(states).for_each(|(index, state)| found[*index] = state);
                }
            }
        }
        Ok(found)
    }
}

/// What has become of the keys with these names.
async fn look_again(conn: &Conn, names: &[&[u8]], own: &mut Lookups) -> Result<Vec<Found>, RedisError> {
    let mut replies = WindowReply::default();
    let from_ms = node::time_ms(conn).await?;
    conn.lister().window(&[], names.iter().copied(), LookupKind::Expiry, &mut replies).await?;
    let until_ms = node::time_ms(conn).await?;
    *own += replies.lookups();
    let found = replies.seen().iter().map(|seen| match (seen.ttl, seen.expires_at_ms) {
        (Ttl::Remaining(left), Some(at)) => {
            Found::There { at_ms: at.saturating_sub(left), expires_at_ms: Some(at) }
        }
        (Ttl::Persistent | Ttl::FieldTtls, _) => Found::There { at_ms: until_ms, expires_at_ms: None },
        (Ttl::Gone, _) => Found::Gone { from_ms, until_ms },
        (Ttl::Moved | Ttl::Remaining(_), _) => Found::Unknown,
    });
    let found: Vec<Found> = found.collect();
    match found.len() == names.len() {
        true => Ok(found),
        false => {
            Err(RedisError::new(RedisErrorKind::Protocol, conn.address(), "a window with fewer replies"))
        }
    }
}

/// The sampled keys of a place that expire, and about how many of them it has.
struct Expiring {
    keys: Vec<SeenKey>,
    live: u64,
}

impl Expiring {
    fn of(sampled: KeySample, place: &Place<'_>) -> Self {
        let mut known = HashSet::new();
        let uptime_ms = place.status.uptime_s.saturating_mul(1_000);
        let (mut keys, mut expiring) = (Vec::new(), 0_u64);
        for (key, state) in sampled.looks {
            let (Ttl::Remaining(remaining_ms), Some(expires_at_ms)) = (state.ttl, state.expires_at_ms) else {
                continue;
            };
            expiring += 1;
            // Random pages may list a key twice.
            if known.insert(key.clone()) {
                let idle_s = state.idle_ms.map(|ms| ms / 1_000);
                keys.push(SeenKey {
                    db: place.db,
                    key,
                    remaining_ms,
                    expires_at_ms,
                    idle_s,
                    uptime_ms,
                    bytes: None,
                });
            }
        }
        let estimate =
            u128::from(place.status.keys) * u128::from(expiring) / u128::from(sampled.listed.max(1));
        let live = if sampled.all { keys.len() as u64 } else { u64::try_from(estimate).unwrap_or(u64::MAX) };
        keys.sort_unstable_by_key(|seen| xxh3_64(seen.key.as_bytes()));
        Self { keys, live }
    }
}

/// `wanted` keys of all places, of each in proportion to its live keys, chosen by hash.
fn evenly(found: Vec<Expiring>, wanted: u64) -> TtlSample {
    let live_keys: u64 = found.iter().map(|place| place.live).sum();
    let mut keys: Vec<SeenKey> = Vec::new();
    for place in found {
        let share = u128::from(wanted) * u128::from(place.live);
        let share = share.div_ceil(u128::from(live_keys.max(1)));
        keys.extend(place.keys.into_iter().take(usize::try_from(share).unwrap_or(usize::MAX)));
    }
    keys.sort_unstable_by_key(|seen| xxh3_64(seen.key.as_bytes()));
    TtlSample { keys, live_keys }
}
