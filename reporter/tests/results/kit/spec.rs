//! A run as it was started.

use shared::glob::Pattern;
use shared::ids::{Alias, NodeId, RunId};
use shared::messages::{Action, Application, Attempt, Guards, Pace, PlannedNode, ReadFrom, Rules, RunSpec};
use shared::slot::SlotSet;

/// One node, which has all slots; every key without a TTL is deleted.
pub fn spec(run: RunId) -> RunSpec {
    RunSpec {
        run,
        job: "job".to_owned(),
        alias: Alias::new("main"),
        cluster: true,
        db: 0,
        rules: Rules {
            patterns: vec![Pattern::new("*").unwrap()],
            protect: Vec::new(),
            sources: Vec::new(),
            action: Action::Delete,
            grace_ms: 0,
            scan_batch_keys: 100,
            delete_batch_keys: 100,
            inactive: None,
        },
        dry_run: false,
        nodes: vec![PlannedNode {
            node: NodeId::new("n"),
            address: "127.0.0.1:1".to_owned(),
            slots: SlotSet::all(),
            keys: 0,
            process: "p".to_owned(),
        }],
        started_at_ms: 1_000,
        guards: Guards::default(),
        display_name: "Job".to_owned(),
        started_by: "a test".to_owned(),
        attempt: Attempt::default(),
        activity_source: None,
        scripts_refused: None,
        inactive_refused: None,
        insecure: false,
        left_out: Vec::new(),
        application: Application::default(),
        pace: Pace::default(),
        read_from: ReadFrom::default(),
        backup: None,
    }
}
