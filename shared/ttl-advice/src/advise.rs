//! From what was seen of a cache to advice: first whether the model fits, then numbers.

use crate::curve::{Curve, Estimate, Method, curve};
use crate::diagnose::diagnose;
use crate::limits::{
    DEVIATIONS_95, FOLLOWED_MIN, FOLLOWED_SHARE_MIN, KEYS_MAX, NEAR_EXPIRY, NEAR_EXPIRY_KEYS_MIN,
};
use crate::refusal::Refusal;
use crate::rows::Rows;
use crate::sample::{Observation, SampledKey};

/// What can be said about other TTLs.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// Keys that were used.
    pub keys: usize,
    /// The share of entries that are not read again before they expire. None if too few keys are near their expiry, and
    /// where ages or idle times are not known.
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
    let fits = diagnose(seen, &rows, method == Method::Panel);
    let never_read = fits.as_ref().err().is_none_or(knows_reads).then(|| never_read(&rows)).flatten();
    let curve = fits.map(|early| curve(seen, &rows, early, method, target_hit_rate, seed));
    Advice { keys: keys.len(), never_read, curve }
}

fn method(keys: &[SampledKey]) -> Method {
    let followed = keys.iter().filter(|key| key.follow_up.is_some()).count();
    let is_panel = followed >= FOLLOWED_MIN && followed as f64 >= FOLLOWED_SHARE_MIN * keys.len() as f64;
    if is_panel { Method::Panel } else { Method::Snapshot }
}

/// Whether ages and reads are known although there is no curve.
fn knows_reads(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::NoIdleTimes { .. }
        | Refusal::SlidingTtl { .. }
        | Refusal::LongerTtls { .. }
        | Refusal::SeveralTtls { .. } => false,
        Refusal::TooFewKeys { .. }
        | Refusal::TooFewRequests { .. }
        | Refusal::CapacityBound { .. }
        | Refusal::UnevenAges { .. }
        | Refusal::NotStationary { .. }
        | Refusal::DeletedEarly { .. }
        | Refusal::OtherMisses { .. } => true,
    }
}

/// The share of keys near their expiry that were not read, with Wilson's interval.
fn never_read(rows: &Rows) -> Option<Estimate> {
    let old = rows.keys.iter().filter(|key| key.age >= NEAR_EXPIRY);
    let keys = old.clone().count();
    if keys < NEAR_EXPIRY_KEYS_MIN {
        return None;
    }
    let (unread, keys) = (old.filter(|key| !key.is_read()).count() as f64, keys as f64);
    let (share, square) = (unread / keys, DEVIATIONS_95 * DEVIATIONS_95);
    let middle = (share + square / (2.0 * keys)) / (1.0 + square / keys);
    let margin = DEVIATIONS_95 * (share * (1.0 - share) / keys + square / (4.0 * keys * keys)).sqrt()
        / (1.0 + square / keys);
    Some(Estimate { estimate: share, low: (middle - margin).max(0.0), high: (middle + margin).min(1.0) })
}
