//! The spec of a run.

use keysweep_model::ids::{NodeId, RunId};
use keysweep_model::messages::{PlannedNode, Rules, RunSpec};
use keysweep_model::slot::SlotSet;

/// One node with all slots; every key without a TTL is deleted.
pub fn spec(run: RunId) -> RunSpec {
    let node = PlannedNode {
        node: NodeId::new("n"),
        address: "127.0.0.1:1".to_owned(),
        slots: SlotSet::all(),
        keys: 0,
        process: "p".to_owned(),
        replica: None,
        swaps: None,
    };
    let rules = Rules::deleting(&["*"], &[]).unwrap();
    RunSpec { cluster: true, nodes: vec![node], started_at_ms: 1_000, ..RunSpec::plain(run, rules) }
}
