//! A histogram of remaining TTLs: vertical bars on a wide page, horizontal ones on a narrow page, where the labels need
//! the space.

use keysweep_model::metrics::TtlBucket;

use super::{Drawing, Size, text_width};
use crate::counted;
use crate::format::{compact, lossy, share_text, span};
use crate::view::range;

/// The height of a row of the narrow chart.
const ROW: f64 = 22.0;

/// The histogram of `buckets` without the empty ones at both ends; `None` if all are empty.
pub(in super::super) fn histogram(id: &str, buckets: &[TtlBucket], size: Size) -> Option<String> {
    let first = buckets.iter().position(|bucket| bucket.keys > 0)?;
    let last = buckets.iter().rposition(|bucket| bucket.keys > 0)?;
    let buckets = &buckets[first..=last];
    let drawing = match size {
        Size::Wide => vertical(buckets),
        Size::Narrow => horizontal(buckets),
    };
    let desc: Vec<String> =
        buckets.iter().map(|bucket| format!("{}: {}", range(bucket), crate::grouped(bucket.keys))).collect();
    Some(drawing.finish(id, size.as_str(), "Keys by remaining TTL", &desc.join("; ")))
}

fn tip(bucket: &TtlBucket, total: u64) -> String {
    let keys = counted(bucket.keys, "key", "keys");
    format!("{}: {keys}, {}", range(bucket), share_text(bucket.keys, total))
}

/// The number of all keys, and that of the tallest bar.
fn sizes(buckets: &[TtlBucket]) -> (u64, f64) {
    let total = buckets.iter().fold(0_u64, |sum, bucket| sum.saturating_add(bucket.keys));
    let most = buckets.iter().map(|bucket| bucket.keys).max().unwrap_or(1).max(1);
    (total, lossy(most))
}

fn vertical(buckets: &[TtlBucket]) -> Drawing {
    let (left, top, width, height) = (24.0, 24.0, Size::Wide.width() - 48.0, 170.0);
    let mut drawing = Drawing::new(Size::Wide.width(), top + height + 28.0);
    let (total, most) = sizes(buckets);
    let floor = top + height;
    // A single bar does not fill the whole width.
    let step = (width / count(buckets.len())).min(150.0);
    let mut free = f64::MIN;
    for (n, bucket) in buckets.iter().enumerate() {
        let x = left + step * count(n);
        // A nonempty bucket is always visible.
        let tall = if bucket.keys == 0 { 0.0 } else { (lossy(bucket.keys) / most * height).max(2.0) };
        let gap = (step * 0.04).clamp(0.5, 3.0);
        drawing.rect("fill", (x + gap, floor - tall), (step - 2.0 * gap, tall), &tip(bucket, total));
        let label = compact(bucket.keys);
        if bucket.keys > 0 && text_width(&label) <= step {
            drawing.text("value", "middle", (x + step / 2.0, floor - tall - 6.0), &label);
        }
        edge(&mut drawing, (x, floor), &span(bucket.above), &mut free);
        if n + 1 == buckets.len() {
            let (end, text) = (x + step, bucket.up_to.map_or("and longer".to_owned(), span));
            edge(&mut drawing, (end, floor), &text, &mut free);
        }
    }
    drawing.line("axis", (left, floor), (left + step * count(buckets.len()), floor));
    drawing
}

/// The label at the edge between two bars, unless it overlaps the previous one.
fn edge(drawing: &mut Drawing, (x, floor): (f64, f64), text: &str, free: &mut f64) {
    let half = text_width(text) / 2.0;
    let middle = x.clamp(half, (drawing.width - half).max(half));
    drawing.line("axis", (x, floor), (x, floor + 4.0));
    if middle - half > *free {
        drawing.text("label", "middle", (middle, floor + 18.0), text);
        *free = middle + half + 8.0;
    }
}

fn horizontal(buckets: &[TtlBucket]) -> Drawing {
    let (label, value) = (136.0, 60.0);
    let width = Size::Narrow.width() - label - value;
    let mut drawing = Drawing::new(Size::Narrow.width(), ROW * count(buckets.len()));
    let (total, most) = sizes(buckets);
    for (n, bucket) in buckets.iter().enumerate() {
        let y = ROW * count(n);
        let long = if bucket.keys == 0 { 0.0 } else { (lossy(bucket.keys) / most * width).max(2.0) };
        drawing.text("label", "end", (label - 8.0, y + 15.0), &range(bucket));
        drawing.rect("fill", (label, y + 3.0), (long, ROW - 6.0), &tip(bucket, total));
        drawing.text("value", "start", (label + long + 6.0, y + 15.0), &compact(bucket.keys));
    }
    drawing
}

#[expect(clippy::cast_precision_loss, reason = "a few bars")]
fn count(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::super::sound;
    use super::*;

    fn buckets(keys: &[u64]) -> Vec<TtlBucket> {
        let bounds = [0.0, 60.0, 300.0, 900.0, 3_600.0, 86_400.0, 604_800.0];
        let up_to = |n: usize| bounds.get(n + 1).copied();
        keys.iter()
            .enumerate()
            .map(|(n, keys)| TtlBucket { above: bounds[n.min(6)], up_to: up_to(n), keys: *keys })
            .collect()
    }

    #[track_caller]
    fn check(keys: &[u64], bars: Option<usize>) {
        for size in Size::ALL {
            let svg = histogram("h", &buckets(keys), size);
            assert_eq!(svg.as_ref().map(|svg| svg.matches("<rect").count()), bars, "{keys:?}");
            if let Some(svg) = svg {
                sound::check(&svg);
            }
        }
    }

    #[test]
    fn empty_ends_are_left_out() {
        check(&[0, 10, 0, 5, 0, 0, 0], Some(3));
        check(&[1], Some(1));
        check(&[0, 0, 0], None);
        check(&[], None);
    }

    #[test]
    fn bars_stay_inside_for_extreme_numbers() {
        check(&[u64::MAX, 1, u64::MAX, 0, 3, 4, u64::MAX], Some(7));
        check(&vec![7; 300], Some(300));
    }

    #[test]
    fn bar_height_is_proportional_to_keys() {
        let svg = histogram("h", &buckets(&[10, 5]), Size::Wide).unwrap();
        assert_eq!(sound::numbers(&svg, "height"), [170.0, 85.0]);
        assert!(svg.contains("up to 1 min: 10 keys, 66.7%"), "{svg}");
    }

    #[test]
    fn the_last_bucket_may_be_unbounded() {
        let bucket = TtlBucket { above: 86_400.0, up_to: None, keys: 3 };
        assert_eq!(range(&bucket), "over 1 d");
        assert!(histogram("h", &[bucket], Size::Wide).unwrap().contains("and longer"));
    }
}
