//! A treemap: rectangles whose areas are sizes, as near to squares as they can be (Bruls, Huizing and van Wijk, "Squarified
//! Treemaps"). Pure.

use super::{Drawing, Size};
use crate::format::{lossy, share_text};

/// Width of a character of a label, about.
const CHARACTER: f64 = 6.6;

/// Below this height a rectangle has no label.
const LABEL_HEIGHT: f64 = 18.0;

/// A rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// `parts` of a whole by their sizes, the largest first; `None` without any.
pub(in super::super) fn treemap(
    id: &str,
    title: &str,
    parts: &[(String, u64)],
    size: Size,
) -> Option<String> {
    let all: u64 = parts.iter().map(|(_, part)| part).sum();
    let largest = parts.first().filter(|(_, part)| *part > 0)?;
    let whole = Place { x: 0.0, y: 0.0, width: size.width(), height: size.width() * 0.42 };
    let mut drawing = Drawing::new(whole.width, whole.height);
    let sizes: Vec<f64> = parts.iter().map(|(_, part)| lossy(*part)).collect();
    for ((name, part), at) in parts.iter().zip(places(&sizes, whole)) {
        let tip = format!("{name}: {}", share_text(*part, all));
        // A gap between neighbours.
        let (width, height) = ((at.width - 2.0).max(0.5), (at.height - 2.0).max(0.5));
        drawing.rect("tile-part", (at.x + 1.0, at.y + 1.0), (width, height), &tip);
        let room = ((width - 10.0) / CHARACTER).floor();
        if height >= LABEL_HEIGHT && lossy(name.chars().count() as u64) <= room {
            drawing.text("tile-name", "start", (at.x + 6.0, at.y + 15.0), name);
        }
    }
    let desc = format!("The largest of {}: {}, {}.", parts.len(), largest.0, share_text(largest.1, all));
    Some(drawing.finish(id, size.as_str(), title, &desc))
}

/// The rectangle of each of `sizes`, in descending order, within `whole`.
fn places(sizes: &[f64], whole: Place) -> Vec<Place> {
    let all: f64 = sizes.iter().sum();
    let scale = whole.width * whole.height / all.max(f64::MIN_POSITIVE);
    let areas: Vec<f64> = sizes.iter().map(|size| size * scale).collect();
    let (mut left, mut rest, mut placed) = (whole, areas.as_slice(), Vec::new());
    while !rest.is_empty() {
        let side = left.width.min(left.height);
        // A row grows as long as its worst rectangle becomes no narrower.
        let count = (1..rest.len())
            .take_while(|count| worst(&rest[..count + 1], side) <= worst(&rest[..*count], side))
            .count();
        let (row, more) = rest.split_at(count + 1);
        left = lay(row, left, &mut placed);
        rest = more;
    }
    placed
}

/// The largest ratio of the sides of a rectangle in a row along `side`.
fn worst(row: &[f64], side: f64) -> f64 {
    let sum: f64 = row.iter().sum();
    let ratio = |area: &f64| ((side * side * area) / (sum * sum)).max((sum * sum) / (side * side * area));
    row.iter().map(ratio).fold(0.0, f64::max)
}

/// Places a row along the shorter side of `within`. Returns what is left.
fn lay(row: &[f64], within: Place, placed: &mut Vec<Place>) -> Place {
    let (sum, Place { x, y, width, height }) = (row.iter().sum::<f64>(), within);
    let upright = width >= height;
    let depth = sum / if upright { height } else { width }.max(f64::MIN_POSITIVE);
    let mut along = 0.0;
    for area in row {
        let length = area / depth.max(f64::MIN_POSITIVE);
        placed.push(if upright {
            Place { x, y: y + along, width: depth, height: length }
        } else {
            Place { x: x + along, y, width: length, height: depth }
        });
        along += length;
    }
    if upright {
        Place { x: x + depth, width: (width - depth).max(0.0), ..within }
    } else {
        Place { y: y + depth, height: (height - depth).max(0.0), ..within }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Place = Place { x: 0.0, y: 0.0, width: 600.0, height: 400.0 };

    #[test]
    fn areas_are_sizes_within_the_whole() {
        let sizes = [6.0, 6.0, 4.0, 3.0, 2.0, 2.0, 1.0];
        let found = places(&sizes, WHOLE);
        for (size, at) in sizes.iter().zip(&found) {
            assert!((at.width * at.height - size * 10_000.0).abs() < 1.0, "{size}: {at:?}");
            assert!(at.x >= -0.01 && at.x + at.width <= 600.01 && at.y + at.height <= 400.01, "{at:?}");
            assert!(at.width / at.height < 3.0 && at.height / at.width < 3.0, "{at:?} is narrow");
        }
    }

    #[test]
    fn odd_sizes_give_a_drawing_or_none() {
        let part = |name: &str, size| (name.to_owned(), size);
        assert_eq!(treemap("t", "T", &[], Size::Wide), None);
        assert_eq!(treemap("t", "T", &[part("a", 0)], Size::Wide), None);
        let drawn = treemap("t", "T", &[part("<a>", u64::MAX / 2), part("b", 1), part("c", 0)], Size::Narrow);
        let drawn = drawn.unwrap();
        assert!(drawn.contains("&lt;a&gt;") && !drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    }
}
