//! Samples one node during the preflight: its keys by slot, and the counts of a sample of them. Reads only.

use keysweep_model::counters::NodeCounters;
use keysweep_model::key::Key;
use keysweep_model::limits::MEASURED_AT_ONCE;
use keysweep_model::memory::ByteEstimate;
use keysweep_model::messages::{Action, Lookups, PlannedNode, Reason};
use keysweep_policy::{Rule, RuleSet};
use keysweep_redis::Throttle;
use keysweep_redis::limits::FIELDS_KEYS_AT_ONCE;
use keysweep_redis::memory_usage::{KeyQuery, memory_usage};
use keysweep_redis::{Conn, KeyState, RedisClient, RedisError, Ttl, node};
use scanner::sample::{KeySample, SampleRequest, SampledTables, classify_fields, sample};
use scanner::sample_whole::sample_whole;
use scanner::{Classification, Classifier, KeepReason, RuledKey, RuledKeys, Treatment};
use tokio::time::Instant;

use crate::check_node::CheckedNode;
use crate::cursors::why_one_lane;
use crate::estimate::{self, Estimate};
use crate::limits::{PLAN_MEASURED, PLAN_MEASURED_ALL, SAMPLE_KEYS_IN, SAMPLE_KEYS_LEAST, SAMPLE_KEYS_MIN};
use crate::plan::NodeKeys;
use crate::preflight::{NodePreflight, PlannedSource};
use crate::rule_estimate::{self, RuleEstimate};
use crate::sampled_users::SampledUserIds;

/// The result of sampling a node.
pub(crate) struct NodeSample {
    pub(crate) node: PlannedNode,
    pub(crate) keys: NodeKeys,
    pub(crate) row: NodePreflight,
    pub(crate) reading: NodeCounters,
    /// The memory that the deletions there would free; `None` if unknown.
    pub(crate) freed: Option<ByteEstimate>,
    /// Bytes of memory that the node uses.
    pub(crate) used_memory: Option<u64>,
    /// What is expected of each rule; empty without rules.
    pub(crate) rules: Vec<RuleEstimate>,
}

/// How to sample a node.
#[derive(Clone, Copy)]
pub(crate) struct SampleOptions {
    /// Whether its keys are skipped.
    pub(crate) skip: bool,
    /// Maximum matching keys in the sample.
    pub(crate) sampled_max: u64,
    /// Maximum bytes of their names.
    pub(crate) bytes_max: usize,
    /// The action on stale keys.
    pub(crate) action: Action,
    /// Whether keys of inactive users are looked for; they are deleted in any case.
    pub(crate) inactive: bool,
    /// Pauses between requests.
    pub(crate) breaks: Throttle,
}

/// The numbers of keys of a node, and a sample of its keys.
pub(crate) struct ListedNode {
    keys: NodeKeys,
    /// Whether its keys are skipped.
    skipped: bool,
    /// Whether its own counts are not trusted, so that its keys were counted by SCAN.
    counted: bool,
    sampled: KeySample,
    /// Lookups at the primary.
    looked_up: Lookups,
    sampling: SampleOptions,
}

impl ListedNode {
    /// The sampled keys whose users matter: those of `rules` that ask for users, or, without rules, those with a TTL.
    pub(crate) fn keys_of_users<'k>(&'k self, rules: Option<&RuleSet>) -> impl Iterator<Item = &'k Key> {
        let matters = move |(key, seen): &&(Key, KeyState)| match rules {
            Some(rules) => {
                let rule = rules.of(key.as_bytes()).and_then(|rule| rules.rule(rule));
                rule.is_some_and(Rule::asks_users)
            }
            None => matches!(seen.ttl, Ttl::Remaining(_)),
        };
        self.sampled.looks.iter().filter(matters).map(|(key, _)| key)
    }

    /// The users of the sample.
    pub(crate) fn users(&self, selector: &Classifier<'_>) -> SampledUserIds {
        SampledUserIds::of(&self.sampled, selector)
    }
}

