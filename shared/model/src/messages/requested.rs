//! The request of a run: the options that its other rules do not contain, and whether two runs have the same request.
//! A coordinator that resumes or retries a run uses its request, even if the job's configuration has changed since.

use serde::{Deserialize, Serialize};

use super::{Guards, InactivePolicy, Rules, RunSpec};

/// The request of a run in addition to its [`Rules`] and limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestedOptions {
    /// Whether the caches of inactive users are removed as well.
    pub aggressive: bool,
    /// How they are found, if configured.
    pub inactive: Option<InactivePolicy>,
    /// Whether keys are also scanned on nodes that have none without TTL.
    pub full_scan: bool,
    /// The largest share of matching keys that may be deleted, 0 to 100.
    pub max_delete_percent: u8,
}

impl RunSpec {
    /// Whether `other` has the same request. Findings of the plan, the client, and the number of the attempt are
    /// ignored. Two runs differ if an older version planned one of them, because it stored no request.
    #[must_use]
    pub fn has_same_request(&self, other: &Self) -> bool {
        self.requested.is_some() && self.order() == other.order()
    }

    /// What the request consists of. All fields are named, so that a new field forces a decision here.
    fn order(&self) -> impl PartialEq + '_ {
        let Self {
            run: _,
            job,
            alias,
            cluster: _,
            db,
            rules,
            dry_run,
            nodes: _,
            started_at_ms: _,
            guards: Guards { deletions_max: _, runtime_max_ms, runtime_from_ms: _ },
            display_name: _,
            started_by: _,
            scheduled: _,
            attempt: _,
            activity_source: _,
            inactive_refused: _,
            sampled_users: _,
            scripts_refused: _,
            // It changes recommendations, not actions.
            application: _,
            pacing,
            read_from,
            insecure: _,
            unreachable_nodes: _,
            backup,
            measure: _,
            grants: _,
            namespaces,
            requested,
            rule_deletions_max: _,
        } = self;
        // The users who were active when each run was planned.
        let rules = Rules { inactive: None, ..rules.clone() };
        (job, alias, db, rules, dry_run, runtime_max_ms, pacing, read_from, backup, namespaces, requested)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glob::Pattern;
    use crate::ids::RunId;
    use crate::messages::{Action, Attempt, BackupPolicy, PacingLimits, ReadFrom};

    fn spec() -> RunSpec {
        let asked =
            RequestedOptions { aggressive: false, inactive: None, full_scan: false, max_delete_percent: 50 };
        RunSpec {
            requested: Some(asked),
            ..RunSpec::plain(RunId::new(), Rules::deleting(&["a"], &[]).unwrap())
        }
    }

    #[test]
    fn only_the_request_is_compared() {
        let check = |change: fn(&mut RunSpec), expected: bool| {
            let (one, mut other) = (spec(), spec());
            change(&mut other);
            assert_eq!(one.has_same_request(&other), expected, "{other:?}");
        };
        check(|_| {}, true);
        check(|spec| spec.started_by = "another user".to_owned(), true);
        check(|spec| spec.attempt = Attempt { number: 2, of: 3, previous: None }, true);
        check(|spec| spec.guards.deletions_max = Some(7), true);
        check(|spec| spec.guards.runtime_from_ms = Some(7), true);
        check(|spec| spec.guards.runtime_max_ms = Some(7), false);
        check(|spec| spec.rules.action = Action::Report, false);
        check(|spec| spec.rules.protect = vec![Pattern::new("a").unwrap()], false);
        check(|spec| spec.dry_run = true, false);
        check(|spec| spec.db = 1, false);
        check(|spec| spec.pacing = PacingLimits { latency_budget_ms: Some(1), keys_per_s_max: None }, false);
        check(|spec| spec.read_from = ReadFrom::Replica { lag_max_ms: 1 }, false);
        check(|spec| spec.backup = Some(BackupPolicy { target: "/b".to_owned(), value_bytes_max: 1 }), false);
        check(|spec| spec.requested.as_mut().unwrap().aggressive = true, false);
        check(|spec| spec.requested.as_mut().unwrap().full_scan = true, false);
        check(|spec| spec.requested.as_mut().unwrap().max_delete_percent = 51, false);
        check(|spec| spec.requested = None, false);
        let older = RunSpec { requested: None, ..spec() };
        assert!(!older.has_same_request(&older));
    }
}
