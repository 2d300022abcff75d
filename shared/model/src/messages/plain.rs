//! Plain specs and rules: a starting point for demos and tests.

use super::{Action, Application, Attempt, Guards, Measure, PacingLimits, ReadFrom, Rules, RunSpec, Verify};
use crate::glob::{Pattern, PatternError};
use crate::ids::{Alias, RunId};

impl Rules {
    /// Rules that delete keys without TTL that match one of `patterns` and none of `protect`, up to 100 in a batch,
    /// without grace.
    ///
    /// # Errors
    /// When a pattern is too long.
    pub fn deleting(patterns: &[&str], protect: &[&str]) -> Result<Self, PatternError> {
        let parsed = |texts: &[&str]| texts.iter().map(|text| Pattern::new(*text)).collect::<Result<_, _>>();
        Ok(Self {
            patterns: parsed(patterns)?,
            protect: parsed(protect)?,
            sources: Vec::new(),
            action: Action::Delete,
            grace_ms: 0,
            scan_batch_keys: 100,
            delete_batch_keys: 100,
            inactive: None,
            verify: Verify::default(),
            policy: None,
        })
    }
}

impl RunSpec {
    /// A run of job `job` on the standalone server `main`, at full speed, without limits, and without nodes.
    #[must_use]
    pub fn plain(run: RunId, rules: Rules) -> Self {
        Self {
            run,
            job: "job".to_owned(),
            alias: Alias::new("main"),
            cluster: false,
            db: 0,
            rules,
            dry_run: false,
            nodes: Vec::new(),
            started_at_ms: 0,
            guards: Guards::default(),
            display_name: "Job".to_owned(),
            started_by: "test".to_owned(),
            scheduled: false,
            attempt: Attempt::default(),
            activity_source: None,
            inactive_refused: None,
            sampled_users: None,
            application: Application::default(),
            pacing: PacingLimits::default(),
            read_from: ReadFrom::default(),
            insecure: false,
            unreachable_nodes: Vec::new(),
            scripts_refused: None,
            backup: None,
            measure: Measure::default(),
            grants: true,
            namespaces: false,
            requested: None,
            rule_deletions_max: Vec::new(),
        }
    }
}
