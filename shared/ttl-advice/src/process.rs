//! How one kind of key is requested: a renewal process whose gaps are short (within a burst) or long (between bursts).
//! Times are in units of the TTL.
//!
//! After each request the next gap is exponential with the rate `fast`, with probability `burst`, and otherwise with the
//! rate `slow`. Without bursts this is a Poisson process. The kind of the gap in progress is a Markov chain of two states,
//! so that everything below has a closed form.

use crate::lifetime::integral_of_survival;
use crate::rows::{After, Row};

/// Rates of requests for one kind of key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestProcess {
    slow: f64,
    fast: f64,
    burst: f64,
}

/// Probabilities of the kind of gap that is in progress, times the likelihood of what was seen so far.
#[derive(Clone, Copy)]
struct Phases {
    fast: f64,
    slow: f64,
}

impl RequestProcess {
    /// Independent requests.
    pub(crate) const fn poisson(rate: f64) -> Self {
        Self { slow: rate, fast: rate, burst: 0.0 }
    }

    /// Requests in bursts.
    pub(crate) const fn bursts(slow: f64, fast: f64, burst: f64) -> Self {
        Self { slow, fast, burst }
    }

    /// The rate at which the kind of gap forgets its beginning.
    fn mixing(&self) -> f64 {
        self.burst * self.slow + (1.0 - self.burst) * self.fast
    }

    /// The share of time in bursts, in the long run.
    fn in_bursts(&self) -> f64 {
        self.burst * self.slow / self.mixing()
    }

    /// How far the rate of requests is above its mean right after a request.
    fn excess(&self) -> f64 {
        (self.fast - self.slow) * (self.burst - self.in_bursts())
    }

    /// Requests per time in the long run.
    fn mean_rate(&self) -> f64 {
        self.slow * self.fast / self.mixing()
    }

    /// The rate of requests at `time` after a request.
    fn rate_after(&self, time: f64) -> f64 {
        self.mean_rate() + self.excess() * (-self.mixing() * time).exp()
    }

    /// The mean number of requests that an entry with the TTL `ttl` answers, if entries are deleted at the rate `early`
    /// before they expire. The hit rate of the key is this, divided by itself plus one (Jung, Berger, Balakrishnan 2003).
    pub(crate) fn hits_per_fill(&self, ttl: f64, early: f64) -> f64 {
        self.mean_rate() * integral_of_survival(early, ttl)
            + self.excess() * integral_of_survival(early + self.mixing(), ttl)
    }

    /// The likelihood of what was seen of a key, up to a factor that is the same for all processes.
    pub(crate) fn likelihood(&self, row: &Row) -> f64 {
        let seen = self.at_sampling(row);
        let at_expiry = self.evolve(seen, 1.0 - row.age);
        match row.after {
            After::Unknown => seen.fast + seen.slow,
            After::CameBack(time) => {
                let kept = self.without_request(at_expiry, time);
                kept.fast * self.fast + kept.slow * self.slow
            }
            After::NotBack(time) => {
                let kept = self.without_request(at_expiry, time);
                kept.fast + kept.slow
            }
        }
    }

    /// The probability that a live key of the age `age` was not requested within the last `time`; if that is its age, since
    /// it was written.
    pub(crate) fn idle_for(&self, age: f64, time: f64) -> f64 {
        let time = time.min(age);
        let quiet = self.without_request(self.evolve(self.written(), age - time), time);
        quiet.fast + quiet.slow
    }

    /// The likelihood of what was seen of a live key, and that times the probability that it is not requested for `time` after
    /// its expiry.
    pub(crate) fn not_back_for(&self, row: &Row, time: f64) -> (f64, f64) {
        let seen = self.at_sampling(row);
        let kept = self.without_request(self.evolve(seen, 1.0 - row.age), time);
        (seen.fast + seen.slow, kept.fast + kept.slow)
    }

    fn written(&self) -> Phases {
        Phases { fast: self.burst, slow: 1.0 - self.burst }
    }

    /// At the moment at which a key was sampled, given when it was last accessed.
    fn at_sampling(&self, row: &Row) -> Phases {
        if row.idle_high < row.age {
            let last = row.age - (row.idle_low + row.idle_high) / 2.0;
            let rate = self.rate_after(last);
            let started = Phases { fast: rate * self.burst, slow: rate * (1.0 - self.burst) };
            return Phases {
                fast: started.fast * between(self.fast, row),
                slow: started.slow * between(self.slow, row),
            };
        }
        // The last access may be the write itself: all that is known is that there was none since.
        let quiet = row.idle_low.min(row.age);
        self.without_request(self.evolve(self.written(), row.age - quiet), quiet)
    }

