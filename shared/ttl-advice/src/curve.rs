//! From a fitted mixture to the curve: hit rate, misses, keys and memory for a few TTLs, with 95 % intervals.
//!
//! All errors are errors of the logarithm of the misses: of the mixture (by fits with random weights of the keys, the
//! Bayesian bootstrap of Rubin 1981), of the measured miss rate (binomial), and a term for what no model has right.

use crate::diagnose::Diagnosis;
use crate::fit::{Misfit, misfit};
use crate::lifetime::{EarlyEnds, integral_of_survival};
use crate::limits::{
    AWAITED_MIN, DEVIATIONS_95, FIT_TTL_MIN_MS, MODEL_TERM_LONGER, MODEL_TERM_PANEL, MODEL_TERM_SHORTER,
    REPLICATES, SNAPSHOT_READ_MIN, SNAPSHOT_TTL_MAX, TTL_MIN_MS, TTLS,
};
use crate::mixture::{Kinds, Mixture};
use crate::recommend::{Recommendation, recommend};
use crate::refusal::Refusal;
use crate::rows::{After, Rows};
use crate::sample::{CountedFor, Observation};

/// A number with the ends of its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The most likely value.
    pub estimate: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// What the estimates come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Live keys at one moment.
    Snapshot,
    /// Live keys, and what happened to them after their expiry.
    Panel,
}

/// What is expected with a few TTLs.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// What the estimates come from.
    pub method: Method,
    /// By TTL, the shortest first. The current one is among them.
    pub points: Vec<CurvePoint>,
    /// The TTL to choose, if one of the points is better than all others.
    pub recommended: Option<Recommendation>,
    /// Entries that are deleted before they expire; none unless keys were followed.
    pub early_ends: Option<EarlyEnds>,
    /// The share of the counted misses that are of the sampled keys; none if only theirs were counted.
    pub share_of_misses: Option<Estimate>,
}

/// What is expected with one TTL.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// The TTL, in ms.
    pub ttl_ms: u64,
    /// The share of requests that are hits.
    pub hit_rate: Estimate,
    /// Misses, and so the load on the source behind the cache, relative to today.
    pub misses: Estimate,
    /// Live keys relative to today.
    pub keys: Estimate,
    /// Memory of the live keys in bytes; none if their number or their mean size is not known.
    pub bytes: Option<Estimate>,
}

/// The curve of a sample, if the model explains what was seen of its keys.
pub(crate) fn curve(
    seen: &Observation<'_>,
    rows: &Rows,
    found: Diagnosis,
    method: Method,
    target_hit_rate: Option<f64>,
    seed: u64,
) -> Result<Curve, Refusal> {
    let shortest = TTL_MIN_MS / seen.ttl_ms as f64;
    let range = shortest.min(1.0)..=longest(rows, method);
    let ttls: Vec<f64> = TTLS.into_iter().filter(|ttl| range.contains(ttl)).collect();
    let mixture = Mixture::new(&rows.rows);
    let each_once = rows.weights(|| 1.0);
    let kinds = match method {
        Method::Snapshot => mixture.needed(&each_once, found.together),
        Method::Panel => Kinds::All,
    };
    let shares = mixture.fit(&each_once, kinds);
    if seen.ttl_ms >= FIT_TTL_MIN_MS {
        check_fit(misfit(&mixture, &shares, &rows.keys, found.together, method))?;
    }
    let misses = |shares: &[f64], rate: f64| -> Vec<f64> {
        ttls.iter().map(|ttl| mixture.misses(shares, *ttl, rate).ln()).collect()
    };
    let values = misses(&shares, found.early.rate);
    let mut rng = fastrand::Rng::with_seed(seed);
    let replicates: Vec<Vec<f64>> = (0..REPLICATES)
        .map(|_| {
            let rate = (found.early.rate + found.early.error * normal(&mut rng)).max(0.0);
            misses(&mixture.fit(&rows.weights(|| exponential(&mut rng)), kinds), rate)
        })
        .collect();
    let points = ttls.iter().enumerate().map(|(index, &ttl)| {
        let variance = variance(replicates.iter().map(|replicate| replicate[index])) * found.together;
        point(seen, ttl, Logarithm { value: values[index], variance }, found, method)
    });
    let points: Vec<CurvePoint> = points.collect();
    let recommended = recommend(&points, target_hit_rate);
    let early_ends = (method == Method::Panel).then(|| found.early.ends());
    let share_of_misses = (seen.counted_for == CountedFor::OthersToo).then_some(found.share);
    Ok(Curve { method, points, recommended, early_ends, share_of_misses })
}

fn check_fit(misfit: Option<Misfit>) -> Result<(), Refusal> {
    match misfit.filter(|misfit| misfit.is_too_large()) {
        Some(Misfit { found, allowed }) => Err(Refusal::OtherPattern { distance: found, allowed }),
        None => Ok(()),
    }
}

