//! The steps of a preflight: check all nodes, list their keys, classify them. Unreachable nodes are excluded at each
//! step.

use std::sync::Arc;

use keysweep_model::counters::NodeCounters;
use keysweep_model::ids::RunId;
use keysweep_model::key::Key;
use keysweep_model::memory::ByteEstimate;
use keysweep_model::messages::{PlannedNode, ScanTask};
use keysweep_model::slot::SlotSet;
use keysweep_policy::{FactSet, RuleSet};
use keysweep_redis::Throttle;
use keysweep_redis::limits::PREFLIGHT_TIMEOUT;
use keysweep_redis::{RedisClient, Topology};
use keysweep_tasks::concurrency::{join_bounded, join_bounded_within};
use scanner::Classifier;
use scanner::limits::SAMPLE_BYTES_MAX;

use super::{NodePreflight, PreflightError};
use crate::activity;
use crate::check_node::{CheckedNode, check_node};
use crate::limits::{SAMPLE_BYTES_LEAST, SAMPLE_BYTES_SUM, SAMPLE_KEYS, SAMPLE_KEYS_LEAST, SAMPLE_KEYS_SUM};
use crate::options::Options;
use crate::plan::Planner;
use crate::plan_progress::{PlanProgress, PlanStep};
use crate::policy_check;
use crate::rule_estimate::RuleEstimate;
use crate::sample_node::{ListedNode, NodeSample, SampleOptions, classify_sample, list};
use crate::sampled_users::SampledUserIds;
use crate::task_ids::TaskIds;
use crate::unreachable_nodes::UnreachableNodes;

/// Runs the steps of a preflight.
pub(super) struct PlanBuilder<'a> {
    client: &'a RedisClient,
    options: &'a Options,
    planning: &'a PlanProgress,
    cluster: bool,
    /// The rules of the job, if it has rules.
    rules: Option<Arc<RuleSet>>,
    pub(super) down: UnreachableNodes,
}

/// The parts of the plan, collected over all nodes.
#[derive(Default)]
pub(super) struct PlanParts {
    pub(super) planned: Vec<PlannedNode>,
    pub(super) tasks: Vec<ScanTask>,
    pub(super) nodes: Vec<NodePreflight>,
    pub(super) readings: Vec<NodeCounters>,
    /// Slots of a cluster that no node serves.
    pub(super) missing: SlotSet,
    /// As [`super::Preflight::freed`].
    pub(super) freed: Option<ByteEstimate>,
    /// Bytes of memory that the nodes use; `None` if one does not report it.
    pub(super) used_memory: Option<u64>,
    /// What is expected of each rule; empty without rules.
    pub(super) rules: Vec<RuleEstimate>,
}

impl<'a> PlanBuilder<'a> {
    /// # Errors
    /// When the job has rules that contradict themselves.
    pub(super) fn new(
        client: &'a RedisClient,
        options: &'a Options,
        planning: &'a PlanProgress,
    ) -> Result<Self, PreflightError> {
        let topology = client.topology();
        let down = UnreachableNodes::of(topology.primaries.len());
        let rules = policy_check::rules(options)?.map(Arc::new);
        Ok(Self { client, options, planning, cluster: topology.cluster, rules, down })
    }

    /// What the conditions of the rules are about.
    pub(super) fn facts(&self) -> FactSet {
        self.rules.as_ref().map(|rules| rules.facts()).unwrap_or_default()
    }

