//! Whether a target was reached, by the median of paired turns, and how sure that is (pure).

use super::spread::Spread;

/// The largest probability of the turns' agreement by chance alone with which a verdict counts as settled.
const CHANCE_MAX: f64 = 0.05;

/// On which side of the limit the figure must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// No more than the limit.
    AtMost,
    /// No less than the limit.
    AtLeast,
    /// Less than the limit.
    Below,
}

impl Side {
    /// Whether a figure that exceeds its limit by `margin` is on this side.
    fn holds(self, margin: f64) -> bool {
        match self {
            Self::AtMost => margin <= 0.0,
            Self::AtLeast => margin >= 0.0,
            Self::Below => margin < 0.0,
        }
    }
}

/// What was measured in one turn, and what was allowed in that turn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Turn {
    /// The measurement, often a ratio of two contenders in this turn.
    pub(crate) measured: f64,
    /// The limit.
    pub(crate) limit: f64,
}

/// A target with its measurements.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    /// The name of the figure.
    pub(crate) what: String,
    /// On which side of the limit the figure must be.
    pub(crate) side: Side,
    /// The limit, as a median if it differs from turn to turn.
    pub(crate) limit: f64,
    /// The turns; none if one of the contenders was not run, or failed.
    turns: Vec<Turn>,
}

/// The judgement on a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Verdict {
    /// The measurements.
    pub(crate) measured: Spread,
    /// Whether the median turn meets the limit.
    pub(crate) met: bool,
    /// The number of turns.
    pub(crate) turns: usize,
    /// How many of them meet the limit.
    pub(crate) turns_met: usize,
    /// Whether the turns agree more than chance explains; see [`settled`].
    pub(crate) settled: bool,
}

impl Target {
    /// A target with the same limit in every turn.
    pub(crate) fn fixed(what: impl Into<String>, measured: Vec<f64>, side: Side, limit: f64) -> Self {
        let turns = measured.into_iter().map(|measured| Turn { measured, limit }).collect();
        Self { what: what.into(), side, limit, turns }
    }

    /// A target with a limit for each turn; `least` is shown as the limit if there are none.
    pub(crate) fn relative(what: impl Into<String>, turns: Vec<Turn>, side: Side, least: f64) -> Self {
        let limit = Spread::of(turns.iter().map(|turn| turn.limit)).map_or(least, |limits| limits.median);
        Self { what: what.into(), side, limit, turns }
    }

    /// The judgement; `None` without turns.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        let margins = || self.turns.iter().map(|turn| turn.measured - turn.limit);
        let turns_met = margins().filter(|margin| self.side.holds(*margin)).count();
        Some(Verdict {
            measured: Spread::of(self.turns.iter().map(|turn| turn.measured))?,
            met: self.side.holds(Spread::of(margins())?.median),
            turns: self.turns.len(),
            turns_met,
            settled: settled(turns_met, self.turns.len()),
        })
    }
}

/// The sign test: were a turn as likely to meet the limit as to miss it, turns that are at least as one-sided as these
/// would have a probability of at most [`CHANCE_MAX`]. Five turns never settle anything; six or seven must all agree,
/// of nine one may differ. It assumes nothing about the distribution of the figures, but it speaks of this sitting
/// only: another day on another machine is not covered.
fn settled(met: usize, turns: usize) -> bool {
    let fewer = met.min(turns - met);
    let (mut ways, mut as_one_sided) = (1.0, 0.0);
    for differing in 0..=fewer {
        as_one_sided += ways;
        ways *= (turns - differing) as f64 / (differing + 1) as f64;
    }
    2.0 * as_one_sided / 2_f64.powf(turns as f64) <= CHANCE_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_turn_decides_at_its_limit() {
        let check = |side, measured: &[f64], met, turns_met| {
            let verdict = Target::fixed("", measured.to_vec(), side, 0.84).verdict().unwrap();
            assert_eq!((verdict.met, verdict.turns_met), (met, turns_met), "{side:?} {measured:?}");
        };
        check(Side::AtMost, &[0.84], true, 1);
        check(Side::AtLeast, &[0.84], true, 1);
        check(Side::Below, &[0.84], false, 0);
        check(Side::Below, &[0.839_999], true, 1);
        check(Side::AtMost, &[0.9, 0.84, 0.1], true, 2);
        check(Side::AtMost, &[0.9, 0.840_001, 0.1], false, 1);
        check(Side::AtLeast, &[0.9, 0.839_999, 0.1], false, 1);
    }

    #[test]
    fn each_turn_has_its_own_limit() {
        let turns = [(0.2, 0.15), (0.2, 0.3), (0.4, 0.45)].map(|(measured, limit)| Turn { measured, limit });
        let target = Target::relative("", turns.to_vec(), Side::AtMost, 0.15);
        let verdict = target.verdict().unwrap();
        assert_eq!((target.limit, verdict.met, verdict.turns_met), (0.3, true, 2));
        assert_eq!(verdict.measured, Spread { min: 0.2, median: 0.2, max: 0.4 });
    }

    #[test]
    fn without_turns_there_is_no_verdict() {
        assert_eq!(Target::fixed("", Vec::new(), Side::AtMost, 1.0).verdict(), None);
        assert_eq!(Target::relative("", Vec::new(), Side::AtMost, 0.15).limit, 0.15);
    }

    #[test]
    fn turns_settle_a_verdict_from_six_on() {
        let check = |met, turns, expected| assert_eq!(settled(met, turns), expected, "{met} of {turns}");
        check(1, 1, false);
        check(5, 5, false);
        check(6, 6, true);
        check(0, 6, true);
        check(6, 7, false);
        check(7, 7, true);
        check(7, 8, false);
        check(8, 9, true);
        check(1, 9, true);
        check(5, 9, false);
        check(50, 100, false);
        check(61, 100, true);
        check(60, 100, false);
        // Too many for the arithmetic: no claim.
        check(30_000, 60_000, false);
    }
}
