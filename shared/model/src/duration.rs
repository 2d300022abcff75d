//! Durations in text: a whole number and one unit. A number without a unit is rejected, because it could mean seconds
//! or milliseconds.

use std::time::Duration;

/// The units, largest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Digits only.
    #[error("a unit is missing: write `{0}s` or `{0}m`")]
    NoUnit(String),
    /// Neither a whole number nor a known unit.
    #[error("write a whole number and one of `ms`, `s`, `m`, `h`, `d`, such as `15m`")]
    Malformed,
    /// More milliseconds than 64 bits hold.
    #[error("that is too long")]
    TooLong,
}

/// Parses `500ms`, `1s`, `15m`, `6h` or `30d`.
///
/// # Errors
/// [`DurationError`] states the problem and the correct form.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    if digits.is_empty() {
        return Err(DurationError::Malformed);
    }
    if unit.is_empty() {
        return Err(DurationError::NoUnit(digits.to_owned()));
    }
    let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(DurationError::Malformed)?;
    let number: u64 = digits.parse().map_err(|_| DurationError::TooLong)?;
    let ms = number.checked_mul(*unit_ms).ok_or(DurationError::TooLong)?;
    Ok(Duration::from_millis(ms))
}

/// Formats a duration with the largest exact unit: `15m`, `90s`, `0s`. Fractions of a millisecond are dropped;
/// [`parse`] never produces any.
#[must_use]
pub fn show(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms == 0 {
        return "0s".to_owned();
    }
    let exact = UNITS.iter().find(|(_, unit_ms)| ms.is_multiple_of(u128::from(*unit_ms)));
    exact.map_or_else(|| format!("{ms}ms"), |(unit, unit_ms)| format!("{}{unit}", ms / u128::from(*unit_ms)))
}

/// Its whole milliseconds.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(input: &str, expected: Result<u64, DurationError>) {
        assert_eq!(parse(input), expected.map(Duration::from_millis), "{input:?}");
    }

    #[test]
    fn reads_each_unit() {
        check("500ms", Ok(500));
        check("1s", Ok(1_000));
        check("15m", Ok(900_000));
        check("6h", Ok(21_600_000));
        check("30d", Ok(2_592_000_000));
        check(" 0s ", Ok(0));
    }

    #[test]
    fn refuses_what_is_unclear() {
        check("5", Err(DurationError::NoUnit("5".to_owned())));
        for text in ["", "s", "1.5h", "-1s", "1 s", "1h30m", "1S", "1µs", "١s"] {
            check(text, Err(DurationError::Malformed));
        }
        check("99999999999999999999s", Err(DurationError::TooLong));
        check("18446744073709551615d", Err(DurationError::TooLong));
    }

    #[test]
    fn shows_the_largest_exact_unit() {
        for text in ["0s", "1ms", "500ms", "1s", "90s", "15m", "6h", "36h", "30d"] {
            assert_eq!(parse(text).map(show).as_deref(), Ok(text));
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(ms in 0..u64::MAX) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse(&show(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse(&text);
        }
    }
}
