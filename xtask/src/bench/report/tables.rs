//! The tables of a comparison: all figures, ratios of keysweep to the others, roles.

use super::table::{Table, cells, number, row, thousands, wrapped};
use super::target_table;
use crate::bench::case::USUAL_PERCENT;
use crate::bench::contenders::Contender;
use crate::bench::figures::{Comparison, Measure, Outcome, RoleFigures};
use crate::bench::latency::Latency;
use crate::bench::spread::Spread;
use crate::bench::verdict::Target;

/// The columns of the tables of [`figures`].
const SPEED: [(&str, Measure); 2] = [("wall s", Measure::WallS), ("keys/s", Measure::KeysPerS)];
const COSTS: [(&str, Measure); 3] =
    [("srv us", Measure::ServerUs), ("cli us", Measure::ClientUs), ("MB", Measure::PeakMb)];
const LATENCY: [(&str, Measure); 2] = [("p50 ms", Measure::P50Ms), ("p99 ms", Measure::P99Ms)];
const RATIOS: [(&str, Measure); 3] =
    [("keys/s", Measure::KeysPerS), ("srv us", Measure::ServerUs), ("cli us", Measure::ClientUs)];

/// Explains the columns of [`figures`].
pub(crate) const LEGEND: &str = "Medians, with the least and the largest of all turns; wall: from the start of the \
    process to its end; srv, cli: CPU of all servers and of all the contender's processes, in microseconds per key; \
    MB: peak memory of its largest process; p50, p99: latency of another client with 2,000 requests per second, \
    measured in a separate run of each turn. The workers over NATS have completed a dry run before.";

/// What [`ratios`] shows.
pub(crate) const RATIOS_LEGEND: &str =
    "keysweep's figures divided by those of the others in the same turn, as medians:";

