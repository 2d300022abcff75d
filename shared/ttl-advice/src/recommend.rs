//! Which point of a curve to choose.

use crate::curve::CurvePoint;
use crate::limits::{KNEE_MEMORY, KNEE_MISSES};

/// A TTL to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recommendation {
    /// The TTL, in ms: that of a point of the curve.
    pub ttl_ms: u64,
    /// Why this one.
    pub reason: Reason,
}

/// Why a TTL is recommended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is the shortest whose hit rate reaches the target, with the lower end of its interval.
    ReachesTarget,
    /// The next longer one may save fewer misses than its memory is worth.
    Knee,
    /// Each longer TTL is worth its memory, up to this one; about longer ones nothing is known.
    LongestKnown,
}

/// The point to choose, with a target for the hit rate (0 to 1) or by what memory is worth. None if no point reaches the
/// target, and if there are no points.
pub(crate) fn recommend(points: &[CurvePoint], target_hit_rate: Option<f64>) -> Option<Recommendation> {
    if let Some(target) = target_hit_rate {
        let reached = points.iter().find(|point| point.hit_rate.low >= target)?;
        return Some(Recommendation { ttl_ms: reached.ttl_ms, reason: Reason::ReachesTarget });
    }
    let knee = points.windows(2).find_map(|pair| match pair {
        [shorter, longer] => (!is_worth_its_memory(shorter, longer)).then_some(shorter),
        _ => None,
    });
    let (point, reason) = match knee {
        Some(point) => (point, Reason::Knee),
        None => (points.last()?, Reason::LongestKnown),
    };
    Some(Recommendation { ttl_ms: point.ttl_ms, reason })
}

/// By the upper ends of misses: those of a longer TTL than today's are as many as they may be, and so are those that a shorter
/// one would add. Another TTL than today's is thus recommended only if it pays in the worst case.
fn is_worth_its_memory(shorter: &CurvePoint, longer: &CurvePoint) -> bool {
    let saved = 1.0 - longer.misses.high / shorter.misses.high;
    let added = longer.keys.high / shorter.keys.high - 1.0;
    saved >= KNEE_MISSES * added / KNEE_MEMORY
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::Estimate;

    /// A point with at most these misses relative to today, of which a fifth of the requests are. The estimates are lower.
    fn point(ttl_ms: u64, misses: f64) -> CurvePoint {
        let exactly = |estimate: f64| Estimate { estimate, low: estimate - 0.01, high: estimate + 0.01 };
        let at_most = |high: f64| Estimate { estimate: high * 0.9, low: high * 0.8, high };
        CurvePoint {
            ttl_ms,
            hit_rate: exactly(1.0 - 0.2 * misses),
            misses: at_most(misses),
            keys: at_most(misses * ttl_ms as f64 / 1_000.0),
            bytes: None,
        }
    }

    fn check(points: &[CurvePoint], target: Option<f64>, expected: Option<(u64, Reason)>) {
        let found = recommend(points, target).map(|found| (found.ttl_ms, found.reason));
        assert_eq!(found, expected, "target {target:?}");
    }

    #[test]
    fn the_shortest_ttl_is_chosen_whose_lower_end_reaches_the_target() {
        let points = [point(500, 1.3), point(1_000, 1.0), point(2_000, 0.8)];
        check(&points, Some(0.72), Some((500, Reason::ReachesTarget)));
        check(&points, Some(0.735), Some((1_000, Reason::ReachesTarget)));
        check(&points, Some(0.82), Some((2_000, Reason::ReachesTarget)));
        check(&points, Some(0.835), None);
        check(&[], Some(0.1), None);
    }

    #[test]
    fn without_a_target_memory_decides() {
        check(&[], None, None);
        // Half of the misses for the same memory.
        check(&[point(1_000, 1.0), point(2_000, 0.5)], None, Some((2_000, Reason::LongestKnown)));
        // 14 % fewer misses for 70 % more memory are just enough, 12 % for 75 % are not.
        check(&[point(1_000, 1.0), point(2_000, 0.855)], None, Some((2_000, Reason::LongestKnown)));
        check(&[point(1_000, 1.0), point(2_000, 0.88)], None, Some((1_000, Reason::Knee)));
        let steps = [point(500, 1.9), point(1_000, 1.0), point(2_000, 0.9), point(4_000, 0.5)];
        check(&steps, None, Some((1_000, Reason::Knee)));
        // The estimate alone would be worth it.
        let mut uncertain = point(2_000, 0.88);
        uncertain.misses.estimate = 0.7;
        uncertain.keys.estimate = 1.4;
        check(&[point(1_000, 1.0), uncertain], None, Some((1_000, Reason::Knee)));
    }
}
