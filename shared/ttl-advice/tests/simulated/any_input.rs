//! Whatever is observed, even if it contradicts itself: advice ends, and its numbers are numbers.

use fastrand::Rng;
use keysweep_ttl_advice::{
    Advice, CountedFor, Estimate, FollowUp, Idle, Observation, Removals, SampledKey, Traffic, advise,
};

/// A number of any size.
fn any(rng: &mut Rng) -> u64 {
    match rng.u32(..6) {
        0 => 0,
        1 => u64::MAX,
        _ => rng.u64(..) >> rng.u32(..64),
    }
}

/// A key of which anything is said.
fn wild_key(rng: &mut Rng) -> SampledKey {
    let follow_up = match rng.u32(..4) {
        0 => Some(FollowUp::EndedEarly),
        1 => Some(FollowUp::CameBack { after_ms: any(rng) }),
        2 => Some(FollowUp::NotBack { within_ms: any(rng) }),
        _ => None,
    };
    let idle = Idle { at_least_ms: any(rng), at_most_ms: any(rng) };
    SampledKey { remaining_ms: any(rng), idle: (rng.u32(..20) > 0).then_some(idle), follow_up }
}

/// A key as there may be one, that is requested so many times per TTL.
fn tame_key(ttl_ms: u64, rate: f64, panel: bool, rng: &mut Rng) -> SampledKey {
    let gap = |rng: &mut Rng| (-(1.0 - rng.f64()).ln() / rate * ttl_ms as f64) as u64;
    let remaining_ms = rng.u64(..ttl_ms);
    let at_least_ms = gap(rng).min(ttl_ms - remaining_ms);
    let follow_up = match gap(rng) {
        _ if rng.u32(..20) == 0 => FollowUp::EndedEarly,
        after_ms if after_ms < 3 * ttl_ms => FollowUp::CameBack { after_ms },
        _ => FollowUp::NotBack { within_ms: 3 * ttl_ms },
    };
    let idle = Idle { at_least_ms, at_most_ms: at_least_ms + 1_000 };
    SampledKey { remaining_ms, idle: Some(idle), follow_up: panel.then_some(follow_up) }
}

fn check_estimate(estimate: Estimate, most: f64) {
    let Estimate { estimate, low, high } = estimate;
    let text = format!("{low} {estimate} {high}");
    assert!(low >= 0.0 && low <= estimate + 1e-9 && estimate <= high + 1e-9 && high <= most, "{text}");
}

fn check(advice: &Advice) -> bool {
    if let Some(never_read) = advice.never_read {
        check_estimate(never_read, 1.0);
    }
    let Ok(curve) = &advice.curve else { return false };
    for point in &curve.points {
        check_estimate(point.hit_rate, 1.0);
        check_estimate(point.misses, 4.0 + 1e-9);
        check_estimate(point.keys, 4.0 + 1e-9);
        if let Some(bytes) = point.bytes {
            check_estimate(bytes, f64::MAX);
        }
    }
    // A longer TTL never has a lower hit rate, nor fewer keys.
    for pair in curve.points.windows(2) {
        assert!(pair[0].hit_rate.estimate <= pair[1].hit_rate.estimate + 1e-9, "{curve:?}");
        assert!(pair[0].hit_rate.low <= pair[1].hit_rate.low + 1e-9, "{curve:?}");
        assert!(pair[0].keys.estimate <= pair[1].keys.estimate + 1e-9, "{curve:?}");
    }
    true
}

fn counted_for(rng: &mut Rng) -> CountedFor {
    if rng.bool() { CountedFor::OthersToo } else { CountedFor::SampledKeys }
}

#[test]
fn advice_from_any_input_has_numbers_or_a_reason() {
    for seed in 0..400 {
        let mut rng = Rng::with_seed(seed);
        let keys: Vec<SampledKey> = (0..rng.usize(500..700)).map(|_| wild_key(&mut rng)).collect();
        let known = |rng: &mut Rng| rng.bool().then(|| any(rng));
        let seen = Observation {
            ttl_ms: any(&mut rng),
            keys: &keys[..keys.len() / rng.usize(1..3)],
            traffic: Traffic { hits: any(&mut rng), misses: any(&mut rng), window_ms: known(&mut rng) },
            counted_for: counted_for(&mut rng),
            removals: known(&mut rng).map(|evicted| Removals { expired: any(&mut rng), evicted }),
            live_keys: known(&mut rng),
            key_bytes: known(&mut rng).map(|bytes| bytes as f64),
        };
        let advice = advise(&seen, rng.bool().then(|| rng.f64()), seed);
        check(&advice);
        if let Err(refusal) = advice.curve {
            assert!(!refusal.to_string().contains("NaN"), "{refusal}");
        }
    }
}

#[test]
fn curves_are_coherent() {
    let mut curves = 0;
    for seed in 0..60 {
        let mut rng = Rng::with_seed(seed);
        let (ttl_ms, rate) = (rng.u64(1_000..100_000_000), 10_f64.powf(4.0 * rng.f64() - 2.0));
        let panel = rng.bool();
        let keys: Vec<SampledKey> = (0..600).map(|_| tame_key(ttl_ms, rate, panel, &mut rng)).collect();
        let misses = rng.u64(100..10_000);
        let seen = Observation {
            ttl_ms,
            keys: &keys,
            traffic: Traffic { hits: rng.u64(1_000..100_000), misses, window_ms: Some(ttl_ms) },
            counted_for: counted_for(&mut rng),
            removals: None,
            live_keys: Some(misses * rng.u64(85..115) / 100),
            key_bytes: Some(100.0),
        };
        curves += u32::from(check(&advise(&seen, None, seed)));
    }
    // Otherwise nothing was checked.
    assert!(curves > 30, "{curves} curves");
}
