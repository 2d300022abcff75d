//! Which server a task reads: the primary of its keys, or a replica that is in sync with the primary when the task
//! begins. Slots and clock always come from the primary, and deletions always go to it.

use std::time::Duration;

use keysweep_model::ids::NodeId;
use keysweep_model::messages::{ActivityRule, ReadFrom, ReadSource, RunSpec, ScanTask, TaskReport};
use keysweep_model::range::{CursorScope, ScanTable, Scope};
use keysweep_redis::replica::{self, ReplicaReader, ReplicaRequirement};
use keysweep_redis::{Conn, RedisClient, RedisError, ScanConnection};

use crate::classify::Classifier;

/// The connections of a task to its primary and, if it reads from one, a replica.
pub(crate) struct ReadSourceConn {
    primary: (NodeId, Conn),
    replica: Option<ReplicaReader>,
    /// What the report states about the source; `None` if the run does not read from replicas.
    source: Option<ReadSource>,
}

impl ReadSourceConn {
    /// Chooses the source for `task`, whose primary `primary` connects to.
    pub(crate) async fn choose(
        client: &RedisClient,
        primary: &Conn,
        task: &ScanTask,
        spec: &RunSpec,
        selector: &Classifier<'_>,
    ) -> Result<Self, RedisError> {
        let of_primary =
            |source| Self { primary: (task.node.clone(), primary.clone()), replica: None, source };
        let ReadFrom::Replica { lag_max_ms } = spec.read_from else { return Ok(of_primary(None)) };
        if idle_times(spec, selector) {
            return Ok(of_primary(Some(primary_because(IDLE_TIMES.to_owned()))));
        }
        // What a failover undid is detected earliest on the primary.
        if task.scan_generation > 0 {
            return Ok(of_primary(Some(primary_because(
                "the task is read again after a possible failover".to_owned(),
            ))));
        }
        let wanted = match &task.scope {
            Scope::Slots { .. } => ReplicaRequirement::Current(Duration::from_millis(lag_max_ms)),
            Scope::Cursors(cursors) => ReplicaRequirement::Process(&cursors.process),
        };
        Ok(match replica::choose(client, (&task.node, primary), wanted).await? {
            Ok(replica) => {
                let source = Some(replica.source.clone());
                Self { replica: Some(replica), ..of_primary(source) }
            }
            Err(why) => of_primary(Some(primary_because(why))),
        })
    }

    /// The name of the source: the primary's name, or the address of the replica.
    pub(crate) fn node(&self) -> &NodeId {
        self.replica.as_ref().map_or(&self.primary.0, |replica| &replica.node)
    }

    /// The connection to the source.
    pub(crate) fn conn(&self) -> &Conn {
        self.replica.as_ref().map_or(&self.primary.1, |replica| &replica.conn)
    }

    /// The connection to the primary.
    pub(crate) fn primary(&self) -> &Conn {
        &self.primary.1
    }

    /// The connection that lists the keys of `scope` at the source.
    pub(crate) fn lister(&self, scope: &Scope) -> ScanConnection {
        let mut lister = self.replica.as_ref().map_or_else(|| self.primary.1.lister(), ReplicaReader::lister);
        if let Scope::Cursors(CursorScope { table: ScanTable::Opaque { .. }, .. }) = scope {
            lister.use_cursors_once();
        }
        lister
    }

    /// Completes `report` with the source. Lookups at a replica are cleared, because the primaries' counters do not
    /// contain them.
    ///
    /// # Errors
    /// When the replica was restarted during the scan, so that its pages do not belong together.
    pub(crate) async fn verify_unchanged(&self, mut report: TaskReport) -> Result<TaskReport, RedisError> {
        if let Some(replica) = &self.replica {
            replica.check(&self.primary.1).await?;
            report.lookups = Default::default();
        }
        report.source = self.source.clone().map(Box::new);
        Ok(report)
    }
}

/// Why replicas are not read if idle times decide.
pub const IDLE_TIMES: &str = "only the primary tracks when a key was last used (`idletime`)";

/// Whether a run classifies keys by when or how often they were accessed, which replicas do not share with the primary.
fn idle_times(spec: &RunSpec, selector: &Classifier<'_>) -> bool {
    selector.asks_accesses()
        || spec.rules.inactive.as_ref().is_some_and(|rule| rule.activity == ActivityRule::Idle)
}

fn primary_because(why: String) -> ReadSource {
    ReadSource { primary_reason: Some(why), ..ReadSource::default() }
}
