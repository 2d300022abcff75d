//! Output of `config show`, `config check`, `completions` and `man`. Each function returns its text or writes it to
//! the given writer; `main` prints.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

use clap_complete::Shell;
use clap_mangen::Man;
use comfy_table::{Table, presets};
use coordinator::schedule::JobSchedule;
use jiff::Timestamp;
use keysweep_config::{DisplayRow, Settings};
use serde_json::{Value, json};

use super::args;

/// How many next times of a schedule are shown.
const NEXT_TIMES: usize = 3;

/// The settings as aligned columns: name, value, origin.
#[must_use]
pub fn settings(rows: &[DisplayRow]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["setting", "value", "origin"]);
    for row in rows {
        table.add_row([row.name, row.value.as_str(), row.origin.as_str()]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt() + "\n"
}

/// When `keysweep serve` starts the job, or why it cannot.
#[must_use]
pub fn schedule(settings: &Settings, now: Timestamp) -> (String, Value) {
    let (schedule, next) = match JobSchedule::of(settings) {
        Ok(schedule) => {
            let next = match &schedule {
                JobSchedule::Cron(cron) => cron.next_times(now, NEXT_TIMES),
                // The service decides.
                JobSchedule::Auto(_) => Vec::new(),
            };
            (schedule.describe(), next.iter().map(Timestamp::to_string).collect::<Vec<_>>())
        }
        Err(e) => return (format!("\nWith `keysweep serve`: {e}\n"), json!({ "problem": e.to_string() })),
    };
    let times = match next.as_slice() {
        [] => format!("`keysweep schedule explain {}` shows what was decided", settings.job.value),
        next => next.join("\n        "),
    };
    (
        format!("\nWith `keysweep serve`: {schedule}\n  next: {times}\n"),
        json!({ "schedule": schedule, "next": next }),
    )
}

/// The settings as one JSON document: `{"settings": [{"name", "value", "origin"}], "runs": {"schedule", "next"}}`.
#[must_use]
pub fn settings_json(rows: &[DisplayRow], runs: &Value) -> String {
    format!("{:#}\n", json!({ "settings": rows, "runs": runs }))
}

/// The result of a check as text: the jobs, or one mistake per line; and what could not be read here.
#[must_use]
pub fn checked<E: Display>(path: &Path, outcome: &Result<Vec<String>, Vec<E>>, unread: &[String]) -> String {
    let page = match outcome {
        Ok(jobs) if jobs.is_empty() => format!("{}: no problems, no jobs\n", path.display()),
        Ok(jobs) => format!("{}: no problems, jobs: {}\n", path.display(), jobs.join(", ")),
        Err(problems) => problems.iter().map(|problem| format!("{problem}\n")).collect(),
    };
    unread.iter().fold(page, |page, unread| format!("{page}not checked: {unread}\n"))
}

/// The same as one JSON document: `{"file", "jobs", "problems", "unread"}`, with one of the first two lists empty.
#[must_use]
pub fn checked_json<E: Display>(
    path: &Path,
    outcome: &Result<Vec<String>, Vec<E>>,
    unread: &[String],
) -> String {
    let (jobs, problems) = match outcome {
        Ok(jobs) => (jobs.as_slice(), Vec::new()),
        Err(problems) => (&[][..], problems.iter().map(ToString::to_string).collect()),
    };
    let file = path.display().to_string();
    format!("{:#}\n", json!({ "file": file, "jobs": jobs, "problems": problems, "unread": unread }))
}

/// Writes the completion script of a shell.
///
/// # Errors
/// When `out` fails.
pub fn completions(shell: Shell, out: &mut dyn Write) -> io::Result<()> {
    // The generator panics when a write fails, so it writes into memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "keysweep", &mut script);
    out.write_all(&script)
}

/// Writes the manual: the page of `keysweep`, then one page per subcommand.
///
/// # Errors
/// When `out` fails.
pub fn man(out: &mut dyn Write) -> io::Result<()> {
    let mut root = args::command().disable_help_subcommand(true);
    root.build();
    pages(&root, "keysweep", out)
}

fn pages(command: &clap::Command, name: &str, out: &mut dyn Write) -> io::Result<()> {
    Man::new(command.clone()).title(name).render(out)?;
    for child in command.get_subcommands() {
        pages(child, &format!("{name}-{}", child.get_name()), out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use keysweep_config::{Environment, FlagLayer, check_file, resolve};

    use super::*;

    fn rows() -> Vec<DisplayRow> {
        let mut flags = FlagLayer::default();
        flags.value("--redis", Some("redis://me:pw@cache")).value("--grace", Some("2s"));
        let settings = resolve(&flags, &Environment::default(), None).expect("good settings");
        settings.rows()
    }

    #[test]
    fn settings_are_aligned_columns_without_secrets() {
        let text = settings(&rows());
        let lines: Vec<&str> = text.lines().collect();
        let line = |name: &str| {
            lines.iter().find(|line| line.split(' ').next() == Some(name)).copied().unwrap_or("")
        };
        let column = lines[0].find("value").expect("a heading");
        assert!(line("grace")[column..].starts_with("2s "), "{text}");
        assert!(line("grace").ends_with(" flag --grace"), "{text}");
        assert!(line("urls")[column..].starts_with("redis://me:***@cache "), "{text}");
        assert!(!text.contains("pw@") && lines.iter().all(|line| line.trim_end() == *line), "{text}");
    }

    #[test]
    fn json_holds_the_same_rows() {
        let json: serde_json::Value =
            serde_json::from_str(&settings_json(&rows(), &Value::Null)).expect("JSON");
        assert_eq!(json["settings"][0]["name"], "name");
        let row = |name: &str| {
            let rows = json["settings"].as_array().expect("a list");
            rows.iter().find(|row| row["name"] == name).unwrap_or(&Value::Null)
        };
        assert_eq!(row("password")["value"], "***");
        assert_eq!(row("grace")["origin"], "flag --grace");
    }

    #[test]
    fn a_checked_file_lists_jobs_or_problems() {
        let path = Path::new("k.toml");
        let good = check_file(path, "[[job]]\nname = \"a\"\n");
        assert_eq!(checked(path, &good, &[]), "k.toml: no problems, jobs: a\n");
        let bad = check_file(path, "x = 1\ny = 2\n");
        assert_eq!(checked(path, &bad, &[]), "k.toml:1: unknown key `x`\nk.toml:2: unknown key `y`\n");
        let json: serde_json::Value = serde_json::from_str(&checked_json(path, &bad, &[])).expect("JSON");
        assert_eq!(json["problems"][1], "k.toml:2: unknown key `y`");
    }

    #[test]
    fn completions_and_manual_name_every_flag() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            completions(shell, &mut script).expect("memory takes everything");
            assert!(String::from_utf8_lossy(&script).contains("max-delete-percent"), "{shell}");
        }
        let mut page = Vec::new();
        man(&mut page).expect("memory takes everything");
        let page = String::from_utf8_lossy(&page);
        assert!(page.contains("keysweep\\-run") && page.contains("max\\-delete\\-percent"));
    }
}