    /// After `time`, whatever was requested in it.
    fn evolve(&self, phases: Phases, time: f64) -> Phases {
        let total = phases.fast + phases.slow;
        let settled = total * self.in_bursts();
        let fast = settled + (phases.fast - settled) * (-self.mixing() * time).exp();
        Phases { fast, slow: total - fast }
    }

    /// After `time` without a request.
    fn without_request(&self, phases: Phases, time: f64) -> Phases {
        Phases {
            fast: phases.fast * (-self.fast * time).exp(),
            slow: phases.slow * (-self.slow * time).exp(),
        }
    }
}

/// The integral of the probability that a gap of the rate `rate` lasts, over the times at which it may have begun.
fn between(rate: f64, row: &Row) -> f64 {
    (-rate * row.idle_low).exp() * integral_of_survival(rate, row.idle_high - row.idle_low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next_gap(process: &RequestProcess, rng: &mut fastrand::Rng) -> f64 {
        let rate = if rng.f64() < process.burst { process.fast } else { process.slow };
        -(1.0 - rng.f64()).ln() / rate
    }

    fn close(value: f64, expected: f64, most: f64) {
        assert!((value - expected).abs() <= most * expected.abs(), "{value} instead of {expected}");
    }

    #[test]
    fn hits_per_fill_are_those_of_simulated_entries() {
        let mut rng = fastrand::Rng::with_seed(1);
        let check = |process: RequestProcess, ttl: f64, early: f64, rng: &mut fastrand::Rng| {
            let (fills, mut hits) = (40_000, 0);
            for _ in 0..fills {
                let lost = if early > 0.0 { -(1.0 - rng.f64()).ln() / early } else { f64::INFINITY };
                let mut time = next_gap(&process, rng);
                while time < ttl.min(lost) {
                    hits += 1;
                    time += next_gap(&process, rng);
                }
            }
            close(process.hits_per_fill(ttl, early), f64::from(hits) / f64::from(fills), 0.04);
        };
        check(RequestProcess::poisson(3.0), 0.5, 0.0, &mut rng);
        check(RequestProcess::bursts(0.7, 20.0, 0.6), 1.0, 0.0, &mut rng);
        check(RequestProcess::bursts(0.7, 20.0, 0.6), 2.0, 0.8, &mut rng);
    }

    #[test]
    fn likelihoods_are_the_shares_of_simulated_keys() {
        let mut rng = fastrand::Rng::with_seed(2);
        let process = RequestProcess::bursts(0.8, 9.0, 0.5);
        let (age, keys) = (0.6, 400_000);
        let mut counts = [0_u32; 4];
        for _ in 0..keys {
            let (mut last, mut next) = (0.0, next_gap(&process, &mut rng));
            while next < age {
                last = next;
                next += next_gap(&process, &mut rng);
            }
            while next < 1.0 {
                next += next_gap(&process, &mut rng);
            }
            let read_lately = (0.1..0.12).contains(&(age - last));
            counts[0] += u32::from(last == 0.0);
            counts[1] += u32::from(last == 0.0 && next > 1.5);
            counts[2] += u32::from(read_lately);
            counts[3] += u32::from(read_lately && next < 1.2);
        }
        let share = |count: u32| f64::from(count) / f64::from(keys);
        let unread = Row { age, idle_low: age, idle_high: age, after: After::Unknown };
        let read = Row { age, idle_low: 0.1, idle_high: 0.12, after: After::Unknown };
        close(process.likelihood(&unread), share(counts[0]), 0.02);
        close(process.likelihood(&Row { after: After::NotBack(0.5), ..unread }), share(counts[1]), 0.02);
        close(process.likelihood(&read), share(counts[2]), 0.03);
        let steps = 200;
        let back = |step: u32| (f64::from(step) + 0.5) * 0.2 / f64::from(steps);
        let came_back: f64 = (0..steps)
            .map(|step| process.likelihood(&Row { after: After::CameBack(back(step)), ..read }))
            .sum();
        close(came_back * 0.2 / f64::from(steps), share(counts[3]), 0.03);
    }
}
