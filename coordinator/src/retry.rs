//! Converts options to the spec of a run, and back: another attempt at a run uses the spec of the first. Later changes
//! of the job's configuration do not change what the attempt does in Redis, only how it connects and where it sends notifications.

use std::time::Duration;

use keysweep_config::BackupPlace;
use keysweep_model::duration::millis;
use keysweep_model::ids::RunId;
use keysweep_model::messages::{Attempt, Guards, Measure, RequestedOptions, RunSpec};
use keysweep_redis::ConnectOptions;

use crate::options::Options;

impl Options {
    /// The spec of a run, as far as it follows from the options. The preflight adds what depends on the servers, and
    /// the rule for inactive users.
    #[must_use]
    pub fn spec(&self, run: RunId, started_at_ms: u64) -> RunSpec {
        RunSpec {
            run,
            job: self.job.clone(),
            alias: self.alias.clone(),
            cluster: false,
            db: self.access.db,
            rules: self.rules.clone(),
            dry_run: self.dry_run,
            nodes: Vec::new(),
            started_at_ms,
            guards: Guards { runtime_max_ms: self.max_runtime.map(millis), ..Guards::default() },
            display_name: self.display_name.clone(),
            started_by: self.started_by.clone(),
            scheduled: self.scheduled,
            attempt: self.attempt,
            activity_source: self.inactive_policy().map(|order| order.source.name()),
            inactive_refused: None,
            sampled_users: None,
            scripts_refused: None,
            application: self.application.clone(),
            pacing: self.pacing,
            read_from: self.read_from,
            insecure: self.access.is_insecure(),
            unreachable_nodes: Vec::new(),
            backup: self.backup_order(),
            measure: Measure::default(),
            grants: true,
            namespaces: self.namespaces,
            requested: Some(RequestedOptions {
                aggressive: self.aggressive,
                inactive: self.inactive.clone(),
                full_scan: self.full_scan,
                max_delete_percent: self.max_delete_percent,
            }),
            rule_deletions_max: Vec::new(),
        }
    }

    /// The options of another attempt at the run `first`: its spec, in the deployment behind `access`. Notifications,
    /// paths and waiting times come from `job`, the current configuration. `None` if the spec is incomplete, because
    /// an older version has planned the run.
    ///
    /// All options are named, so that a new one forces a decision here.
    #[must_use]
    pub fn retry_of(first: &RunSpec, access: ConnectOptions, job: &Self) -> Option<Self> {
        let RequestedOptions { aggressive, inactive, full_scan, max_delete_percent } =
            first.requested.clone()?;
        let mut rules = first.rules.clone();
        rules.set_activity(None);
        Some(Self {
            job: first.job.clone(),
            display_name: first.display_name.clone(),
            alias: first.alias.clone(),
            access: ConnectOptions { db: first.db, ..access },
            // The active users are read again.
            rules,
            // The job file may have changed since.
            rule_places: Vec::new(),
            aggressive,
            inactive,
            dry_run: first.dry_run,
            only_plan: false,
            full_scan,
            namespaces: first.namespaces,
            measures_all: false,
            // A share of the keys that there are then; each attempt has the whole time limit, too.
            max_delete_percent,
            max_runtime: first.guards.runtime_max_ms.map(Duration::from_millis),
            lock_wait: job.lock_wait,
            started_by: first.started_by.clone(),
            scheduled: first.scheduled,
            attempt: Attempt { previous: Some(first.run), ..first.attempt },
            application: first.application.clone(),
            state: job.state.clone(),
            report_dir: job.report_dir.clone(),
            metrics_file: job.metrics_file.clone(),
            integrations: job.integrations.clone(),
            task_sizes: job.task_sizes,
            pacing: first.pacing,
            read_from: first.read_from,
            backup: first
                .backup
                .as_ref()
                .map(|order| (BackupPlace::written(&order.target), order.value_bytes_max)),
        })
    }
}

#[cfg(test)]
mod tests;
