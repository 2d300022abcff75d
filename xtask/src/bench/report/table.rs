//! A table for a terminal or Markdown: names left-aligned, figures right-aligned, each with its spread beside it.

use crate::bench::spread::Spread;

/// A table; each row has one cell per column.
pub(crate) struct Table {
    /// The column headings; the first names the rows.
    pub(crate) columns: Vec<String>,
    /// From top to bottom.
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new<'a>(columns: impl IntoIterator<Item = &'a str>, rows: Vec<Vec<String>>) -> Self {
        Self { columns: columns.into_iter().map(str::to_owned).collect(), rows }
    }

    /// A table whose columns after the first are `figures`, each of which takes two: see [`cells`].
    pub(crate) fn of_figures<'a>(
        first: &'a str,
        figures: impl IntoIterator<Item = &'a str>,
        rows: Vec<Vec<String>>,
    ) -> Self {
        let pairs = figures.into_iter().flat_map(|figure| [figure, "min..max"]);
        Self::new(std::iter::once(first).chain(pairs), rows)
    }

    /// The table as text, each column as wide as its widest cell.
    pub(crate) fn text(&self) -> String {
        let lines: Vec<&Vec<String>> = std::iter::once(&self.columns).chain(&self.rows).collect();
        let width = |column: usize| {
            lines
                .iter()
                .filter_map(|line| line.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = String::new();
        for line in lines {
            let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    /// The table as Markdown.
    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule: Vec<String> = (0..self.columns.len())
            .map(|column| if column == 0 { "---" } else { "---:" }.to_owned())
            .collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("{}{}{rows}", line(&self.columns), line(&rule))
    }
}

/// A row of [`Table::of_figures`]: the name, then the median and the spread of each figure.
pub(crate) fn row(name: String, figures: impl IntoIterator<Item = Option<Spread>>) -> Vec<String> {
    let figures = figures.into_iter().flat_map(|spread| cells(spread, number));
    std::iter::once(name).chain(figures).collect()
}

/// The median and, unless all values are equal (as in a single turn), the least and the largest value.
pub(crate) fn cells(spread: Option<Spread>, number: fn(f64) -> String) -> [String; 2] {
    let Some(Spread { min, median, max }) = spread else { return Default::default() };
    let range = if min < max { format!("{}..{}", number(min), number(max)) } else { String::new() };
    [number(median), range]
}

/// Wraps `words` at 80 columns; longer words keep their own line.
pub(crate) fn wrapped(words: &str) -> String {
    let mut text = String::new();
    let mut column = 0;
    for word in words.split_whitespace() {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > 80 {
            text.push('\n');
            column = 0;
        }
        if column > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
    }
    text
}

/// A figure with about three digits, and thousands separators.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if !size.is_finite() => "-".to_owned(),
        size if size < 9.995 => format!("{value:.2}"),
        size if size < 99.95 => format!("{value:.1}"),
        _ => thousands(value.round() as u64),
    }
}

/// A count with thousands separators.
pub(crate) fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["floor", "7"], ["a", "1,234,567"]].map(|row| row.map(str::to_owned).into());
        let table = Table::new(["who", "keys/s"], rows.into());
        assert_eq!(table.text(), "who       keys/s\nfloor          7\na      1,234,567\n");
        assert_eq!(table.markdown(), "| who | keys/s |\n| --- | ---: |\n| floor | 7 |\n| a | 1,234,567 |\n");
    }

    #[test]
    fn a_figure_has_its_spread_beside_it() {
        let spread = Spread::of([2.5, 1_000.0, -0.5]);
        let rows = vec![row("floor".to_owned(), [spread, None, Spread::of([7.0])])];
        let table = Table::of_figures("", ["keys/s", "wall s", "MB"], rows);
        assert_eq!(table.columns, ["", "keys/s", "min..max", "wall s", "min..max", "MB", "min..max"]);
        assert_eq!(table.rows, [["floor", "2.50", "-0.50..1,000", "", "", "7.00", ""]]);
    }

    #[test]
    fn words_wrap_before_column_81() {
        let words = ["0123456789"; 8].join(" ");
        assert_eq!(wrapped(&words), format!("{}\n0123456789", &words[..76]));
        assert_eq!(wrapped(&"x".repeat(90)), "x".repeat(90));
        assert_eq!(wrapped("a  b\nc"), "a b c");
    }

    #[test]
    fn figures_keep_about_three_digits() {
        let check = |value: f64, expected: &str| assert_eq!(number(value), expected);
        check(0.014, "0.01");
        check(9.994, "9.99");
        check(9.996, "10.0");
        check(99.96, "100");
        check(1_234_567.4, "1,234,567");
        check(f64::NAN, "-");
        assert_eq!(
            (thousands(0), thousands(999), thousands(1_000)),
            ("0".into(), "999".into(), "1,000".into())
        );
    }
}
