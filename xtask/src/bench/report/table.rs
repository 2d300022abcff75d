//! A table for a terminal or Markdown: names left-aligned, figures right-aligned.

/// A table; each row has one cell per column.
pub(crate) struct Table {
    /// The column headings; the first names the rows.
    pub(crate) columns: Vec<&'static str>,
    /// From top to bottom.
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    /// The table as text, each column as wide as its widest cell.
    pub(crate) fn text(&self) -> String {
        let head: Vec<String> = self.columns.iter().map(|&column| column.to_owned()).collect();
        let lines: Vec<&Vec<String>> = std::iter::once(&head).chain(&self.rows).collect();
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
        let head: Vec<String> = self.columns.iter().map(|&column| column.to_owned()).collect();
        let rule: Vec<String> =
            (0..head.len()).map(|column| if column == 0 { "---" } else { "---:" }.to_owned()).collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("{}{}{rows}", line(&head), line(&rule))
    }
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
        let table = Table {
            columns: vec!["who", "keys/s"],
            rows: vec![
                vec!["floor".to_owned(), "7".to_owned()],
                vec!["a".to_owned(), "1,234,567".to_owned()],
            ],
        };
        assert_eq!(table.text(), "who       keys/s\nfloor          7\na      1,234,567\n");
        assert_eq!(table.markdown(), "| who | keys/s |\n| --- | ---: |\n| floor | 7 |\n| a | 1,234,567 |\n");
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
