//! The TTL that keys are written with, from what is left of it: the sharp upper end of the remaining times.
//!
//! If all keys are written with the TTL `T` and read now and then, what is left is spread evenly over 0 to `T`: a twentieth
//! of the keys is within the last twentieth below `T`, and none is above. With a TTL that varies at random there are few keys
//! near the end, and then nothing is said. With several TTLs the longest is found; the checks of
//! [`advise`](crate::advise) find the others.

use crate::limits::{KEYS_MIN, LATER_MAX, UPPER_END_SHARE_MIN, UPPER_END_WINDOW};

/// Units in ms that people choose TTLs in, the longest first.
const UNITS_MS: [u64; 12] =
    [86_400_000, 3_600_000, 1_800_000, 600_000, 300_000, 60_000, 30_000, 10_000, 5_000, 1_000, 500, 100];

/// How far the largest of some remaining times may be below the TTL, in mean distances between them. Chance exceeds it in
/// one of 3,000 samples.
const GAPS_MAX: f64 = 8.0;

/// The TTL in ms, from the remaining times of sampled keys in ms; none if they have no sharp upper end, or are too few to
/// tell.
#[must_use]
pub fn upper_end(remaining_ms: &[u64]) -> Option<u64> {
    if remaining_ms.len() < KEYS_MIN {
        return None;
    }
    let mut sorted = remaining_ms.to_vec();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    let count = sorted.len() as f64;
    // A few keys may have a longer TTL.
    let later = (LATER_MAX * count) as usize;
    let end = sorted.iter().take(later + 1).copied().find(|end| {
        let from = (*end as f64 * (1.0 - UPPER_END_WINDOW)) as u64;
        let near = sorted.iter().filter(|left| (from..=*end).contains(*left)).count();
        near as f64 >= UPPER_END_SHARE_MIN * count
    })?;
    Some(rounded_up(end, end as f64 / count))
}

/// A TTL that a person would choose, if one is so little above `end` that chance explains the difference; otherwise the
/// most likely one. `gap`: the mean distance of neighbours.
fn rounded_up(end: u64, gap: f64) -> u64 {
    let is_near = |ttl: &u64| (ttl - end) as f64 <= GAPS_MAX * gap;
    let round = UNITS_MS.iter().map(|unit| end.div_ceil(*unit) * unit).find(is_near);
    round.unwrap_or(end + gap as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of TTLs for so many keys of each.
    fn left(ttls_ms: &[(u64, usize)]) -> Vec<u64> {
        let mut rng = fastrand::Rng::with_seed(7);
        let keys = ttls_ms.iter().flat_map(|(ttl, keys)| std::iter::repeat_n(*ttl, *keys));
        keys.map(|ttl| rng.u64(0..ttl)).collect()
    }

    fn check(ttls_ms: &[(u64, usize)], expected: Option<u64>) {
        assert_eq!(upper_end(&left(ttls_ms)), expected, "{ttls_ms:?}");
    }

    #[test]
    fn the_ttl_of_all_keys_is_found() {
        for ttl in [3_000, 60_000, 900_000, 3_600_000, 86_400_000, 604_800_000] {
            check(&[(ttl, 4_000)], Some(ttl));
            check(&[(ttl, 500)], Some(ttl));
        }
        // Few keys with another TTL do not hide it.
        check(&[(3_600_000, 4_000), (604_800_000, 10)], Some(3_600_000));
        check(&[(3_600_000, 4_000), (60_000, 2_000)], Some(3_600_000));
    }

    #[test]
    fn an_odd_ttl_is_found_nearly() {
        let found = upper_end(&left(&[(1_234_567, 4_000)])).unwrap();
        assert!(found.abs_diff(1_234_567) < 2_500, "{found}");
    }

    #[test]
    fn without_a_sharp_end_nothing_is_said() {
        check(&[], None);
        check(&[(3_600_000, 499)], None);
        // Most TTLs are short, and the few long ones are all different.
        let spread: Vec<(u64, usize)> = (0..60).map(|n| (3_600_000 + n * 600_000, 4)).collect();
        check(&[[(60_000, 3_000)].as_slice(), &spread].concat(), None);
    }
}
