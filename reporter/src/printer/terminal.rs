//! Prints views and blocks for a terminal: text of 80 columns, without colour. Pure.

use std::fmt::Write;
use std::iter::once;

use keysweep_model::result::CleanupResult;

use crate::view::{Block, Figure, Kind, Section, Table, Tone, View};

/// The maximum line width, in characters.
const WIDTH: usize = 80;

/// The indentation of blocks.
const INDENT: usize = 2;

/// The minimum width of a column of sentences.
const SENTENCE_MIN: usize = 24;

/// The summary of `result`, with the job's display name as heading.
#[must_use]
pub fn page(result: &CleanupResult, display_name: &str) -> String {
    let view = View::of(result, display_name);
    let status = &view.status;
    let dry = if status.dry_run { " (dry run)" } else { "" };
    let word = emphasized(status.tone, status.word);
    let attempt = view.attempt.map_or_else(String::new, |attempt| format!(", {attempt}"));
    let head = [
        format!("{display_name} {word} {}{dry}", status.took),
        status.sentence.clone(),
        format!("job `{}`, run {}{attempt}", view.job, view.run),
    ];
    let mut page: String = head.iter().map(|line| wrap(line.trim_end(), 0) + "\n").collect();
    page.push_str(&format!("\n{}", blocks(&[Block::Figures(view.figures)])));
    for Section { title, summary, .. } in view.sections.iter().chain(&view.findings) {
        if !summary.is_empty() {
            page.push_str(&format!("\n{title}\n{}", blocks(summary)));
        }
    }
    page
}

/// The blocks, one after the other. Charts and rankings are not for terminals. Writing to a string cannot fail, so the
/// results of `writeln!` are ignored.
#[must_use]
pub fn blocks(blocks: &[Block<'_>]) -> String {
    let mut page = String::new();
    for block in blocks {
        let sentence = match block {
            Block::Text(sentence) => sentence,
            Block::Problem(problem) => &format!("! {problem}"),
            Block::Verdict(verdict) => {
                &format!("{}: {}", emphasized(verdict.tone, verdict.word), verdict.sentence)
            }
            Block::Figures(rows) => {
                figures(&mut page, rows);
                continue;
            }
            Block::Table(rows) => {
                table(&mut page, rows);
                continue;
            }
            Block::Findings(findings) => {
                for (n, finding) in findings.iter().enumerate() {
                    let since = finding.since.as_ref().map_or(String::new(), |at| format!(" (since {at})"));
                    let _ =
                        writeln!(page, "{:>3}. {}", n + 1, wrap(&format!("{}{since}", finding.sentence), 5));
                }
                continue;
            }
            Block::Command(command) => {
                // Not wrapped, so that it can be copied.
                let _ = writeln!(page, "    {command}");
                continue;
            }
            Block::Chart(_) | Block::Rankings(_) => continue,
        };
        let _ = writeln!(page, "  {}", wrap(sentence, INDENT));
    }
    page.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// `word`, in capitals if it is bad news.
fn emphasized(tone: Tone, word: &str) -> String {
    if tone == Tone::Good { word.to_owned() } else { word.to_uppercase() }
}

/// Figures in columns: the names, the numbers, and what they refer to. Texts take the place of both.
fn figures(page: &mut String, figures: &[Figure]) {
    let label = width(figures.iter().map(|figure| &*figure.label));
    let numbers = figures.iter().filter(|figure| figure.kind == Kind::Number);
    let value = width(numbers.map(|figure| &*figure.value));
    for figure in figures {
        let (name, text) = (&figure.label, &figure.value);
        let _ = if figure.kind == Kind::Number {
            let note = wrap(&figure.note, INDENT + label + 2 + value + 2);
            writeln!(page, "  {name:<label$}  {text:>value$}  {note}")
        } else {
            writeln!(page, "  {name:<label$}  {}", wrap(text, INDENT + label + 2))
        };
    }
}

/// A table with all rows. A name too long for the first column is on its own line, and sentences in the last column are
/// wrapped.
fn table(page: &mut String, table: &Table) {
    let (widths, gap) = layout(table);
    let head: Vec<String> = table.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    for row in once(&head).chain(&table.rows) {
        let mut indent = INDENT;
        page.push_str("  ");
        for ((kind, cell), width) in table.cells(row).zip(&widths) {
            let _ = match kind {
                Kind::Number => write!(page, "{cell:>width$}"),
                Kind::Text => write!(page, "{:<width$}", wrap(cell, indent)),
                _ if cell.chars().count() > *width => write!(page, "{cell}\n{:1$}", "", indent + width),
                _ => write!(page, "{cell:<width$}"),
            };
            page.push_str(&" ".repeat(gap));
            indent += width + gap;
        }
        page.push('\n');
    }
}

/// The widths of the columns and of the gaps between them.
fn layout(table: &Table) -> (Vec<usize>, usize) {
    let cells = |n: usize| table.rows.iter().map(move |row| &*row[n]);
    let columns = table.columns.iter().enumerate();
    let mut widths: Vec<usize> = columns.map(|(n, (name, _))| width(cells(n).chain(once(*name)))).collect();
    if let (Some(last), Some((_, Kind::Text))) = (widths.last_mut(), table.columns.last()) {
        *last = (*last).min(SENTENCE_MIN);
    }
    let others: usize = widths[1..].iter().sum();
    let room = |gap: usize| WIDTH.saturating_sub(INDENT + others + gap * (widths.len() - 1));
    // Narrow gaps if that keeps all names in their column.
    let gap = if room(2) < widths[0] && widths[0] <= room(1) { 1 } else { 2 };
    widths[0] = widths[0].min(room(gap));
    (widths, gap)
}

/// The width of the longest of `texts`, in characters.
fn width<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or_default()
}

/// Wraps `text` at spaces, so that no line exceeds 80 characters when indented by `indent`.
#[must_use]
pub fn wrap(text: &str, indent: usize) -> String {
    let (mut out, mut column) = (String::new(), indent);
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > indent && column + 1 + length > WIDTH {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else if column > indent {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_sentences_are_wrapped() {
        let wrapped = wrap(&"word ".repeat(40), 5);
        assert!(wrapped.lines().all(|line| line.trim_end().chars().count() <= WIDTH));
        assert_eq!(wrapped.split_whitespace().count(), 40);
        assert_eq!(wrap(&"x".repeat(100), 5), "x".repeat(100));
    }
}
