//! Which kinds of keys a cache consists of: the shares of a fixed grid of request processes, fitted to a sample of live
//! keys by the EM algorithm.
//!
//! The grid makes no assumption about the distribution of rates. The number of rounds is fixed: with ever more rounds,
//! the shares would follow the noise of the sample.

use crate::limits::{BURSTS_EVIDENT, FIT_BLUR, ROUNDS};
use crate::process::RequestProcess;
use crate::rows::{After, Row};

/// Poisson rates per TTL are 10 to the power of (i / 3) for i in this range.
const POISSON_EXPONENTS: std::ops::RangeInclusive<i32> = -8..=9;

/// Rates of bursts are 10 to the power of (i / 2).
const BURST_EXPONENTS: std::ops::RangeInclusive<i32> = -4..=3;

/// Rates of requests within bursts, per TTL.
const RATES_IN_BURSTS: [f64; 3] = [5.0, 50.0, 500.0];

/// A burst is one only if its rate is so much higher.
const BURST_FACTOR_MIN: f64 = 4.0;

/// Probabilities that a burst goes on after a request: two or seven requests on average.
const BURST_GOES_ON: [f64; 2] = [0.5, 0.85];

/// Below this, a likelihood is taken for this: a row that no process explains must not stop the fit.
const LIKELIHOOD_MIN: f64 = 1e-200;

/// Which processes a mixture may consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kinds {
    /// Poisson processes.
    WithoutBursts,
    /// These, and requests in bursts.
    All,
}

/// The likelihoods of the rows of a sample under each process of the grid.
pub(crate) struct Mixture {
    processes: Vec<RequestProcess>,
    /// How many of them, at the beginning, are without bursts.
    without_bursts: usize,
    /// Row by row, one for each process.
    likelihoods: Vec<f64>,
}

impl Mixture {
    pub(crate) fn new(rows: &[Row]) -> Self {
        let (mut processes, bursts) = (poisson_processes(), burst_processes());
        let without_bursts = processes.len();
        processes.extend(bursts);
        let mut likelihoods = Vec::with_capacity(rows.len() * processes.len());
        for row in rows {
            let start = likelihoods.len();
            likelihoods.extend(processes.iter().map(|process| process.likelihood(row)));
            // Only ratios within a row count.
            let largest = likelihoods[start..].iter().copied().fold(LIKELIHOOD_MIN, f64::max);
            likelihoods[start..].iter_mut().for_each(|value| *value = (*value / largest).max(LIKELIHOOD_MIN));
        }
        Self { processes, without_bursts, likelihoods }
    }

    /// The share of each process of these kinds among the live keys, if rows count by `row_weights`.
    pub(crate) fn fit(&self, row_weights: &[f64], kinds: Kinds) -> Vec<f64> {
        let count = match kinds {
            Kinds::WithoutBursts => self.without_bursts,
            Kinds::All => self.processes.len(),
        };
        let total: f64 = row_weights.iter().sum();
        let mut shares = vec![1.0 / count as f64; count];
        let mut sums = vec![0.0; count];
        for _ in 0..ROUNDS {
            sums.fill(0.0);
            for (row, weight) in self.rows().zip(row_weights) {
                let scale = weight / dot(&row[..count], &shares).max(LIKELIHOOD_MIN);
                sums.iter_mut().zip(row).for_each(|(sum, likelihood)| *sum += likelihood * scale);
            }
            shares.iter_mut().zip(&sums).for_each(|(share, sum)| *share *= sum / total);
        }
        shares
    }

    /// The probabilities of a longer idle time than that of a key, given its age: than the longest that it may be, and than
    /// the shortest. Idle times count as known to a small part of the TTL only.
    pub(crate) fn place_of_idle_time(&self, shares: &[f64], row: &Row) -> (f64, f64) {
        let longer = |time: f64| -> f64 {
            let kinds = self.processes.iter().zip(shares);
            kinds.map(|(process, share)| share * process.idle_for(row.age, time)).sum()
        };
        let (shortest, longest) = ((row.idle_low - FIT_BLUR).max(0.0), row.idle_high + FIT_BLUR);
        (if longest < row.age { longer(longest) } else { 0.0 }, longer(shortest))
    }

    /// The same for the time until a key was back, given its age and its idle time.
    pub(crate) fn place_of_return(&self, shares: &[f64], row: &Row) -> (f64, f64) {
        let (time, is_back) = match row.after {
            After::Unknown => (0.0, false),
            After::CameBack(time) => (time, true),
            After::NotBack(time) => (time, false),
        };
        let (mut seen, mut kept) = (0.0, 0.0);
        for (process, share) in self.processes.iter().zip(shares) {
            let (now, later) = process.not_back_for(row, time);
            seen += share * now;
            kept += share * later;
        }
        let longer = kept / seen.max(LIKELIHOOD_MIN);
        (if is_back { longer } else { 0.0 }, longer)
    }

    fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.likelihoods.chunks_exact(self.processes.len())
    }

    /// The kinds of processes that are needed to explain what was seen, if `together` keys count as one.
    pub(crate) fn needed(&self, row_weights: &[f64], together: f64) -> Kinds {
        let [without, all] = [Kinds::WithoutBursts, Kinds::All]
            .map(|kinds| self.log_likelihood(row_weights, &self.fit(row_weights, kinds)));
        if all - without > BURSTS_EVIDENT * together { Kinds::All } else { Kinds::WithoutBursts }
    }

    fn log_likelihood(&self, row_weights: &[f64], shares: &[f64]) -> f64 {
        let likelihood = |row: &[f64]| dot(&row[..shares.len()], shares).max(LIKELIHOOD_MIN);
        self.rows().zip(row_weights).map(|(row, weight)| weight * likelihood(row).ln()).sum()
    }

    /// The misses with the TTL `ttl`, in current TTLs, relative to those of today, if entries are deleted early at the
    /// rate `early`.
    ///
    /// A process is found among live keys as often as it is filled, so that its misses are proportional to its share, and
    /// change by what an entry answers.
    pub(crate) fn misses(&self, shares: &[f64], ttl: f64, early: f64) -> f64 {
        let change = |process: &RequestProcess| {
            (1.0 + process.hits_per_fill(1.0, early)) / (1.0 + process.hits_per_fill(ttl, early))
        };
        let weighted = self.processes.iter().zip(shares).map(|(process, share)| share * change(process));
        weighted.sum::<f64>() / shares.iter().sum::<f64>()
    }
}

fn poisson_processes() -> Vec<RequestProcess> {
    let rate = |exponent: i32| 10_f64.powf(f64::from(exponent) / 3.0);
    POISSON_EXPONENTS.map(|exponent| RequestProcess::poisson(rate(exponent))).collect()
}

fn burst_processes() -> Vec<RequestProcess> {
    let rate = |exponent: i32| 10_f64.powf(f64::from(exponent) / 2.0);
    let bursts = BURST_EXPONENTS.map(rate).flat_map(|slow| {
        let fast = RATES_IN_BURSTS.into_iter().filter(move |fast| *fast >= slow * BURST_FACTOR_MIN);
        fast.flat_map(move |fast| BURST_GOES_ON.map(|goes_on| RequestProcess::bursts(slow, fast, goes_on)))
    });
    bursts.collect()
}

/// The scalar product, in four sums that the processor adds up at the same time.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (a_fours, b_fours) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a_fours.remainder().iter().zip(b_fours.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_fours.zip(b_fours) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    rest + sums.iter().sum::<f64>()
}
