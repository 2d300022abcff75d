//! Formats memory sizes and their bounds. Pure.

use keysweep_model::memory::ByteEstimate;

/// A memory size: `1.5 GiB`.
#[must_use]
pub fn bytes(n: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let (mut value, mut unit) = (n as f64, "B");
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if value < 1_023.95 {
            break;
        }
        (value, unit) = (value / 1_024.0, next);
    }
    if unit == "B" { format!("{n} B") } else { format!("{value:.1} {unit}") }
}

/// An estimate with its bounds: `1.5 GiB`, `about 1.5 GiB (between 1.4 GiB and 1.6 GiB)`, `about 1.5 GiB (at least
/// 1.4 GiB)`.
#[must_use]
pub fn memory(of: &ByteEstimate) -> String {
    let estimate = bytes(of.estimate);
    match bounds(of.low, of.high, bytes) {
        None => estimate,
        Some(bounds) => format!("about {estimate} ({bounds})"),
    }
}

/// The bounds of a figure, formatted by `unit`; `None` if both are formatted alike.
pub(crate) fn bounds(low: u64, high: Option<u64>, unit: impl Fn(u64) -> String) -> Option<String> {
    match high.map(&unit) {
        Some(high) if high == unit(low) => None,
        Some(high) => Some(format!("between {} and {high}", unit(low))),
        None if low == 0 => Some("no lower bound".to_owned()),
        None => Some(format!("at least {}", unit(low))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_estimates() {
        let check = |estimate, low, high, expected: &str| {
            assert_eq!(memory(&ByteEstimate { estimate, low, high, samples: 10 }), expected);
        };
        check(700, 700, Some(700), "700 B");
        check(1 << 30, (1 << 30) - 9, Some((1 << 30) + 9), "1.0 GiB");
        check(3 << 20, 2 << 20, Some(4 << 20), "about 3.0 MiB (between 2.0 MiB and 4.0 MiB)");
        check(3 << 20, 2 << 20, None, "about 3.0 MiB (at least 2.0 MiB)");
        check(900, 0, None, "about 900 B (no lower bound)");
    }
}
