//! An application with a cache in virtual time, and what a cleaner sees of it. What other TTLs do is known, because the
//! same requests are also served from caches with those TTLs. Times are in units of the TTL.

use fastrand::Rng;
use keysweep_ttl_advice::limits::TTLS;
use keysweep_ttl_advice::{CountedFor, FollowUp, Idle, Observation, Removals, SampledKey, Traffic};

use crate::popularity::Popularity;
use crate::requests::{Requests, exponential};

/// When all caches are warm, and the true effects are counted from,
const WARM: f64 = 18.0;
/// the hit rate is counted from,
const COUNTED: f64 = 21.0;
/// the keys are sampled,
const SAMPLED: f64 = 24.0;
/// the last look is taken, and the simulation ends.
const END: f64 = 27.0;

/// An application.
#[derive(Clone, Copy, Debug)]
pub struct Application {
    pub ttl_ms: u64,
    /// Requests for a key per TTL, times a factor of the key.
    pub rate: f64,
    pub popularity: Popularity,
    pub requests: Requests,
    /// So many keys are always requested together.
    pub together: u32,
    /// Entries of this share of the keys are deleted before they expire, at this rate.
    pub deleted: f64,
    pub deleted_keys: f64,
    /// This share of all entries is deleted at once, so long after the keys are sampled.
    pub purged: f64,
    pub purged_after: f64,
    /// Entries that were not accessed for so long are evicted.
    pub evicted_after: f64,
    /// Hits renew the TTL in the last part of it: with 1 this is a sliding TTL, with less the entry is refreshed ahead.
    pub renewed: f64,
    /// The TTL of an entry varies by this share in both directions.
    pub jitter: f64,
    /// This share of the keys has a TTL of this factor.
    pub other_ttl: f64,
    pub other_ttl_keys: f64,
    /// After a miss, further requests are misses for so long.
    pub loads_for: f64,
    /// Misses of other keys that are counted as well, relative to those of the application.
    pub other_misses: f64,
    /// The share of the live keys that is looked at.
    pub looked_at: f64,
    /// When the last look is taken.
    pub last_look: f64,
    /// The share of the sampled keys that is followed.
    pub followed: f64,
}

/// What a cleaner sees, and what is true.
pub struct Seen {
    pub ttl_ms: u64,
    pub keys: Vec<SampledKey>,
    pub traffic: Traffic,
    pub removals: Removals,
    pub live_keys: u64,
    /// What happens with each of [`TTLS`].
    pub truth: Vec<Truth>,
    /// Requests for other keys that the counters of the server have, too. Their TTL stays.
    pub others: Option<Truth>,
}

/// What happens with one TTL.
#[derive(Clone, Copy, Debug, Default)]
pub struct Truth {
    pub hits: u64,
    pub misses: u64,
    /// Live keys, summed up over time.
    pub lived: f64,
}

/// What all entries of a key have in common.
#[derive(Clone, Copy, Debug)]
struct Key {
    ttl: f64,
    /// The rate at which they are deleted.
    deleted: f64,
}

/// An entry of the cache.
#[derive(Clone, Copy, Debug)]
struct Entry {
    filled: f64,
    accessed: f64,
    expires: f64,
    deleted: f64,
}

impl Truth {
    pub fn hit_rate(&self) -> f64 {
        self.hits as f64 / (self.hits + self.misses) as f64
    }

    /// Both together.
    fn and(&self, other: Self) -> Self {
        Self { hits: self.hits + other.hits, misses: self.misses + other.misses, ..*self }
    }
}

impl Default for Application {
    fn default() -> Self {
        Self {
            ttl_ms: 3_600_000,
            rate: 0.5,
            popularity: Popularity::LogNormal(1.6),
            requests: Requests::Poisson,
            together: 1,
            deleted: 0.0,
            deleted_keys: 1.0,
            purged: 0.0,
            purged_after: 0.0,
            evicted_after: f64::INFINITY,
            renewed: 0.0,
            jitter: 0.0,
            other_ttl: 1.0,
            other_ttl_keys: 1.0 / 3.0,
            loads_for: 0.0,
            other_misses: 0.0,
            looked_at: 1.0,
            last_look: END - SAMPLED,
            followed: 1.0,
        }
    }
}

