//! The tables and the plot of `--growth`.

use super::plot::{self, Line};
use super::table::{Table, row, thousands};
use super::target_table;
use crate::bench::figures::{Figures, Measure, RoleFigures};
use crate::bench::growth::Size;
use crate::bench::spread::Spread;
use crate::bench::verdict::Target;

/// Speed and memory, ratios to the floor, and the memory of the roles over NATS.
pub(crate) fn tables(sizes: &[Size]) -> [Table; 3] {
    let measured = |size: &Size| {
        [("keysweep", &size.embedded), ("over NATS", &size.over_nats), ("floor", &size.floor)].map(
            |(who, figures)| {
                let spreads = [Measure::KeysPerS, Measure::PeakMb].map(|measure| figures.spread(measure));
                row(format!("{} keys, {who}", thousands(size.keys)), spreads)
            },
        )
    };
    let ratios = |size: &Size| {
        let ratio = |measure| Spread::of(size.embedded.ratios(&size.floor, measure));
        row(thousands(size.keys), [ratio(Measure::KeysPerS), ratio(Measure::ServerUs)])
    };
    [
        Table::of_figures("", ["keys/s", "MB"], sizes.iter().flat_map(measured).collect()),
        Table::of_figures(
            "keys",
            ["keys/s / floor", "server CPU / floor"],
            sizes.iter().map(ratios).collect(),
        ),
        roles(sizes),
    ]
}

/// Peak memory of the largest process of each role over NATS by the number of keys.
fn roles(sizes: &[Size]) -> Table {
    let by_size: Vec<(u64, Vec<RoleFigures>)> =
        sizes.iter().map(|size| (size.keys, size.over_nats.roles())).collect();
    let count = by_size.first().map_or(0, |(_, roles)| roles.len());
    let rows = (0..count).flat_map(|index| {
        by_size.iter().filter_map(move |(keys, roles)| {
            let role = roles.get(index)?;
            Some(row(format!("{}, {} keys", role.name, thousands(*keys)), [Some(role.peak_mb)]))
        })
    });
    Table::of_figures("over NATS", ["MB"], rows.collect())
}

/// The whole report for a terminal.
pub(crate) fn text(sizes: &[Size], targets: &[Target]) -> String {
    let tables = tables(sizes);
    tables.iter().map(Table::text).chain(target_table::text(targets)).collect::<Vec<_>>().join("\n")
}

/// Speed and memory as a plot.
pub(crate) fn plot(sizes: &[Size]) -> String {
    let line = |name, of: &dyn Fn(&Size) -> Option<Spread>| Line {
        name,
        points: sizes.iter().filter_map(|size| Some((size.keys as f64, of(size)?.median))).collect(),
    };
    let rate = |figures: &Figures| figures.spread(Measure::KeysPerS);
    let speed = vec![
        line("keysweep", &|size| rate(&size.embedded)),
        line("floor", &|size| rate(&size.floor)),
        line("keysweep over NATS", &|size| rate(&size.over_nats)),
    ];
    let mut memory = vec![line("one process", &|size| size.embedded.spread(Measure::PeakMb))];
    let roles = sizes.first().map_or_else(Vec::new, |size| size.over_nats.roles());
    for (index, role) in roles.iter().enumerate().filter(|(_, role)| role.name != "nats-server") {
        memory.push(line(role.name, &|size| Some(size.over_nats.roles().get(index)?.peak_mb)));
    }
    plot::charts(&[("keys per second", speed), ("peak memory of the largest process, MB", memory)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::sample;
    use crate::bench::targets;

    #[test]
    fn each_size_is_a_row_and_the_report_fits_a_terminal() {
        let sizes = [1_000_000, 3_000_000, 10_000_000].map(|keys| sample::size(keys, 31.5));
        let text = text(&sizes, &targets::growth(&sizes));
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}\n{text}");
        }
        let [measured, ratios, roles] = tables(&sizes);
        assert_eq!(measured.rows[5][..2], ["3,000,000 keys, floor", "1,000,000"]);
        assert_eq!(ratios.rows[2], ["10,000,000", "0.80", "", "1.25", ""]);
        assert_eq!(roles.rows[1], ["scanner, 3,000,000 keys", "18.0", "17.0..19.0"]);
        assert!(text.contains("growth of memory, %"), "{text}");
        let plot = plot(&sizes);
        assert!(plot.contains("scanner") && !plot.contains("nats-server"), "{plot}");
    }
}
