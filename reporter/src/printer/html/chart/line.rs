//! The hit rate over time as a line, with the number of lookups below. The line has a gap without traffic or samples: a
//! missing rate is not 0 %.

use std::fmt::Write;

use jiff::Timestamp;
use keysweep_model::metrics::HitPoint;

use super::{Drawing, Size};
use crate::counted;
use crate::format::{compact, lossy, percent, stamp};

/// An interval longer than this many typical ones is a gap.
const GAP: f64 = 2.5;

/// Above this number of points, dots would overlap and are omitted.
const DOTS_MAX: usize = 60;

/// Above this number of points, tooltips are omitted.
const TIPS_MAX: usize = 400;

/// Thresholds of the recommendations, and the names of the bands above them.
const BANDS: [(f64, &str); 4] = [(90.0, "excellent"), (70.0, "good"), (50.0, "low"), (0.0, "critical")];

/// The geometry of the two panels.
struct Frame {
    left: f64,
    width: f64,
    top: f64,
    height: f64,
    /// The panel of the lookups.
    volume_top: f64,
    volume_height: f64,
}

impl Frame {
    fn of(size: Size) -> Self {
        let (left, right) = match size {
            Size::Wide => (58.0, 76.0),
            Size::Narrow => (56.0, 6.0),
        };
        let width = size.width() - left - right;
        Self { left, width, top: 10.0, height: 170.0, volume_top: 196.0, volume_height: 36.0 }
    }

    fn y(&self, rate: f64) -> f64 {
        self.top + self.height * (1.0 - rate.clamp(0.0, 100.0) / 100.0)
    }
}

/// A point with its position.
struct Placed<'a> {
    point: &'a HitPoint,
    at: Timestamp,
    x: f64,
    rate: Option<f64>,
}

/// The chart of `points`, the oldest first; `None` if no point has a rate.
pub(in super::super) fn hit_rates(id: &str, points: &[HitPoint], size: Size) -> Option<String> {
    let frame = Frame::of(size);
    let placed = placed(points, &frame);
    let (first, last) = (placed.first()?, placed.last()?);
    let rates: Vec<f64> = placed.iter().filter_map(|point| point.rate).collect();
    let lowest = rates.iter().copied().reduce(f64::min)?;
    let highest = rates.iter().copied().reduce(f64::max)?;
    let mut drawing = Drawing::new(size.width(), frame.volume_top + frame.volume_height + 24.0);
    grid(&mut drawing, &frame, size);
    for run in unbroken(&placed) {
        curve(&mut drawing, &frame, run, placed.len() <= DOTS_MAX);
    }
    volume(&mut drawing, &frame, &placed);
    times(&mut drawing, &frame, first.at, last.at, size);
    tips(&mut drawing, &frame, &placed);
    let desc = format!(
        "{} from {} to {}; between {} and {}, last {}.",
        counted(placed.len() as u64, "sample", "samples"),
        stamp(first.at, "%-d %b %Y %H:%M"),
        stamp(last.at, "%-d %b %Y %H:%M UTC"),
        percent(Some(lowest)),
        percent(Some(highest)),
        last.rate.map_or("no traffic".to_owned(), |rate| percent(Some(rate)))
    );
    Some(drawing.finish(id, size.as_str(), "Hit rate over time", &desc))
}

fn placed<'a>(points: &'a [HitPoint], frame: &Frame) -> Vec<Placed<'a>> {
    let timed = |point: &'a HitPoint| Some((point, point.at.parse::<Timestamp>().ok()?));
    let mut timed: Vec<(&HitPoint, Timestamp)> = points.iter().filter_map(timed).collect();
    timed.sort_by_key(|(_, at)| *at);
    let Some((&(_, first), &(_, last))) = timed.first().zip(timed.last()) else { return Vec::new() };
    let whole = last.duration_since(first).as_secs_f64();
    let x = |at: Timestamp| {
        let part = if whole > 0.0 { at.duration_since(first).as_secs_f64() / whole } else { 0.5 };
        frame.left + frame.width * part
    };
    let rate = |point: &HitPoint| point.hit_rate.filter(|rate| rate.is_finite());
    timed.into_iter().map(|(point, at)| Placed { point, at, x: x(at), rate: rate(point) }).collect()
}

