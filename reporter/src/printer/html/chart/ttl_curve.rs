//! The hit rate that is expected with other TTLs, as a line in the band of its intervals. Neighbouring TTLs are a doubling
//! apart, so they stand at equal distances.

use std::fmt::Write;

use keysweep_model::ttl_advice::{TtlAdvice, TtlPoint};

use super::{Drawing, Size, text_width};
use crate::format::{percent, span};

const TOP: f64 = 30.0;
const HEIGHT: f64 = 170.0;

/// Points of the hit rate that the axis has at least, so that noise does not look like a difference.
const POINTS_MIN: f64 = 4.0;

/// Lines between the ends of the axis.
const LINES: u32 = 4;

/// Where things are.
struct CurveFrame {
    left: f64,
    width: f64,
    /// The ends of the axis, in percent.
    low: f64,
    high: f64,
}

impl CurveFrame {
    /// `None` if nothing of `points` can be drawn.
    fn of(points: &[TtlPoint], size: Size) -> Option<Self> {
        let ends = points.iter().flat_map(|point| [point.hit_rate.low, point.hit_rate.high]);
        let (low, high) = ends.filter(|end| end.is_finite()).map(|end| end.clamp(0.0, 100.0)).fold(
            None,
            |ends: Option<(f64, f64)>, end| {
                Some(ends.map_or((end, end), |(low, high)| (low.min(end), high.max(end))))
            },
        )?;
        let missing = (POINTS_MIN - (high - low)).max(0.0) / 2.0;
        let (left, right) = (58.0, if size == Size::Wide { 76.0 } else { 26.0 });
        Some(Self {
            left,
            width: size.width() - left - right,
            low: (low - missing).floor().max(0.0),
            high: (high + missing).ceil().min(100.0),
        })
    }

    fn y(&self, rate: f64) -> f64 {
        let part = (rate.clamp(self.low, self.high) - self.low) / (self.high - self.low).max(1.0);
        TOP + HEIGHT * (1.0 - part)
    }

    #[expect(clippy::cast_precision_loss, reason = "a few TTLs")]
    fn x(&self, at: usize, of: usize) -> f64 {
        self.left + self.width * if of < 2 { 0.5 } else { at as f64 / (of - 1) as f64 }
    }
}

/// The chart of a curve; `None` if there is none.
pub(in super::super) fn ttl_curve(id: &str, advice: &TtlAdvice, size: Size) -> Option<String> {
    let is_finite = |point: &&TtlPoint| point.hit_rate.estimate.is_finite();
    let points: Vec<TtlPoint> = advice.curve.iter().filter(is_finite).cloned().collect();
    let frame = CurveFrame::of(&points, size)?;
    let mut drawing = Drawing::new(size.width(), TOP + HEIGHT + 30.0);
    grid(&mut drawing, &frame);
    let placed: Vec<(f64, &TtlPoint)> =
        points.iter().enumerate().map(|(at, point)| (frame.x(at, points.len()), point)).collect();
    for (x, point) in &placed {
        mark(&mut drawing, *x, point, advice);
        drawing.text("label", "middle", (*x, TOP + HEIGHT + 18.0), &span(point.ttl_seconds));
    }
    curve(&mut drawing, &frame, &placed);
    let words: Vec<String> = points.iter().map(|point| words(point, advice)).collect();
    Some(drawing.finish(id, size.as_str(), "Hit rate by TTL", &words.join("; ")))
}

fn grid(drawing: &mut Drawing, frame: &CurveFrame) {
    for line in 0..=LINES {
        let rate = frame.low + (frame.high - frame.low) * f64::from(line) / f64::from(LINES);
        let (y, class) = (frame.y(rate), if line == 0 { "axis" } else { "grid" });
        drawing.line(class, (frame.left, y), (frame.left + frame.width, y));
        drawing.text("label", "end", (frame.left - 8.0, y + 4.0), &percent(Some(rate)));
    }
}

