//! Whom a task reads: the primary of its keys, or a replica that has all that the primary has when the task begins.
//! The slots and the clock are the primary's in either case, as are the deletions.

use std::time::Duration;

use shared::cluster::replica::{self, ReplicaReader, ReplicaRequirement};
use shared::cluster::{Conn, RedisClient, RedisError, ScanConnection};
use shared::ids::NodeId;
use shared::messages::{ActivityRule, ReadFrom, ReadSource, RunSpec, ScanTask, TaskReport};
use shared::range::{CursorScope, ScanTable, Scope};

/// See the module.
pub(crate) struct ReadSourceConn {
    primary: (NodeId, Conn),
    replica: Option<ReplicaReader>,
    /// What the report tells of it; `None` where nobody asked for replicas.
    source: Option<ReadSource>,
}

impl ReadSourceConn {
    /// The source for `task`, whose primary is behind `primary`.
    pub(crate) async fn choose(
        client: &RedisClient,
        primary: &Conn,
        task: &ScanTask,
        spec: &RunSpec,
    ) -> Result<Self, RedisError> {
        let of_primary =
            |said| Self { primary: (task.node.clone(), primary.clone()), replica: None, source: said };
        let ReadFrom::Replica { lag_max_ms } = spec.read_from else { return Ok(of_primary(None)) };
        if idle_times(spec) {
            return Ok(of_primary(Some(why_not(IDLE_TIMES.to_owned()))));
        }
        // What a failover undid is looked for where it would be found first.
        if task.scan_generation > 0 {
            return Ok(of_primary(Some(why_not(
                "it is read again, in case deletions did not hold".to_owned(),
            ))));
        }
        let wanted = match &task.scope {
            Scope::Slots { .. } => ReplicaRequirement::Current(Duration::from_millis(lag_max_ms)),
            Scope::Cursors(cursors) => ReplicaRequirement::Process(&cursors.process),
        };
        Ok(match replica::choose(client, (&task.node, primary), wanted).await? {
            Ok(replica) => {
                let said = Some(replica.source.clone());
                Self { replica: Some(replica), ..of_primary(said) }
            }
            Err(why) => of_primary(Some(why_not(why))),
        })
    }

    /// Its name: that of the primary, or the address of a replica.
    pub(crate) fn node(&self) -> &NodeId {
        self.replica.as_ref().map_or(&self.primary.0, |replica| &replica.node)
    }

    /// The connection to it.
    pub(crate) fn conn(&self) -> &Conn {
        self.replica.as_ref().map_or(&self.primary.1, |replica| &replica.conn)
    }

    /// The connection to the primary.
    pub(crate) fn primary(&self) -> &Conn {
        &self.primary.1
    }

    /// The way to list the keys of `scope` there.
    pub(crate) fn lister(&self, scope: &Scope) -> ScanConnection {
        let mut lister = self.replica.as_ref().map_or_else(|| self.primary.1.lister(), ReplicaReader::lister);
        if let Scope::Cursors(CursorScope { table: ScanTable::Opaque { .. }, .. }) = scope {
            lister.asks_once();
        }
        lister
    }

    /// What `report` is, once it is known who was read: our look-ups at a replica are not among those that primaries
    /// have counted.
    ///
    /// # Errors
    /// When what was read is not of one piece, because the replica was restarted meanwhile.
    pub(crate) async fn verify_unchanged(&self, mut report: TaskReport) -> Result<TaskReport, RedisError> {
        if let Some(replica) = &self.replica {
            replica.check(&self.primary.1).await?;
            report.lookups = Default::default();
        }
        report.source = self.source.clone().map(Box::new);
        Ok(report)
    }
}

/// Why replicas are not read where idle times count.
pub const IDLE_TIMES: &str = "only the primary knows when a key was last used (`idletime`)";

/// Whether a run judges keys by their idle times, which replicas do not share.
fn idle_times(spec: &RunSpec) -> bool {
    spec.rules.inactive.as_ref().is_some_and(|rule| rule.activity == ActivityRule::Idle)
}

fn why_not(why: String) -> ReadSource {
    ReadSource { why_not: Some(why), ..ReadSource::default() }
}
