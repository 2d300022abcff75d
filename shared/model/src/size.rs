//! Sizes in text: a number of bytes, or a whole number and one unit, such as `4MiB`.

/// The units, smallest first, in bytes.
pub const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// Parses `4194304`, `64KiB`, `4MiB`, `1GiB` or `2TiB`; `None` for anything else, and for numbers past 64 bits.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let unit_bytes = match unit {
        "" => 1,
        unit => UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit_bytes)
}

/// Formats a size with the largest exact unit: `4MiB`, `1000`.
#[must_use]
pub fn show(bytes: u64) -> String {
    let exact = UNITS.iter().rev().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    exact.map_or_else(|| bytes.to_string(), |(name, unit)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_each_unit_and_refuses_what_is_unclear() {
        let read = ["7", "64KiB", "4MiB", " 1GiB ", "2TiB"].map(parse);
        assert_eq!(read, [Some(7), Some(65_536), Some(4_194_304), Some(1 << 30), Some(2 << 40)]);
        for text in ["", "MiB", "4MB", "4M", "4 MiB", "1.5MiB", "-1", "+1", "99999999999TiB", "4mib"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        assert_eq!([show(0), show(1_000), show(1_536), show(1 << 22)], ["0", "1000", "1536", "4MiB"]);
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(bytes: u64) {
            prop_assert_eq!(parse(&show(bytes)), Some(bytes));
        }
    }
}
