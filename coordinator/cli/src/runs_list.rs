//! `keysweep runs list`: the remembered runs, newest first.

use coordinator::exit;
use jiff::Timestamp;
use keysweep_model::result::Status;
use keysweep_runtime::context::Context;
use keysweep_storage::history::{self, RunLine};
use reporter::{attempt, duration, grouped, wrap};
use serde_json::{Value, json};

use super::args::ListArgs;
use super::error::CommandError;
use super::run::OutputMode;

/// Prints the runs that the flags select.
///
/// # Errors
/// When the store fails.
pub(super) async fn list(context: &Context, args: &ListArgs, show: OutputMode) -> Result<u8, CommandError> {
    let mut lines = history::read(&*context.history_store).await?;
    lines.retain(|line| {
        args.job.as_ref().is_none_or(|job| *job == line.job)
            && args.status.as_ref().is_none_or(|status| status == status_text(line.status))
    });
    lines.reverse();
    let of = lines.len();
    lines.truncate(args.limit);
    let now = Timestamp::now();
    let runs: Vec<Value> = lines.iter().map(|line| with_duration(line, now)).collect();
    show.print(&json!({ "runs": runs, "of": of }), || match of - lines.len() {
        0 => listed(&lines, now),
        older => listed(&lines, now) + &format!("… and {older} older ones: `--limit {of}` shows all\n"),
    })?;
    Ok(exit::DONE)
}

/// Adds the duration of the run, up to `now` if it has not ended, in milliseconds; null if its times cannot be parsed.
fn with_duration(line: &RunLine, now: Timestamp) -> Value {
    let mut value = line.as_json();
    value["durationMs"] = json!(took_ms(line, now));
    value
}

fn took_ms(line: &RunLine, now: Timestamp) -> Option<u64> {
    let begun: Timestamp = line.started_at.parse().ok()?;
    let ended = match &line.finished_at {
        Some(time) => time.parse().ok()?,
        None => now,
    };
    // A clock that was set back gives no duration.
    Some(u64::try_from(ended.duration_since(begun).as_millis()).unwrap_or_default())
}

/// The runs as a table of 80 columns. Ids are never cut: other commands take them.
pub(super) fn listed(lines: &[RunLine], now: Timestamp) -> String {
    if lines.is_empty() {
        return "no remembered runs match\n".to_owned();
    }
    let mut page = format!("{:<36}  {:<16}  {:<9}  {:>13}\n", "run", "started", "status", "deleted");
    for line in lines {
        let started = line.started_at.get(..16).unwrap_or(&line.started_at).replace('T', " ");
        // The line of an active run does not include its deletions so far.
        let deleted = line.status.map_or_else(|| "-".to_owned(), |_| grouped(line.cleaned_keys));
        page.push_str(&format!(
            "{:<36}  {started:<16}  {:<9}  {deleted:>13}\n",
            line.run_id,
            status_text(line.status)
        ));
        let took = took_ms(line, now).map(|ms| format!(", {}", duration(ms))).unwrap_or_default();
        let attempt = attempt(&line.attempt).map(|attempt| format!(", {attempt}")).unwrap_or_default();
        let cause = line.cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
        let what = format!("{}{took}{attempt}, by {}{cause}", line.job, line.started_by);
        page.push_str(&format!("  {}\n", wrap(&what, 2)));
    }
    page
}

/// The word for the state of a run.
pub(super) fn status_text(status: Option<Status>) -> &'static str {
    status.map_or("running", Into::into)
}

#[cfg(test)]
mod tests {
    use keysweep_model::ids::{Alias, RunId};

    use super::*;

    #[test]
    fn an_active_run_has_no_counts_yet() {
        let line = RunLine::failed(RunId::new(), "nightly", &Alias::new("main"), 0, "no answer");
        let now = Timestamp::from_second(7_380).expect("a time");
        let shown = |status| {
            let line = RunLine { status, cleaned_keys: 7, ..line.clone() };
            let page = listed(std::slice::from_ref(&line), now);
            let last = page.lines().nth(1).and_then(|row| row.split_whitespace().last()).unwrap_or_default();
            (with_duration(&line, now), last.to_owned())
        };
        let (running, deleted) = shown(None);
        for count in ["scannedKeys", "staleTTLKeys", "cleanedKeys", "inactiveUserCaches"] {
            assert_eq!(running[count], Value::Null, "{count}");
        }
        assert_eq!(deleted, "-");
        let (ended, deleted) = shown(Some(Status::Completed));
        assert_eq!(
            (&ended["cleanedKeys"], &ended["scannedKeys"], deleted.as_str()),
            (&json!(7), &json!(0), "7")
        );
    }

    #[test]
    fn a_run_shows_its_duration() {
        let line = RunLine::failed(RunId::new(), "nightly", &Alias::new("main"), 0, "no answer");
        let ended = |finished: Option<&str>| RunLine {
            finished_at: finished.map(str::to_owned),
            started_by: "me".to_owned(),
            ..line.clone()
        };
        let now = Timestamp::from_second(7_380).expect("a time");
        let check = |finished, words: &str, ms: u64| {
            let line = ended(finished);
            let page = listed(std::slice::from_ref(&line), now);
            assert!(page.contains(&format!("nightly, {words}, by me: no answer")), "{page}");
            assert_eq!(with_duration(&line, now)["durationMs"], ms);
        };
        check(Some("1970-01-01T00:00:00.4Z"), "0.4 s", 400);
        check(Some("1970-01-01T00:00:59Z"), "59.0 s", 59_000);
        check(Some("1970-01-01T00:03:05Z"), "3 min 5 s", 185_000);
        check(None, "2 h 3 min", 7_380_000);
        check(Some("1969-01-01T00:00:00Z"), "0.0 s", 0);
    }
}
