//! The tables and the plot of `--growth`.

use super::plot::{self, Line};
use super::table::{Table, number, thousands};
use crate::bench::figures::{Figures, Sample};
use crate::bench::growth::Size;

/// Speed by the number of keys.
pub(crate) fn speed(sizes: &[Size]) -> Table {
    let row = |size: &Size| {
        let rate = |figures: &Figures| number(figures.keys_per_s.round());
        vec![
            thousands(size.keys),
            rate(&size.embedded),
            rate(&size.over_nats),
            rate(&size.floor),
            number(size.embedded.by(&size.floor, Sample::keys_per_s)),
            number(size.embedded.by(&size.floor, Sample::server_us)),
        ]
    };
    let columns = vec!["keys", "keys/s", "over NATS", "floor", "keys/s / floor", "server CPU / floor"];
    Table { columns, rows: sizes.iter().map(row).collect() }
}

/// Peak memory by the number of keys, in MB: one process, and the largest of each role.
pub(crate) fn memory(sizes: &[Size]) -> Table {
    let mut columns = vec!["keys", "one process, MB"];
    columns.extend(sizes.iter().take(1).flat_map(|size| &size.over_nats.roles).map(|role| role.name));
    let row = |size: &Size| {
        let roles = size.over_nats.roles.iter().map(|role| number(role.peak_mb));
        [thousands(size.keys), number(size.embedded.peak_mb)].into_iter().chain(roles).collect()
    };
    Table { columns, rows: sizes.iter().map(row).collect() }
}

/// Both as a plot.
pub(crate) fn plot(sizes: &[Size]) -> String {
    let line = |name, of: &dyn Fn(&Size) -> f64| Line {
        name,
        points: sizes.iter().map(|size| (size.keys as f64, of(size))).collect(),
    };
    let speed = vec![
        line("keysweep", &|size| size.embedded.keys_per_s),
        line("floor", &|size| size.floor.keys_per_s),
        line("keysweep over NATS", &|size| size.over_nats.keys_per_s),
    ];
    let mut memory = vec![line("one process", &|size| size.embedded.peak_mb)];
    let roles = sizes.first().map_or(&[] as &[_], |size| &size.over_nats.roles);
    for (index, role) in roles.iter().enumerate().filter(|(_, role)| role.name != "nats-server") {
        let of = |size: &Size| size.over_nats.roles.get(index).map_or(0.0, |role| role.peak_mb);
        memory.push(line(role.name, &of));
    }
    plot::charts(&[("keys per second", speed), ("peak memory of the largest process, MB", memory)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::RoleFigures;
    use crate::bench::report::sample::figures;

    #[test]
    fn each_size_is_a_row_and_each_role_a_column() {
        let role = |name| RoleFigures { name, count: 1, us: 0.1, peak_mb: 12.0 };
        let over_nats = || Figures { roles: vec![role("scanner"), role("nats-server")], ..figures(7e5, 2.5) };
        let size = |keys| Size {
            keys,
            embedded: figures(8e5, 2.5),
            over_nats: over_nats(),
            floor: figures(1e6, 2.0),
        };
        let sizes = [size(1_000_000), size(10_000_000)];
        let text = format!("{}{}", speed(&sizes).text(), memory(&sizes).text());
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert_eq!(speed(&sizes).rows[1][4..], ["0.80", "1.25"]);
        assert_eq!(memory(&sizes).columns, ["keys", "one process, MB", "scanner", "nats-server"]);
        let plot = plot(&sizes);
        assert!(plot.contains("scanner") && !plot.contains("nats-server"), "{plot}");
    }
}
