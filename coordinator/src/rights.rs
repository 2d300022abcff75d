//! Whether our user may do at the servers what a run does: asked without an effect while it is planned, and tried once
//! it has been agreed to.

use keysweep_model::duration;
use keysweep_model::limits::PREFLIGHT_TIMEOUT;
use keysweep_model::messages::{Lookups, PlannedNode};
use keysweep_redis::capabilities::{self, Capabilities};
use keysweep_redis::node::NodeStatus;
use keysweep_redis::permissions::{self, PermissionCheck};
use keysweep_redis::preflight::{self, MissingPermission, RequiredPermissions};
use keysweep_redis::{Conn, RedisClient, RedisError, RedisErrorKind};
use keysweep_tasks::concurrency::join_bounded_within;

use crate::discover::discover;
use crate::inactive_policy::ActivitySource;
use crate::options::Options;
use crate::preflight::{Preflight, PreflightError};

/// What is known of a node before anybody has agreed to anything.
#[derive(Default)]
pub(crate) struct Rights {
    /// Why it runs no scripts, if a script would be needed and it does not.
    pub(crate) scripts_refused: Option<String>,
    /// Why it is not known whether a run may write there, if it would and it is not.
    pub(crate) unchecked: Option<String>,
    /// Look-ups that it took to ask.
    pub(crate) own: Lookups,
}

/// What a run does at a node that serves `slot`, if it is one of a cluster.
fn needs<'a>(
    options: &'a Options,
    slot: Option<u16>,
    status: Option<&NodeStatus>,
) -> RequiredPermissions<'a> {
    let inactive = options.inactive_policy();
    RequiredPermissions {
        slot,
        // No run writes at a replica, so what may be written there says nothing.
        writes: options.rules.action.writes() && status.is_none_or(|status| status.replica.is_none()),
        patterns: &options.rules.patterns,
        // Where it is not known at all, inactive users are not looked for.
        inactive: inactive.is_some() && status.is_some_and(|status| status.reports_expiry),
        saves: options.backup_order().is_some() || options.verifies(),
        idle: inactive.is_some_and(|order| order.source == ActivitySource::IdleTime),
        field_ttls: status.is_some_and(|status| status.field_ttls > 0),
    }
}

/// Asks a node. Nothing that is sent is a write, or a script that could be one.
///
/// # Errors
/// When rights are missing, or the server fails.
pub(crate) async fn ask(
    conn: &Conn,
    slot: Option<u16>,
    status: &NodeStatus,
    options: &Options,
) -> Result<Rights, PreflightError> {
    let needs = needs(options, slot, Some(status));
    let (mut lacking, own) = preflight::missing(conn, &needs).await?;
    let mut known = Rights { own, ..Rights::default() };
    // Without our own keys, every command that has to do with them would seem to be forbidden.
    let keys = lacking.iter().any(|missing| missing.rule.as_deref() == Some(preflight::OWN_KEYS));
    if needs.writes && !keys {
        match permissions::ask(conn, &needs).await? {
            PermissionCheck::Known(Ok(allowed)) => known.scripts_refused = refusal(conn, allowed),
            PermissionCheck::Known(Err(missing)) => lacking.extend(missing),
            PermissionCheck::Unknown(why) => {
                known.unchecked = Some(format!("redis at `{}` does not tell them: {why}", conn.address()));
            }
        }
    }
    check(conn, &lacking, options)?;
    Ok(known)
}

impl Preflight {
    /// Tries what the run takes to write, now that it has been agreed to, by commands that have no effect; and decides
    /// between scripts and transactions by that.
    ///
    /// # Errors
    /// When rights are missing, or a server takes no writes. One of several that does not answer is left to the run.
    pub async fn try_out(&mut self, options: &Options) -> Result<(), PreflightError> {
        let time = self.time;
        time.within("the run began", self.try_all(options)).await
    }

    async fn try_all(&mut self, options: &Options) -> Result<(), PreflightError> {
        let client = self.deployment.take();
        if !options.rules.action.writes() {
            return Ok(());
        }
        let client = match client {
            Some(deployment) => *deployment,
            None => discover(options).await?,
        };
        let cluster = self.spec.cluster;
        let trying = self.spec.nodes.iter().map(|node| try_node(&client, node, cluster, options));
        let mut refused = None;
        let all = join_bounded_within(trying.collect(), PREFLIGHT_TIMEOUT).await;
        for (node, tried) in self.spec.nodes.iter().zip(all) {
            match tried.unwrap_or_else(|| Err(untried(node).into())) {
                Ok(refusal) => refused = refused.or(refusal),
                Err(PreflightError::Redis(fault))
                    if self.spec.nodes.len() > 1 && fault.kind.is_transient() =>
                {
                    tracing::warn!(error = %fault, "rights not tried");
                }
                Err(e) => return Err(e),
            }
        }
        self.spec.scripts_refused = refused;
        Ok(())
    }
}

/// What there is to say of a node that did not answer in time.
fn untried(node: &PlannedNode) -> RedisError {
    let detail =
        format!("it had not answered {} after the nodes were asked", duration::show(PREFLIGHT_TIMEOUT));
    RedisError::new(RedisErrorKind::Unreachable, node.address.as_str(), detail)
}

/// Why the node runs no scripts, if it does not.
async fn try_node(
    client: &RedisClient,
    node: &PlannedNode,
    cluster: bool,
    options: &Options,
) -> Result<Option<String>, PreflightError> {
    let conn = client.conn(&node.node).await?;
    let needs = needs(options, node.slots.iter().next().filter(|_| cluster), None);
    let mut lacking = preflight::tried(&conn, &needs).await?;
    let refused = match capabilities::ask(&conn).await? {
        Ok(allowed) => refusal(&conn, allowed),
        Err(missing) => {
            lacking.extend(missing);
            None
        }
    };
    check(&conn, &lacking, options)?;
    Ok(refused)
}

fn refusal(conn: &Conn, allowed: Capabilities) -> Option<String> {
    allowed.refusal.map(|said| format!("redis at `{}` runs no scripts: {said}", conn.address()))
}

/// Whether nothing is lacking. Commands that the server does not have come first: no right helps there.
fn check(conn: &Conn, lacking: &[MissingPermission], options: &Options) -> Result<(), PreflightError> {
    let address = conn.address().to_owned();
    let absent = lacking.iter().filter(|missing| missing.rule.is_none());
    let absent: Vec<String> = absent.map(|missing| format!("`{}`", missing.command)).collect();
    if !absent.is_empty() {
        return Err(PreflightError::Commands { address, commands: absent.join(", ") });
    }
    let (mut rules, mut said) = (Vec::new(), Vec::new());
    for missing in lacking {
        let rule = missing.rule.as_deref().unwrap_or_default();
        if !rules.contains(&rule) {
            rules.push(rule);
            said.push(missing.detail.as_str());
        }
    }
    if rules.is_empty() {
        return Ok(());
    }
    // Newer servers say of each key the same.
    said.dedup();
    Err(PreflightError::Rights {
        address,
        user: options.access.username.clone().unwrap_or_else(|| "default".to_owned()),
        commands: said.join("; "),
        rules: rules.join(" "),
    })
}
