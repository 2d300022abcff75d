//! Fills of buckets of users who differ by orders of magnitude, come in some periods and not in others, and are alike from
//! period to period.

use fastrand::Rng;
use keysweep_ttl_experiment::{Arm, Assignment, Design, Observed, PeriodFills};

use crate::chance::{normal, poisson};

/// An application.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    pub users: usize,
    pub buckets: u32,
    /// The standard deviation of the logarithm of users' traffic.
    pub spread: f64,
    /// The share of periods in which a user comes,
    pub comes: f64,
    /// and the probability that it is as in the period before.
    pub stays: f64,
    /// Mean fills of all users in a period.
    pub fills: f64,
    /// The standard deviation of the logarithm of all traffic, between periods.
    pub days: f64,
    /// The standard deviation of the logarithm of the effect, between users.
    pub differs: f64,
    /// Misses of the treated arm, relative to the control.
    pub misses: f64,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            users: 2_000,
            buckets: 400,
            spread: 1.5,
            comes: 0.7,
            stays: 0.5,
            fills: 20_000.0,
            days: 0.3,
            differs: 0.0,
            misses: 1.0,
        }
    }
}

/// An application in progress.
pub struct Running {
    traffic: Traffic,
    pub design: Design,
    users: Vec<User>,
    rng: Rng,
}

struct User {
    bucket: u32,
    fills: f64,
    effect: f64,
    is_there: bool,
}

/// A design of so many periods whose planned variance is `variance`.
pub fn design(buckets: u32, periods: u64, alpha: f64, variance: f64) -> Design {
    let assignment = Assignment {
        salt: "simulated".to_owned(),
        buckets,
        control_ttl_ms: 3_600_000,
        treated_ttl_ms: 7_200_000,
        start_ms: 0,
        period_ms: 86_400_000,
        until_ms: periods * 86_400_000,
    };
    Design { assignment, margin: 0.0, alpha, planned_variance: variance }
}

impl Traffic {
    pub fn start(self, design: Design, seed: u64) -> Running {
        let mut rng = Rng::with_seed(seed);
        let weights: Vec<f64> = (0..self.users).map(|_| (self.spread * normal(&mut rng)).exp()).collect();
        let scale = self.fills / weights.iter().sum::<f64>() / self.comes;
        let users = weights.into_iter().map(|weight| User {
            bucket: rng.u32(0..self.buckets),
            fills: weight * scale,
            effect: self.misses * (self.differs * normal(&mut rng) - self.differs.powi(2) / 2.0).exp(),
            is_there: rng.f64() < self.comes,
        });
        let users = users.collect();
        Running { traffic: self, design, users, rng }
    }
}

impl Running {
    /// What is estimated: the mean of the logarithms of the buckets' relative misses, and of it the exponential.
    pub fn truth(&self) -> f64 {
        let mut sums = vec![(0.0, 0.0); self.traffic.buckets as usize];
        for user in &self.users {
            let (control, treated) = &mut sums[user.bucket as usize];
            *control += user.fills;
            *treated += user.fills * user.effect;
        }
        // Others are left out of the estimate.
        let used: Vec<f64> = sums
            .iter()
            .filter(|(control, _)| *control > 5.0)
            .map(|(control, treated)| (treated / control).ln())
            .collect();
        (used.iter().sum::<f64>() / used.len() as f64).exp()
    }

    /// The fills of a period, in so many parts of equal length.
    pub fn period(&mut self, period: u64, parts: u32) -> Vec<Vec<f64>> {
        let (traffic, rng) = (self.traffic, &mut self.rng);
        let day = (traffic.days * normal(rng)).exp() / f64::from(parts);
        let mut means = vec![0.0; traffic.buckets as usize];
        for user in &mut self.users {
            if rng.f64() >= traffic.stays {
                user.is_there = rng.f64() < traffic.comes;
            }
            if user.is_there {
                let treated = self.design.assignment.arm(user.bucket, period) == Arm::Treated;
                means[user.bucket as usize] += user.fills * day * if treated { user.effect } else { 1.0 };
            }
        }
        (0..parts).map(|_| means.iter().map(|mean| poisson(*mean, rng) as f64).collect()).collect()
    }
}

/// Adds a part of a period, of `parts`, to what was seen.
pub fn add(seen: &mut Observed, assignment: &Assignment, period: u64, fills: &[f64], parts: u32) {
    let sum = seen
        .periods
        .entry(period)
        .or_insert_with(|| PeriodFills { fills: vec![0.0; fills.len()], covered_ms: 0 });
    sum.fills.iter_mut().zip(fills).for_each(|(sum, fills)| *sum += fills);
    sum.covered_ms += assignment.measured_ms() / u64::from(parts);
    seen.seen_until_ms = assignment.measured(period).start + sum.covered_ms;
}
