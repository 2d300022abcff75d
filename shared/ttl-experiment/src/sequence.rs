//! Intervals that hold at every look, however many there are.
//!
//! The mixture boundary of Robbins (1970), as Waudby-Smith and others use it for asymptotic confidence sequences (*Time-uniform
//! central limit theory and asymptotic confidence sequences*, 2021), in units of information: with the variance `v` of the
//! estimate at a look, and `t = planned / v`, the half-width is `√v · √((1 + 1/(tρ²)) (ln(1 + tρ²) + 2 ln(1/α)))`. `ρ²` makes
//! it narrow at `t = 1`; it holds for any.
//!
//! It needs estimates whose covariance at two looks is the variance at the later one. Means over a fixed set of buckets
//! are such: what is particular to a bucket stays, and what is particular to a period averages out.
//!
//! The variance is estimated. Where it has few degrees of freedom, the quantile of the normal distribution is replaced by that
//! of Student's with the same probability (as in group sequential tests).

/// Intervals for one quantity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfidenceSequence {
    alpha: f64,
    planned_variance: f64,
    rho_squared: f64,
}

impl ConfidenceSequence {
    /// Intervals of which at least one misses the truth with a probability of at most `alpha`, narrowest when the variance
    /// of the estimate is `planned_variance`. That must not depend on the data.
    #[must_use]
    pub fn new(alpha: f64, planned_variance: f64) -> Self {
        let twice = 2.0 * (1.0 / alpha).ln();
        Self { alpha, planned_variance, rho_squared: twice + (twice + 1.0).ln() }
    }

    /// The half-width in standard errors if the variance were known, at the given share of the planned information.
    #[must_use]
    pub fn deviations(&self, information: f64) -> f64 {
        let scaled = information * self.rho_squared;
        if scaled <= 0.0 {
            return f64::INFINITY;
        }
        ((1.0 + 1.0 / scaled) * (scaled.ln_1p() + 2.0 * (1.0 / self.alpha).ln())).sqrt()
    }

    /// The half-width around an estimate with this variance, which was itself estimated with these degrees of freedom.
    #[must_use]
    pub fn margin(&self, variance: f64, freedom: f64) -> f64 {
        let deviations = self.deviations(self.planned_variance / variance);
        students(deviations, freedom) * variance.sqrt()
    }
}

/// The quantile of Student's distribution with the probability that `normal` has in the normal one (Wallace 1959, solved
/// for the quantile).
fn students(normal: f64, freedom: f64) -> f64 {
    let scaled = normal * (8.0 * freedom + 3.0) / (8.0 * freedom + 1.0);
    (freedom * (scaled * scaled / freedom).exp_m1()).sqrt()
}

#[cfg(test)]
mod tests {
    use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

    use super::*;

    #[test]
    fn students_quantiles_have_the_same_probability() {
        let normal = Normal::new(0.0, 1.0).unwrap();
        for freedom in [7.0, 14.0, 30.0, 100.0, 398.0] {
            let students_t = StudentsT::new(0.0, 1.0, freedom).unwrap();
            for deviations in [2.0, 3.0, 4.0, 5.0] {
                let expected = normal.cdf(-deviations);
                let found = students_t.cdf(-students(deviations, freedom));
                // Never more, and at most a quarter less.
                assert!(
                    (0.75..=1.01).contains(&(found / expected)),
                    "{freedom} {deviations}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn intervals_are_narrowest_near_the_planned_information() {
        let planned = ConfidenceSequence::new(0.05, 1.0).deviations(1.0);
        let best = (1..4_000)
            .map(|n| {
                let tuned = ConfidenceSequence {
                    rho_squared: f64::from(n) / 100.0,
                    ..ConfidenceSequence::new(0.05, 1.0)
                };
                tuned.deviations(1.0)
            })
            .fold(f64::INFINITY, f64::min);
        assert!(planned / best < 1.001, "{planned} {best}");
        // Against an interval for one look.
        assert!((planned / 1.96 - 1.55).abs() < 0.01, "{planned}");
    }

    #[test]
    fn the_form_is_that_of_the_literature() {
        // With observations of variance 1 one by one: sqrt(2 (tρ² + 1) / (t²ρ²) · ln(sqrt(tρ² + 1) / α)).
        let (alpha, planned) = (0.05_f64, 250.0);
        let sequence = ConfidenceSequence::new(alpha, 1.0 / planned);
        let rho_squared = sequence.rho_squared / planned;
        for t in [1.0_f64, 10.0, 250.0, 10_000.0] {
            let scaled = t * rho_squared;
            let expected =
                (2.0 * (scaled + 1.0) / (t * scaled) * ((scaled + 1.0).sqrt() / alpha).ln()).sqrt();
            let found = sequence.margin(1.0 / t, 1e12);
            assert!((found / expected - 1.0).abs() < 1e-4, "{t}: {found} {expected}");
        }
    }
}
