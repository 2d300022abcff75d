//! The report as Markdown. Names from Redis are in code spans, and sentences are escaped.

use std::fmt::Write;

use super::findings::FindingView;
use super::hits::HitRateView;
use super::keys::{AccountingView, InactiveView, PrefixesView, TtlView};
use super::servers::{CoverageView, ServersView};
use super::table::{Kind, Table};
use super::view::PageView;

/// The most rows of a table: Markdown has no collapsible rows.
const ROWS_MAX: usize = 50;

// Writing to a string cannot fail, so the results of `write!` are ignored.

/// Renders the page.
pub(super) fn page(view: &PageView<'_>) -> String {
    let mut page = String::new();
    let standing = &view.standing;
    let _ = writeln!(page, "# {}\n", text(view.name));
    let dry = if standing.dry_run { " (dry run)" } else { "" };
    let _ = writeln!(page, "**{} {}{dry}.** {}\n", standing.mark, standing.word, text(&standing.sentence));
    let tiles = view.tiles.iter().map(|tile| vec![text(&tile.label), text(&tile.value), text(&tile.note)]);
    table(&mut page, &[("Figure", false), ("", true), ("", false)], tiles);
    notes(&mut page, "Alerts", &view.alerts, "No alert is firing.");
    notes(&mut page, "Issues", &view.issues, "No issues were found.");
    notes(&mut page, "Recommendations", &view.recommendations, "There are no recommendations.");
    accounts(&mut page, &view.accounts);
    hits(&mut page, &view.hits);
    ttl(&mut page, &view.ttl);
    prefixes(&mut page, &view.prefixes);
    inactive(&mut page, &view.inactive);
    covered(&mut page, &view.covered);
    nodes(&mut page, &view.nodes);
    servers(&mut page, &view.servers);
    let _ = writeln!(page, "## The run\n");
    let fact = |fact: &super::headline::Fact| {
        vec![text(fact.name), if fact.code { code(&fact.value) } else { text(&fact.value) }]
    };
    table(&mut page, &[("", false), ("", false)], view.facts.iter().map(fact));
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn notes(page: &mut String, title: &str, notes: &[FindingView], none: &str) {
    let _ = writeln!(page, "## {title}\n");
    if notes.is_empty() {
        let _ = writeln!(page, "{none}");
    }
    for note in notes {
        let severity =
            note.severity.map(|severity| format!("**{}:** ", severity.as_str())).unwrap_or_default();
        let _ = writeln!(page, "- {severity}{}", text(&note.sentence));
        let rule = note.rule.as_ref().map(|rule| format!("rule {}", code(rule)));
        let since = note.since.as_ref().map(|since| format!("since {}", text(since)));
        let figures = note.evidence.iter().map(|(name, value)| format!("{} {}", text(name), text(value)));
        let evidence: Vec<String> = rule.into_iter().chain(since).chain(figures).collect();
        if !evidence.is_empty() {
            let _ = writeln!(page, "  <br>{}", evidence.join(" · "));
        }
    }
    page.push('\n');
}

fn accounts(page: &mut String, accounts: &AccountingView) {
    let verdict = if accounts.balanced { "✓ balanced" } else { "✕ not balanced" };
    let _ = writeln!(page, "## Outcomes of the candidates\n\n**{verdict}:** {}\n", accounts.equation);
    let row = |(name, keys, share, meaning): &(&str, String, String, &str)| {
        vec![text(name), keys.clone(), text(share), text(meaning)]
    };
    let head = [("Outcome", false), ("Keys", true), ("Share", true), ("What it means", false)];
    table(page, &head, accounts.rows.iter().map(row));
}

fn hits(page: &mut String, hits: &HitRateView) {
    let _ = writeln!(page, "## Hit rate\n\n{}\n", text(&hits.source));
    if let Some(problem) = &hits.problem {
        let _ = writeln!(page, "**Unknown:** {}\n", text(problem));
    }
    if let Some(windows) = &hits.windows {
        shown(page, windows);
    }
    match &hits.samples {
        Some(samples) => shown(page, samples),
        None => {
            let _ = writeln!(page, "{}\n", hits.no_chart);
        }
    }
}

fn ttl(page: &mut String, ttl: &TtlView) {
    let _ = writeln!(page, "## Remaining TTLs\n\n{}\n", text(&ttl.sentence));
    figures(page, &ttl.figures);
    if let Some(bars) = &ttl.bars {
        shown(page, bars);
    }
}

fn prefixes(page: &mut String, prefixes: &PrefixesView<'_>) {
    let _ = writeln!(page, "## Largest prefixes\n");
    if prefixes.rankings.is_empty() {
        let _ = writeln!(page, "No prefixes were counted.\n");
    }
    for ranking in &prefixes.rankings {
        let _ = writeln!(page, "### {}\n\n{}\n", ranking.title, text(&ranking.note));
        let rows = ranking.rows.iter().map(|row| {
            let sample = row.sample.as_deref().map(code).unwrap_or_default();
            vec![code(&row.prefix), row.weight.clone(), text(&row.share), sample]
        });
        table(page, &[("Prefix", false), ("Weight", true), ("Share", true), ("Example", false)], rows);
    }
    if let Some(memory) = &prefixes.memory {
        let _ = writeln!(page, "{}\n", text(memory));
    }
}

fn inactive(page: &mut String, inactive: &InactiveView) {
    let _ = writeln!(page, "## Inactive users’ caches\n\n{}\n", text(&inactive.sentence));
    figures(page, &inactive.figures);
}

fn covered(page: &mut String, covered: &CoverageView<'_>) {
    let verdict = if covered.complete { "✓ complete" } else { "! incomplete" };
    let _ = writeln!(page, "## Coverage\n\n**{verdict}:** {}\n", text(&covered.sentence));
    if let Some(missing) = covered.missing {
        let _ = writeln!(page, "**Not read:** {}\n", text(missing));
    }
    if let Some(causes) = &covered.causes {
        shown(page, causes);
    }
}

fn nodes(page: &mut String, nodes: &Table) {
    let _ = writeln!(page, "## Nodes\n");
    if nodes.rows.is_empty() {
        let _ = writeln!(page, "No node was read.\n");
    }
    shown(page, nodes);
}

fn servers(page: &mut String, servers: &ServersView<'_>) {
    let _ = writeln!(page, "## Health of Redis\n");
    match servers.status {
        Some(status) => {
            let _ = writeln!(page, "At the end of the run: **{status}**\n");
        }
        None => {
            let _ = writeln!(page, "The health of the servers was not checked.\n");
        }
    }
    for problem in servers.problems {
        let _ = writeln!(page, "- {}", text(problem));
    }
    if !servers.problems.is_empty() {
        page.push('\n');
    }
    figures(page, &servers.figures);
    if let Some(nodes) = &servers.nodes {
        shown(page, nodes);
    }
}

fn figures(page: &mut String, figures: &[(&'static str, String)]) {
    let row = |(name, value): &(&'static str, String)| vec![text(name), text(value)];
    table(page, &[("Figure", false), ("", true)], figures.iter().map(row));
}

/// A table of the page, truncated to [`ROWS_MAX`] rows.
fn shown(page: &mut String, shown: &Table) {
    let head: Vec<(&str, bool)> =
        shown.columns.iter().map(|(name, kind)| (*name, *kind == Kind::Number)).collect();
    let cell = |(cell, (_, kind)): (&String, &(&str, Kind))| match kind {
        Kind::Code => code(cell),
        Kind::Text | Kind::Time | Kind::Number | Kind::Health => text(cell),
    };
    let row = |row: &Vec<String>| row.iter().zip(&shown.columns).map(cell).collect::<Vec<_>>();
    table(page, &head, shown.rows.iter().take(ROWS_MAX).map(row));
    if shown.rows.len() > ROWS_MAX {
        let _ = writeln!(page, "… and {} more {}.\n", shown.rows.len() - ROWS_MAX, shown.many);
    }
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
