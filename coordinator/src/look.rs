//! The look at one node before a run: its keys, slot by slot, and what a sample of them is. Reads only.

use scanner::sample::{Sampled, Tables, Wanted, sample, settle};
use scanner::sample_whole::sample_whole;
use scanner::{Fate, Selector, Verdict};
use shared::cluster::weigh::weigh;
use shared::cluster::{Conn, Deployment, Fault, node};
use shared::key::Key;
use shared::limits::{
    MEASURED_AT_ONCE, PLAN_MEASURED, PLAN_MEASURED_ALL, SAMPLE_KEYS_IN, SAMPLE_KEYS_LEAST, SAMPLE_KEYS_MIN,
};
use shared::memory::ByteEstimate;
use shared::messages::{Action, Lookups, PlannedNode, Reason};
use shared::pace::Breaks;
use shared::samples::Reading;
use tokio::time::Instant;

use crate::cursors::why_one_lane;
use crate::estimate::{self, Estimate};
use crate::meet::Met;
use crate::plan::NodeKeys;
use crate::survey::{NodeSurvey, PlannedSource};
use crate::users_met::UsersMet;

/// What a look at a primary brought.
pub(crate) struct LookedAt {
    pub(crate) node: PlannedNode,
    pub(crate) keys: NodeKeys,
    pub(crate) row: NodeSurvey,
    pub(crate) reading: Reading,
    /// The memory that deleting what would be deleted there frees; `None` if it is not known.
    pub(crate) freed: Option<ByteEstimate>,
    /// The users of the sampled keys.
    pub(crate) users: UsersMet,
    /// Bytes of memory that the node uses.
    pub(crate) used_memory: Option<u64>,
}

/// How a node is looked at.
#[derive(Clone, Copy)]
pub(crate) struct Looking {
    /// Whether its keys need no look.
    pub(crate) skip: bool,
    /// Matching keys to look at, at most.
    pub(crate) sampled_max: u64,
    /// What happens to stale keys.
    pub(crate) action: Action,
    /// Whether keys of inactive users are looked for, which are deleted in any case.
    pub(crate) inactive: bool,
    /// Between requests.
    pub(crate) breaks: Breaks,
}

