//! A run that only looks: nothing is changed, and nothing is kept.

use std::num::NonZeroUsize;

use coordinator::options::Options;
use coordinator::run_time::RunTime;
use coordinator::{embedded, exit};
use keysweep_model::ids::RunId;
use keysweep_model::messages::RuleExamples;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_model::time::now_ms;
use reporter::KeyNamespaces;

use super::error::CommandError;
use super::run::{OutputMode, preflight_with_terminal, run_watched};
use super::signals::Signals;

/// What a look found.
pub(super) struct Look {
    pub(super) result: CleanupResult,
    pub(super) namespaces: KeyNamespaces,
    /// Some keys that break rules, if the options ask for them.
    pub(super) examples: Vec<RuleExamples>,
    /// The exit code.
    pub(super) code: u8,
}

/// Reads all keys as `options` say, which must not allow changes. Namespaces have at most `depth` words.
///
/// # Errors
/// When there is no result.
pub(super) async fn look(
    options: &Options,
    depth: Option<NonZeroUsize>,
    show: OutputMode,
) -> Result<Look, CommandError> {
    let (time, mut signals, run) =
        (RunTime::begin(now_ms(), options.max_runtime), Signals::catch()?, RunId::new());
    let plan = signals.or_stop(preflight_with_terminal(options, run, time, show)).await??;
    let context = embedded::context(options);
    let (result, signal) = run_watched(&context, options, &plan, signals, show).await?;
    let records = context.records(run);
    let namespaces = reporter::namespaces(&records, &plan.spec, &result.metrics.redis_health, depth).await?;
    let wanted = options.rules.policy.as_ref().map_or(0, |policy| policy.examples);
    let examples = reporter::rule_examples(&records, wanted).await?;
    let code = exit::of_result(&result, records.cancel().await?.map(|cancel| cancel.kind));
    let code = signal.filter(|_| result.status == Status::Cancelled).unwrap_or(code);
    Ok(Look { result, namespaces, examples, code })
}
