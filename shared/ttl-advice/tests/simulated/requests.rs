//! When the application asks for a key. Times are in units of the TTL.

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
}

pub fn exponential(rng: &mut Rng) -> f64 {
    -(1.0 - rng.f64()).ln()
}

pub fn normal(rng: &mut Rng) -> f64 {
    (2.0 * exponential(rng)).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
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
                let most = rate * (1.0 + amplitude);
                let mut times = gaps(begin, end, begin, || exponential(rng) / most);
                times.retain(|time| {
                    let now = 1.0 + amplitude * (std::f64::consts::TAU * (time - peak) / period).cos();
                    rng.f64() * (1.0 + amplitude) < now
                });
                times
            }
        }
    }
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
    times.sort_unstable_by(f64::total_cmp);
    times
}
