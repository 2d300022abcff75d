//! The first look at a node before a run: whether it is one that a run can work on, and whether our user may do
//! there what the run does. Reads only.

use shared::cluster::node::{self, NodeStatus};
use shared::cluster::{Conn, Deployment, Primary, preflight, way};
use shared::messages::{Action, Lookups};

use crate::inactive::ActivitySource;
use crate::options::Options;
use crate::survey::SurveyError;

/// A node that may be used, with what it said before the first look-up of a key.
pub(crate) struct Met<'a> {
    pub(crate) primary: &'a Primary,
    pub(crate) conn: Conn,
    /// Samples of the hit rate begin with its counters.
    pub(crate) status: NodeStatus,
    /// Look-ups of ours since then.
    pub(crate) own: Lookups,
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
        expires: matches!(options.rules.action, Action::Expire { .. }),
        patterns: &options.rules.patterns,
        // Where it is not known at all, inactive users are not looked for.
        inactive: inactive.is_some() && status.tells_expiry,
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
    if !lacking.is_empty() {
        let all = |part: fn(&preflight::Missing) -> &str, by: &str| {
            lacking.iter().map(part).collect::<Vec<_>>().join(by)
        };
        return Err(SurveyError::Rights {
            address: conn.address().to_owned(),
            user: options.access.username.clone().unwrap_or_else(|| "default".to_owned()),
            commands: all(|missing| &missing.detail, "; "),
            rules: all(|missing| &missing.rule, " "),
        });
    }
    Ok(Met { primary, conn, status, own, scripts_refused })
}
