//! Whether the model fits: what must hold before anything is said about other TTLs. The checks are in an order in which a
//! failed one makes the later ones meaningless, so that no wrong cause is named.

use crate::curve::Estimate;
use crate::lifetime::{
    Distance, EarlyRate, busiest_to_quietest, distance, integral_of_survival, written_together,
};
use crate::limits::{
    DEVIATIONS_95, EARLY_RATE_MAX, EVICTED_MAX, IDLE_KNOWN_MIN, JUMP_CRITICAL, JUMP_WINDOWS, KEYS_MIN,
    LATER_MAX, MISSES_DEVIATIONS_MAX, MISSES_FACTOR_MAX, MISSES_MIN, REQUESTS_MIN, SLIDING_DEVIATIONS_MIN,
    SLIDING_HIT_RATE_MIN, SLIDING_READ_MAX, TTL_TOLERANCE, UNREAD_SLIDING,
};
use crate::refusal::Refusal;
use crate::rows::Rows;
use crate::sample::{CountedFor, Observation};

/// What the checks found that the estimates depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Diagnosis {
    /// The rate at which entries are deleted before they expire.
    pub(crate) early: EarlyRate,
    /// So many keys are written together, and count as one.
    pub(crate) together: f64,
    /// The share of the measured misses that the number of live keys does not explain; 0 where it is not known.
    pub(crate) other_misses: f64,
    /// The share of the measured misses that are of the sampled keys: 1, unless requests for others were counted, too.
    pub(crate) share: Estimate,
}

const WHOLE: Estimate = Estimate { estimate: 1.0, low: 1.0, high: 1.0 };

/// The ages of the keys, in TTLs, from the youngest, and how many of them count as one.
struct Ages {
    sorted: Vec<f64>,
    together: f64,
}

/// What the estimates depend on, if the model fits. `panel`: enough keys were followed.
pub(crate) fn diagnose(seen: &Observation<'_>, rows: &Rows, panel: bool) -> Result<Diagnosis, Refusal> {
    let ages = Ages::of(seen.keys.iter().map(|key| key.remaining_ms), seen.ttl_ms);
    check_amounts(seen, rows, ages.together)?;
    check_capacity(seen)?;
    let mut early = if panel { EarlyRate::of_followed(seen.keys, seen.ttl_ms) } else { EarlyRate::default() };
    early.error *= ages.together.sqrt();
    check_sliding(seen, rows, &ages, early)?;
    check_single_ttl(seen.ttl_ms, &ages)?;
    check_ages(seen, &ages, early, panel)?;
    let together = ages.together;
    Ok(match seen.counted_for {
        CountedFor::SampledKeys => {
            Diagnosis { early, together, other_misses: check_misses(seen, early)?, share: WHOLE }
        }
        CountedFor::OthersToo => {
            Diagnosis { early, together, other_misses: 0.0, share: share(seen, early, together)? }
        }
    })
}

/// Why keys with these remaining times, in ms, are not all written with the TTL `ttl_ms`; `None` if they may be.
#[must_use]
pub fn several_ttls(remaining_ms: &[u64], ttl_ms: u64) -> Option<Refusal> {
    check_single_ttl(ttl_ms, &Ages::of(remaining_ms.iter().copied(), ttl_ms)).err()
}

impl Ages {
    fn of(remaining_ms: impl Iterator<Item = u64>, ttl_ms: u64) -> Self {
        let age = |remaining_ms: u64| 1.0 - remaining_ms as f64 / ttl_ms.max(1) as f64;
        let mut sorted: Vec<f64> = remaining_ms.map(age).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let together = written_together(&sorted);
        Self { sorted, together }
    }

    fn distance(&self, early: f64) -> Distance {
        distance(&self.sorted, early, self.together)
    }

    /// By how many standard deviations keys are younger on average than those of entries that all live until their expiry
    /// in steady traffic.
    fn deviations_too_young(&self) -> f64 {
        let count = self.sorted.len() as f64;
        let mean = self.sorted.iter().sum::<f64>() / count;
        (0.5 - mean) * (12.0 * count / self.together).sqrt()
    }
}

fn check_amounts(seen: &Observation<'_>, rows: &Rows, together: f64) -> Result<(), Refusal> {
    let (keys, known) = (seen.keys.len(), rows.keys.len());
    let independent = (keys as f64 / together) as usize;
    if independent < KEYS_MIN || seen.ttl_ms == 0 {
        return Err(Refusal::TooFewKeys { keys: independent, needed: KEYS_MIN });
    }
    if (known as f64) < IDLE_KNOWN_MIN * keys as f64 {
        return Err(Refusal::NoIdleTimes { known, keys });
    }
    let (requests, misses) = (seen.traffic.requests(), seen.traffic.misses);
    if requests < REQUESTS_MIN || misses < MISSES_MIN {
        return Err(Refusal::TooFewRequests { requests, misses });
    }
    Ok(())
}

fn check_capacity(seen: &Observation<'_>) -> Result<(), Refusal> {
    let Some(removals) = seen.removals else { return Ok(()) };
    let (evicted, expired) = (removals.evicted, removals.expired);
    if evicted as f64 <= EVICTED_MAX * (evicted as f64 + expired as f64) {
        return Ok(());
    }
    let idle = seen.keys.iter().filter_map(|key| Some(key.idle?.at_least_ms));
    Err(Refusal::CapacityBound { evicted, expired, longest_idle_ms: idle.max() })
}

