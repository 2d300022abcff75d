//! Prints a view as Markdown with GitHub-style tables. Names from Redis are in code spans, and sentences are escaped.
//! Pure.

use std::fmt::Write;

use keysweep_model::result::CleanupResult;

use crate::format::first_upper;
use crate::view::{Block, Figure, FindingView, Kind, Ranking, Table, View};

/// The most rows of a table: Markdown has no collapsible rows.
const ROWS_MAX: usize = 50;

// Writing to a string cannot fail, so the results of `write!` are ignored.

/// The report of `result`, with the job's display name as heading.
#[must_use]
pub fn page(result: &CleanupResult, display_name: &str) -> String {
    let view = View::of(result, display_name);
    let mut page = String::new();
    let status = &view.status;
    let _ = writeln!(page, "# {}\n", text(view.name));
    let (mark, word) = (status.tone.mark(), first_upper(status.word));
    let dry = if status.dry_run { " (dry run)" } else { "" };
    let _ = writeln!(page, "**{mark} {word} {}{dry}.** {}\n", status.took, text(&status.sentence));
    figures(&mut page, &view.figures);
    for section in view.findings.iter().chain(&view.sections) {
        let _ = writeln!(page, "## {}\n", section.title);
        section.blocks().for_each(|part| block(&mut page, part));
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn block(page: &mut String, block: &Block<'_>) {
    let _ = match block {
        Block::Text(sentence) => writeln!(page, "{}\n", text(sentence)),
        Block::Problem(problem) => writeln!(page, "> {}\n", text(problem)),
        Block::Verdict(verdict) => {
            let (mark, word, sentence) = (verdict.tone.mark(), verdict.word, text(&verdict.sentence));
            writeln!(page, "**{mark} {word}:** {sentence}\n")
        }
        Block::Figures(rows) => return figures(page, rows),
        Block::Table(table) => return shown(page, table),
        Block::Findings(notes) => return findings(page, notes),
        Block::Rankings(rankings) => return rankings.iter().for_each(|each| ranking(page, each)),
        Block::Command(command) => writeln!(page, "{}\n", code(command)),
        Block::Chart(_) => Ok(()),
    };
}

fn figures(page: &mut String, figures: &[Figure]) {
    let notes = figures.iter().any(|figure| !figure.note.is_empty());
    let numbers = figures.iter().any(|figure| figure.kind == Kind::Number);
    let columns = if notes { 3 } else { 2 };
    let row = |figure: &Figure| {
        let mut cells = vec![text(&figure.label), cell(&figure.value, figure.kind), text(&figure.note)];
        cells.truncate(columns);
        cells
    };
    let head = [("Figure", false), ("", numbers), ("", false)];
    table(page, &head[..columns], figures.iter().map(row));
}

fn findings(page: &mut String, findings: &[FindingView]) {
    for finding in findings {
        let severity = finding.severity.map(|severity| format!("**{severity}:** ")).unwrap_or_default();
        let _ = writeln!(page, "- {severity}{}", text(&finding.sentence));
        let rule = finding.rule.as_ref().map(|rule| format!("rule {}", code(rule)));
        let since = finding.since.as_ref().map(|since| format!("since {}", text(since)));
        let figures = finding.evidence.iter().map(|(name, value)| format!("{} {}", text(name), text(value)));
        let evidence: Vec<String> = rule.into_iter().chain(since).chain(figures).collect();
        if !evidence.is_empty() {
            let _ = writeln!(page, "  <br>{}", evidence.join(" · "));
        }
    }
    page.push('\n');
}

fn ranking(page: &mut String, ranking: &Ranking<'_>) {
    let _ = writeln!(page, "### {}\n\n{}\n", ranking.title, text(&ranking.note));
    let rows = ranking.rows.iter().map(|row| {
        let sample = row.sample.as_deref().map(code).unwrap_or_default();
        vec![code(&row.prefix), row.weight.clone(), text(&row.share), sample]
    });
    table(page, &[("Prefix", false), ("Weight", true), ("Share", true), ("Example", false)], rows);
}

/// A table of the view, truncated to [`ROWS_MAX`] rows.
fn shown(page: &mut String, shown: &Table) {
    let head: Vec<(&str, bool)> =
        shown.columns.iter().map(|(name, kind)| (*name, *kind == Kind::Number)).collect();
    let row = |row: &Vec<String>| shown.cells(row).map(|(kind, value)| cell(value, kind)).collect();
    table(page, &head, shown.rows.iter().take(ROWS_MAX).map(row));
    if shown.rows.len() > ROWS_MAX {
        let _ = writeln!(page, "… and {} more {}.\n", shown.rows.len() - ROWS_MAX, shown.many);
    }
}

fn cell(value: &str, kind: Kind) -> String {
    if kind == Kind::Code { code(value) } else { text(value) }
}

/// A table whose cells are Markdown already; numeric columns are right-aligned. Writes nothing if there are no rows.
fn table(page: &mut String, head: &[(&str, bool)], rows: impl Iterator<Item = Vec<String>>) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return;
    }
    let names: Vec<&str> = head.iter().map(|(name, _)| *name).collect();
    let rules: Vec<&str> = head.iter().map(|(_, number)| if *number { "---:" } else { "---" }).collect();
    let _ = writeln!(page, "| {} |\n| {} |", names.join(" | "), rules.join(" | "));
    for row in rows {
        let _ = writeln!(page, "| {} |", row.join(" | "));
    }
    page.push('\n');
}

/// Escapes `text` for a line or a cell.
fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.trim().chars() {
        match letter {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' => out.extend(['\\', letter]),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '#' if out.is_empty() => out.push_str("\\#"),
            letter if letter.is_control() => out.push(' '),
            letter => out.push(letter),
        }
    }
    out
}

/// A name in a code span. In a table cell, `|` must be escaped even there.
fn code(name: &str) -> String {
    if name.is_empty() {
        return String::new();
    }
    let name: String = name.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let longest = name.split(|letter| letter != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    let pad = if name.starts_with('`') || name.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{}{pad}{fence}", name.replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        assert_eq!(text("a|b <script> *x* `y` [z](u)"), r"a\|b &lt;script&gt; \*x\* \`y\` \[z\](u)");
        assert_eq!(text("# a\nb"), r"\# a b");
    }

    #[test]
    fn names_are_in_code_spans() {
        assert_eq!(code("a:b"), "`a:b`");
        assert_eq!(code("a|b"), r"`a\|b`");
        assert_eq!(code("a``b"), "```a``b```");
        assert_eq!(code("`a"), "`` `a ``");
        assert_eq!(code(""), "");
    }
}
