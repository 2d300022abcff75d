//! Verifies that the deployment behind an alias is the one that the run was planned for. A misconfigured worker would
//! delete keys that are not in the plan, and report keys that it does not find as vanished. Pure.

use keysweep_model::ids::NodeId;
use keysweep_model::messages::RunSpec;

use super::error::{RedisError, RedisErrorKind};
use super::topology::Topology;

/// Refuses a cluster that has none of the planned nodes, not even as replicas.
pub fn verify_topology(spec: &RunSpec, topology: &Topology) -> Result<(), RedisError> {
    if topology.cluster == spec.cluster && spec.nodes.iter().any(|planned| topology.has(&planned.node)) {
        return Ok(());
    }
    let detail = "none of the planned nodes exists; all were replaced, or this worker is configured for another deployment";
    Err(RedisError::new(RedisErrorKind::WrongDeployment, spec.alias.as_str(), detail))
}

/// Refuses a standalone server that is another process than the planned one, because nothing else distinguishes it. In
/// a cluster, node ids outlast processes.
pub fn verify_process(spec: &RunSpec, node: &NodeId, process: &str) -> Result<(), RedisError> {
    let planned = spec.nodes.iter().find(|planned| planned.node == *node);
    if spec.cluster || planned.is_some_and(|planned| planned.process == process) {
        return Ok(());
    }
    let detail = "the server was restarted or replaced, or this worker is configured for another one";
    Err(RedisError::new(RedisErrorKind::WrongDeployment, spec.alias.as_str(), detail))
}

/// Whether a swap of databases since the plan can be detected: clusters cannot swap databases.
#[must_use]
pub fn counts_swaps(spec: &RunSpec) -> bool {
    !spec.cluster && spec.nodes.iter().any(|planned| planned.swaps.is_some())
}

/// Refuses a server on which SWAPDB was called since the run was planned: other keys than the scanned ones may have
/// their names now.
pub fn verify_swaps(
    spec: &RunSpec,
    node: &NodeId,
    address: &str,
    swaps: Option<u64>,
) -> Result<(), RedisError> {
    let planned = spec.nodes.iter().find(|planned| planned.node == *node).and_then(|planned| planned.swaps);
    match (planned, swaps) {
        (Some(planned), Some(now)) if now > planned => {}
        _ => return Ok(()),
    }
    let db = spec.db;
    let detail = format!(
        "SWAPDB was called there since the run was planned, so database {db} may hold other keys by now; nothing more is \
         deleted: start the run again"
    );
    Err(RedisError::new(RedisErrorKind::CommandError, address, detail))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::topology::Primary;
    use keysweep_model::ids::RunId;
    use keysweep_model::messages::{PlannedNode, Rules};
    use keysweep_model::slot::SlotSet;

    use super::*;

    fn spec(cluster: bool, nodes: &[&str]) -> RunSpec {
        let planned = |node: &&str| PlannedNode {
            node: NodeId::new(*node),
            address: String::new(),
            slots: SlotSet::new(),
            keys: 0,
            process: format!("process of {node}"),
            replica: None,
            swaps: Some(3),
        };
        let rules = Rules::deleting(&[], &[]).unwrap();
        let nodes = nodes.iter().map(planned).collect();
        RunSpec { cluster, nodes, ..RunSpec::plain(RunId::new(), rules) }
    }

    fn topology(cluster: bool, nodes: &[&str]) -> Topology {
        let primary = |node: &&str| Primary {
            node: NodeId::new(*node),
            host: String::new(),
            port: 0,
            slots: SlotSet::new(),
            replicas: Vec::new(),
        };
        let (primaries, replicas) = (nodes.iter().map(primary).collect(), BTreeSet::from([NodeId::new("r")]));
        Topology { cluster, primaries, replicas }
    }

    #[test]
    fn deployment_with_a_planned_node_is_accepted() {
        let check = |cluster: bool, there: &[&str], expected: bool| {
            let checked = verify_topology(&spec(true, &["a", "b", "c"]), &topology(cluster, there));
            assert_eq!(checked.is_ok(), expected, "{there:?}");
        };
        check(true, &["a", "b", "c"], true);
        check(true, &["a", "new", "newer"], true);
        check(true, &["x", "y", "z"], false);
        let replaced = verify_topology(&spec(true, &["r"]), &topology(true, &["x"]));
        assert!(replaced.is_ok(), "the planned primary is a replica now");
        check(true, &[], false);
        check(false, &["a"], false);
    }

    #[test]
    fn server_with_swapped_databases_is_refused() {
        let check = |swaps: Option<u64>, expected: bool| {
            let checked = verify_swaps(&spec(false, &["a"]), &NodeId::new("a"), "a:1", swaps);
            assert_eq!(checked.is_ok(), expected, "{swaps:?}");
            assert!(checked.is_ok() || !checked.unwrap_err().kind.is_transient(), "a retry does not help");
        };
        check(Some(3), true);
        check(Some(4), false);
        // The statistics were reset, or are hidden: a swap cannot be detected.
        check(Some(0), true);
        check(None, true);
        assert!(!counts_swaps(&spec(true, &["a"])));
    }

    #[test]
    fn standalone_server_is_accepted_if_it_is_the_same_process() {
        let check = |cluster: bool, process: &str, expected: bool| {
            let checked = verify_process(&spec(cluster, &["a"]), &NodeId::new("a"), process);
            assert_eq!(checked.is_ok(), expected, "{process}");
            assert!(
                checked.is_ok() || checked.unwrap_err().kind.is_transient(),
                "another worker may succeed"
            );
        };
        check(false, "process of a", true);
        check(false, "process of b", false);
        check(true, "process of a after a restart", true);
    }
}
