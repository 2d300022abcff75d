//! Checks the permissions of our user: without an effect during the preflight, and by trying commands after the
//! confirmation.

use keysweep_model::duration;
use keysweep_model::glob::Pattern;
use keysweep_model::messages::{Lookups, PlannedNode};
use keysweep_policy::FactSet;
use keysweep_redis::capabilities::{self, Capabilities};
use keysweep_redis::limits::PREFLIGHT_TIMEOUT;
use keysweep_redis::node::NodeStatus;
use keysweep_redis::permissions::{self, PermissionCheck};
use keysweep_redis::preflight::{self, MissingPermission, RequiredPermissions};
use keysweep_redis::{Conn, RedisClient, RedisError, RedisErrorKind};
use keysweep_tasks::concurrency::join_bounded_within;

use crate::discover::discover;
use crate::inactive_policy::ActivitySource;
use crate::options::Options;
use crate::preflight::{Preflight, PreflightError};

/// What is known of a node's permissions before the confirmation.
#[derive(Default)]
pub(crate) struct Rights {
    /// Why it runs no scripts, if a script would be needed.
    pub(crate) scripts_refused: Option<String>,
    /// Why it is unknown whether the run may write there; `None` if it is known, or the run does not write.
    pub(crate) unchecked: Option<String>,
    /// Lookups of the checks.
    pub(crate) own: Lookups,
}

/// The commands that a run needs at a node that serves `slot`, if it is one of a cluster.
fn needs<'a>(
    options: &Options,
    patterns: &'a [Pattern],
    slot: Option<u16>,
    status: Option<&NodeStatus>,
    facts: FactSet,
) -> RequiredPermissions<'a> {
    let inactive = options.inactive_policy();
    RequiredPermissions {
        slot,
        // No run writes at a replica, so its write permissions do not matter.
        writes: options.rules.writes() && status.is_none_or(|status| status.replica.is_none()),
        patterns,
        // If that is unknown, inactive users are not looked for.
        inactive: (inactive.is_some() || options.rules.policy.is_some())
            && status.is_some_and(|status| status.reports_expiry),
        saves: options.backup_order().is_some() || options.verifies(),
        idle: inactive.is_some_and(|order| order.source == ActivitySource::IdleTime),
        field_ttls: status.is_some_and(|status| status.field_ttls > 0),
        facts,
    }
}

/// Checks a node. Sends no write, and no script that could write.
///
/// # Errors
/// When permissions are missing, or the server fails.
pub(crate) async fn ask(
    conn: &Conn,
    slot: Option<u16>,
    status: &NodeStatus,
    options: &Options,
    facts: FactSet,
) -> Result<Rights, PreflightError> {
    let patterns = options.rules.all_patterns();
    let needs = needs(options, &patterns, slot, Some(status), facts);
    let (mut lacking, own) = preflight::missing(conn, &needs).await?;
    let mut known = Rights { own, ..Rights::default() };
    // Without access to our own keys, every command on them would seem to be forbidden.
    let keys = lacking.iter().any(|missing| missing.rule.as_deref() == Some(preflight::OWN_KEYS));
    if needs.writes && !keys {
        match permissions::ask(conn, &needs).await? {
            PermissionCheck::Known(Ok(allowed)) => known.scripts_refused = refusal(conn, allowed),
            PermissionCheck::Known(Err(missing)) => lacking.extend(missing),
            PermissionCheck::Unknown(why) => {
                known.unchecked = Some(format!("redis at `{}` does not report them: {why}", conn.address()));
            }
        }
    }
    check(conn, &lacking, options)?;
    Ok(known)
}

impl Preflight {
    /// Tries the write commands of the run, after the confirmation, in a form without effect; decides between scripts
    /// and transactions by the result.
    ///
    /// # Errors
    /// When permissions are missing, or a server is not writable. If one of several does not respond, the run handles
    /// that.
    pub async fn try_out(&mut self, options: &Options) -> Result<(), PreflightError> {
        let time = self.time;
        time.within("the run began", self.try_all(options)).await
    }

    async fn try_all(&mut self, options: &Options) -> Result<(), PreflightError> {
        let client = self.deployment.take();
        if !options.rules.writes() {
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
                    tracing::warn!(error = %fault, "permissions not checked");
                }
                Err(e) => return Err(e),
            }
        }
        self.spec.scripts_refused = refused;
        Ok(())
    }
}

/// The error of a node that did not respond in time.
fn untried(node: &PlannedNode) -> RedisError {
    let detail = format!("no reply within {} of the check of all nodes", duration::show(PREFLIGHT_TIMEOUT));
    RedisError::new(RedisErrorKind::Unreachable, node.address.as_str(), detail)
}

/// Why the node runs no scripts; `None` if it does.
async fn try_node(
    client: &RedisClient,
    node: &PlannedNode,
    cluster: bool,
    options: &Options,
) -> Result<Option<String>, PreflightError> {
    let conn = client.conn(&node.node).await?;
    let (patterns, slot) = (options.rules.all_patterns(), node.slots.iter().next().filter(|_| cluster));
    // What conditions need was checked before the confirmation: it is read only.
    let needs = needs(options, &patterns, slot, None, FactSet::EMPTY);
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

/// Fails if permissions are missing. Commands that the server does not have come first: no permission helps there.
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
    // Newer servers return the same for each key.
    said.dedup();
    Err(PreflightError::Rights {
        address,
        user: options.access.username.clone().unwrap_or_else(|| "default".to_owned()),
        commands: said.join("; "),
        rules: rules.join(" "),
    })
}
