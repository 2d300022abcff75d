//! Whether the fitted mixture explains what was seen of the keys.
//!
//! Of each key the model says how probable a longer idle time is, given its age, and in a panel how probable it is that
//! the key comes back later, given its age and its idle time. If the model is right, these probabilities are uniform over
//! all keys.
//! Requests at regular times have no place in the grid, and show here, unless all of them are further apart than the TTL.
//! Patterns within a small part of the TTL show only where they matter, because idle times are taken as less exact than
//! they are.

use crate::curve::Method;
use crate::limits::{FIT_CRITICAL, FIT_KEYS_MIN, FIT_TOLERATED, FIT_TOLERATED_PANEL, KS_CRITICAL};
use crate::mixture::Mixture;
use crate::rows::{After, Row};

/// Probabilities at which distributions are compared: multiples of 1 / `STEPS`.
const STEPS: usize = 40;

/// The largest distance between what the model expects and what was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Misfit {
    /// The share of keys that are elsewhere than expected,
    pub(crate) found: f64,
    /// and what is allowed.
    pub(crate) allowed: f64,
}

impl Misfit {
    pub(crate) fn is_too_large(self) -> bool {
        self.found > self.allowed
    }
}

/// The largest distance of several parts of the sample, relative to what is allowed; none if all parts are too small.
/// `together`: so many keys count as one.
pub(crate) fn misfit(
    mixture: &Mixture,
    shares: &[f64],
    keys: &[Row],
    together: f64,
    method: Method,
) -> Option<Misfit> {
    let idle = |row: &Row| mixture.place_of_idle_time(shares, row);
    let after = |row: &Row| mixture.place_of_return(shares, row);
    let followed = || keys.iter().filter(|row| !matches!(row.after, After::Unknown));
    let tolerated = match method {
        Method::Snapshot => FIT_TOLERATED,
        Method::Panel => FIT_TOLERATED_PANEL,
    };
    let parts = [
        (distance(keys.iter().filter(|row| row.age < 0.5).map(idle)), FIT_CRITICAL),
        (distance(keys.iter().filter(|row| row.age >= 0.5).map(idle)), FIT_CRITICAL),
        // A part may be so small that the model is hardly fitted to it.
        (distance(followed().filter(|row| row.is_read()).map(after)), KS_CRITICAL),
        (distance(followed().filter(|row| !row.is_read()).map(after)), KS_CRITICAL),
    ];
    let is_large = |((_, keys), _): &((f64, usize), f64)| *keys >= FIT_KEYS_MIN;
    let misfits = parts.into_iter().filter(is_large).map(|((found, keys), critical)| {
        let allowed = (critical * (together / keys as f64).sqrt()).max(tolerated);
        Misfit { found, allowed }
    });
    misfits.max_by(|a, b| (a.found / a.allowed).total_cmp(&(b.found / b.allowed)))
}

/// The largest difference between the distribution of `places` and the uniform one, and how many there are. A place is an
/// interval of probabilities, as not all is known of a key.
fn distance(places: impl Iterator<Item = (f64, f64)>) -> (f64, usize) {
    let (mut below, mut count) = ([0.0; STEPS - 1], 0);
    let steps = || (1..STEPS).map(|step| step as f64 / STEPS as f64);
    for (low, high) in places {
        count += 1;
        for (sum, step) in below.iter_mut().zip(steps()) {
            *sum += ((step - low) / (high - low).max(1e-9)).clamp(0.0, 1.0);
        }
    }
    let distances = below.iter().zip(steps()).map(|(sum, step)| (sum / f64::from(count) - step).abs());
    (distances.fold(0.0, f64::max), count as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_places_are_no_misfit_and_others_are() {
        let check = |places: &[(f64, f64)], expected: f64| {
            let (found, count) = distance(places.iter().copied());
            assert!((found - expected).abs() < 0.002, "{found} instead of {expected}");
            assert_eq!(count, places.len());
        };
        let even: Vec<(f64, f64)> = (0..1_000).map(|i| f64::from(i) / 1_000.0).map(|at| (at, at)).collect();
        check(&even, 0.0);
        check(&[(0.0, 1.0); 7], 0.0);
        check(&[(0.0, 0.5), (0.5, 1.0)], 0.0);
        check(&[(0.0, 0.5); 3], 0.5);
        check(&even[..900], 0.1);
    }
}
