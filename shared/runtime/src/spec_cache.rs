//! The specs of runs, read once per worker: they never change. With `[nats] trusted_keys`, only specs with a valid
//! signature for this run and prefix are accepted: a worker may rely on such a spec, and not on what only a batch or a
//! report claims.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keysweep_model::ids::RunId;
use keysweep_model::messages::RunSpec;
use keysweep_model::time::now_ms;
use keysweep_policy::RuleSet;
use keysweep_storage::records::RecordError;

use crate::context::Context;
use crate::worker::Failure;

/// The number of cached runs; older ones are read again on demand.
const KEPT: usize = 16;

/// A cache of specs.
pub struct SpecCache {
    context: Context,
    known: Mutex<BTreeMap<RunId, Arc<RunSpec>>>,
    /// The rules of runs that have some.
    rules: Mutex<BTreeMap<RunId, Arc<RuleSet>>>,
}

impl SpecCache {
    /// An empty cache.
    #[must_use]
    pub fn new(context: &Context) -> Self {
        Self { context: context.clone(), known: Mutex::default(), rules: Mutex::default() }
    }

    /// The spec of `run`, verified; `None` if there is no such run, or if it is older than the retention of records: a
    /// replayed spec is not executed again.
    ///
    /// # Errors
    /// [`RecordError::BadSignature`] if the signature is not accepted.
    pub async fn get(&self, run: RunId) -> Result<Option<Arc<RunSpec>>, RecordError> {
        if let Some(spec) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&run) {
            return Ok(Some(Arc::clone(spec)));
        }
        let Some(spec) = self.context.records(run).spec().await?.map(Arc::new) else { return Ok(None) };
        let age = Duration::from_millis(now_ms().saturating_sub(spec.started_at_ms));
        if age > self.context.timing.retention {
            tracing::warn!(%run, "the run is older than the retention of its records, ignored");
            return Ok(None);
        }
        self.context.count_from_zero(&spec.job, &spec.alias);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(run, Arc::clone(&spec));
        if known.len() > KEPT {
            // Run ids are ordered by time.
            known.pop_first();
        }
        Ok(Some(spec))
    }

    /// The rules of the run of `spec`; `None` if it has the short form of one.
    ///
    /// # Errors
    /// [`Failure::Refused`] if they contradict themselves: then nothing of the run is done.
    pub fn rules(&self, spec: &RunSpec) -> Result<Option<Arc<RuleSet>>, Failure> {
        let Some(policy) = &spec.rules.policy else { return Ok(None) };
        let known = || self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rules) = known().get(&spec.run) {
            return Ok(Some(Arc::clone(rules)));
        }
        let refused = |problems: Vec<keysweep_policy::RuleError>| {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            Failure::Refused(format!("the rules of the run are refused: {first}"))
        };
        let rules = Arc::new(RuleSet::new(&policy.rules).map_err(refused)?);
        let mut known = known();
        known.insert(spec.run, Arc::clone(&rules));
        if known.len() > KEPT {
            known.pop_first();
        }
        Ok(Some(rules))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Timing;
    use keysweep_model::messages::Rules;

    #[tokio::test]
    async fn nothing_is_done_for_a_run_whose_records_would_be_gone() {
        let hour = Duration::from_secs(3_600);
        let env = Context::in_process(BTreeMap::new(), Timing { retention: hour, ..Timing::default() });
        for (age, known) in [(hour / 2, true), (hour * 2, false)] {
            let rules = Rules::deleting(&["*"], &[]).expect("a good pattern");
            let age_ms = u64::try_from(age.as_millis()).expect("an age");
            let spec = RunSpec { started_at_ms: now_ms() - age_ms, ..RunSpec::plain(RunId::new(), rules) };
            env.records(spec.run).create_spec(&spec).await.expect("it is stored");
            assert_eq!(
                SpecCache::new(&env).get(spec.run).await.expect("an answer").is_some(),
                known,
                "{age:?}"
            );
        }
    }
}
