//! How often keys are requested, relative to each other.

use fastrand::Rng;

use crate::requests::{exponential, normal};

/// The distribution of the request rates of keys. Each is scaled by the rate of the application.
#[derive(Clone, Copy, Debug)]
pub enum Popularity {
    /// The rate of the application is the median; this is the standard deviation of the logarithm.
    LogNormal(f64),
    /// A gamma distribution of this shape with the mean 1.
    Gamma(f64),
    /// A Pareto distribution with this exponent, from 1.
    Pareto(f64),
    /// This share of the keys has this factor, the others 1.
    TwoClasses { share: f64, factor: f64 },
    /// Zipf's law for a catalogue of so many keys, of which the rarest has 1.
    Zipf { exponent: f64, catalogue: u32 },
}

impl Popularity {
    /// The factor of one key.
    pub fn factor(self, rng: &mut Rng) -> f64 {
        match self {
            Self::LogNormal(spread) => (spread * normal(rng)).exp(),
            Self::Gamma(shape) => gamma(shape, rng) / shape,
            Self::Pareto(exponent) => (1.0 - rng.f64()).powf(-1.0 / exponent),
            Self::TwoClasses { share, factor } => {
                if rng.f64() < share {
                    factor
                } else {
                    1.0
                }
            }
            Self::Zipf { exponent, catalogue } => {
                (f64::from(catalogue) / f64::from(rng.u32(1..=catalogue))).powf(exponent)
            }
        }
    }
}

/// Marsaglia and Tsang 2000.
fn gamma(shape: f64, rng: &mut Rng) -> f64 {
    if shape < 1.0 {
        return gamma(shape + 1.0, rng) * (1.0 - rng.f64()).powf(1.0 / shape);
    }
    let d = shape - 1.0 / 3.0;
    loop {
        let x = normal(rng);
        let v = (1.0 + x / (9.0 * d).sqrt()).powi(3);
        if v > 0.0 && exponential(rng) > -0.5 * x * x - d + d * v - d * v.ln() {
            return d * v;
        }
    }
}
