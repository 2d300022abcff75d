//! From what was seen of a cache to advice: first whether the model fits, then numbers.

use crate::curve::{Curve, Estimate, Method, curve};
use crate::diagnose::diagnose;
use crate::limits::{
    DEVIATIONS_95, FOLLOWED_MIN, FOLLOWED_SHARE_MIN, KEYS_MAX, NEAR_EXPIRY, NEAR_EXPIRY_KEYS_MIN,
    NEAR_EXPIRY_TTL_MIN_MS,
};
use crate::refusal::Refusal;
use crate::rows::Rows;
use crate::sample::{Observation, SampledKey};

/// What can be said about other TTLs.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// Keys that were used.
    pub keys: usize,
    /// The share of entries that are not read later than two seconds after they were written, before they expire. None if too
    /// few keys are near their expiry, if the TTL is short, and where ages or idle times are not known.
    pub never_read: Option<Estimate>,
    /// The curve, or why there is none.
    pub curve: Result<Curve, Refusal>,
}

/// Advice from `seen`. `target_hit_rate` (0 to 1) is what the recommended TTL must reach; without it, memory decides.
/// The same arguments give the same advice; another `seed` moves the ends of intervals a little.
#[must_use]
pub fn advise(seen: &Observation<'_>, target_hit_rate: Option<f64>, seed: u64) -> Advice {
    let keys = &seen.keys[..seen.keys.len().min(KEYS_MAX)];
    let seen = &Observation { keys, ..*seen };
    let rows = Rows::new(keys, seen.ttl_ms);
    let method = method(keys);
    let diagnosis = diagnose(seen, &rows, method == Method::Panel);
    let curve = diagnosis.and_then(|found| curve(seen, &rows, found, method, target_hit_rate, seed));
    let is_known = seen.ttl_ms >= NEAR_EXPIRY_TTL_MIN_MS && curve.as_ref().err().is_none_or(knows_reads);
    let never_read = is_known.then(|| never_read(&rows)).flatten();
    Advice { keys: keys.len(), never_read, curve }
}

fn method(keys: &[SampledKey]) -> Method {
    let followed = keys.iter().filter(|key| key.follow_up.is_some()).count();
    let is_panel = followed >= FOLLOWED_MIN && followed as f64 >= FOLLOWED_SHARE_MIN * keys.len() as f64;
    if is_panel { Method::Panel } else { Method::Snapshot }
}

/// Whether the ages and the reads of entries that live until their expiry are known although there is no curve. Where memory
/// is full, entries that are read are more likely to.
fn knows_reads(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::NoIdleTimes { .. }
        | Refusal::SlidingTtl { .. }
        | Refusal::LongerTtls { .. }
        | Refusal::SeveralTtls { .. }
        | Refusal::CapacityBound { .. }
        | Refusal::UnevenAges { .. }
        | Refusal::NotStationary { .. } => false,
        Refusal::TooFewKeys { .. }
        | Refusal::TooFewRequests { .. }
        | Refusal::OtherPattern { .. }
        | Refusal::DeletedEarly { .. }
        | Refusal::OtherMisses { .. } => true,
    }
}

/// The share of keys that are not read until their expiry: that of those near it, with Wilson's interval, less what it will
/// still fall until then. How fast it falls is seen by comparison with younger keys.
fn never_read(rows: &Rows) -> Option<Estimate> {
    let between = |from: f64, to: f64| rows.keys.iter().filter(move |key| (from..to).contains(&key.age));
    let unread = |from: f64, to: f64| {
        let (keys, unread) = (between(from, to), between(from, to).filter(|key| rows.is_unread(key)));
        (unread.count() as f64, keys.count() as f64)
    };
    let (near, before) =
        (unread(NEAR_EXPIRY, f64::INFINITY), unread(NEAR_EXPIRY - FALL_OVER, 1.0 - FALL_OVER));
    if near.1 < NEAR_EXPIRY_KEYS_MIN || before.1 < NEAR_EXPIRY_KEYS_MIN {
        return None;
    }
    let (share, keys, square) = (near.0 / near.1, near.1, DEVIATIONS_95 * DEVIATIONS_95);
    // On average, keys near their expiry have half of that part of the TTL before them.
    let ahead = (1.0 - NEAR_EXPIRY) / 2.0 / FALL_OVER;
    let fall = (before.0 / before.1 - share).max(0.0) * ahead;
    let middle = (share + square / (2.0 * keys)) / (1.0 + square / keys);
    let error = (share * (1.0 - share) / keys + square / (4.0 * keys * keys)).sqrt();
    let margin = DEVIATIONS_95 * error / (1.0 + square / keys) * (1.0 + ahead);
    let at_expiry = |share: f64| (share - fall).clamp(0.0, 1.0);
    Some(Estimate {
        estimate: at_expiry(share),
        low: at_expiry(middle - margin),
        high: at_expiry(middle + margin),
    })
}

/// The part of the TTL over which the fall of the share of unread keys is seen.
const FALL_OVER: f64 = 0.4;