/// The band and the line in it.
fn curve(drawing: &mut Drawing, frame: &CurveFrame, placed: &[(f64, &TtlPoint)]) {
    let (mut band, mut line) = (String::new(), String::new());
    let there = placed.iter().map(|(x, point)| (*x, point.hit_rate.high));
    let back = placed.iter().rev().map(|(x, point)| (*x, point.hit_rate.low));
    for (n, (x, rate)) in there.chain(back).enumerate() {
        let _ = write!(band, "{}{x:.1} {:.1}", if n == 0 { "M" } else { "L" }, frame.y(rate));
    }
    for (n, (x, point)) in placed.iter().enumerate() {
        let _ =
            write!(line, "{}{x:.1} {:.1}", if n == 0 { "M" } else { "L" }, frame.y(point.hit_rate.estimate));
    }
    if placed.len() > 1 {
        drawing.path("area", &format!("{band}Z"));
        drawing.path("curve", &line);
    }
    for (x, point) in placed {
        drawing.dot((*x, frame.y(point.hit_rate.estimate)), 3.2);
    }
}

/// A line through the TTL of today, and through the recommended one, with their names.
fn mark(drawing: &mut Drawing, x: f64, point: &TtlPoint, advice: &TtlAdvice) {
    let names = advice.marks(point);
    if names.is_empty() {
        return;
    }
    let text = names.join(", ");
    drawing.line("axis", (x, TOP), (x, TOP + HEIGHT));
    let half = text_width(&text) / 2.0;
    drawing.text("value", "middle", (x.clamp(half, (drawing.width - half).max(half)), TOP - 10.0), &text);
}

fn words(point: &TtlPoint, advice: &TtlAdvice) -> String {
    let rate = point.hit_rate;
    let names = advice.marks(point);
    let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
    format!(
        "{}{names}: {}, between {} and {}",
        span(point.ttl_seconds),
        percent(Some(rate.estimate)),
        percent(Some(rate.low)),
        percent(Some(rate.high))
    )
}

#[cfg(test)]
mod tests {
    use keysweep_model::ttl_advice::{RecommendedTtl, TtlDiagnostics, TtlEstimate};

    use super::super::sound;
    use super::*;

    fn advice(rates: &[(f64, f64, f64)]) -> TtlAdvice {
        let point = |(n, (low, estimate, high)): (usize, &(f64, f64, f64))| TtlPoint {
            ttl_seconds: 900.0 * f64::from(1 << n),
            hit_rate: TtlEstimate { estimate: *estimate, low: *low, high: *high },
            ..TtlPoint::default()
        };
        TtlAdvice {
            curve: rates.iter().enumerate().map(point).collect(),
            recommended: Some(RecommendedTtl { ttl_seconds: 1_800.0, reason: String::new() }),
            diagnostics: TtlDiagnostics { current_ttl_seconds: Some(900.0), ..TtlDiagnostics::default() },
            ..TtlAdvice::default()
        }
    }

    #[track_caller]
    fn check(rates: &[(f64, f64, f64)], curves: usize) {
        for size in Size::ALL {
            let svg = ttl_curve("t", &advice(rates), size).expect("a chart");
            sound::check(&svg);
            assert_eq!(svg.matches(r#"class="curve""#).count(), curves, "{svg}");
        }
    }

    #[test]
    fn todays_ttl_and_the_recommended_one_are_marked() {
        let rates = [(78.0, 79.0, 80.0), (83.0, 85.8, 88.1)];
        check(&rates, 1);
        let svg = ttl_curve("t", &advice(&rates), Size::Wide).unwrap();
        assert!(
            svg.contains("15 min (today): 79.0%, between 78.0% and 80.0%; 30 min (recommended): 85.8%"),
            "{svg}"
        );
        assert!(svg.contains(">today</text>") && svg.contains(">recommended</text>"), "{svg}");
    }

    #[test]
    fn extremes_are_drawn_within_the_chart() {
        check(&[(0.0, 0.0, 0.0), (100.0, 100.0, 100.0)], 1);
        check(&[(99.9, 99.95, 100.0), (-3.0, 170.0, f64::INFINITY), (1.0, 1.0, 1.0)], 1);
        check(&[(50.0, 50.0, 50.0)], 0);
        for none in [advice(&[]), advice(&[(f64::NAN, f64::NAN, f64::NAN)])] {
            assert_eq!(ttl_curve("t", &none, Size::Wide), None);
        }
    }
}
