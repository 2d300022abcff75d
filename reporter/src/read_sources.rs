//! Which servers were read, if a run requests replicas: from the reports of its tasks to its result. Pure.

use std::collections::BTreeMap;

use keysweep_model::ids::NodeId;
use keysweep_model::messages::{ReadFrom, ReadSource, RunSpec};
use keysweep_model::result::{ReadFromReplicas, ReadNode, ReadReplica};

/// The servers read in place of each primary.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ReadSources(BTreeMap<NodeId, NodeReads>);

#[derive(Clone, Debug, Default, PartialEq)]
struct NodeReads {
    replicas: BTreeMap<String, ReadReplica>,
    primary_tasks: u64,
    /// Why the primary was read, with the number of tasks. Reasons that differ only in figures are merged.
    primary_reasons: BTreeMap<String, (u64, String)>,
}

impl ReadSources {
    /// Adds the source of a task of `node`.
    pub(crate) fn add(&mut self, node: &NodeId, source: &ReadSource) {
        let read = self.0.entry(node.clone()).or_default();
        let Some(address) = &source.replica else {
            read.primary_tasks += 1;
            let why = source.primary_reason.clone().unwrap_or_default();
            let kind = why.replace(|c: char| c.is_ascii_digit(), "");
            let (tasks, least) = read.primary_reasons.entry(kind).or_insert_with(|| (0, why.clone()));
            *tasks += 1;
            // The text is independent of the order of the reports.
            if why < *least {
                *least = why;
            }
            return;
        };
        let row = read.replicas.entry(address.clone()).or_default();
        row.address.clone_from(address);
        row.tasks += 1;
        row.behind_bytes_max = row.behind_bytes_max.max(source.behind_bytes);
        row.silent_seconds_max = row.silent_seconds_max.max(source.silent_s);
        row.waited_ms_max = row.waited_ms_max.max(source.waited_ms);
    }

    /// The section of the result of run `spec`; `None` if the run was configured to read primaries.
    pub(crate) fn summary(&self, spec: &RunSpec) -> Option<ReadFromReplicas> {
        if spec.read_from == ReadFrom::Primary {
            return None;
        }
        let row = |(node, read): (&NodeId, &NodeReads)| {
            let planned = spec.nodes.iter().find(|planned| planned.node == *node);
            ReadNode {
                node: node.clone(),
                address: planned.map_or(node.as_str(), |planned| &planned.address).to_owned(),
                replicas: read.replicas.values().cloned().collect(),
                primary_tasks: read.primary_tasks,
                primary_reasons: read
                    .primary_reasons
                    .values()
                    .map(|(tasks, why)| (why.clone(), *tasks))
                    .collect(),
            }
        };
        Some(ReadFromReplicas { nodes: self.0.iter().map(row).collect() })
    }
}
