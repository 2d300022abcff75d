//! The first check of a node before a run: whether the node is usable, and whether our user has the permissions that
//! the run needs. Reads only.

use std::time::Duration;

use keysweep_model::messages::{ReadFrom, ReadSource};
use keysweep_policy::{FactSet, RuleSet};
use keysweep_redis::node::{self, NodeStatus};
use keysweep_redis::replica::{self, ReplicaReader, ReplicaRequirement};
use keysweep_redis::{Conn, Primary, RedisClient, RedisError, RedisErrorKind};

use crate::broker_capacity;
use crate::inactive_policy::ActivitySource;
use crate::options::Options;
use crate::policy_check;
use crate::preflight::{PreflightError, no_database};
use crate::rights::{self, Rights};

/// A usable node, with its status from before the first lookup of a key.
pub(crate) struct CheckedNode<'a> {
    pub(crate) primary: &'a Primary,
    /// Samples of the hit rate begin with its counters.
    pub(crate) status: NodeStatus,
    /// The permissions of our user; checking them took lookups, which the counters do not include.
    pub(crate) rights: Rights,
    /// The replica to read its keys from.
    pub(crate) replica: Option<ReplicaReader>,
    /// Which node is read, and why; `None` if replicas are not enabled.
    pub(crate) source: Option<ReadSource>,
}

/// Connects to a node, and checks that a run can use it.
pub(crate) async fn check_node<'a>(
    client: &RedisClient,
    primary: &'a Primary,
    options: &Options,
    rules: Option<&RuleSet>,
    cluster: bool,
) -> Result<CheckedNode<'a>, PreflightError> {
    let db = options.access.db;
    let conn = client.conn(&primary.node).await.map_err(|fault| no_database(db, cluster, fault))?;
    let status = node::status_with_commands(&conn, db).await?;
    let writes = options.rules.writes() && !options.only_plan;
    if let (Some(replica), true) = (&status.replica, writes) {
        return Err(PreflightError::Replica {
            address: conn.address().to_owned(),
            primary: replica.primary.clone(),
        });
    }
    if let Some(replica) = status.replica.as_ref().filter(|replica| !replica.is_synchronised()) {
        return Err(RedisError::new(
            RedisErrorKind::Unavailable,
            conn.address(),
            replica.sentence(conn.address()),
        )
        .into());
    }
    if !status.supported {
        return Err(PreflightError::TooOld { address: conn.address().to_owned(), version: status.version });
    }
    broker_capacity::check(&conn, &status, db).await?;
    if let Some(rules) = rules {
        policy_check::check(rules, &status, conn.address(), options)?;
    }
    let slot = primary.slots.iter().next().filter(|_| cluster);
    let facts = rules.map(RuleSet::facts).unwrap_or_default();
    let rights = rights::ask(&conn, slot, &status, options, facts).await?;
    let (replica, source) = source(client, primary, &conn, options, facts).await?;
    Ok(CheckedNode { primary, status, rights, replica, source })
}

/// The replica to read instead of `primary`, and the reason.
async fn source(
    client: &RedisClient,
    primary: &Primary,
    conn: &Conn,
    options: &Options,
    facts: FactSet,
) -> Result<(Option<ReplicaReader>, Option<ReadSource>), PreflightError> {
    let ReadFrom::Replica { lag_max_ms } = options.read_from else { return Ok((None, None)) };
    let idle = options.inactive_policy().is_some_and(|order| order.source == ActivitySource::IdleTime);
    let idle = idle || facts.is_about_accesses();
    let found = match idle {
        true => Err(scanner::IDLE_TIMES.to_owned()),
        false => {
            let wanted = ReplicaRequirement::Current(Duration::from_millis(lag_max_ms));
            replica::choose(client, (&primary.node, conn), wanted).await?
        }
    };
    Ok(match found {
        Ok(replica) => {
            let source = replica.source.clone();
            (Some(replica), Some(source))
        }
        Err(why) => {
            tracing::warn!(primary = conn.address(), why, "no replica is read");
            (None, Some(ReadSource { primary_reason: Some(why), ..ReadSource::default() }))
        }
    })
}
