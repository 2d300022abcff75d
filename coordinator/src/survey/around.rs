//! The steps of a look around: all nodes are met, then their keys are listed, then judged. Nodes that are down are left out
//! at each step.

use shared::at_once::{at_once, at_once_within};
use shared::cluster::{Deployment, Topology};
use shared::ids::RunId;
use shared::limits::{
    MEETING_TIMEOUT, SAMPLE_BYTES_LEAST, SAMPLE_BYTES_MAX, SAMPLE_BYTES_SUM, SAMPLE_KEYS, SAMPLE_KEYS_LEAST,
    SAMPLE_KEYS_SUM,
};
use shared::memory::ByteEstimate;
use shared::messages::{PlannedNode, ScanTask};
use shared::pace::Breaks;
use shared::samples::Reading;
use shared::slot::SlotSet;

use scanner::Selector;

use super::{NodeSurvey, SurveyError};
use crate::activity;
use crate::down::Down;
use crate::look::{Listed, LookedAt, Looking, judge, list};
use crate::meet::{Met, meet};
use crate::options::Options;
use crate::plan::Planner;
use crate::planning::{Planning, Step};
use crate::users_met::UsersMet;

/// See the module.
pub(super) struct Around<'a> {
    deployment: &'a Deployment,
    options: &'a Options,
    planning: &'a Planning,
    cluster: bool,
    pub(super) down: Down,
}

/// What all nodes together come to.
pub(super) struct Found {
    pub(super) planned: Vec<PlannedNode>,
    pub(super) tasks: Vec<ScanTask>,
    pub(super) nodes: Vec<NodeSurvey>,
    pub(super) readings: Vec<Reading>,
    /// Slots of a cluster that no node serves.
    pub(super) missing: SlotSet,
    pub(super) users: UsersMet,
    /// As [`super::Survey::freed`].
    pub(super) freed: Option<ByteEstimate>,
    /// Bytes of memory that the nodes use; `None` if one does not tell.
    pub(super) used_memory: Option<u64>,
}

impl<'a> Around<'a> {
    pub(super) fn new(deployment: &'a Deployment, options: &'a Options, planning: &'a Planning) -> Self {
        let topology = deployment.topology();
        let down = Down::of(topology.primaries.len());
        Self { deployment, options, planning, cluster: topology.cluster, down }
    }

