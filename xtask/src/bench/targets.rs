//! The performance targets of keysweep, relative to others and absolute (pure). Changing a limit changes a promise.

use super::contenders::Contender;
use super::figures::{Comparison, Sample};

/// On which side of the limit the figure must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// No more than the limit.
    AtMost,
    /// No less than the limit.
    AtLeast,
    /// Less than the limit.
    Below,
}

/// A target with its measurement.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    /// The name of the figure.
    pub(crate) what: &'static str,
    /// The measurement; `None` if one of the contenders was not run, or failed.
    pub(crate) figure: Option<f64>,
    /// On which side of the limit the figure must be.
    pub(crate) side: Side,
    /// The limit.
    pub(crate) limit: f64,
}

impl Target {
    /// Whether the target was reached; unknown without a figure.
    pub(crate) fn met(&self) -> Option<bool> {
        self.figure.map(|figure| match self.side {
            Side::AtMost => figure <= self.limit,
            Side::AtLeast => figure >= self.limit,
            Side::Below => figure < self.limit,
        })
    }
}

/// All targets, in the order of the table.
pub(crate) fn targets(comparison: &Comparison) -> Vec<Target> {
    use Contender::{
        Document, Floor, Gentle, Healthy, Keysweep, Looks, Nats, RedisCli, RedisPy, SingleCursor, Standalone,
    };
    use Side::{AtLeast, AtMost, Below};
    let rate: fn(&Sample) -> f64 = Sample::keys_per_s;
    let ratio = |of, above, below| Some(comparison.of(above)?.by(comparison.of(below)?, of));
    let target = |what, figure, side, limit| Target { what, figure, side, limit };
    let gentle = comparison.of(Gentle).and_then(|figures| figures.latency).map(|latency| latency.p99_ms);
    let idle = comparison.idle.map(|idle| idle.p99_ms);
    let looked = comparison.of(Looks).map(|figures| figures.client_us);
    vec![
        target("server CPU per key / floor", ratio(Sample::server_us, Keysweep, Floor), AtMost, 1.25),
        target("keys/s / floor", ratio(rate, Keysweep, Floor), AtLeast, 0.8),
        target("keys/s / single cursor", ratio(rate, Keysweep, SingleCursor), AtLeast, 1.8),
        target("keys/s / redis-py", ratio(rate, Keysweep, RedisPy), AtLeast, 5.0),
        target("keys/s / redis-cli", ratio(rate, Keysweep, RedisCli), AtLeast, 45.0),
        target("keys/s / document's job, one node", ratio(rate, Standalone, Document), AtLeast, 45.0),
        target("client CPU, us per key looked at", looked, AtMost, 0.3),
        target("over NATS: keys/s / one process", ratio(rate, Nats, Keysweep), AtLeast, 0.85),
        target("gentle: keys/s / full speed", ratio(rate, Gentle, Keysweep), AtLeast, 0.25),
        target("gentle: p99 of the foreground, ms", gentle.and(idle).and(gentle), AtMost, gentle_limit(idle)),
        target(
            "healthy: wall time / full run",
            ratio(|sample| sample.wall_s, Healthy, Keysweep),
            Below,
            0.02,
        ),
    ]
}

/// The limit of the p99 at the default pace, in ms: half more than the idle p99, or one millisecond more.
fn gentle_limit(idle_p99_ms: Option<f64>) -> f64 {
    idle_p99_ms.map_or(f64::NAN, |idle| f64::max(idle * 1.5, idle + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::sample::comparison;

    fn found<'a>(targets: &'a [Target], what: &str) -> &'a Target {
        targets.iter().find(|target| target.what.starts_with(what)).unwrap()
    }

    #[test]
    fn ratios_are_met_at_their_limits() {
        let comparison = comparison();
        let targets = targets(&comparison);
        let check = |what: &str, figure: f64, met: bool| {
            let target = found(&targets, what);
            assert!((target.figure.unwrap() - figure).abs() < 1e-9, "{target:?}");
            assert_eq!(target.met(), Some(met), "{target:?}");
        };
        check("server CPU per key / floor", 1.25, true);
        check("keys/s / floor", 0.8, true);
        check("keys/s / single cursor", 1.6, false);
        check("gentle: p99", 1.4, true);
    }

    #[test]
    fn without_both_contenders_nothing_is_claimed() {
        let targets = targets(&comparison());
        let target = found(&targets, "keys/s / document's job");
        assert_eq!((target.figure, target.met()), (None, None));
    }

    #[test]
    fn a_slow_idle_server_allows_half_as_much_again() {
        assert_eq!(gentle_limit(Some(0.5)), 1.5);
        assert_eq!(gentle_limit(Some(4.0)), 6.0);
    }

    #[test]
    fn below_is_not_at_most() {
        let at = |side| Target { what: "", figure: Some(0.02), side, limit: 0.02 }.met();
        assert_eq!(
            (at(Side::Below), at(Side::AtMost), at(Side::AtLeast)),
            (Some(false), Some(true), Some(true))
        );
    }
}
