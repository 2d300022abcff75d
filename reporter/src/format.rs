//! Formats numbers, memory sizes, times and evidence, for all printers. Pure; no figure becomes `NaN`.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use keysweep_model::memory::ByteEstimate;
use keysweep_model::messages::Attempt;
pub use keysweep_model::words::grouped;
use serde_json::Value;

/// Shown in place of a missing figure.
pub(crate) const NONE: &str = "–";

/// The largest number of list elements shown in evidence.
const ELEMENTS_MAX: usize = 12;

/// A number with its noun: `1 key`, `2 keys`.
#[must_use]
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(n), if n == 1 { one } else { many })
}

/// A number of slots; a standalone server has none.
#[must_use]
pub fn slots(count: u64) -> String {
    if count == 0 { "-".to_owned() } else { grouped(count) }
}

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

/// A number in compact form: `9,400`, `12.3k`, `4.5M`.
pub(crate) fn compact(n: u64) -> String {
    if n < 10_000 {
        return grouped(n);
    }
    let (mut value, mut unit) = (lossy(n), "");
    for next in ["k", "M", "G", "T", "P", "E"] {
        // 999.95 would be shown as 1000.0.
        if value < 999.95 {
            break;
        }
        (value, unit) = (value / 1_000.0, next);
    }
    format!("{value:.1}{unit}")
}

/// A rate or a share between 0 and 100: `78.5%`.
pub(crate) fn percent(value: Option<f64>) -> String {
    match value.filter(|value| value.is_finite()) {
        Some(value) => format!("{value:.1}%"),
        None => NONE.to_owned(),
    }
}

/// `part` of `whole` in percent; `None` if `whole` is 0.
pub(crate) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (lossy(part) * 100.0 / lossy(whole)).min(100.0))
}

/// The same as text; a nonzero share is never shown as 0.
#[must_use]
pub fn share_text(part: u64, whole: u64) -> String {
    match share(part, whole) {
        Some(share) if part > 0 && share < 0.05 => "< 0.1%".to_owned(),
        share => percent(share),
    }
}

/// A count as a float, for drawing.
#[expect(clippy::cast_precision_loss, reason = "drawn, or shown with one decimal")]
pub(crate) fn lossy(n: u64) -> f64 {
    n as f64
}

/// A duration in seconds, with its two largest units: `7 min 30 s`.
#[must_use]
pub fn span(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return NONE.to_owned();
    }
    if seconds < 10.0 && seconds.fract() >= 0.05 {
        return format!("{seconds:.1} s");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and saturating"
    )]
    let whole = seconds.round() as u64;
    let (large, size, small, part) = match whole {
        0..60 => return format!("{whole} s"),
        60..3_600 => ("min", 60, "s", 1),
        3_600..86_400 => ("h", 3_600, "min", 60),
        _ => ("d", 86_400, "h", 3_600),
    };
    let rest = whole % size / part;
    let first = format!("{} {large}", grouped(whole / size));
    if rest == 0 { first } else { format!("{first} {rest} {small}") }
}

/// A duration in seconds in its largest unit: `7 min`, `3.7 d`.
#[must_use]
pub fn short_span(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return NONE.to_owned();
    }
    let (value, unit) = match seconds {
        // Nothing is shown as 60 min or 24 h.
        ..59.5 => (seconds, "s"),
        ..3_570.0 => (seconds / 60.0, "min"),
        ..84_600.0 => (seconds / 3_600.0, "h"),
        _ => (seconds / 86_400.0, "d"),
    };
    if value < 9.95 && unit != "s" && (value - value.round()).abs() >= 0.05 {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

/// A measured duration: with tenths of a second below two minutes, and otherwise with its two largest units.
#[must_use]
pub fn duration(ms: u64) -> String {
    match ms {
        0..120_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => span(lossy(ms / 1_000)),
    }
}

/// A point in time: `24 Nov 2026, 06:00 UTC`. Other texts are returned unchanged.
#[must_use]
pub fn moment(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(at) => stamp(at, "%-d %b %Y, %H:%M UTC"),
        Err(_) => text.to_owned(),
    }
}

/// A point in time in UTC, in the given `format`.
pub(crate) fn stamp(at: Timestamp, format: &str) -> String {
    at.to_zoned(TimeZone::UTC).strftime(format).to_string()
}

/// `attempt 2 of 3`; `None` for the first attempt.
#[must_use]
pub fn attempt(attempt: &Attempt) -> Option<String> {
    (attempt.number != 1).then(|| format!("attempt {} of {}", attempt.number, attempt.of))
}

