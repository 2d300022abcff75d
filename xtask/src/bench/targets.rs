//! The performance targets of keysweep (pure), relative to what the machine allows: the floor in the same turn.
//! Changing a limit changes a promise. Contenders that wait for each reply are not judged: their rate is the time of
//! one request on this machine.

use super::case::USUAL_PERCENT;
use super::contenders::Contender;
use super::figures::{Comparison, Measure};
use super::growth::Size;
use super::report::table::thousands;
use super::verdict::Side::{AtLeast, AtMost, Below};
use super::verdict::{Target, Turn};

/// What keysweep at full speed promises beside the floor with a share of stale keys.
struct ShareLimits {
    percent: u8,
    server_us_max: f64,
    rate_min: f64,
}

/// Other shares can be measured, but are not judged.
const LIMITS: [ShareLimits; 3] = [
    ShareLimits { percent: 1, server_us_max: 1.08, rate_min: 0.84 },
    ShareLimits { percent: 10, server_us_max: 1.12, rate_min: 0.82 },
    ShareLimits { percent: 50, server_us_max: 1.2, rate_min: 0.75 },
];

/// CPU of the client for a key looked at, or [`FLOOR_CLIENTS`] times the floor's if that is more.
const CLIENT_US: f64 = 0.15;
const FLOOR_CLIENTS: f64 = 3.0;
/// Peak memory of one process.
const MEMORY_MB: f64 = 32.0;

/// The targets of a comparison, in the order of the table.
pub(crate) fn comparison(comparison: &Comparison) -> Vec<Target> {
    use Contender::{FloorLooks, Gentle, Healthy, Keysweep, Looks, Nats};
    use Measure::{ClientUs, KeysPerS, P99Ms, WallS};
    let values = |contender, measure| comparison.values(contender, USUAL_PERCENT, measure);
    let by_full_speed = |contender| comparison.ratios([contender, Keysweep], USUAL_PERCENT, KeysPerS);
    let looking = looking(&values(Looks, ClientUs), &values(FloorLooks, ClientUs));
    let idle = comparison.idle.iter();
    let above_idle = values(Gentle, P99Ms).into_iter().zip(idle).map(|(p99, idle)| p99 - idle.p99_ms);
    let others = [
        Target::relative("looking: client us per key", looking, AtMost, CLIENT_US),
        Target::fixed("NATS: keys/s / one process", by_full_speed(Nats), AtLeast, 0.9),
        Target::fixed("gentle: keys/s / full speed", by_full_speed(Gentle), AtLeast, 0.3),
        Target::fixed("gentle: p99 ms above idle", above_idle.collect(), AtMost, 1.0),
        Target::fixed("healthy: wall s", values(Healthy, WallS), AtMost, 0.03),
    ];
    LIMITS.iter().flat_map(|limits| of_share(comparison, limits)).chain(others).collect()
}

/// The targets with one share of stale keys.
fn of_share(comparison: &Comparison, limits: &ShareLimits) -> [Target; 4] {
    use Contender::{Floor, Keysweep};
    let percent = limits.percent;
    let by_floor = |measure| comparison.ratios([Keysweep, Floor], percent, measure);
    let memory = comparison.values(Keysweep, percent, Measure::PeakMb);
    let target = |what: &str, measured, side, limit| {
        Target::fixed(format!("{percent} %: {what}"), measured, side, limit)
    };
    [
        target("server CPU / floor", by_floor(Measure::ServerUs), AtMost, limits.server_us_max),
        target("keys/s / floor", by_floor(Measure::KeysPerS), AtLeast, limits.rate_min),
        target("p99 of others / floor", by_floor(Measure::P99Ms), AtMost, 1.0),
        target("one process, MB", memory, Below, MEMORY_MB),
    ]
}

/// Turns of keysweep and the floor, both looking at keys, in µs of client CPU per key.
fn looking(ours: &[f64], floor: &[f64]) -> Vec<Turn> {
    let turn =
        |(ours, floor): (&f64, &f64)| Turn { measured: *ours, limit: CLIENT_US.max(FLOOR_CLIENTS * floor) };
    ours.iter().zip(floor).map(turn).collect()
}

/// The targets of `--growth`: the memory of one process, and by how much it grows from the smallest to the largest of
/// `sizes`, which are sorted.
pub(crate) fn growth(sizes: &[Size]) -> Vec<Target> {
    let memory = |size: &Size| {
        let what = format!("{} keys: MB", thousands(size.keys));
        Target::fixed(what, size.embedded.values(Measure::PeakMb), Below, MEMORY_MB)
    };
    let mut targets: Vec<Target> = sizes.iter().map(memory).collect();
    if let [smallest, .., largest] = sizes {
        let grown = largest.embedded.ratios(&smallest.embedded, Measure::PeakMb);
        let percents = grown.iter().map(|ratio| (ratio - 1.0) * 100.0).collect();
        targets.push(Target::fixed("growth of memory, %", percents, AtMost, 3.0));
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::sample;

    fn found<'a>(targets: &'a [Target], what: &str) -> &'a Target {
        targets.iter().find(|target| target.what == what).unwrap()
    }

    #[test]
    fn figures_are_compared_with_those_of_the_same_turn() {
        let targets = comparison(&sample::comparison());
        let check = |what: &str, figure: f64, met: bool| {
            let verdict = found(&targets, what).verdict().unwrap();
            assert!((verdict.measured.median - figure).abs() < 1e-9, "{what}: {verdict:?}");
            assert_eq!(verdict.met, met, "{what}: {verdict:?}");
        };
        check("1 %: server CPU / floor", 1.25, false);
        check("10 %: server CPU / floor", 1.125, false);
        check("10 %: keys/s / floor", 0.8, false);
        check("10 %: p99 of others / floor", 1.0, true);
        check("10 %: one process, MB", 20.0, true);
        check("NATS: keys/s / one process", 0.875, false);
        check("gentle: keys/s / full speed", 0.375, true);
        check("gentle: p99 ms above idle", 0.875, true);
        check("looking: client us per key", 0.5, true);
    }

    #[test]
    fn without_both_contenders_nothing_is_claimed() {
        let targets = comparison(&sample::comparison());
        assert_eq!(found(&targets, "50 %: keys/s / floor").verdict(), None);
        assert_eq!(found(&targets, "healthy: wall s").verdict(), None);
    }

    #[test]
    fn a_slow_floor_allows_more() {
        let limits: Vec<f64> =
            looking(&[0.1; 3], &[0.04, 0.05, 0.0625]).iter().map(|turn| turn.limit).collect();
        assert_eq!(limits[..1], [0.15]);
        assert!((limits[1] - 0.15).abs() < 1e-9 && limits[2] == 0.1875, "{limits:?}");
        assert_eq!(looking(&[0.1; 3], &[]), []);
    }

    #[test]
    fn memory_may_grow_by_three_percent() {
        let check = |smallest: f64, largest: f64, met: bool| {
            let sizes = [sample::size(1_000, smallest), sample::size(10_000, largest)];
            let targets = growth(&sizes);
            let verdict = found(&targets, "growth of memory, %").verdict().unwrap();
            assert_eq!(verdict.met, met, "{verdict:?}");
        };
        check(20.0, 20.5, true);
        check(20.0, 20.75, false);
        check(20.0, 19.0, true);
        let single = growth(&[sample::size(1_000, 32.0)]);
        assert_eq!((single.len(), single[0].verdict().unwrap().met), (1, false));
    }
}
