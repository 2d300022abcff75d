//! `keysweep policy check`: which keys break the rules of a job. It changes nothing, and keeps nothing.

use coordinator::exit;
use coordinator::options::Options;
use keysweep_model::result::RuleRow;
use reporter::KeyNamespaces;
use reporter::printer::terminal;

use super::args::{CheckFormat, PolicyCheckArgs};
use super::error::CommandError;
use super::look::{Look, look};
use super::policy_page::{self, Checked, Unowned, github, json, junit};
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
    let options = options.checking_rules(policy)?;
    let has_rest = options.rules.policy.as_ref().is_some_and(|policy| policy.has_rest);
    let Look { result, namespaces, code } = Box::pin(look(&options, None, show)).await?;
    let mut rules = result.rules;
    let rest = rules.split_off(stated.min(rules.len()));
    let unowned = rest.first().filter(|_| has_rest).map(|rest| unowned(rest, namespaces));
    let found = Checked { job, rules, unowned, coverage: result.coverage, allowed: args.allow };
    let show = OutputMode { json: show.json || args.format == CheckFormat::Json, ..show };
    match args.format {
        CheckFormat::Junit if !show.json => print(&junit::junit(&found).map_err(std::io::Error::other)?)?,
        CheckFormat::Github if !show.json => print(&github::github(&found))?,
        _ => show.print(&json::json(&found), || terminal::blocks(&policy_page::blocks(&found)))?,
    };
    Ok(if found.passes() { code } else { exit::BREACHED })
}

fn unowned(rest: &RuleRow, found: KeyNamespaces) -> Unowned {
    Unowned { keys: rest.scanned, without_ttl: rest.without_ttl, namespaces: found.found.rows }
}
