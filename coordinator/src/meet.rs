//! The first look at a node before a run: whether it is one that a run can work on, and whether our user may do
//! there what the run does. Reads only.

use std::time::Duration;

use shared::cluster::node::{self, NodeStatus};
use shared::cluster::replica::{self, Standing, Wanted};
use shared::cluster::{Conn, Deployment, Primary, preflight, way};
use shared::messages::{Lookups, ReadFrom, ReadSource};

use crate::inactive::ActivitySource;
use crate::options::Options;
use crate::survey::SurveyError;

/// A node that may be used, with what it said before the first look-up of a key.
pub(crate) struct Met<'a> {
    pub(crate) primary: &'a Primary,
    /// Samples of the hit rate begin with its counters.
    pub(crate) status: NodeStatus,
    /// Look-ups of ours since then.
    pub(crate) own: Lookups,
    /// The replica that its keys are read from.
    pub(crate) replica: Option<Standing>,
    /// What there is to say of that; `None` where nobody asked for replicas.
    pub(crate) source: Option<ReadSource>,
    /// Why it runs no scripts, if a script would be needed and it does not.
    pub(crate) scripts_refused: Option<String>,
}

/// Connects to a node, and checks that a run may do there what it will.
pub(crate) async fn meet<'a>(
    deployment: &Deployment,
    primary: &'a Primary,
    options: &Options,
    cluster: bool,
) -> Result<Met<'a>, SurveyError> {
    let conn = deployment.conn(&primary.node).await?;
    let writes = options.rules.action.writes();
    let status = node::status(&conn, options.access.db).await?;
    if let (Some(primary), true) = (&status.replica_of, writes) {
        return Err(SurveyError::Replica { address: conn.address().to_owned(), primary: primary.clone() });
    }
    if !status.supported {
        return Err(SurveyError::TooOld { address: conn.address().to_owned(), version: status.version });
    }
    let inactive = options.looks_for_inactive();
    let needs = preflight::Needs {
        slot: primary.slots.iter().next().filter(|_| cluster),
        writes,
        patterns: &options.rules.patterns,
        // Where it is not known at all, inactive users are not looked for.
        inactive: inactive.is_some() && status.tells_expiry,
        saves: options.backup_order().is_some(),
        idle: inactive.is_some_and(|order| order.source == ActivitySource::IdleTime),
    };
    let (mut lacking, own) = preflight::missing(&conn, &needs).await?;
    let mut scripts_refused = None;
    if writes {
        match way::ask(&conn).await? {
            Ok(allowed) => {
                let refusal = |said| format!("redis at `{}` runs no scripts: {said}", conn.address());
                scripts_refused = allowed.refusal.map(refusal);
            }
            Err(missing) => lacking.extend(missing),
        }
    }
    allowed(&conn, &lacking, options)?;
    let (replica, source) = source(deployment, primary, &conn, options).await?;
    Ok(Met { primary, status, own, replica, source, scripts_refused })
}

/// The replica that is read in place of `primary`, and what there is to say of that.
async fn source(
    deployment: &Deployment,
    primary: &Primary,
    conn: &Conn,
    options: &Options,
) -> Result<(Option<Standing>, Option<ReadSource>), SurveyError> {
    let ReadFrom::Replica { lag_max_ms } = options.read_from else { return Ok((None, None)) };
    let idle = options.looks_for_inactive().is_some_and(|order| order.source == ActivitySource::IdleTime);
    let found = match idle {
        true => Err(scanner::IDLE_TIMES.to_owned()),
        false => {
            let wanted = Wanted::Current(Duration::from_millis(lag_max_ms));
            replica::choose(deployment, (&primary.node, conn), wanted).await?
        }
    };
    Ok(match found {
        Ok(replica) => {
            let source = replica.source.clone();
            (Some(replica), Some(source))
        }
        Err(why) => {
            tracing::warn!(primary = conn.address(), why, "no replica is read");
            (None, Some(ReadSource { why_not: Some(why), ..ReadSource::default() }))
        }
    })
}

/// Whether nothing is lacking. Commands that the server does not have come first: no right helps there.
fn allowed(conn: &Conn, lacking: &[preflight::Missing], options: &Options) -> Result<(), SurveyError> {
    let address = conn.address().to_owned();
    let absent = lacking.iter().filter(|missing| missing.rule.is_none());
    let absent: Vec<String> = absent.map(|missing| format!("`{}`", missing.command)).collect();
    if !absent.is_empty() {
        return Err(SurveyError::Commands { address, commands: absent.join(", ") });
    }
    let rules: Vec<&str> = lacking.iter().filter_map(|missing| missing.rule.as_deref()).collect();
    if rules.is_empty() {
        return Ok(());
    }
    let mut said: Vec<&str> = lacking.iter().map(|missing| missing.detail.as_str()).collect();
    // Newer servers say of each key the same.
    said.dedup();
    Err(SurveyError::Rights {
        address,
        user: options.access.username.clone().unwrap_or_else(|| "default".to_owned()),
        commands: said.join("; "),
        rules: rules.join(" "),
    })
}