/// The sequences of points between gaps.
fn unbroken<'p, 'a>(placed: &'p [Placed<'a>]) -> Vec<&'p [Placed<'a>]> {
    let mut pauses: Vec<f64> = placed.windows(2).map(|pair| pair[1].x - pair[0].x).collect();
    pauses.sort_by(f64::total_cmp);
    let usual = pauses.get(pauses.len() / 2).copied().unwrap_or(f64::MAX);
    let joined =
        |a: &Placed<'_>, b: &Placed<'_>| a.rate.is_some() && b.rate.is_some() && b.x - a.x <= usual * GAP;
    placed.chunk_by(joined).filter(|run| run[0].rate.is_some()).collect()
}

fn grid(drawing: &mut Drawing, frame: &Frame, size: Size) {
    let right = frame.left + frame.width;
    let mut above = 100.0;
    for (rate, word) in BANDS {
        let y = frame.y(rate);
        drawing.line(if rate > 0.0 { "grid" } else { "axis" }, (frame.left, y), (right, y));
        drawing.text("label", "end", (frame.left - 8.0, y + 4.0), &format!("{rate:.0}%"));
        if size == Size::Wide {
            let middle = f64::midpoint(frame.y(above), y);
            drawing.text("label", "start", (right + 8.0, middle + 4.0), word);
        }
        above = rate;
    }
    let top = frame.y(100.0);
    drawing.line("grid", (frame.left, top), (right, top));
    drawing.text("label", "end", (frame.left - 8.0, top + 4.0), "100%");
}