/// Reads how many keys the slots of a node have, and a sample of keys; of a node that the run skips, only the sample.
pub(crate) async fn list(
    (deployment, there): (&RedisClient, &CheckedNode<'_>),
    selector: &Classifier<'_>,
    cluster: bool,
    sampling: SampleOptions,
) -> Result<ListedNode, RedisError> {
    let SampleOptions { sampled_max, bytes_max, breaks, .. } = sampling;
    let CheckedNode { primary, status, rights, replica, .. } = there;
    let conn = deployment.conn(&primary.node).await?;
    let mut lister = match replica {
        Some(replica) => replica.lister(),
        None => conn.lister(),
    };
    let one_lane = if cluster { None } else { why_one_lane(&mut lister, status, breaks).await? };
    // Counts that are not trusted are no reason to skip.
    let skipped = sampling.skip && one_lane.is_none() && status.foreign.is_none();
    // A skipped node is not planned by slot.
    let slots = match skipped {
        true => primary.slots.iter().map(|slot| (slot, 1)).collect(),
        false => node::slot_counts(&conn, &primary.slots, breaks).await?,
    };
    let mut keys = NodeKeys {
        node: primary.node.clone(),
        keys: status.keys,
        // Cursors belong to the process that is read.
        process: replica.as_ref().map_or(&status.process, |replica| &replica.process).clone(),
        slot_tables: status.slot_tables,
        one_lane: one_lane.is_some() || status.foreign.is_some(),
        slots,
    };
    let keys_max = wanted(keys.keys, skipped, sampled_max);
    let ask = selector.lookup_kind();
    let wanted = SampleRequest { keys: keys_max, bytes: bytes_max, search: !skipped, ask, breaks };
    let mut sampled = match &one_lane {
        Some(why) => {
            tracing::warn!(server = conn.address(), why, "read in one lane, and counted by SCAN");
            let (sampled, listed) = sample_whole(&mut lister, keys.keys, wanted, selector).await?;
            keys.keys = listed;
            sampled
        }
        None => {
            let slot_tables = cluster && keys.slot_tables;
            let tables = SampledTables { keys: keys.keys, slot_tables, slots: &keys.slots };
            sample(&mut lister, &tables, wanted, selector).await?
        }
    };
    // The counters of the primary do not include lookups at its replica.
    let mut looked_up = if replica.is_some() { Lookups::default() } else { sampled.lookups };
    looked_up += rights.own;
    if status.field_ttls > 0 {
        looked_up += classify_fields(&conn, &mut sampled, selector, breaks).await?;
    }
    Ok(ListedNode { keys, skipped, counted: one_lane.is_some(), sampled, looked_up, sampling })
}

/// How many matching keys the sample of a node with `keys` keys should have.
fn wanted(keys: u64, skipped: bool, sampled_max: u64) -> u64 {
    match keys {
        _ if skipped => SAMPLE_KEYS_LEAST,
        keys if keys <= 2 * sampled_max => sampled_max,
        keys => (keys / SAMPLE_KEYS_IN).max(SAMPLE_KEYS_MIN).min(sampled_max),
    }
}

/// Classifies the keys that were `listed` of a node, with a `selector` that knows all prefixes of ids.
pub(crate) async fn classify_sample(
    (deployment, there): (&RedisClient, &CheckedNode<'_>),
    listed: ListedNode,
    selector: &Classifier<'_>,
) -> Result<NodeSample, RedisError> {
    let CheckedNode { primary, status, source, .. } = there;
    let ListedNode { keys, skipped, counted, sampled, looked_up, sampling } = listed;
    let conn = deployment.conn(&primary.node).await?;
    let mut looked_up = looked_up;
    let (ruled, made) = ruled(&conn, &sampled, selector, sampling.breaks).await?;
    looked_up += made;
    let verdicts = verdicts(&sampled, selector, ruled.as_deref());
    let rule_set = selector.rule_set();
    let mut judged = sample_counts(&sampled, &verdicts);
    judged.by_rules = rule_set.zip(ruled.as_deref()).map(|(rules, ruled)| rule_estimate::acted(rules, ruled));
    let estimate = Estimate::of(&judged, keys.keys);
    let rules = rule_set.zip(ruled.as_deref());
    let rules = rules.map(|(rules, ruled)| rule_estimate::of_sample(rules, ruled, &judged, keys.keys));
    let counted_of = |at: usize, reason: Reason| match (rule_set, &ruled) {
        (Some(rules), Some(ruled)) => rule_estimate::is_deleted(rules, ruled[at].rule, ruled[at].verdict),
        _ => counts(sampling.action, reason),
    };
    let goes = to_delete(&sampled, &verdicts, counted_of);
    let sizes = sizes(&conn, &goes, sampled.all, sampling.breaks).await?;
    // A skipped node has no key without TTL.
    let stale_counts = rule_set.is_some() || counts(sampling.action, Reason::Stale);
    let nothing = skipped || !stale_counts && !sampling.inactive;
    let freed = match nothing {
        true => Some(ByteEstimate::NOTHING),
        false => estimate::freed(&judged, keys.keys, goes.len() as u64, &sizes),
    };
    let node = PlannedNode {
        node: primary.node.clone(),
        address: conn.address().to_owned(),
        slots: primary.slots.clone(),
        keys: keys.keys,
        process: status.process.clone(),
        replica: status.replica.clone(),
        swaps: status.swaps,
    };
    // If its keys were counted by SCAN, this is known of matching keys only, from the sample.
    let keys_without_ttl =
        if counted { estimate.stale_ttl_keys } else { status.keys.saturating_sub(status.expires) };
    let row = NodePreflight {
        node: primary.node.clone(),
        address: conn.address().to_owned(),
        version: status.version.clone(),
        slots: primary.slots.len() as u64,
        keys: keys.keys,
        keys_without_ttl,
        skipped,
        tasks: 0,
        read_from: source.as_ref().map(PlannedSource::of),
        replica: status.replica.clone(),
        names: sampled.names,
        estimate,
    };
    let reading = status.counters(&primary.node, looked_up);
    let (used_memory, rules) = (status.used_memory, rules.unwrap_or_default());
    Ok(NodeSample { node, keys, row, reading, freed, used_memory, rules })
}

/// The sampled keys with their rules, if the job has rules, and the lookups made at `conn` for their conditions.
async fn ruled(
    conn: &Conn,
    sampled: &KeySample,
    selector: &Classifier<'_>,
    breaks: Throttle,
) -> Result<(Option<Vec<RuledKey>>, Lookups), RedisError> {
    let mut lookups = Lookups::default();
    if selector.rule_set().is_none() {
        return Ok((None, lookups));
    }
    let keys = sampled
        .looks
        .iter()
        .filter_map(|(key, seen)| Some((selector.rule_of(key.as_bytes())?, key.as_bytes(), *seen)));
    let mut ruled = RuledKeys::new(selector, keys);
    while ruled.is_open() {
        let sent = Instant::now();
        lookups += ruled.ask(conn, breaks.at_once(FIELDS_KEYS_AT_ONCE)).await?;
        breaks.rest(sent).await;
    }
    Ok((Some(ruled.finish().0), lookups))
}

/// What would be done with each of the sampled keys.
fn verdicts(
    sampled: &KeySample,
    selector: &Classifier<'_>,
    ruled: Option<&[RuledKey]>,
) -> Vec<Classification> {
    match ruled {
        Some(ruled) => ruled.iter().map(|key| key.verdict).collect(),
        None => sampled.looks.iter().map(|(key, seen)| selector.classify(key.as_bytes(), seen)).collect(),
    }
}

/// Whether the memory of candidates with `reason` counts: they would be deleted, or `action` only reports.
fn counts(action: Action, reason: Reason) -> bool {
    !action.writes() || reason.is_deleted(action)
}

/// The sampled keys to delete, or to report in a run that only reports: those that `counts`, by index and reason.
fn to_delete<'a>(
    sampled: &'a KeySample,
    verdicts: &[Classification],
    counts: impl Fn(usize, Reason) -> bool,
) -> Vec<&'a Key> {
    let looks = sampled.looks.iter().zip(verdicts).enumerate().filter(|(at, (_, verdict))| {
        matches!(verdict, Classification::Candidate(reason, Treatment::Reap | Treatment::Reported) if counts(*at, *reason))
    });
    looks.map(|(_, ((key, _), _))| key).collect()
}