    /// Checks all primaries, as far as they respond in time.
    pub(super) async fn check_nodes<'t>(
        &mut self,
        topology: &'t Topology,
    ) -> Result<Vec<CheckedNode<'t>>, PreflightError> {
        let Self { client: deployment, options, cluster, .. } = *self;
        let rule_set = self.rules.clone();
        let rule_set = rule_set.as_deref();
        self.planning.at(PlanStep::Checking { servers: topology.primaries.len() });
        let checks = topology
            .primaries
            .iter()
            .map(async |primary| Box::pin(check_node(deployment, primary, options, rule_set, cluster)).await);
        let (mut met, all) = (Vec::new(), join_bounded_within(checks.collect(), PREFLIGHT_TIMEOUT).await);
        for (primary, there) in topology.primaries.iter().zip(all) {
            match there {
                Some(there) => met.extend(self.down.unless_down(primary, there)?),
                None => self.down.unmet(primary),
            }
        }
        self.down.log(met.len());
        Ok(met)
    }

    /// Reads the active users, if the run depends on them.
    pub(super) async fn read_activity(&self, met: &[CheckedNode<'_>]) -> activity::ActivityFound {
        let Some(order) = self.options.inactive_policy() else { return activity::ActivityFound::default() };
        self.planning.at(PlanStep::ReadingActivity);
        // What a rule needs of a server is checked for each rule.
        let statuses = met.iter().filter(|_| self.rules.is_none()).map(|there| &there.status);
        activity::find_out(self.client, order, statuses).await
    }

    /// The sampled keys whose users matter: those with a TTL, or those of rules that ask for users.
    pub(super) fn keys_of_users<'k>(&self, listed: &'k [(CheckedNode<'_>, ListedNode)]) -> Vec<&'k Key> {
        let rules = self.rules.as_deref();
        listed.iter().flat_map(|(_, listed)| listed.keys_of_users(rules)).collect()
    }

    /// Their users.
    pub(super) fn sampled_users(
        &self,
        listed: &[(CheckedNode<'_>, ListedNode)],
        activity: &activity::ActivityFound,
    ) -> SampledUserIds {
        let rules = activity.rules(&self.options.rules);
        let selector = Classifier::new(&rules, activity.activity()).with_rules(self.rules.as_deref());
        let mut users = SampledUserIds::default();
        listed.iter().for_each(|(_, listed)| users.add(listed.users(&selector)));
        users
    }

    /// Lists keys of all nodes.
    pub(super) async fn list<'t>(
        &mut self,
        met: Vec<CheckedNode<'t>>,
        activity: &activity::ActivityFound,
    ) -> Result<Vec<(CheckedNode<'t>, ListedNode)>, PreflightError> {
        let Self { client: deployment, planning, cluster, .. } = *self;
        planning.at(PlanStep::Sampling { done: 0, of: met.len(), slots: cluster });
        let (rules, rule_set) = (activity.rules(&self.options.rules), self.rules.clone());
        let selector = &Classifier::new(&rules, activity.activity()).with_rules(rule_set.as_deref());
        let sampled_max = (SAMPLE_KEYS_SUM / met.len().max(1) as u64).clamp(SAMPLE_KEYS_LEAST, SAMPLE_KEYS);
        let bytes_max = (SAMPLE_BYTES_SUM / met.len().max(1)).clamp(SAMPLE_BYTES_LEAST, SAMPLE_BYTES_MAX);
        let listing = met.into_iter().map(|there| {
            let sampling = self.sample_options(&there, (sampled_max, bytes_max), activity);
            async move {
                let listed = list((deployment, &there), selector, cluster, sampling).await;
                planning.node_done();
                (there, listed.map_err(PreflightError::from))
            }
        });
        let (mut listed, all) = (Vec::new(), join_bounded(listing.collect()).await);
        for (there, its) in all {
            let its = self.down.unless_down(there.primary, its)?;
            listed.extend(its.map(|its| (there, its)));
        }
        Ok(listed)
    }

    fn sample_options(
        &self,
        there: &CheckedNode<'_>,
        (sampled_max, bytes_max): (u64, usize),
        activity: &activity::ActivityFound,
    ) -> SampleOptions {
        let (options, status) = (self.options, &there.status);
        SampleOptions {
            // If only keys without TTL are looked for, a node without such keys has no candidates.
            // Rules count their keys with a TTL, too.
            skip: !options.full_scan
                && options.rules.policy.is_none()
                && !options.aggressive
                && status.keys > 0
                && status.expires >= status.keys,
            sampled_max,
            bytes_max,
            action: options.rules.action,
            inactive: activity.known.is_some(),
            breaks: Throttle::of(&options.pacing),
        }
    }

    /// Classifies the keys that were `listed`, and creates the tasks of `run` that read all keys.
    pub(super) async fn classify(
        &mut self,
        listed: Vec<(CheckedNode<'_>, ListedNode)>,
        activity: &activity::ActivityFound,
        run: RunId,
    ) -> Result<PlanParts, PreflightError> {
        let client = self.client;
        let (rules, rule_set) = (activity.rules(&self.options.rules), self.rules.clone());
        let selector = &Classifier::new(&rules, activity.activity()).with_rules(rule_set.as_deref());
        let mut planner = Planner::new(run, self.options.alias.clone(), TaskIds::random());
        planner.sizes = self.options.task_sizes;
        let classifying = listed.into_iter().map(|(there, listed)| async move {
            let classified = classify_sample((client, &there), listed, selector).await;
            (there, classified.map_err(PreflightError::from))
        });
        let (mut found, all) = (PlanParts::nothing(), join_bounded(classifying.collect()).await);
        for (there, classified) in all {
            found.missing = found.missing.difference(&there.primary.slots);
            let Some(mut looked) = self.down.unless_down(there.primary, classified)? else { continue };
            for (_, own) in activity.lookups.iter().filter(|(at, _)| *at == looked.node.node) {
                looked.reading.own_after += *own;
            }
            let tasks = self.tasks(&mut planner, &there, &looked);
            found.add(looked, tasks);
        }
        found.missing = found.missing.union(&self.down.slots);
        match self.client.topology().primaries.first() {
            Some(first) if found.planned.is_empty() => Err(self.down.all(first).into()),
            _ => Ok(found),
        }
    }

    fn tasks(&self, planner: &mut Planner, there: &CheckedNode<'_>, looked: &NodeSample) -> Vec<ScanTask> {
        match (looked.row.skipped, self.cluster) {
            (true, _) => vec![planner.skipped(&looked.keys, &there.primary.slots)],
            (false, true) => planner.slots(&looked.keys, &SlotSet::new()),
            (false, false) => planner.database(&looked.keys),
        }
    }
}

impl PlanParts {
    fn nothing() -> Self {
        let (freed, used_memory) = (Some(ByteEstimate::NOTHING), Some(0));
        Self { missing: SlotSet::all(), freed, used_memory, ..Self::default() }
    }

    fn add(&mut self, looked: NodeSample, tasks: Vec<ScanTask>) {
        let NodeSample { node, keys: _, row, reading, freed, used_memory, rules } = looked;
        self.rules.resize(self.rules.len().max(rules.len()), RuleEstimate::default());
        self.rules.iter_mut().zip(&rules).for_each(|(sum, its)| sum.add(its));
        self.nodes.push(NodePreflight { tasks: tasks.len() as u64, ..row });
        self.planned.push(node);
        self.tasks.extend(tasks);
        self.readings.push(reading);
        self.freed = self.freed.zip(freed).map(|(sum, its)| sum.plus(its));
        self.used_memory = self.used_memory.zip(used_memory).map(|(sum, its)| sum.saturating_add(its));
    }
}