/// One sequence without gaps: the line, and the area below it.
fn curve(drawing: &mut Drawing, frame: &Frame, run: &[Placed<'_>], dots: bool) {
    let at = |point: &Placed<'_>| (point.x, frame.y(point.rate.unwrap_or_default()));
    let mut path = String::new();
    for (n, point) in run.iter().enumerate() {
        let (x, y) = at(point);
        let _ = write!(path, "{}{x:.1} {y:.1}", if n == 0 { "M" } else { "L" });
    }
    if let [first, .., last] = run {
        let floor = frame.y(0.0);
        drawing.path("area", &format!("{path}L{:.1} {floor:.1}L{:.1} {floor:.1}Z", last.x, first.x));
        drawing.path("curve", &path);
    }
    for point in run.iter().filter(|_| dots || run.len() == 1) {
        drawing.dot(at(point), 2.6);
    }
}

fn volume(drawing: &mut Drawing, frame: &Frame, placed: &[Placed<'_>]) {
    let most = placed.iter().map(|point| point.point.lookups.unwrap_or_default()).max().unwrap_or_default();
    let floor = frame.volume_top + frame.volume_height;
    drawing.line("axis", (frame.left, floor), (frame.left + frame.width, floor));
    if most == 0 {
        return;
    }
    drawing.text("label", "end", (frame.left - 8.0, frame.volume_top + 8.0), &compact(most));
    drawing.text("label", "end", (frame.left - 8.0, floor), "0");
    let wide = (frame.width / lossy(placed.len() as u64) * 0.6).clamp(0.6, 14.0);
    for point in placed.iter().filter(|point| point.point.lookups > Some(0)) {
        let tall =
            (lossy(point.point.lookups.unwrap_or_default()) / lossy(most) * frame.volume_height).max(1.0);
        let x = (point.x - wide / 2.0).clamp(frame.left, frame.left + frame.width - wide);
        drawing.rect("volume", (x, floor - tall), (wide, tall), "");
    }
}

fn times(drawing: &mut Drawing, frame: &Frame, first: Timestamp, last: Timestamp, size: Size) {
    let y = frame.volume_top + frame.volume_height + 17.0;
    let whole = last.duration_since(first);
    let format = if whole.as_hours() <= 48 { "%-d %b %H:%M" } else { "%-d %b" };
    if whole.is_zero() {
        return drawing.text("label", "middle", (frame.left + frame.width / 2.0, y), &stamp(first, format));
    }
    let parts = if size == Size::Wide { 4 } else { 2 };
    for n in 0..=parts {
        let anchor = if n == 0 {
            "start"
        } else if n == parts {
            "end"
        } else {
            "middle"
        };
        let x = frame.left + frame.width * f64::from(n) / f64::from(parts);
        let at = first.checked_add(whole * n / parts).unwrap_or(last);
        drawing.text("label", anchor, (x, y), &stamp(at, format));
    }
}

/// The tooltips of the points.
fn tips(drawing: &mut Drawing, frame: &Frame, placed: &[Placed<'_>]) {
    if placed.len() > TIPS_MAX {
        return;
    }
    let right = frame.left + frame.width;
    let tall = frame.volume_top + frame.volume_height - frame.top;
    for (n, point) in placed.iter().enumerate() {
        let from = if n == 0 { frame.left } else { f64::midpoint(placed[n - 1].x, point.x) };
        let to = placed.get(n + 1).map_or(right, |next| f64::midpoint(point.x, next.x));
        let what = match point.rate {
            Some(rate) => {
                let lookups = counted(point.point.lookups.unwrap_or_default(), "lookup", "lookups");
                format!("{} of {lookups}", percent(Some(rate)))
            }
            None => "no traffic".to_owned(),
        };
        let text = format!("{}: {what}", stamp(point.at, "%-d %b %H:%M UTC"));
        drawing.rect("hint", (from, frame.top), ((to - from).max(0.0), tall), &text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sound;
    use super::*;

    fn points(rates: &[Option<f64>]) -> Vec<HitPoint> {
        let at = |hour: usize| format!("2026-11-{:02}T{:02}:00:00Z", 1 + hour / 24, hour % 24);
        let point = |(n, rate): (usize, &Option<f64>)| HitPoint {
            at: at(n),
            hit_rate: *rate,
            lookups: Some(if rate.is_some() { 100 * (n as u64 + 1) } else { 0 }),
        };
        rates.iter().enumerate().map(point).collect()
    }

    /// Checks both sizes of the chart and their numbers of lines and dots.
    #[track_caller]
    fn check(points: &[HitPoint], curves: usize, dots: usize) {
        for size in Size::ALL {
            let svg = hit_rates("r", points, size).expect("a chart");
            sound::check(&svg);
            assert_eq!(svg.matches(r#"class="curve""#).count(), curves, "{svg}");
            assert_eq!(svg.matches(r#"class="dot""#).count(), dots, "{svg}");
        }
    }

    #[test]
    fn no_traffic_is_a_gap() {
        check(&points(&[Some(50.0), Some(60.0), None, Some(0.0), Some(100.0)]), 2, 4);
        check(&points(&[Some(50.0), None, Some(60.0), None]), 0, 2);
        check(&points(&[None, None, Some(60.0)]), 0, 1);
    }

    #[test]
    fn a_missing_sample_is_a_gap() {
        let mut points = points(&[Some(80.0); 10]);
        points.drain(4..7);
        check(&points, 2, 7);
    }

    #[test]
    fn without_rates_there_is_no_chart() {
        for none in [points(&[]), points(&[None, None]), points(&[Some(f64::NAN)])] {
            assert_eq!(hit_rates("r", &none, Size::Wide), None);
        }
        let unreadable = [HitPoint { at: "then".to_owned(), hit_rate: Some(1.0), lookups: Some(1) }];
        assert_eq!(hit_rates("r", &unreadable, Size::Wide), None);
    }

    #[test]
    fn extreme_numbers_stay_inside() {
        check(&points(&[Some(170.0), Some(-3.0), Some(f64::INFINITY), Some(1.0), Some(2.0)]), 2, 4);
        let mut huge = points(&[Some(10.0), Some(20.0)]);
        huge[0].lookups = Some(u64::MAX);
        check(&huge, 1, 2);
        check(&points(&vec![Some(75.0); 700]), 1, 0);
        let same = HitPoint { at: "2026-11-01T00:00:00Z".to_owned(), hit_rate: Some(75.0), lookups: Some(0) };
        check(&[same.clone(), same], 1, 2);
    }

    #[test]
    fn a_point_has_a_tooltip() {
        let svg = hit_rates("r", &points(&[Some(78.5), None]), Size::Wide).unwrap();
        assert!(svg.contains("1 Nov 00:00 UTC: 78.5% of 100 lookups"), "{svg}");
        assert!(svg.contains("1 Nov 01:00 UTC: no traffic"), "{svg}");
        assert!(svg.contains("2 samples from 1 Nov 2026 00:00") && svg.contains("last no traffic"));
    }
}