/// Bytes of `keys` of a node, of as many as a plan measures. Missing keys have none.
async fn sizes(conn: &Conn, keys: &[&Key], all: bool, breaks: Throttle) -> Result<Vec<u64>, RedisError> {
    let most = if all { PLAN_MEASURED_ALL } else { PLAN_MEASURED };
    let at_once = breaks.at_once(usize::try_from(MEASURED_AT_ONCE).unwrap_or(usize::MAX)).max(1);
    let mut sizes = Vec::new();
    for some in keys[..keys.len().min(most)].chunks(at_once) {
        let sent = Instant::now();
        let asked: Vec<KeyQuery> = some.iter().map(|key| KeyQuery::memory((*key).clone())).collect();
        let found = memory_usage(conn, &asked).await?;
        breaks.rest(sent).await;
        sizes.extend(found.memories.iter().filter_map(|memory| memory.bytes));
        if found.refused.is_some() {
            break;
        }
    }
    Ok(sizes)
}

/// Counts the classes of sampled keys.
fn sample_counts(sampled: &KeySample, verdicts: &[Classification]) -> estimate::Sample {
    let mut sample =
        estimate::Sample { listed: sampled.listed, all: sampled.all, ..estimate::Sample::default() };
    for verdict in verdicts {
        sample.matching += u64::from(*verdict != Classification::Gone);
        // What a rule says is right counts as protected.
        if let Classification::Keep(KeepReason::Durable | KeepReason::Lasting) = verdict {
            sample.stale += 1;
            sample.protected += u64::from(*verdict == Classification::Keep(KeepReason::Durable));
        }
        let Classification::Candidate(reason, fate) = *verdict else { continue };
        let protected = fate == Treatment::Protected;
        sample.stale += u64::from(reason == Reason::Stale);
        sample.protected += u64::from(reason == Reason::Stale && protected);
        sample.inactive += u64::from(reason == Reason::Inactive && !protected);
    }
    sample
}
