//! Converts options to the spec of a run, and back: another attempt at a run uses the spec of the first. Later changes
//! of the job's configuration do not change what the attempt does in Redis, only how it connects and where it sends notifications.

use std::time::Duration;

use keysweep_config::BackupPlace;
use keysweep_model::ids::RunId;
use keysweep_model::messages::{Attempt, Guards, Measure, RequestedOptions, Rules, RunSpec};
use keysweep_redis::ConnectOptions;

use crate::options::Options;

impl Options {
    /// The spec of a run, as far as it follows from the options. The preflight adds what depends on the servers, and
    /// the rule for inactive users.
    #[must_use]
    pub fn spec(&self, run: RunId, started_at_ms: u64) -> RunSpec {
        let millis = |max: Duration| u64::try_from(max.as_millis()).unwrap_or(u64::MAX);
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
            requested: Some(RequestedOptions {
                aggressive: self.aggressive,
                inactive: self.inactive.clone(),
                full_scan: self.full_scan,
                max_delete_percent: self.max_delete_percent,
            }),
        }
    }

    /// The options of another attempt at the run `first`: its spec, in the deployment behind `access`. Notifications,
    /// paths and waiting times come from `job`, the current configuration. `None` if the spec is incomplete, because
    /// an older version has planned the run.
    ///
    /// The patterns list all fields of both, so that a new field cannot be forgotten here.
    #[must_use]
    pub fn retry_of(first: &RunSpec, access: ConnectOptions, job: &Self) -> Option<Self> {
        let RunSpec {
            run: _,
            job: name,
            alias,
            cluster: _,
            db,
            rules,
            dry_run,
            nodes: _,
            started_at_ms: _,
            // The limit is a share of the keys at that time, and each attempt has its own time limit.
            guards: Guards { deletions_max: _, runtime_max_ms, runtime_from_ms: _ },
            display_name,
            started_by,
            scheduled,
            attempt,
            activity_source: _,
            inactive_refused: _,
            sampled_users: _,
            scripts_refused: _,
            application,
            pacing,
            read_from,
            insecure: _,
            unreachable_nodes: _,
            backup,
            measure: _,
            grants: _,
            requested: asked,
        } = first.clone();
        let RequestedOptions { aggressive, inactive, full_scan, max_delete_percent } = asked?;
        let Self {
            job: _,
            display_name: _,
            alias: _,
            access: _,
            rules: _,
            aggressive: _,
            inactive: _,
            dry_run: _,
            only_plan: _,
            full_scan: _,
            max_delete_percent: _,
            max_runtime: _,
            lock_wait,
            started_by: _,
            scheduled: _,
            attempt: _,
            application: _,
            state_dir,
            report_dir,
            integrations,
            pacing: _,
            read_from: _,
            backup: _,
        } = job.clone();
        Some(Self {
            job: name,
            display_name,
            alias,
            access: ConnectOptions { db, ..access },
            // The active users are read again.
            rules: Rules { inactive: None, ..rules },
            aggressive,
            inactive,
            dry_run,
            only_plan: false,
            full_scan,
            max_delete_percent,
            max_runtime: runtime_max_ms.map(Duration::from_millis),
            lock_wait,
            started_by,
            scheduled,
            attempt: Attempt { previous: Some(first.run), ..attempt },
            application,
            state_dir,
            report_dir,
            integrations,
            pacing,
            read_from,
            backup: backup.map(|order| (BackupPlace::written(&order.target), order.value_bytes_max)),
        })
    }
}

#[cfg(test)]
mod tests;
