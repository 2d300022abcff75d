//! `cargo xtask matrix`: fetches servers of other versions, without changing the system, and runs the end-to-end suite
//! on each, one after the other. The README contains the results.

mod servers;
mod suite;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use self::servers::{ServerRole, VERSIONS, Version};
use self::suite::SuiteResult;
use crate::bench::report::page::with_block;
use crate::bench::report::table::Table;
use crate::cargo::root;
use crate::install;

/// The page with the table, and the name of its block.
const PAGE: &str = "README.md";
const BLOCK: &str = "matrix";

/// What to run.
#[derive(clap::Args)]
pub(crate) struct MatrixOptions {
    /// Only versions whose name contains this, such as `Redis 6.2` or `nats` (repeatable). The README is not changed.
    #[arg(long)]
    only: Vec<String>,
    /// Fetch the servers and run nothing.
    #[arg(long)]
    fetch: bool,
}

/// Fetches the servers, runs the suite and writes the table.
///
/// # Errors
/// When a server cannot be fetched, or the tests do not compile.
#[expect(clippy::disallowed_methods, reason = "a developer's own work tree")]
pub(crate) fn run(options: &MatrixOptions) -> Result<ExitCode> {
    let wanted = |version: &&Version| {
        let name = version.name.to_lowercase();
        options.only.is_empty() || options.only.iter().any(|only| name.contains(&only.to_lowercase()))
    };
    let versions: Vec<&Version> = VERSIONS.iter().filter(wanted).collect();
    if versions.is_empty() {
        let names: Vec<&str> = VERSIONS.iter().map(|version| version.name).collect();
        bail!("no version matches; available: {}", names.join(", "));
    }
    let fetched = versions.iter().map(|version| version.fetch()).collect::<Result<Vec<_>>>()?;
    for (version, (program, full)) in versions.iter().zip(&fetched) {
        println!("{}: {full}, {}", version.name, program.display());
    }
    if options.fetch {
        return Ok(ExitCode::SUCCESS);
    }
    install::ensure(&install::FOR_TESTS)?;
    let mut roles: Vec<ServerRole> = versions.iter().map(|version| version.role).collect();
    roles.dedup();
    suite::build(&roles)?;
    let mut rows = Vec::new();
    for (version, (program, full)) in versions.iter().zip(&fetched) {
        println!("== {} ({full})", version.name);
        let outcome = suite::run(version, program)?;
        println!("== {}", row(version, full, &outcome).join(" | "));
        rows.push((*version, full.as_str(), outcome));
    }
    let failed = rows.iter().any(|(_, _, outcome)| !outcome.failed.is_empty());
    println!("\n{}", table(&rows).text());
    if options.only.is_empty() {
        let page = root().join(PAGE);
        let text =
            fs::read_to_string(&page).with_context(|| format!("failed to read `{}`", page.display()))?;
        fs::write(&page, with_block(&text, BLOCK, &block(&rows)))?;
        println!("written to `{PAGE}`");
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

type Row<'a> = (&'a Version, &'a str, SuiteResult);

fn table(rows: &[Row<'_>]) -> Table {
    let cells = rows.iter().map(|(version, full, outcome)| row(version, full, outcome));
    Table::new(["server", "version", "tests passed", "failed", "seconds"], cells.collect())
}

fn row(version: &Version, full: &str, outcome: &SuiteResult) -> Vec<String> {
    let failed = if outcome.failed.is_empty() { "none".to_owned() } else { outcome.failed.join(", ") };
    let note = if version.without.is_some() { " (1)" } else { "" };
    let cells = [outcome.passed.to_string(), failed, outcome.seconds.to_string()];
    [format!("{}{note}", version.name), full.to_owned()].into_iter().chain(cells).collect()
}

fn block(rows: &[Row<'_>]) -> String {
    let notes = rows.iter().filter_map(|(version, ..)| version.without).map(|(_, why)| format!("(1) {why}."));
    let parts = [
        "Written by `cargo xtask matrix`, which fetches these servers and runs the end-to-end suite on each: versions \
         of Redis and Valkey with runs in one process, those of nats-server with runs over NATS."
            .to_owned(),
        table(rows).markdown().trim_end().to_owned(),
    ];
    parts.into_iter().chain(notes).collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lists_versions_and_failures() {
        let failed = SuiteResult { passed: 3, failed: vec!["a::b".to_owned()], seconds: 7 };
        let fine = SuiteResult { passed: 4, ..SuiteResult::default() };
        let block = block(&[(&VERSIONS[0], "6.2.14", failed), (&VERSIONS[1], "7.0.15", fine)]);
        assert!(block.contains("| Redis 6.2 (1) | 6.2.14 | 3 | a::b | 7 |"), "{block}");
        assert!(block.contains("| Redis 7.0 | 7.0.15 | 4 | none | 0 |"), "{block}");
        let (_, why) = VERSIONS[0].without.unwrap();
        assert!(block.ends_with(&format!("(1) {why}.")), "{block}");
    }
}
