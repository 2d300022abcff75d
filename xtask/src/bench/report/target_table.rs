//! The table of targets with their verdicts.

use super::table::{Table, cells, number, wrapped};
use crate::bench::verdict::{Side, Target, Verdict};

/// Explains the verdicts.
pub(crate) const LEGEND: &str = "The median of the turns decides; in brackets: how many turns meet the limit. A \
    question mark: the turns do not settle it, because they are fewer than 6, or too many are on the other side of \
    the limit (sign test, 5 %). What is settled holds for this machine at this time. A limit that differs from turn \
    to turn is shown as its median.";

/// All targets with their measurements.
pub(crate) fn table(targets: &[Target]) -> Table {
    let row = |target: &Target| {
        let side = match target.side {
            Side::AtMost => "<=",
            Side::AtLeast => ">=",
            Side::Below => "<",
        };
        let judged = target.verdict();
        let [figure, range] = cells(judged.map(|verdict| verdict.measured), precise);
        let limit = format!("{side} {}", precise(target.limit));
        let verdict = judged.as_ref().map_or_else(|| "not measured".to_owned(), words);
        vec![target.what.clone(), figure, range, limit, verdict]
    };
    let columns = ["target", "measured", "min..max", "limit", "turns"];
    Table::new(columns, targets.iter().map(row).collect())
}

/// The measured targets for a terminal, if there are any: with some contenders, most are not.
pub(crate) fn text(targets: &[Target]) -> Option<String> {
    let measured: Vec<Target> = targets.iter().filter(|target| target.verdict().is_some()).cloned().collect();
    (!measured.is_empty()).then(|| format!("{}\n{}\n", table(&measured).text(), wrapped(LEGEND)))
}

fn words(verdict: &Verdict) -> String {
    let Verdict { met, turns, turns_met, settled, .. } = verdict;
    let doubt = if *settled { "" } else { "?" };
    format!("{}{doubt} ({turns_met} of {turns})", if *met { "pass" } else { "MISS" })
}

/// A figure with one digit more than elsewhere, so that one beside its limit does not look like it.
fn precise(value: f64) -> String {
    match value.abs() {
        size if size < 9.9995 => format!("{value:.3}"),
        size if size < 99.995 => format!("{value:.2}"),
        _ => number(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_says_how_many_turns_met_the_limit() {
        let check = |measured: &[f64], expected: [&str; 4]| {
            let target = Target::fixed("10 %: keys/s / floor", measured.to_vec(), Side::AtLeast, 0.82);
            assert_eq!(table(&[target]).rows[0][1..], expected);
        };
        check(&[0.9; 7], ["0.900", "", ">= 0.820", "pass (7 of 7)"]);
        check(
            &[0.9, 0.9, 0.9, 0.82, 1.25, 0.81, 0.5],
            ["0.900", "0.500..1.250", ">= 0.820", "pass? (5 of 7)"],
        );
        check(&[0.9, 0.9], ["0.900", "", ">= 0.820", "pass? (2 of 2)"]);
        check(&[0.7; 6], ["0.700", "", ">= 0.820", "MISS (0 of 6)"]);
        check(&[0.7, 0.9, 0.8], ["0.800", "0.700..0.900", ">= 0.820", "MISS? (1 of 3)"]);
        check(&[], ["", "", ">= 0.820", "not measured"]);
    }

    #[test]
    fn a_terminal_shows_what_was_measured() {
        let target = |measured| Target::fixed("x", measured, Side::Below, 32.0);
        assert_eq!(text(&[target(Vec::new())]), None);
        let shown = text(&[target(Vec::new()), target(vec![32.0])]).unwrap();
        assert!(shown.contains("MISS? (0 of 1)") && !shown.contains("not measured"), "{shown}");
    }
}