    /// Meets all primaries, as far as they answer in time.
    pub(super) async fn meet<'t>(&mut self, topology: &'t Topology) -> Result<Vec<Met<'t>>, SurveyError> {
        let Self { deployment, options, cluster, .. } = *self;
        self.planning.at(Step::Checking { servers: topology.primaries.len() });
        let meeting = topology.primaries.iter().map(|primary| meet(deployment, primary, options, cluster));
        let (mut met, all) = (Vec::new(), at_once_within(meeting.collect(), MEETING_TIMEOUT).await);
        for (primary, there) in topology.primaries.iter().zip(all) {
            match there {
                Some(there) => met.extend(self.down.unless_down(primary, there)?),
                None => self.down.unmet(primary),
            }
        }
        self.down.tell(met.len());
        Ok(met)
    }

    /// Finds out who is active, if inactive users are looked for.
    pub(super) async fn read_activity(&self, met: &[Met<'_>]) -> activity::Found {
        let Some(order) = self.options.looks_for_inactive() else { return activity::Found::default() };
        self.planning.at(Step::ReadingActivity);
        activity::find_out(self.deployment, order, met.iter().map(|there| &there.status)).await
    }

    /// Lists keys of all nodes.
    pub(super) async fn list<'t>(
        &mut self,
        met: Vec<Met<'t>>,
        activity: &activity::Found,
    ) -> Result<Vec<(Met<'t>, Listed)>, SurveyError> {
        let Self { deployment, planning, cluster, .. } = *self;
        planning.at(Step::Looking { done: 0, of: met.len(), slots: cluster });
        let rules = activity.rules(&self.options.rules);
        let selector = &Selector::new(&rules, activity.activity());
        let sampled_max = (SAMPLE_KEYS_SUM / met.len().max(1) as u64).clamp(SAMPLE_KEYS_LEAST, SAMPLE_KEYS);
        let bytes_max = (SAMPLE_BYTES_SUM / met.len().max(1)).clamp(SAMPLE_BYTES_LEAST, SAMPLE_BYTES_MAX);
        let listing = met.into_iter().map(|there| {
            let looking = self.looking(&there, (sampled_max, bytes_max), activity);
            async move {
                let listed = list((deployment, &there), selector, cluster, looking).await;
                planning.looked();
                (there, listed.map_err(SurveyError::from))
            }
        });
        let (mut listed, all) = (Vec::new(), at_once(listing.collect()).await);
        for (there, its) in all {
            let its = self.down.unless_down(there.primary, its)?;
            listed.extend(its.map(|its| (there, its)));
        }
        Ok(listed)
    }

    fn looking(
        &self,
        there: &Met<'_>,
        (sampled_max, bytes_max): (u64, usize),
        activity: &activity::Found,
    ) -> Looking {
        let (options, status) = (self.options, &there.status);
        Looking {
            // Where only keys without TTL are looked for, a node without such keys has no candidates.
            skip: !options.every_key
                && !options.aggressive
                && status.keys > 0
                && status.expires >= status.keys,
            sampled_max,
            bytes_max,
            action: options.rules.action,
            inactive: activity.known.is_some(),
            breaks: Breaks::of(&options.pace),
        }
    }

    /// What comes of the keys that were `listed`, and the tasks of `run` that read all of them.
    pub(super) async fn judge(
        &mut self,
        listed: Vec<(Met<'_>, Listed)>,
        activity: &activity::Found,
        run: RunId,
    ) -> Result<Found, SurveyError> {
        let deployment = self.deployment;
        let rules = activity.rules(&self.options.rules);
        let selector = &Selector::new(&rules, activity.activity());
        let planner = Planner { run, alias: self.options.alias.clone(), replans: 0, round: 0 };
        let judging = listed.into_iter().map(|(there, listed)| async move {
            let judged = judge((deployment, &there), listed, selector).await;
            (there, judged.map_err(SurveyError::from))
        });
        let (mut found, all) = (Found::nothing(), at_once(judging.collect()).await);
        for (there, judged) in all {
            found.missing = found.missing.difference(&there.primary.slots);
            let Some(mut looked) = self.down.unless_down(there.primary, judged)? else { continue };
            for (_, own) in activity.lookups.iter().filter(|(at, _)| *at == looked.node.node) {
                looked.reading.own_after += *own;
            }
            let tasks = self.tasks(&planner, &there, &looked);
            found.add(looked, tasks);
        }
        found.missing = found.missing.union(&self.down.slots);
        match self.deployment.topology().primaries.first() {
            Some(first) if found.planned.is_empty() => Err(self.down.all(first).into()),
            _ => Ok(found),
        }
    }

    fn tasks(&self, planner: &Planner, there: &Met<'_>, looked: &LookedAt) -> Vec<ScanTask> {
        match (looked.row.skipped, self.cluster) {
            (true, _) => vec![planner.skipped(&looked.keys, &there.primary.slots)],
            (false, true) => planner.slots(&looked.keys, &SlotSet::new()),
            (false, false) => planner.database(&looked.keys),
        }
    }
}

impl Found {
    fn nothing() -> Self {
        Self {
            planned: Vec::new(),
            tasks: Vec::new(),
            nodes: Vec::new(),
            readings: Vec::new(),
            missing: SlotSet::all(),
            users: UsersMet::default(),
            freed: Some(ByteEstimate::NOTHING),
            used_memory: Some(0),
        }
    }

    fn add(&mut self, looked: LookedAt, tasks: Vec<ScanTask>) {
        let LookedAt { node, keys: _, row, reading, freed, users, used_memory } = looked;
        self.nodes.push(NodeSurvey { tasks: tasks.len() as u64, ..row });
        self.planned.push(node);
        self.tasks.extend(tasks);
        self.readings.push(reading);
        self.users.add(users);
        self.freed = self.freed.zip(freed).map(|(sum, its)| sum.plus(its));
        self.used_memory = self.used_memory.zip(used_memory).map(|(sum, its)| sum.saturating_add(its));
    }
}
