//! Single bars: a share of a whole, and a whole with its parts. They stretch to the width of their container.

use std::fmt::Write;

use super::{Drawing, escape};
use crate::format::{lossy, share};

/// The minimum width of a nonzero part; the whole has 1,000 units.
const PART_MIN: f64 = 5.0;

/// A bar for `part` of `whole`. It is next to its figure and therefore hidden from screen readers.
pub(in super::super) fn bar(part: u64, whole: u64) -> String {
    let width =
        share(part, whole).map_or(0.0, |share| share * 10.0).max(if part > 0 { PART_MIN } else { 0.0 });
    format!(
        concat!(
            r#"<svg class="bar" viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true">"#,
            r#"<rect class="rail" x="0" y="0" width="1000" height="8"/>"#,
            r#"<rect class="fill" x="0" y="0" width="{:.1}" height="8"/></svg>"#
        ),
        width
    )
}

/// A stacked bar; each part has the CSS class of its colour and a name. Empty parts are omitted.
pub(in super::super) fn stack(id: &str, title: &str, parts: &[(&str, u64)]) -> String {
    let whole: f64 = parts.iter().map(|(_, part)| lossy(*part)).sum();
    let widths: Vec<f64> = parts
        .iter()
        .map(|(_, part)| if *part == 0 { 0.0 } else { (lossy(*part) / whole * 1_000.0).max(PART_MIN) })
        .collect();
    let drawn: f64 = widths.iter().sum();
    let mut drawing = Drawing::new(1_000.0, 24.0);
    let (mut x, mut desc) = (0.0, String::new());
    for ((name, part), width) in parts.iter().zip(widths) {
        if width > 0.0 {
            let (width, text) = (width / drawn * 1_000.0, format!("{name}: {}", crate::grouped(*part)));
            drawing.rect(&format!("part {}", escape(name)), (x, 0.0), ((width - 2.0).max(1.0), 24.0), &text);
            let _ = write!(desc, "{}{text}", if desc.is_empty() { "" } else { ", " });
            x += width;
        }
    }
    let svg = drawing.finish(id, "stack", title, &desc);
    svg.replacen("<svg ", r#"<svg preserveAspectRatio="none" "#, 1)
}

#[cfg(test)]
mod tests {
    use super::super::sound;
    use super::*;

    #[test]
    fn bar_length_is_the_share() {
        let length = |part, whole| sound::numbers(&bar(part, whole), "width")[1];
        assert_eq!([length(1, 4), length(0, 4), length(0, 0), length(9, 4)], [250.0, 0.0, 0.0, 1_000.0]);
        assert_eq!(length(1, u64::MAX), PART_MIN);
    }

    #[test]
    fn small_parts_are_visible_and_fill_the_whole() {
        let check = |parts: &[(&str, u64)], drawn: usize| {
            let svg = stack("s", "parts", parts);
            sound::check(&svg);
            assert_eq!(svg.matches("<rect").count(), drawn, "{svg}");
        };
        check(&[("deleted", 8_400), ("spared", 0), ("protected", 1_000)], 2);
        check(&[("deleted", u64::MAX), ("expired", u64::MAX), ("failed", 1), ("spared", 1)], 4);
        check(&[("deleted", 0)], 0);
        check(&[], 0);
    }
}
