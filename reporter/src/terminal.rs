//! Prints a result for a terminal: text of 80 columns, without colour. Pure.

use std::fmt::Write;

use keysweep_model::metrics::Alert;
use keysweep_model::result::{CleanupResult, NodeRow, ReadNode, ReadReplica, Status};

use crate::alerts::text::text;
use crate::facts;
use crate::format::{counted, duration, grouped, share_text, shortened, slots};

/// The maximum line width, in characters.
const WIDTH: usize = 80;

/// The page of `result`, with the job's display name as heading.
#[must_use]
pub fn render(result: &CleanupResult, display_name: &str) -> String {
    let mut page = String::new();
    headline(&mut page, result, display_name);
    figures(&mut page, result);
    nodes(&mut page, result);
    let alert = |alert: &Alert| format!("{} (since {})", text(alert, result), alert.since);
    let alerts: Vec<String> = result.alerts.iter().map(alert).collect();
    list(&mut page, "Alerts", &alerts);
    list(&mut page, "Issues", &result.issues);
    list(&mut page, "Recommendations", &result.recommendations);
    trim_lines(&page)
}

/// `page` without trailing spaces.
#[must_use]
pub fn trim_lines(page: &str) -> String {
    page.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

// Writing to a string cannot fail, so the results of `writeln!` are ignored.

fn headline(page: &mut String, result: &CleanupResult, display_name: &str) {
    let time = duration(result.duration_ms);
    let status = match result.status {
        Status::Completed => format!("completed in {time}"),
        Status::Partial => format!("PARTIAL after {time}: not everything was covered or done, see Issues"),
        Status::Failed => format!("FAILED after {time}, see Issues"),
        Status::Cancelled => format!("CANCELLED after {time}, before its end"),
    };
    let dry = if result.dry_run { ", dry run: nothing was changed" } else { "" };
    let _ = writeln!(page, "{}", wrap(&format!("{display_name} {status}{dry}"), 0));
    let attempt = match result.attempt.number {
        1 => String::new(),
        n => format!(", attempt {n} of {}", result.attempt.of),
    };
    let run = format!("job `{}`, run {}{attempt}", result.job, result.run_id);
    let _ = writeln!(page, "{}\n", wrap(&run, 0));
}

fn figures(page: &mut String, result: &CleanupResult) {
    let approximate = if result.scanned_keys_approximate { " (approximate)" } else { "" };
    let met = |keys| facts::keys(result, keys);
    line(page, "scanned", &met(result.scanned_keys), &format!("matching keys{approximate}"));
    if result.skipped_keys > 0 {
        row(page, "skipped", result.skipped_keys, "keys of nodes without stale keys");
    }
    let percent = match result.scanned_keys {
        0 => String::new(),
        keys => format!(", {} of them", share_text(result.stale_ttl_keys, keys)),
    };
    let protected = match facts::stale_protected(result) {
        0 => String::new(),
        keys => format!(", {} protected", grouped(keys)),
    };
    line(page, "stale", &met(result.stale_ttl_keys), &format!("without TTL{percent}{protected}"));
    let inactive = &result.inactive;
    for (name, value, note) in [
        ("inactive", inactive.found, "of inactive users"),
        ("active user", inactive.active_user, "of active users"),
        ("near expiry", inactive.near_expiry, "of inactive users, expiring soon"),
        ("unknown user", inactive.unknown_user, "kept: their user is unknown"),
        ("held back", inactive.no_active_user, "kept: no active user was found"),
    ] {
        if let Some(value) = value.filter(|value| *value > 0 || name == "inactive") {
            line(page, name, &met(value), note);
        }
    }
    for (name, value) in result.accounting.rows() {
        if value > 0 || name == "deleted" {
            row(page, name, value, facts::meaning(name));
        }
    }
    freed(page, result);
    if result.failover.redeleted > 0 {
        row(page, "redeleted", result.failover.redeleted, "more, in slots scanned again");
    }
    keys_left(page, result);
    let _ = writeln!(page);
    skipped(page, result);
    balance(page, result);
    let _ = writeln!(page, "  coverage    {}", shortened(&facts::covered(result), 65));
    if let Some(met) = facts::sampled_active(&result.inactive) {
        let _ = writeln!(page, "  activity    {}", wrap(&met, 14));
    }
    let _ = writeln!(page, "  hit rate    {}", wrap(&hit_rate(result), 14));
    for read in result.read_from.iter().flat_map(|read| &read.nodes) {
        let _ = writeln!(page, "  read        {}", wrap(&read_by(read), 14));
    }
    if let Some(place) = &result.backup {
        let backup = format!("in {place}; restore with `keysweep restore`");
        let _ = writeln!(page, "  backup      {}", wrap(&backup, 14));
    }
    if !result.pacing.summary.is_empty() {
        let _ = writeln!(page, "  pacing      {}", wrap(&result.pacing.summary, 14));
    }
}

/// The application's hit rate, or why it is unknown.
fn hit_rate(result: &CleanupResult) -> String {
    let when = facts::hit_rate_window(result);
    let (rates, window) = (&result.metrics.hit_rates, result.metrics.hit_rates.current());
    let lookups =
        window.lookups.map_or_else(|| "the lookups".to_owned(), |n| counted(n, "lookup", "lookups"));
    match (result.current_metrics.hit_rate, &rates.problem, &window.unknown_reason) {
        (Some(rate), _, _) => format!("{rate:.1}% of {lookups} by other clients {when}"),
        (None, Some(problem), _) => format!("unknown: {problem}"),
        (None, None, Some(why)) => format!("unknown {when}: {why}"),
        (None, None, None) if window.lookups == Some(0) => format!("no traffic by other clients {when}"),
        (None, None, None) => format!("unknown {when}"),
    }
}

fn keys_left(page: &mut String, result: &CleanupResult) {
    let metrics = &result.current_metrics;
    let ttl = metrics.avg_ttl.map_or(String::new(), |ttl| format!(", mean TTL {ttl:.0} s"));
    let keys = metrics.total_keys.map_or_else(|| facts::UNKNOWN.to_owned(), grouped);
    let note = match facts::keys_left_unknown(result) {
        Some(why) => format!(": {why}"),
        None => format!("{}{ttl}", facts::approximately(result)),
    };
    line(page, "left", &keys, &format!("matching keys after the run{note}"));
}

fn freed(page: &mut String, result: &CleanupResult) {
    if let Some((memory, note)) = facts::freed(result) {
        let name = if facts::is_only_reported(result) { "would free" } else { "freed" };
        line(page, name, &memory, &note);
    }
}

fn row(page: &mut String, name: &str, value: u64, note: &str) {
    line(page, name, &grouped(value), note);
}

fn line(page: &mut String, name: &str, value: &str, note: &str) {
    let _ = writeln!(page, "  {name:<14} {value:>15}  {}", wrap(note, 34));
}

/// The servers read in place of a primary, and their replication lag.
fn read_by(read: &ReadNode) -> String {
    let replica = |replica: &ReadReplica| {
        let ReadReplica { address, behind_bytes_max, waited_ms_max, .. } = replica;
        let lag = format!("lag up to {} bytes, waited {waited_ms_max} ms", grouped(*behind_bytes_max));
        format!("replica {address} ({lag})")
    };
    let mut who: Vec<String> = read.replicas.iter().map(replica).collect();
    if read.primary_tasks > 0 {
        who.push(format!("primary {} in {} tasks", read.address, grouped(read.primary_tasks)));
    }
    who.join(", ")
}

fn balance(page: &mut String, result: &CleanupResult) {
    let verdict = if result.accounting.balanced { "balanced" } else { "NOT BALANCED" };
    let _ = writeln!(page, "  {verdict:<11} {}", wrap(&facts::equation(result), 14));
}

fn skipped(page: &mut String, result: &CleanupResult) {
    let skipped = &result.skipped;
    if let (Some(why), Some(error)) = (&skipped.reason, skipped.sample_error_percent) {
        let sampled = grouped(skipped.sampled_keys);
        let line = format!(
            "{why}. Their TTLs and prefixes are estimated from a sample of {sampled} keys; shares are accurate to \
             {error} percentage points. `--full-scan` scans all keys."
        );
        let _ = writeln!(page, "  {:<11} {}", "skipped", wrap(&line, 14));
    }
}

fn nodes(page: &mut String, result: &CleanupResult) {
    let _ = writeln!(
        page,
        "\n  {:<23} {:>6} {:>11} {:>11} {:>11} {:>11}",
        "node", "slots", "keys", "matching", "stale", "deleted"
    );
    for node in &result.nodes {
        let name = if node.address.is_empty() { node.node.as_str() } else { &node.address };
        let first = cell(page, name, 23);
        let _ = writeln!(
            page,
            "  {first:<23} {:>6} {:>11} {:>11} {:>11} {:>11}",
            slots(node.slots),
            matching_keys(node, node.listed_keys.saturating_add(node.skipped_keys)),
            matching_keys(node, node.scanned_keys),
            matching_keys(node, node.stale_ttl_keys),
            grouped(node.cleaned_keys)
        );
    }
}

/// A number of keys of a node; `-` if no part of the node was read.
fn matching_keys(node: &NodeRow, keys: u64) -> String {
    facts::matching_keys(node, keys).map_or_else(|| "-".to_owned(), grouped)
}

/// `name` if it fits the first column of a table. Otherwise it is written on its own line, and the column stays empty.
#[must_use]
pub fn cell<'a>(page: &mut String, name: &'a str, width: usize) -> &'a str {
    if name.chars().count() <= width {
        return name;
    }
    let _ = writeln!(page, "  {name}");
    ""
}

fn list(page: &mut String, title: &str, sentences: &[String]) {
    if sentences.is_empty() {
        return;
    }
    let _ = writeln!(page, "\n{title}");
    for (n, sentence) in sentences.iter().enumerate() {
        let _ = writeln!(page, "{:>3}. {}", n + 1, wrap(sentence, 5));
    }
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
