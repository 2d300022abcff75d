//! Small plots as SVG files: bars on a logarithmic scale, and lines over a logarithmic scale. The reporter's charts use
//! the style sheet of their page; these are standalone, with their own background.

use std::fmt::Write;

use super::table::{number, thousands};

/// The width of a plot.
const WIDTH: f64 = 720.0;
/// The width of labels to the left of bars.
const LABELS: f64 = 170.0;
const BAR: f64 = 26.0;
/// The height of a line chart.
const CHART: f64 = 240.0;
const COLOURS: [&str; 6] = ["#1f6feb", "#6e7781", "#bc4c00", "#1a7f37", "#8250df", "#bf3989"];

/// A named series of values over x.
pub(crate) struct Line {
    /// Its name.
    pub(crate) name: &'static str,
    /// The points `(x, y)` in ascending order of x; x is positive.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Bars from top to bottom; their lengths are logarithmic, relative to the smallest value.
pub(crate) fn bars(title: &str, values: &[(String, f64)]) -> String {
    let values: Vec<_> = values.iter().filter(|(_, value)| *value > 0.0).collect();
    let least = values.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min).log10().floor();
    let most = values.iter().map(|(_, value)| *value).fold(1.0, f64::max).log10();
    let room = WIDTH - LABELS - 110.0;
    let mut body = text(10.0, 22.0, "start", title);
    for (index, (label, value)) in values.iter().enumerate() {
        let y = 36.0 + BAR * index as f64;
        let length = room * (value.log10() - least) / (most - least).max(1.0);
        // Writing to a String cannot fail.
        let _ = write!(
            body,
            r#"<rect x="{LABELS}" y="{:.1}" width="{length:.1}" height="{:.1}" fill="{}"/>"#,
            y,
            BAR - 8.0,
            COLOURS[usize::from(!label.starts_with("keysweep"))]
        );
        body += &text(LABELS - 8.0, y + 13.0, "end", label);
        body += &text(LABELS + length + 6.0, y + 13.0, "start", &number(value.round()));
    }
    document(48.0 + BAR * values.len() as f64, &body)
}

/// Charts below each other, each with a title and a y axis that starts at 0.
pub(crate) fn charts(charts: &[(&str, Vec<Line>)]) -> String {
    let mut body = String::new();
    for (index, (title, lines)) in charts.iter().enumerate() {
        let _ = write!(
            body,
            r#"<g transform="translate(0 {:.1})">{}</g>"#,
            CHART * index as f64,
            chart(title, lines)
        );
    }
    document(CHART * charts.len() as f64, &body)
}

fn chart(title: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let (first, last) = points()
        .fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), point| (low.min(point.0), high.max(point.0)));
    let most = points().map(|point| point.1).fold(1.0, f64::max);
    let (left, right, top, bottom) = (90.0, WIDTH - 170.0, 44.0, CHART - 36.0);
    let x = |value: f64| {
        let share = if last > first { (value / first).ln() / (last / first).ln() } else { 0.5 };
        left + (right - left) * share
    };
    let y = |value: f64| bottom - (bottom - top) * value / most;
    let mut body = text(10.0, 22.0, "start", title);
    for level in [0.0, most / 2.0, most] {
        let at = y(level);
        let _ = write!(body, r##"<path d="M{left} {at:.1}H{right}" stroke="#d0d7de"/>"##);
        let label = if level > 0.0 { number(level) } else { "0".to_owned() };
        body += &text(left - 8.0, at + 4.0, "end", &label);
    }
    let mut xs: Vec<f64> = points().map(|point| point.0).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    xs.iter().for_each(|value| body += &text(x(*value), bottom + 20.0, "middle", &thousands(*value as u64)));
    for (index, line) in lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let path: Vec<String> =
            line.points.iter().map(|point| format!("{:.1} {:.1}", x(point.0), y(point.1))).collect();
        let _ = write!(
            body,
            r#"<path d="M{}" fill="none" stroke="{colour}" stroke-width="2" marker-start="url(#dot)" marker-mid="url(#dot)" marker-end="url(#dot)"/>"#,
            path.join("L")
        );
        let row = top + 8.0 + 18.0 * index as f64;
        let _ = write!(
            body,
            r#"<rect x="{}" y="{}" width="12" height="4" fill="{colour}"/>"#,
            right + 16.0,
            row - 5.0
        );
        body += &text(right + 34.0, row, "start", line.name);
    }
    body
}

fn text(x: f64, y: f64, anchor: &str, words: &str) -> String {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    format!(r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{words}</text>"#)
}

fn document(height: f64, body: &str) -> String {
    let body = body.replace("><", ">\n<");
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13" fill="#1f2328">
<defs><marker id="dot" viewBox="0 0 6 6" refX="3" refY="3" markerWidth="4" markerHeight="4"><circle cx="3" cy="3" r="3" fill="#1f2328"/></marker></defs>
<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>
{body}
</svg>
"##
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_a_bar_with_its_label() {
        let values = [("keysweep", 600_000.0), ("redis-cli <old>", 9_000.0), ("none", f64::NAN)];
        let plot = bars("keys/s", &values.map(|(label, value)| (label.to_owned(), value)));
        assert_eq!(plot.matches("<rect").count(), 3, "two bars and the ground");
        assert!(plot.contains(">600,000<") && plot.contains("redis-cli &lt;old>"), "{plot}");
    }

    #[test]
    fn lines_stay_within_their_chart() {
        let line = Line { name: "keysweep", points: vec![(1e6, 100.0), (1e7, 200.0)] };
        let plot = charts(&[("keys/s", vec![line])]);
        assert!(plot.contains(r#"d="M90.0 124.0L550.0 44.0""#), "{plot}");
        // A single size is drawn as well.
        let plot = charts(&[("keys/s", vec![Line { name: "a", points: vec![(5.0, 1.0)] }])]);
        assert!(!plot.contains("NaN") && !plot.contains("inf"), "{plot}");
    }
}