/// All measurements, one row per contender; without the tables that have no rows.
pub(crate) fn figures(comparison: &Comparison) -> Vec<Table> {
    let table = |columns: &[(&'static str, Measure)]| {
        let spreads = comparison.measured().map(|(case, figures)| {
            (case.label(), columns.iter().map(|(_, measure)| figures.spread(*measure)).collect::<Vec<_>>())
        });
        let measured = spreads.filter(|(_, spreads)| spreads.iter().any(Option::is_some));
        let rows = measured.map(|(label, spreads)| row(label, spreads)).collect();
        Table::of_figures("", columns.iter().map(|(name, _)| *name), rows)
    };
    let mut latency = table(&LATENCY);
    let idle = |of: fn(&Latency) -> f64| Spread::of(comparison.idle.iter().map(of));
    if !comparison.idle.is_empty() {
        let spreads = [idle(|latency| latency.p50_ms), idle(|latency| latency.p99_ms)];
        latency.rows.insert(0, row("(idle)".to_owned(), spreads));
    }
    [table(&SPEED), table(&COSTS), latency].into_iter().filter(|table| !table.rows.is_empty()).collect()
}

/// keysweep's figures divided by those of each of the others, on the same servers and data, turn by turn.
pub(crate) fn ratios(comparison: &Comparison) -> Table {
    let rows = comparison.measured().filter_map(|(case, theirs)| {
        let ours = comparison.at(case.contender.counterpart()?, case.stale_percent)?;
        Some(row(case.label(), RATIOS.map(|(_, measure)| Spread::of(ours.ratios(theirs, measure)))))
    });
    Table::of_figures("keysweep /", RATIOS.map(|(name, _)| name), rows.collect())
}

/// The usage of each role in the run over NATS; `None` without one.
pub(crate) fn roles(comparison: &Comparison) -> Option<Table> {
    let row = |role: &RoleFigures| {
        let [us, us_range] = cells(Some(role.us), number);
        let [mb, mb_range] = cells(Some(role.peak_mb), number);
        vec![role.name.to_owned(), role.count.to_string(), us, us_range, mb, mb_range]
    };
    let columns = ["over NATS", "processes", "us per key", "min..max", "MB of largest", "min..max"];
    let rows = comparison.at(Contender::Nats, USUAL_PERCENT)?.roles().iter().map(row).collect();
    Some(Table::new(columns, rows))
}

/// Notes on the tables: contenders with fewer keys, and those that were not run, with the reason.
pub(crate) fn notes(comparison: &Comparison) -> Vec<String> {
    let mut notes = Vec::new();
    for (case, outcome) in &comparison.rows {
        let label = case.label();
        match outcome {
            Outcome::Measured(_) if case.keys < comparison.keys() => {
                notes.push(format!("{label}: on a sample of {} keys.", thousands(case.keys)));
            }
            Outcome::Measured(_) => {}
            Outcome::NotRun(why) => notes.push(format!("{label}: not run: {why}")),
            Outcome::Failed(why) => notes.push(format!("{label}: FAILED: {why}")),
        }
    }
    notes
}

/// A one-line summary of the measurement.
pub(crate) fn title(comparison: &Comparison) -> String {
    let turns = if comparison.repeats == 1 { "one turn" } else { &format!("{} turns", comparison.repeats) };
    let keys = thousands(comparison.keys());
    format!("{keys} keys, {USUAL_PERCENT} % of them without a TTL unless a row says otherwise; {turns}")
}

/// The whole report for a terminal.
pub(crate) fn text(comparison: &Comparison, targets: &[Target]) -> String {
    let mut parts =
        vec![format!("{}\n{}\n", wrapped(&title(comparison)), wrapped(&comparison.machine.line()))];
    parts.extend(figures(comparison).iter().map(Table::text));
    parts.push(format!("{}\n", wrapped(LEGEND)));
    let ratios = ratios(comparison);
    if !ratios.rows.is_empty() {
        parts.push(format!("{}\n\n{}", wrapped(RATIOS_LEGEND), ratios.text()));
    }
    parts.extend(target_table::text(targets));
    parts.extend(roles(comparison).map(|table| table.text()));
    let notes: Vec<String> = notes(comparison).iter().map(|note| wrapped(note) + "\n").collect();
    parts.extend((!notes.is_empty()).then(|| notes.concat()));
    parts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::case::Case;
    use crate::bench::report::sample;
    use crate::bench::targets;

    #[test]
    fn tables_fit_a_terminal() {
        let mut comparison = sample::comparison();
        let fast = sample::spread_out(12_345_678.0, 0.01);
        comparison.rows.push((Case::new(Contender::Healthy, 10, 200_000), Outcome::Measured(fast)));
        let text = text(&comparison, &targets::comparison(&comparison));
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}\n{text}");
        }
        assert!(text.contains("document's job: not run: `node` is missing"), "{text}");
        assert!(text.contains("redis-py: FAILED: it left 7 keys"), "{text}");
        assert!(text.contains("6,172,839..24,691,356"), "{text}");
    }

    #[test]
    fn latencies_are_shown_of_those_that_were_watched() {
        let mut comparison = sample::comparison();
        let rows = |comparison| figures(comparison).last().unwrap().rows.len();
        assert_eq!(
            rows(&comparison),
            comparison.measured().count() - 2 + 1,
            "all but looking ones, and idle"
        );
        comparison.idle.clear();
        comparison.rows.retain(|(case, _)| !case.contender.disturbs());
        assert_eq!(figures(&comparison).len(), 2);
    }

    #[test]
    fn ratios_are_ours_divided_by_theirs() {
        let ratios = ratios(&sample::comparison());
        let figures = |name: &str| {
            let row = ratios.rows.iter().find(|row| row[0] == name);
            row.map(|row| [row[1].clone(), row[3].clone()])
        };
        assert_eq!(figures("floor").unwrap(), ["0.80", "1.12"]);
        assert_eq!(figures("floor, 1 %").unwrap(), ["0.80", "1.25"]);
        assert_eq!(figures("floor, looking").unwrap(), ["0.50", "1.00"]);
        // Neither was measured.
        assert_eq!((figures("redis-py"), figures("document's job")), (None, None));
    }

    #[test]
    fn one_turn_is_no_median() {
        let mut comparison = sample::comparison();
        assert!(title(&comparison).ends_with("; 3 turns"));
        comparison.repeats = 1;
        assert!(title(&comparison).ends_with("; one turn"));
    }
}
