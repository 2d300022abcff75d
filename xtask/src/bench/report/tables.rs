//! The tables of a comparison: all figures, ratios of keysweep to the others, targets, roles.

use super::table::{Table, number, thousands, wrapped};
use crate::bench::contenders::Contender;
use crate::bench::deployment::Place;
use crate::bench::figures::{Comparison, Figures, Outcome, Sample};
use crate::bench::latency::Latency;
use crate::bench::targets::{Side, Target};

/// Explains the columns of [`figures`].
pub(crate) const LEGEND: &str = "wall: from the start of the process to its end; srv, cli: CPU of all servers and of \
    all the contender's processes, in microseconds per key; MB: peak memory of its largest process; p50, p99: latency \
    of another client with 2,000 requests per second, measured in separate runs. The workers \
    over NATS have completed a dry run before.";

/// All measurements, one row per contender.
pub(crate) fn figures(comparison: &Comparison) -> Table {
    let mut rows = Vec::new();
    if let Some(idle) = comparison.idle {
        let cells = [vec!["(idle)".to_owned()], vec!["".to_owned(); 5], latency(Some(idle)).to_vec()];
        rows.push(cells.concat());
    }
    for (contender, outcome) in &comparison.rows {
        let cells = match outcome {
            Outcome::Measured(figures) => measured(figures),
            Outcome::NotRun(_) => unmeasured("not run"),
            Outcome::Failed(_) => unmeasured("FAILED"),
        };
        rows.push([vec![contender.label().to_owned()], cells].concat());
    }
    Table { columns: vec!["", "wall s", "keys/s", "srv us", "cli us", "MB", "p50 ms", "p99 ms"], rows }
}

fn measured(figures: &Figures) -> Vec<String> {
    let Figures { wall_s, keys_per_s, server_us, client_us, peak_mb, .. } = figures;
    let cells = [*wall_s, keys_per_s.round(), *server_us, *client_us, *peak_mb].map(number);
    [cells.to_vec(), latency(figures.latency).to_vec()].concat()
}

fn unmeasured(word: &str) -> Vec<String> {
    let mut cells = vec![String::new(); 7];
    word.clone_into(&mut cells[0]);
    cells
}

fn latency(latency: Option<Latency>) -> [String; 2] {
    latency.map_or_else(Default::default, |latency| [number(latency.p50_ms), number(latency.p99_ms)])
}

/// keysweep's figures divided by those of each of the others, on the same servers, turn by turn.
pub(crate) fn ratios(comparison: &Comparison) -> Table {
    let own =
        [Contender::Keysweep, Contender::Gentle, Contender::Standalone, Contender::Healthy, Contender::Looks];
    let others = comparison.rows.iter().filter(|(contender, _)| !own.contains(contender));
    let row = |contender: Contender| {
        let same_place = contender.place() == Place::Cluster;
        let ours = comparison.of(if same_place { Contender::Keysweep } else { Contender::Standalone })?;
        let theirs = comparison.of(contender)?;
        let ratio = |of: fn(&Sample) -> f64| format!("{} x", number(ours.by(theirs, of)));
        let figures: [fn(&Sample) -> f64; 4] =
            [Sample::keys_per_s, Sample::server_us, Sample::client_us, |sample| sample.peak_mb];
        Some([vec![format!("/ {}", contender.label())], figures.map(ratio).to_vec()].concat())
    };
    let rows = others.filter_map(|(contender, _)| row(*contender)).collect();
    Table { columns: vec!["keysweep", "keys/s", "server CPU", "client CPU", "memory"], rows }
}

/// All targets with their measurements.
pub(crate) fn targets(targets: &[Target]) -> Table {
    let row = |target: &Target| {
        let side = match target.side {
            Side::AtMost => "<=",
            Side::AtLeast => ">=",
            Side::Below => "<",
        };
        let verdict = target.met().map_or("not measured", |met| if met { "pass" } else { "MISS" });
        let figure = target.figure.map_or_else(|| "-".to_owned(), precise);
        vec![target.what.to_owned(), figure, format!("{side} {}", precise(target.limit)), verdict.to_owned()]
    };
    Table { columns: vec!["target", "measured", "limit", ""], rows: targets.iter().map(row).collect() }
}