impl Seen {
    pub fn observation(&self) -> Observation<'_> {
        Observation {
            ttl_ms: self.ttl_ms,
            keys: &self.keys,
            traffic: self.traffic,
            counted_for: match self.others {
                Some(_) => CountedFor::OthersToo,
                None => CountedFor::SampledKeys,
            },
            removals: Some(self.removals),
            live_keys: Some(self.live_keys),
            key_bytes: Some(100.0),
        }
    }

    fn count_request(&mut self, index: usize, time: f64, is_measured: bool, is_hit: bool) {
        let is_counted = u64::from((WARM..END).contains(&time));
        let measured = u64::from(is_measured);
        let truth = &mut self.truth[index];
        if is_hit {
            truth.hits += is_counted;
            self.traffic.hits += measured;
        } else {
            truth.misses += is_counted;
            self.traffic.misses += measured;
        }
    }

    /// The true hit rate of all requests that are counted, with each of [`TTLS`] for these keys.
    pub fn hit_rates(&self) -> impl Iterator<Item = f64> {
        let others = self.others.unwrap_or_default();
        self.truth.iter().map(move |truth| truth.and(others).hit_rate())
    }

    /// The same as a group of keys on a server with those of `other`: the server counts requests for both, and how many keys
    /// of the group live is known by its part of a sample.
    pub fn beside(mut self, other: &Self, seed: u64) -> Self {
        self.traffic.hits += other.traffic.hits;
        self.traffic.misses += other.traffic.misses;
        self.others = Some(other.truth[2]);
        let mut rng = Rng::with_seed(seed);
        // Twice the share of heads varies as much as the share of a small group in a sample.
        let heads = self.keys.iter().filter(|_| rng.bool()).count() as f64;
        self.live_keys = (self.live_keys as f64 * 2.0 * heads / self.keys.len() as f64) as u64;
        self
    }

    /// The same without what was seen after the sample was taken.
    pub fn without_panel(mut self) -> Self {
        self.keys.iter_mut().for_each(|key| key.follow_up = None);
        self
    }
}

impl Application {
    /// Runs until `sample` keys are live; that many are looked at.
    pub fn run(&self, sample: usize, seed: u64) -> Seen {
        let mut rng = Rng::with_seed(seed);
        let mut seen = Seen {
            ttl_ms: self.ttl_ms,
            keys: Vec::new(),
            traffic: Traffic {
                hits: 0,
                misses: 0,
                window_ms: Some(((SAMPLED - COUNTED) * self.ttl_ms as f64) as u64),
            },
            removals: Removals { expired: 0, evicted: 0 },
            live_keys: 0,
            truth: vec![Truth::default(); TTLS.len()],
            others: None,
        };
        // The clock of the server is at no particular moment within a second.
        let clock_ms = rng.u64(..1_000);
        while seen.keys.len() < sample {
            self.run_keys(&mut seen, clock_ms, &mut rng);
        }
        self.count_other_keys(&mut seen);
        seen
    }

    /// Keys that are requested together.
    fn run_keys(&self, seen: &mut Seen, clock_ms: u64, rng: &mut Rng) {
        let rate = self.rate * self.popularity.factor(rng);
        // Otherwise the entries of frequent keys would all be filled at the same time.
        let begin = TTLS[TTLS.len() - 1] * rng.f64();
        let times = self.requests.times(rate, begin, END, rng);
        let factor = if rng.f64() < self.other_ttl_keys { self.other_ttl } else { 1.0 };
        let deleted = if rng.f64() < self.deleted_keys { self.deleted } else { 0.0 };
        for _ in 0..self.together {
            for (index, ttl) in TTLS.into_iter().enumerate() {
                let live = self.serve(&times, Key { ttl: ttl * factor, deleted }, seen, index, rng);
                let Some(entry) = live.filter(|_| ttl == 1.0) else { continue };
                seen.live_keys += 1;
                if rng.f64() < self.looked_at {
                    let mut key = self.look(&entry, &times, clock_ms);
                    key.follow_up = key.follow_up.filter(|_| rng.f64() < self.followed);
                    seen.keys.push(key);
                }
            }
        }
    }

