//! `keysweep policy check`: which keys, of servers or of RDB files, break the rules of a job. It changes nothing, and keeps
//! nothing.

use std::path::PathBuf;

use coordinator::embedded::RunError;
use coordinator::exit;
use coordinator::options::Options;
use coordinator::policy_check::rules;
use keysweep_inspect::Namespaces;
use keysweep_model::messages::{RuleCounts, StatedRule};
use keysweep_model::result::{Accounting, Coverage, RuleRow};
use keysweep_model::time::now_ms;
use reporter::printer::terminal;
use scanner::Classifier;

use super::args::{CheckFormat, PolicyCheckArgs};
use super::error::CommandError;
use super::look::{Look, look};
use super::policy_page::checked::{Checked, Examples, Unowned, Verdict};
use super::policy_page::{github, json, junit, text};
use super::rdb_files::{self, RdbReading};
use super::rdb_page::{self, RdbFile};
use super::run::{OutputMode, print};

/// `keysweep policy check`.
///
/// # Errors
/// When the job has no rules, or there is no result.
pub async fn check(options: Options, args: &PolicyCheckArgs, show: OutputMode) -> Result<u8, CommandError> {
    let job = options.job.clone();
    let Some(policy) = options.rules.policy.clone() else {
        return Err(CommandError::Usage(format!(
            "the job `{job}` has no rules to check: state some as `[[job.rule]]` in a job file, or let \
             `keysweep inspect --write-policy FILE` write them"
        )));
    };
    let stated = policy.rules.len();
    // One of them tells in which ways a rule is broken, also where none is shown.
    let options = options.checking_rules(policy, args.sample_keys.max(1))?;
    let has_rest = options.rules.policy.as_ref().is_some_and(|policy| policy.has_rest);
    let RuleReading { mut rules, namespaces, examples, coverage, files, code } = match args.rdb.as_slice() {
        [] => of_servers(&options, args.sample_keys, show).await?,
        paths => of_files(&options, paths, args.sample_keys)?,
    };
    let rest = rules.split_off(stated.min(rules.len()));
    let unowned = rest.first().filter(|_| has_rest).map(|rest| unowned(rest, namespaces));
    let found = Checked { job, rules, examples, unowned, coverage, files, allowed: args.allow };
    let show = OutputMode { json: show.json || args.format == CheckFormat::Json, ..show };
    match args.format {
        CheckFormat::Junit if !show.json => print(&junit::junit(&found).map_err(std::io::Error::other)?)?,
        CheckFormat::Github if !show.json => print(&github::github(&found))?,
        _ => show.print(&json::json(&found), || terminal::blocks(&text::blocks(&found)))?,
    };
    Ok(match found.verdict() {
        Verdict::Breached => exit::BREACHED,
        Verdict::Unknown if code == exit::DONE => exit::PARTIAL,
        Verdict::Unknown | Verdict::Passed => code,
    })
}

/// What was found of the rules.
struct RuleReading {
    /// The rules, with the one that was added.
    rules: Vec<RuleRow>,
    /// The keys of no rule.
    namespaces: Namespaces,
    /// Some keys that break rules.
    examples: Examples,
    coverage: Coverage,
    /// The files that were read; empty if servers were.
    files: Vec<RdbFile>,
    /// The exit code, if no rule is broken.
    code: u8,
}

async fn of_servers(
    options: &Options,
    sample_keys: u8,
    show: OutputMode,
) -> Result<RuleReading, CommandError> {
    let Look { result, namespaces, examples, code } = Box::pin(look(options, None, show)).await?;
    let (rules, coverage, examples) = (result.rules, result.coverage, Examples::of(examples, sample_keys));
    Ok(RuleReading { rules, namespaces: namespaces.found, examples, coverage, files: Vec::new(), code })
}

/// Checks the keys of the database of the job in the files at `paths`.
fn of_files(options: &Options, paths: &[PathBuf], sample_keys: u8) -> Result<RuleReading, CommandError> {
    let rule_set = rules(options).map_err(RunError::from)?;
    let selector = Classifier::new(&options.rules, None).with_rules(rule_set.as_ref());
    let database = options.access.db;
    let RdbReading { files, mut databases, .. } =
        rdb_files::read(paths, Some(database), &selector, now_ms())?;
    let counts = databases.remove(&database).unwrap_or_default();
    let stated = options.rules.policy.iter().flat_map(|policy| &policy.rules);
    let row = |(number, rule): (u16, &StatedRule)| {
        let found = counts.rules.iter().find(|found| found.rule == number);
        RuleRow::of(rule, &found.copied().unwrap_or_else(|| RuleCounts::of(number)), Accounting::default())
    };
    let rules = (0..).zip(stated).map(row).collect();
    let coverage = rdb_page::coverage(&files);
    let code = if coverage.complete { exit::DONE } else { exit::PARTIAL };
    let examples = Examples::of(counts.examples, sample_keys);
    let namespaces = counts.namespaces.namespaces(None);
    Ok(RuleReading { rules, namespaces, examples, coverage, files, code })
}

fn unowned(rest: &RuleRow, found: Namespaces) -> Unowned {
    Unowned { keys: rest.scanned, without_ttl: rest.without_ttl, namespaces: found.rows }
}