/// Small figures are compared with small limits, so they need more digits.
fn precise(value: f64) -> String {
    if value.abs() < 0.995 { format!("{value:.3}") } else { number(value) }
}

/// The usage of each role in the run over NATS; `None` without one.
pub(crate) fn roles(comparison: &Comparison) -> Option<Table> {
    let figures = comparison.of(Contender::Nats)?;
    let row = |role: &crate::bench::figures::RoleFigures| {
        vec![role.name.to_owned(), role.count.to_string(), number(role.us), number(role.peak_mb)]
    };
    let rows = figures.roles.iter().map(row).collect();
    Some(Table { columns: vec!["over NATS", "processes", "CPU us per key", "MB of the largest"], rows })
}

/// Notes on the tables: contenders with fewer keys, and those that were not run, with the reason.
pub(crate) fn notes(comparison: &Comparison) -> Vec<String> {
    let mut notes = Vec::new();
    for (contender, outcome) in &comparison.rows {
        let label = contender.label();
        match outcome {
            Outcome::Measured(figures) if figures.keys < comparison.keys => {
                notes.push(format!("{label}: on a sample of {} keys.", thousands(figures.keys)));
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
    let runs = if comparison.repeats == 1 { "one run" } else { &format!("{} runs", comparison.repeats) };
    format!("{} keys, a tenth of them without a TTL; medians of {runs}", thousands(comparison.keys))
        .replace("medians of one run", "one run")
}

/// The whole report for a terminal.
pub(crate) fn text(comparison: &Comparison, reached: &[Target]) -> String {
    let mut parts = vec![
        format!("{}\n{}\n", title(comparison), wrapped(&comparison.machine.line())),
        figures(comparison).text(),
        format!("{}\n", wrapped(LEGEND)),
    ];
    // If only some contenders are compared, targets of others are not shown as missed.
    let some = comparison.rows.len() < Contender::ALL.len();
    let reached: Vec<Target> =
        reached.iter().filter(|target| !some || target.figure.is_some()).cloned().collect();
    let others = [ratios(comparison), targets(&reached)];
    parts.extend(others.iter().filter(|table| !table.rows.is_empty()).map(Table::text));
    parts.extend(roles(comparison).map(|table| table.text()));
    let notes = notes(comparison);
    if !notes.is_empty() {
        let notes: Vec<String> = notes.iter().map(|note| wrapped(note)).collect();
        parts.push(format!("{}\n", notes.join("\n")));
    }
    parts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::sample::comparison;

    #[test]
    fn tables_fit_a_terminal() {
        let mut comparison = comparison();
        comparison.rows.push((
            Contender::Healthy,
            Outcome::Measured(crate::bench::report::sample::figures(12_345_678.0, 0.01)),
        ));
        let reached = crate::bench::targets::targets(&comparison);
        let text = text(&comparison, &reached);
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        assert!(text.contains("document's job: not run: `node` is missing"), "{text}");
        assert!(text.contains("redis-py: FAILED: it left 7 keys"), "{text}");
    }

    #[test]
    fn ratios_are_ours_divided_by_theirs() {
        let ratios = ratios(&comparison());
        let floor = ratios.rows.iter().find(|row| row[0] == "/ floor").unwrap();
        assert_eq!(floor[1..3], ["0.80 x", "1.25 x"]);
        // Neither was measured.
        assert!(!ratios.rows.iter().any(|row| row[0].contains("redis-py") || row[0].contains("document")));
    }

    #[test]
    fn a_single_run_is_no_median() {
        let mut comparison = comparison();
        assert!(title(&comparison).ends_with("medians of 3 runs"));
        comparison.repeats = 1;
        assert!(title(&comparison).ends_with("; one run"));
    }
}