    /// Serves requests from a cache with one TTL. The entry that is live when keys are sampled.
    fn serve(&self, times: &[f64], key: Key, seen: &mut Seen, index: usize, rng: &mut Rng) -> Option<Entry> {
        let is_real = TTLS[index] == 1.0;
        let mut entry: Option<Entry> = None;
        let mut sampled = None;
        for &time in times {
            if sampled.is_none() && time >= SAMPLED {
                sampled = Some(entry.filter(|entry| self.ends(entry) > SAMPLED));
            }
            let is_measured = is_real && (COUNTED..SAMPLED).contains(&time);
            if let Some(entry) = entry.as_mut().filter(|entry| self.ends(entry) > time) {
                entry.accessed = time;
                if self.is_renewed(entry, time, key.ttl) {
                    entry.expires = time + key.ttl;
                }
                let is_hit = time >= entry.filled + self.loads_for;
                seen.count_request(index, time, is_measured, is_hit);
                continue;
            }
            if let Some(entry) = &entry {
                self.count(entry, is_real, index, seen);
            }
            seen.count_request(index, time, is_measured, false);
            entry = Some(self.fill(time, key, rng));
        }
        if let Some(entry) = &entry {
            self.count(entry, is_real, index, seen);
        }
        sampled.unwrap_or(entry.filter(|entry| self.ends(entry) > SAMPLED))
    }

    fn fill(&self, time: f64, key: Key, rng: &mut Rng) -> Entry {
        let expires = time + key.ttl * (1.0 + self.jitter * (2.0 * rng.f64() - 1.0));
        let deleted = if key.deleted > 0.0 { time + exponential(rng) / key.deleted } else { f64::MAX };
        let purge = SAMPLED + self.purged_after;
        let is_purged = time < purge && purge < deleted && rng.f64() < self.purged;
        Entry { filled: time, accessed: time, expires, deleted: if is_purged { purge } else { deleted } }
    }

    fn is_renewed(&self, entry: &Entry, time: f64, ttl: f64) -> bool {
        entry.expires - time < self.renewed * ttl
    }

    /// Counts an entry that ended, or that lives at the end.
    fn count(&self, entry: &Entry, is_real: bool, index: usize, seen: &mut Seen) {
        let ends = self.ends(entry);
        seen.truth[index].lived += (ends.min(END) - entry.filled.max(WARM)).max(0.0);
        if is_real && (WARM..END).contains(&ends) {
            let is_evicted = ends == entry.accessed + self.evicted_after;
            seen.removals.evicted += u64::from(is_evicted);
            seen.removals.expired += u64::from(!is_evicted && ends == entry.expires);
        }
    }

    /// Their number of misses is the same with each TTL.
    fn count_other_keys(&self, seen: &mut Seen) {
        let others = |misses: u64| (misses as f64 * self.other_misses) as u64;
        seen.traffic.misses += others(seen.traffic.misses);
        let today = seen.truth.iter().zip(TTLS).find(|(_, ttl)| *ttl == 1.0);
        let misses = others(today.map_or(0, |(truth, _)| truth.misses));
        seen.truth.iter_mut().for_each(|truth| truth.misses += misses);
    }

    fn ends(&self, entry: &Entry) -> f64 {
        entry.expires.min(entry.deleted).min(entry.accessed + self.evicted_after)
    }

    /// What the server says about a live entry, and what later looks find.
    fn look(&self, entry: &Entry, times: &[f64], clock_ms: u64) -> SampledKey {
        let ms = |time: f64| (time * self.ttl_ms as f64) as u64;
        let now = ms(SAMPLED) + clock_ms;
        let idle_s = now / 1_000 - (ms(entry.accessed) + clock_ms) / 1_000;
        let last_look = SAMPLED + self.last_look;
        let next = times.iter().find(|time| **time >= entry.expires);
        let follow_up = match next {
            _ if entry.expires > last_look => None,
            _ if self.ends_early(entry, times) => Some(FollowUp::EndedEarly),
            Some(next) if *next < last_look => {
                Some(FollowUp::CameBack { after_ms: ms(next - entry.expires) })
            }
            _ => Some(FollowUp::NotBack { within_ms: ms(last_look - entry.expires) }),
        };
        SampledKey {
            remaining_ms: ms(entry.expires - SAMPLED),
            idle: Some(Idle::from_seconds(idle_s, now)),
            follow_up,
        }
    }

    /// Whether a sampled entry is deleted, evicted or renewed before its expiry.
    fn ends_early(&self, entry: &Entry, times: &[f64]) -> bool {
        let mut entry = *entry;
        let ahead = times.iter().filter(|time| (SAMPLED..entry.expires).contains(*time));
        for &time in ahead {
            if self.ends(&entry) <= time || self.is_renewed(&entry, time, 1.0) {
                return true;
            }
            entry.accessed = time;
        }
        self.ends(&entry) < entry.expires
    }
}