/// `text` with an uppercase first letter.
#[must_use]
pub fn first_upper(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// The name of a figure: `hitRatePercent` becomes `hit rate percent`.
pub(crate) fn name(field: &str) -> String {
    let mut words: Vec<String> = vec![String::new()];
    let mut before = ' ';
    let mut letters = field.chars().peekable();
    while let Some(letter) = letters.next() {
        let separates = matches!(letter, '_' | '-' | ' ');
        // `TTLKeys`: the last of several capitals belongs to the following word.
        let begins = before.is_lowercase() || letters.peek().is_some_and(|next| next.is_lowercase());
        if separates || (letter.is_uppercase() && begins) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| !separates) {
            word.push(letter);
        }
        before = letter;
    }
    // An abbreviation, such as TTL, is not lowercased.
    let lower =
        |word: &String| if word.chars().any(char::is_lowercase) { word.to_lowercase() } else { word.clone() };
    words.iter().filter(|word| !word.is_empty()).map(lower).collect::<Vec<_>>().join(" ")
}

/// A figure of evidence.
pub(crate) fn figure(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(whole), _) => grouped(whole),
            (None, Some(float)) => decimal(float),
            (None, None) => number.to_string(),
        },
        Value::String(text) => moment(text),
        Value::Array(values) => {
            let mut parts: Vec<String> = values.iter().take(ELEMENTS_MAX).map(figure).collect();
            if values.len() > ELEMENTS_MAX {
                parts.push(format!("and {} more", values.len() - ELEMENTS_MAX));
            }
            parts.join(", ")
        }
        Value::Object(fields) => {
            let part = |(field, value): (&String, &Value)| format!("{} {}", name(field), figure(value));
            fields.iter().take(ELEMENTS_MAX).map(part).collect::<Vec<_>>().join(", ")
        }
    }
}

/// At most two decimals, without trailing zeros.
fn decimal(value: f64) -> String {
    if value.abs() >= 1e15 {
        return format!("{value:e}");
    }
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let (whole, rest) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.parse().map_or(whole.to_owned(), grouped);
    if rest.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_have_a_compact_form() {
        let shown = [0, 9_999, 12_345, 999_949, 999_999, 4_500_000, u64::MAX].map(compact);
        assert_eq!(shown, ["0", "9,999", "12.3k", "999.9k", "1.0M", "4.5M", "18.4E"]);
        assert_eq!([0, 1_023, 1_536, u64::MAX].map(bytes), ["0 B", "1023 B", "1.5 KiB", "16.0 EiB"]);
    }

    #[test]
    fn shares_are_never_nan() {
        assert_eq!([share_text(0, 0), share_text(1, 8), share_text(1, 1_000_000)], ["–", "12.5%", "< 0.1%"]);
        assert_eq!([percent(Some(f64::NAN)), percent(None), percent(Some(100.0))], ["–", "–", "100.0%"]);
    }

    #[test]
    fn times_have_two_units() {
        let shown = [0.0, 0.5, 45.0, 60.0, 450.0, 3_600.0, 5_400.0, 86_400.0, 100_000.0].map(span);
        assert_eq!(
            shown,
            ["0 s", "0.5 s", "45 s", "1 min", "7 min 30 s", "1 h", "1 h 30 min", "1 d", "1 d 3 h"]
        );
        assert_eq!([span(f64::INFINITY), span(-1.0)], ["–", "–"]);
        assert!(span(f64::MAX).ends_with(" h"));
        assert_eq!(moment("2026-11-24T06:00:05Z"), "24 Nov 2026, 06:00 UTC");
        assert_eq!(moment("soon"), "soon");
    }

    #[test]
    fn evidence_is_formatted_as_text() {
        assert_eq!(name("hitRatePercent"), "hit rate percent");
        assert_eq!(name("avgTTL"), "avg TTL");
        assert_eq!(name("staleTTLKeys"), "stale TTL keys");
        assert_eq!(name("limit_percent"), "limit percent");
        let shown = [
            json!(12_000),
            json!(45.25),
            json!(-1_234.5),
            json!(null),
            json!(true),
            json!(["a", 1]),
            json!({ "errors": 12, "hits": 1_000 }),
            json!(1e300),
        ];
        assert_eq!(
            shown.map(|value| figure(&value)),
            ["12,000", "45.25", "-1,234.5", "none", "yes", "a, 1", "errors 12, hits 1,000", "1e300"]
        );
    }

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

    #[test]
    fn formats_counts_and_durations() {
        assert_eq!(
            [grouped(0), grouped(999), grouped(1_000), grouped(12_345_678)],
            ["0", "999", "1,000", "12,345,678"]
        );
        assert_eq!([counted(1, "key", "keys"), counted(2_000, "key", "keys")], ["1 key", "2,000 keys"]);
        let shown = [1_940, 119_999, 200_000, 4_500_000].map(duration);
        assert_eq!(shown, ["1.9 s", "119.9 s", "3 min 20 s", "1 h 15 min"]);
    }
}
