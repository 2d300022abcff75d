//! An application with a cache in virtual time, and what a cleaner sees of it. What other TTLs do is known, because the
//! same requests are also served from caches with those TTLs. Times are in units of the TTL.

use fastrand::Rng;
use keysweep_ttl_advice::limits::TTLS;
use keysweep_ttl_advice::{FollowUp, Idle, Observation, Removals, SampledKey, Traffic};

use crate::requests::{Requests, exponential, normal};

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
    /// Median requests for a key per TTL, and the standard deviation of the logarithm.
    pub rate: f64,
    pub spread: f64,
    pub requests: Requests,
    /// Entries are deleted before they expire at this rate.
    pub deleted: f64,
    /// Entries that were not accessed for so long are evicted.
    pub evicted_after: f64,
    /// Hits renew the TTL.
    pub is_sliding: bool,
    /// The TTL of an entry varies by this share in both directions.
    pub jitter: f64,
    /// A third of the keys have a TTL of this factor.
    pub other_ttl: f64,
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
}

/// What happens with one TTL.
#[derive(Clone, Copy, Debug, Default)]
pub struct Truth {
    pub hits: u64,
    pub misses: u64,
    /// Live keys, summed up over time.
    pub lived: f64,
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
}

impl Default for Application {
    fn default() -> Self {
        Self {
            ttl_ms: 3_600_000,
            rate: 0.5,
            spread: 1.6,
            requests: Requests::Poisson,
            deleted: 0.0,
            evicted_after: f64::INFINITY,
            is_sliding: false,
            jitter: 0.0,
            other_ttl: 1.0,
        }
    }
}

impl Seen {
    pub fn observation(&self) -> Observation<'_> {
        Observation {
            ttl_ms: self.ttl_ms,
            keys: &self.keys,
            traffic: self.traffic,
            removals: Some(self.removals),
            live_keys: Some(self.live_keys),
            key_bytes: Some(100.0),
        }
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
        };
        // The clock of the server is at no particular moment within a second.
        let clock_ms = rng.u64(..1_000);
        while seen.keys.len() < sample {
            self.run_key(&mut seen, clock_ms, &mut rng);
        }
        seen.live_keys = seen.keys.len() as u64;
        seen
    }

    fn run_key(&self, seen: &mut Seen, clock_ms: u64, rng: &mut Rng) {
        let rate = self.rate * (self.spread * normal(rng)).exp();
        // Otherwise the entries of frequent keys would all be filled at the same time.
        let begin = TTLS[TTLS.len() - 1] * rng.f64();
        let times = self.requests.times(rate, begin, END, rng);
        let factor = if rng.u32(..3) == 0 { self.other_ttl } else { 1.0 };
        for (index, ttl) in TTLS.into_iter().enumerate() {
            let sampled = self.serve(&times, ttl * factor, seen, index, rng);
            if ttl == 1.0 {
                seen.keys.extend(sampled.map(|entry| self.look(&entry, &times, clock_ms)));
            }
        }
    }

    /// Serves requests from a cache with one TTL. The entry that is live when keys are sampled.
    fn serve(&self, times: &[f64], ttl: f64, seen: &mut Seen, index: usize, rng: &mut Rng) -> Option<Entry> {
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
                entry.expires = if self.is_sliding { time + ttl } else { entry.expires };
                seen.truth[index].hits += u64::from((WARM..END).contains(&time));
                seen.traffic.hits += u64::from(is_measured);
                continue;
            }
            if let Some(entry) = &entry {
                self.count(entry, is_real, index, seen);
            }
            seen.truth[index].misses += u64::from((WARM..END).contains(&time));
            seen.traffic.misses += u64::from(is_measured);
            let expires = time + ttl * (1.0 + self.jitter * (2.0 * rng.f64() - 1.0));
            let deleted = if self.deleted > 0.0 { time + exponential(rng) / self.deleted } else { f64::MAX };
            entry = Some(Entry { filled: time, accessed: time, expires, deleted });
        }
        if let Some(entry) = &entry {
            self.count(entry, is_real, index, seen);
        }
        sampled.unwrap_or(entry.filter(|entry| self.ends(entry) > SAMPLED))
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

    fn ends(&self, entry: &Entry) -> f64 {
        entry.expires.min(entry.deleted).min(entry.accessed + self.evicted_after)
    }

    /// What the server says about a live entry, and what later looks find.
    fn look(&self, entry: &Entry, times: &[f64], clock_ms: u64) -> SampledKey {
        let ms = |time: f64| (time * self.ttl_ms as f64) as u64;
        let now = ms(SAMPLED) + clock_ms;
        let idle_s = now / 1_000 - (ms(entry.accessed) + clock_ms) / 1_000;
        let next = times.iter().find(|time| **time >= entry.expires);
        let follow_up = match next {
            _ if entry.deleted < entry.expires => FollowUp::EndedEarly,
            Some(next) => FollowUp::CameBack { after_ms: ms(next - entry.expires) },
            None => FollowUp::NotBack { within_ms: ms(END - entry.expires) },
        };
        SampledKey {
            remaining_ms: ms(entry.expires - SAMPLED),
            idle: Some(Idle::from_seconds(idle_s, now)),
            follow_up: Some(follow_up),
        }
    }
}