/// The logarithm of the misses relative to today.
#[derive(Clone, Copy)]
struct Logarithm {
    value: f64,
    variance: f64,
}

impl Logarithm {
    /// The ends of its 95 % interval, with a variance `other` of something that is multiplied.
    ///
    /// `term` is what is added because no model is exact. If the share `others` of the misses is of other keys, it may
    /// not change with the TTL at all.
    fn ends(self, other: f64, term: f64, others: f64) -> (f64, f64) {
        let margin = DEVIATIONS_95 * (self.variance + other).sqrt() + term;
        let constant = ((1.0 - others) * self.value.exp() + others).ln() - self.value;
        (self.value - margin + constant.min(0.0), self.value + margin + constant.max(0.0))
    }
}

fn point(
    seen: &Observation<'_>,
    ttl: f64,
    misses: Logarithm,
    found: Diagnosis,
    method: Method,
) -> CurvePoint {
    let early = found.early.rate;
    let longer = integral_of_survival(early, ttl) / integral_of_survival(early, 1.0);
    let term = match method {
        _ if ttl < 1.0 => MODEL_TERM_SHORTER,
        Method::Snapshot => MODEL_TERM_LONGER,
        Method::Panel => MODEL_TERM_PANEL,
    } * ttl.log2().abs();
    // Whatever the requests are: misses fall with the TTL, but by no more than entries live longer.
    let (least, most) = (longer.recip().min(1.0).ln(), longer.recip().max(1.0).ln());
    let value = misses.value.clamp(least, most);
    let (low, high) = misses.ends(0.0, term, found.other_misses);
    let relative = Estimate {
        estimate: value.exp(),
        low: low.clamp(least, most).exp(),
        high: high.clamp(least, most).exp(),
    };
    let (requests, measured) = (seen.traffic.requests() as f64, seen.traffic.misses as f64);
    let of_rate = (1.0 - measured / requests) / measured * found.together;
    let of_today = DEVIATIONS_95 * of_rate.sqrt();
    let (low, high) = misses.ends(of_rate, term, found.other_misses);
    let hit_rate = |logarithm: f64| (1.0 - measured / requests * logarithm.exp()).max(0.0);
    let keys = relative.times(longer);
    let memory = seen.live_keys.zip(seen.key_bytes);
    let of_these = Estimate {
        estimate: hit_rate(value),
        low: hit_rate(high.min(most + of_today)),
        high: hit_rate(low.max(least - of_today)),
    };
    let of_all = |share: Estimate| {
        let part = |share: f64, misses: f64| 1.0 - share + share * misses;
        let ends =
            [share.low, share.high].map(|share| [relative.low, relative.high].map(|of| part(share, of)));
        let fewest = ends.as_flattened().iter().copied().fold(f64::INFINITY, f64::min);
        let most = ends.as_flattened().iter().copied().fold(0.0, f64::max);
        Estimate {
            estimate: hit_rate(part(share.estimate, relative.estimate).ln()),
            low: hit_rate(most.ln() + of_today),
            high: hit_rate(fewest.ln() - of_today),
        }
    };
    CurvePoint {
        ttl_ms: (seen.ttl_ms as f64 * ttl).round() as u64,
        hit_rate: match seen.counted_for {
            CountedFor::SampledKeys => of_these,
            CountedFor::OthersToo => of_all(found.share),
        },
        misses: relative,
        keys,
        bytes: memory.map(|(live_keys, bytes)| keys.times(live_keys as f64 * bytes)),
    }
}

/// The longest TTL about which something can be said.
fn longest(rows: &Rows, method: Method) -> f64 {
    let awaited = rows.keys.iter().filter_map(|key| match key.after {
        After::NotBack(time) => Some(time),
        After::Unknown | After::CameBack(_) => None,
    });
    let mut awaited: Vec<f64> = awaited.collect();
    awaited.sort_unstable_by(f64::total_cmp);
    // If all keys came back, none had to be awaited longer.
    let is_long = awaited.get(awaited.len() / 2).is_none_or(|time| *time >= AWAITED_MIN);
    let read = rows.keys.iter().filter(|key| key.is_read()).count() as f64 / rows.keys.len() as f64;
    match method {
        Method::Panel if is_long => f64::INFINITY,
        Method::Snapshot if read < SNAPSHOT_READ_MIN => 1.0,
        Method::Panel | Method::Snapshot => SNAPSHOT_TTL_MAX,
    }
}

impl Estimate {
    fn times(self, factor: f64) -> Self {
        Self { estimate: self.estimate * factor, low: self.low * factor, high: self.high * factor }
    }
}

fn variance(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    values.map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0)
}

fn exponential(rng: &mut fastrand::Rng) -> f64 {
    -(1.0 - rng.f64()).ln()
}

/// A standard normal number (Box and Muller).
fn normal(rng: &mut fastrand::Rng) -> f64 {
    (2.0 * exponential(rng)).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}