/// With a sliding TTL the idle time of every key is its age, and ages are as uneven as reads are frequent. Where few
/// entries are ever read, most idle times are ages as well, but those are even; there it does not matter whether the few
/// that are read renew their TTL. Followed keys that are renewed as often as the hit rate implies are evidence, too.
fn check_sliding(seen: &Observation<'_>, rows: &Rows, ages: &Ages, early: EarlyRate) -> Result<(), Refusal> {
    let unread = rows.keys.iter().filter(|key| rows.is_unread(key)).count() as f64 / rows.keys.len() as f64;
    let hit_rate = seen.traffic.hits as f64 / seen.traffic.requests() as f64;
    let is_contradiction = unread > UNREAD_SLIDING && hit_rate > SLIDING_HIT_RATE_MIN;
    let are_renewed = early.rate > -0.5 * (1.0 - hit_rate).ln();
    let is_likely = are_renewed || ages.deviations_too_young() > SLIDING_DEVIATIONS_MIN;
    let is_uneven = ages.distance(0.0).is_too_large();
    if is_contradiction && (is_uneven || unread > 1.0 - SLIDING_READ_MAX && is_likely) {
        return Err(Refusal::SlidingTtl { unread, hit_rate });
    }
    Ok(())
}

/// With one TTL there are, at each age, at least as many younger keys as older ones; where there are suddenly fewer, the
/// younger ones were written with another TTL.
fn check_single_ttl(ttl_ms: u64, ages: &Ages) -> Result<(), Refusal> {
    let (critical, ages) = (JUMP_CRITICAL * ages.together.sqrt(), &ages.sorted);
    let later = ages.iter().take_while(|age| **age < -TTL_TOLERANCE).count();
    if later as f64 > LATER_MAX * ages.len() as f64 {
        return Err(Refusal::LongerTtls { keys: later, of: ages.len() });
    }
    let younger_than = |age: f64| ages.partition_point(|other| *other < age);
    for window in JUMP_WINDOWS {
        let steps = (2.0 / window) as u32;
        for step in 2..=steps - 2 {
            let age = f64::from(step) * window / 2.0;
            let above = younger_than(age) - younger_than(age - window);
            let below = younger_than(age + window) - younger_than(age);
            let deviations = (below as f64 - above as f64) / ((above + below) as f64).sqrt().max(1.0);
            if deviations > critical {
                let remaining_ms = ((1.0 - age) * ttl_ms as f64) as u64;
                return Err(Refusal::SeveralTtls { above, below, remaining_ms });
            }
        }
    }
    Ok(())
}

fn check_ages(seen: &Observation<'_>, ages: &Ages, early: EarlyRate, panel: bool) -> Result<(), Refusal> {
    let found = ages.distance(early.rate);
    if found.is_too_large() {
        let Distance { found: distance, allowed } = found;
        let busiest_to_quietest = busiest_to_quietest(&ages.sorted);
        return Err(if panel {
            Refusal::NotStationary { distance, allowed, busiest_to_quietest }
        } else {
            Refusal::UnevenAges { distance, allowed, busiest_to_quietest }
        });
    }
    if early.rate > EARLY_RATE_MAX {
        let ends = early.ends();
        return Err(Refusal::DeletedEarly {
            share: ends.share.estimate,
            miss_rate: seen.traffic.misses as f64 / seen.traffic.requests() as f64,
            saved_at_most: ends.saved_at_most,
        });
    }
    Ok(())
}

/// The share of the measured misses that are of the sampled keys, by Little's law. Whether it holds for them cannot be checked as
/// in [`check_misses`], so the interval has the difference that is accepted there.
fn share(seen: &Observation<'_>, early: EarlyRate, together: f64) -> Result<Estimate, Refusal> {
    let (misses, expected) = (seen.traffic.misses as f64, expected_misses(seen, early).unwrap_or_default());
    let error = DEVIATIONS_95 * (together / seen.keys.len() as f64 + together / expected).sqrt();
    let (low, high) = (expected / (MISSES_FACTOR_MAX + error), expected * (MISSES_FACTOR_MAX + error));
    if expected <= 0.0 || low > misses {
        return Err(Refusal::OtherMisses { misses: seen.traffic.misses, expected });
    }
    let of_all = |some: f64| (some / misses).min(1.0);
    Ok(Estimate { estimate: of_all(expected), low: of_all(low), high: of_all(high) })
}

/// The misses that the number of live keys implies; `None` if that, or the time in which they were counted, is not known.
fn expected_misses(seen: &Observation<'_>, early: EarlyRate) -> Option<f64> {
    let windows = seen.traffic.window_ms? as f64 / seen.ttl_ms as f64;
    Some(seen.live_keys? as f64 / integral_of_survival(early.rate, 1.0) * windows)
}

/// Little's law: live keys are misses per time, times how long an entry lives. The share of the misses that is not explained
/// so.
fn check_misses(seen: &Observation<'_>, early: EarlyRate) -> Result<f64, Refusal> {
    let Some(expected) = expected_misses(seen, early) else { return Ok(0.0) };
    let windows = seen.traffic.window_ms.unwrap_or_default() as f64 / seen.ttl_ms as f64;
    let misses = seen.traffic.misses as f64;
    let factor = (misses / expected).max(expected / misses);
    // Live keys are those of one TTL, so their number varies like one.
    let deviation = (misses + expected * windows.max(1.0)).sqrt();
    if factor > MISSES_FACTOR_MAX && (misses - expected).abs() > MISSES_DEVIATIONS_MAX * deviation {
        return Err(Refusal::OtherMisses { misses: seen.traffic.misses, expected });
    }
    Ok((1.0 - expected / misses).max(0.0))
}