/// Looks at a node that was met: how many keys its slots hold, and how a sample of them is. If it is to be skipped,
/// only at the sample.
pub(crate) async fn look_at(
    (deployment, there): (&Deployment, &Met<'_>),
    selector: &Selector<'_>,
    cluster: bool,
    looking: Looking,
) -> Result<LookedAt, Fault> {
    let Looking { sampled_max, breaks, .. } = looking;
    let Met { primary, status, rights, replica, source } = there;
    let conn = deployment.conn(&primary.node).await?;
    let mut lister = match replica {
        Some(replica) => replica.lister().await?,
        None => conn.lister().await?,
    };
    let one_lane = if cluster { None } else { why_one_lane(&mut lister, status, breaks).await? };
    // Counts that are not relied upon are no reason.
    let skip = looking.skip && one_lane.is_none() && status.foreign.is_none();
    // Those of a node that is skipped are not planned one by one.
    let slots = match skip {
        true => primary.slots.iter().map(|slot| (slot, 1)).collect(),
        false => node::slot_counts(&conn, &primary.slots, breaks).await?,
    };
    let mut keys = NodeKeys {
        node: primary.node.clone(),
        keys: status.keys,
        // Cursors are those of whoever is read.
        process: replica.as_ref().map_or(&status.process, |replica| &replica.process).clone(),
        listing: status.listing,
        one_lane: one_lane.is_some() || status.foreign.is_some(),
        slots,
    };
    let tables = Tables { keys: keys.keys, listing: cluster.then_some(keys.listing), slots: &keys.slots };
    let wanted = match keys.keys {
        _ if skip => SAMPLE_KEYS_LEAST,
        keys if keys <= 2 * sampled_max => sampled_max,
        keys => (keys / SAMPLE_KEYS_IN).max(SAMPLE_KEYS_MIN).min(sampled_max),
    };
    let wanted = Wanted { keys: wanted, search: !skip, breaks };
    let mut sampled = match &one_lane {
        Some(why) => {
            tracing::warn!(server = conn.address(), why, "read in one lane, and counted by SCAN");
            let (sampled, counted) = sample_whole(&mut lister, conn.address(), wanted, selector).await?;
            keys.keys = counted;
            sampled
        }
        None => sample(&mut lister, &tables, wanted, selector).await?,
    };
    // The primary has not counted what was asked of its replica.
    let mut looked_up = if replica.is_some() { Lookups::default() } else { sampled.lookups };
    looked_up += rights.own;
    if status.field_ttls > 0 {
        looked_up += settle(&conn, &mut sampled, selector, breaks).await?;
    }
    let judged = judged(&sampled, selector);
    let users = UsersMet::of(&sampled, selector);
    let goes = going(&sampled, selector, looking.action);
    let sizes = sizes(&conn, &goes, sampled.all, breaks).await?;
    let reading = status.reading(&primary.node, looked_up);
    let node = PlannedNode {
        node: primary.node.clone(),
        address: conn.address().to_owned(),
        slots: primary.slots.clone(),
        keys: keys.keys,
        process: status.process.clone(),
    };
    let keys_without_ttl = match one_lane {
        // Known of matching keys alone, by the sample.
        Some(_) => Estimate::of(&judged, keys.keys).stale_ttl_keys,
        None => status.keys.saturating_sub(status.expires),
    };
    let row = NodeSurvey {
        node: primary.node.clone(),
        address: conn.address().to_owned(),
        version: status.version.clone(),
        slots: primary.slots.len() as u64,
        keys: keys.keys,
        keys_without_ttl,
        skipped: skip,
        tasks: 0,
        read_from: source.as_ref().map(PlannedSource::of),
        names: sampled.names.clone(),
        estimate: Estimate::of(&judged, keys.keys),
    };
    // What is skipped has no key without TTL.
    let nothing = skip || matches!(looking.action, Action::Expire { .. }) && !looking.inactive;
    let freed = if nothing {
        Some(ByteEstimate::NOTHING)
    } else {
        estimate::freed(&judged, keys.keys, goes.len() as u64, &sizes)
    };
    Ok(LookedAt { node, keys, row, reading, freed, users, used_memory: status.used_memory })
}

/// Those keys of a sample that would be deleted; if `action` only reports, those that it reports.
fn going<'a>(sampled: &'a Sampled, selector: &Selector<'_>, action: Action) -> Vec<&'a Key> {
    let goes = |reason: Reason| reason == Reason::Inactive || !matches!(action, Action::Expire { .. });
    let looks = sampled.looks.iter().filter(|(key, seen)| {
        let verdict = selector.judge(key.as_bytes(), seen);
        matches!(verdict, Verdict::Found(reason, Fate::Candidate | Fate::Reported) if goes(reason))
    });
    looks.map(|(key, _)| key).collect()
}

/// Bytes of `keys` of a node, as many of them as a plan measures. Those that are gone have none.
async fn sizes(conn: &Conn, keys: &[&Key], all: bool, breaks: Breaks) -> Result<Vec<u64>, Fault> {
    let most = if all { PLAN_MEASURED_ALL } else { PLAN_MEASURED };
    let at_once = breaks.at_once(usize::try_from(MEASURED_AT_ONCE).unwrap_or(usize::MAX)).max(1);
    let mut sizes = Vec::new();
    for some in keys[..keys.len().min(most)].chunks(at_once) {
        let sent = Instant::now();
        let asked: Vec<(Key, bool)> = some.iter().map(|key| ((*key).clone(), false)).collect();
        let found = weigh(conn, &asked).await?;
        breaks.rest(sent).await;
        sizes.extend(found.weights.iter().filter_map(|weight| weight.bytes));
        if found.refused.is_some() {
            break;
        }
    }
    Ok(sizes)
}

/// What the keys of a sample turn out to be.
fn judged(sampled: &Sampled, selector: &Selector<'_>) -> estimate::Sample {
    let mut sample =
        estimate::Sample { listed: sampled.listed, all: sampled.all, ..estimate::Sample::default() };
    for (key, seen) in &sampled.looks {
        let verdict = selector.judge(key.as_bytes(), seen);
        sample.matching += u64::from(verdict != Verdict::Gone);
        let Verdict::Found(reason, fate) = verdict else { continue };
        let protected = fate == Fate::Protected;
        sample.stale += u64::from(reason == Reason::Stale);
        sample.protected += u64::from(reason == Reason::Stale && protected);
        sample.inactive += u64::from(reason == Reason::Inactive && !protected);
    }
    sample
}
