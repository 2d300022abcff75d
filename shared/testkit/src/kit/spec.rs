//! Specs of runs without a preflight.

use coordinator::options::Options;
use coordinator::plan::{NodeKeys, Planner};
use coordinator::task_ids::TaskIds;
use keysweep_model::ids::{NodeId, RunId};
use keysweep_model::messages::{PlannedNode, RunSpec, ScanTask};
use keysweep_model::slot::SlotSet;
use keysweep_model::time::now_ms;

/// A run of `options` over a standalone server with so few `keys` that one task reads them.
pub fn standalone(options: &Options, keys: u64) -> (RunSpec, ScanTask) {
    let (run, node, process) = (RunId::new(), NodeId::new("standalone"), "a process".to_owned());
    let mut planner = Planner::new(run, options.alias.clone(), TaskIds::random());
    let there = NodeKeys {
        node: node.clone(),
        keys,
        process: process.clone(),
        slot_tables: false,
        one_lane: false,
        slots: Vec::new(),
    };
    let mut tasks = planner.database(&there);
    assert_eq!(tasks.len(), 1);
    let planned = PlannedNode {
        node,
        address: String::new(),
        slots: SlotSet::new(),
        keys,
        process,
        replica: None,
        swaps: None,
    };
    let spec = RunSpec { nodes: vec![planned], ..options.spec(run, now_ms()) };
    (spec, tasks.remove(0))
}
