//! When the application asks for a key. Times are in units of the TTL.

use std::f64::consts::TAU;
use std::ops::Range;

use fastrand::Rng;

/// How the requests for one key follow each other.
#[derive(Clone, Copy, Debug)]
pub enum Requests {
    /// Independent of each other.
    Poisson,
    /// The gaps have a Weibull distribution with this shape and the mean `mean` before they are scaled: in bursts of all
    /// lengths if the shape is below 1, and at rather regular times above.
    Weibull { shape: f64, mean: f64 },
    /// In sessions of so many requests with this mean gap, far apart from each other.
    Sessions { size: u32, gap: f64 },
    /// Half of the keys as in sessions, half independent.
    Mixed { size: u32, gap: f64 },
    /// More by day than by night: the rate is a sine of this period and relative amplitude, which is largest at `peak`.
    Daily { period: f64, amplitude: f64, peak: f64 },
    /// At equal distances, each request early or late by this share of the distance (a standard deviation).
    Periodic { jitter: f64 },
    /// The gaps have a Pareto (Lomax) distribution with this exponent.
    HeavyTailed { exponent: f64 },
    /// Independent for a while that lasts so long on average, and none before and after.
    Fashion { lasts: f64 },
    /// Independent, and so many times as frequent from `begin`, for `lasts`.
    Crowd { begin: f64, lasts: f64, factor: f64 },
    /// This share of the keys is requested once; the others independently.
    Once { share: f64 },
    /// Independent, and this share of the keys by a job as well, which asks for all of them within a minute in every
    /// `every`.
    Batch { share: f64, every: f64 },
}

pub fn exponential(rng: &mut Rng) -> f64 {
    -(1.0 - rng.f64()).ln()
}

pub fn normal(rng: &mut Rng) -> f64 {
    (2.0 * exponential(rng)).sqrt() * (TAU * rng.f64()).cos()
}

impl Requests {
    /// Times of requests with the mean `rate` from `begin` to `end`. The process is stationary: it began long before.
    pub fn times(self, rate: f64, begin: f64, end: f64, rng: &mut Rng) -> Vec<f64> {
        let long_before = begin - (10.0 + 20.0 * rng.f64()) / rate;
        match self {
            Self::Poisson => gaps(begin, end, begin, || exponential(rng) / rate),
            Self::Weibull { shape, mean } => {
                let scale = 1.0 / (rate * mean);
                gaps(long_before, end, begin, || exponential(rng).powf(1.0 / shape) * scale)
            }
            Self::Sessions { size, gap } => sessions(rate, size, gap, begin, end, rng),
            Self::Mixed { size, gap } => {
                let requests = if rng.bool() { Self::Poisson } else { Self::Sessions { size, gap } };
                requests.times(rate, begin, end, rng)
            }
            Self::Daily { period, amplitude, peak } => {
                let now = |time: f64| 1.0 + amplitude * (TAU * (time - peak) / period).cos();
                thinned(rate, 1.0 + amplitude, now, begin..end, rng)
            }
            Self::Periodic { jitter } => {
                let first = begin - rng.f64() / rate;
                let count = ((end - first) * rate) as u32 + 2;
                let time = |index: u32| first + (f64::from(index) + jitter * normal(rng)) / rate;
                sorted((0..count).map(time).filter(|time| (begin..end).contains(time)).collect())
            }
            Self::HeavyTailed { exponent } => {
                let scale = (exponent - 1.0) / rate;
                gaps(long_before, end, begin, || scale * ((1.0 - rng.f64()).powf(-1.0 / exponent) - 1.0))
            }
            Self::Fashion { lasts } => {
                let born = begin - 4.0 * lasts + rng.f64() * (end - begin + 4.0 * lasts);
                let dies = born + lasts * exponential(rng);
                gaps(born, end.min(dies), begin, || exponential(rng) / rate)
            }
            Self::Crowd { begin: first, lasts, factor } => {
                let now = |time: f64| if (first..first + lasts).contains(&time) { factor } else { 1.0 };
                thinned(rate, factor, now, begin..end, rng)
            }
            Self::Once { share } => {
                if rng.f64() < share {
                    vec![begin + rng.f64() * (end - begin)]
                } else {
                    Self::Poisson.times(rate, begin, end, rng)
                }
            }
            Self::Batch { share, every } => {
                let mut times = Self::Poisson.times(rate, begin, end, rng);
                if rng.f64() < share {
                    let job = |index: u32| f64::from(index) * every + rng.f64() / 60.0;
                    times.extend((0..(end / every) as u32).map(job).filter(|time| *time >= begin));
                }
                sorted(times)
            }
        }
    }
}

/// Independent requests whose rate is `rate` times `now`, which is at most `most`.
fn thinned(rate: f64, most: f64, now: impl Fn(f64) -> f64, range: Range<f64>, rng: &mut Rng) -> Vec<f64> {
    let mut times = gaps(range.start, range.end, range.start, || exponential(rng) / (rate * most));
    times.retain(|time| rng.f64() * most < now(*time));
    times
}

fn sorted(mut times: Vec<f64>) -> Vec<f64> {
    times.sort_unstable_by(f64::total_cmp);
    times
}

fn gaps(start: f64, end: f64, begin: f64, mut gap: impl FnMut() -> f64) -> Vec<f64> {
    let mut times = Vec::new();
    let mut time = start + gap();
    while time < end {
        if time >= begin {
            times.push(time);
        }
        time += gap();
    }
    times
}

fn sessions(rate: f64, size: u32, gap: f64, begin: f64, end: f64, rng: &mut Rng) -> Vec<f64> {
    let mut times = Vec::new();
    let early = begin - 20.0 * f64::from(size) * gap;
    let mut start = early;
    loop {
        start += exponential(rng) * f64::from(size) / rate;
        if start >= end {
            break;
        }
        let mut time = start;
        for _ in 0..size {
            if (begin..end).contains(&time) {
                times.push(time);
            }
            time += exponential(rng) * gap;
        }
    }
    sorted(times)
}
