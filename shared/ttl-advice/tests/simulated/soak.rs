//! The table of `docs/design/ttl-advice.md`.

use crate::cases::good;
use crate::study::study;

const SEEDS: u64 = 200;
const SAMPLE: usize = 2_000;

/// The largest mean error in points, without and with a panel. Without one, requests at regular intervals are estimated
/// worst: nothing in a snapshot shows them.
const BIAS_MAX: [f64; 2] = [3.0, 1.0];

/// The least share of intervals that contain the truth, in percent.
const COVERED_MIN: f64 = 90.0;

#[test]
#[expect(clippy::disallowed_methods, reason = "variables for developers")]
#[ignore = "200 seeds of each application take a quarter of an hour"]
fn soak_estimates_are_right_and_intervals_hold() {
    let seeds =
        std::env::var("KEYSWEEP_SOAK_SEEDS").ok().map_or(SEEDS, |text| text.parse().expect("a number"));
    let mut failed = Vec::new();
    for panel in [false, true] {
        for (name, application) in good() {
            let name = format!("{name}, {}", if panel { "panel" } else { "snapshot" });
            let study = study(&application, SAMPLE, panel, seeds);
            study.print(&name, seeds);
            let is_wrong = study.rows.iter().any(|row| {
                let bias = (row.estimate - row.truth).abs();
                bias > BIAS_MAX[usize::from(panel)] || row.covered.min(row.keys_covered) < COVERED_MIN
            });
            failed.extend(is_wrong.then_some(name));
        }
    }
    assert!(failed.is_empty(), "wrong: {failed:#?}");
}
