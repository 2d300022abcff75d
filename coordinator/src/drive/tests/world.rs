//! A run without servers: records, queue, nodes and workers are plain data, and time is a number. The state machine of
//! the leader is the real one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use keysweep_model::ids::{BatchId, NodeId, RunId, TaskId};
use keysweep_model::messages::{
    Covered, Grant, GroupReceipt, ListedBatch, PlannedNode, Reason, Receipt, Remainder, RemainderReason,
    Rules, RunSpec, ScanTask, TaskReport, UnreplicatedWrites,
};
use keysweep_model::outcome::Outcome;
use keysweep_model::range::Scope;
use keysweep_model::slot::SlotSet;
use keysweep_redis::ConnectOptions;
use keysweep_redis::replication::ReplicationState;
use keysweep_runtime::context::Timing;
use keysweep_storage::records::{Decision, Record};
use reporter::NodeReplicationId;

use crate::drive::{
    Effect, Epoch, HistoryReply, Input, LeaderConfig, NodeAnswer, NodeQuery, OpenBatch, RunState,
};
use crate::options::Options;
use crate::plan::{NodeKeys, Planner};
use crate::run_phase::RunPhase;
use crate::task_ids::TaskIds;

/// The slots of the two nodes.
pub const SLOTS: [(&str, std::ops::Range<u16>); 2] = [("a", 0..8), ("b", 8..16)];

/// More than any pause of a run, apart from the time after which a batch is lost.
pub const LATER: Duration = Duration::from_secs(61);

/// A run with its surroundings.
pub struct World {
    pub rng: Rng,
    pub spec: RunSpec,
    pub now: Duration,
    /// All records, in the order in which they were stored.
    pub records: Vec<Record>,
    /// Published tasks that no scanner has taken.
    pub queue: VecDeque<ScanTask>,
    /// The ids of all published messages.
    pub published: Vec<String>,
    /// Whether the queue accepts messages.
    pub accepts: bool,
    /// Whether nodes answer queries.
    pub answers: bool,
    /// The replication ids of the nodes.
    pub histories: BTreeMap<NodeId, String>,
    /// Batches that were ended without an attempt.
    pub ended: BTreeSet<BatchId>,
    pub leader: RunState,
    /// Effects of the leader, apart from writes to the records.
    pub seen: Vec<Effect>,
    /// Records that the leader has read.
    pub read: usize,
    /// Whether the leader has stopped for another one.
    pub yielded: bool,
}

/// A cluster run without a grace.
pub fn spec() -> RunSpec {
    let rules = Rules::deleting(&["*"], &[]).unwrap();
    let options = Options::plain(ConnectOptions::open(Vec::new()), Rules { grace_ms: 0, ..rules });
    let nodes = SLOTS.map(|(node, slots)| PlannedNode {
        node: NodeId::new(node),
        address: String::new(),
        slots: slots.collect(),
        keys: 100,
        process: String::new(),
        replica: None,
        swaps: None,
    });
    let spec = options.spec(RunId::new(), 0);
    RunSpec { cluster: true, nodes: nodes.to_vec(), guards: Default::default(), ..spec }
}

/// What the leader knows that announces itself with the next entry after `records`.
pub fn config(records: &[Record]) -> LeaderConfig {
    let log = records.iter().filter_map(|record| match record {
        Record::Decision { decision, .. } => Some(decision),
        _ => None,
    });
    let is_election = |decision: &&Decision| matches!(decision, Decision::LeaderElected { .. });
    LeaderConfig {
        epoch: Epoch {
            entry: log.clone().count() as u64,
            number: 1 + log.filter(is_election).count() as u64,
        },
        timing: Timing::default(),
        max_inflight_tasks: usize::MAX,
        publishes: false,
        one_process: false,
        runtime_before: Duration::ZERO,
        task_ids: TaskIds::random(),
    }
}

/// Whether only one of these records can be stored.
fn same_place(one: &Record, other: &Record) -> bool {
    match (one, other) {
        (Record::Decision { n, .. }, Record::Decision { n: m, .. }) => n == m,
        (Record::Report(one), Record::Report(other)) => one.task == other.task,
        (Record::Receipt(one), Record::Receipt(other)) => one.batch == other.batch,
        (Record::Grant(one), Record::Grant(other)) => one.task == other.task,
        (Record::Cancel(_), Record::Cancel(_)) | (Record::Spec(_), Record::Spec(_)) => true,
        _ => false,
    }
}

impl World {
    /// A planned run of `tasks` tasks per node, with its first leader.
    pub fn new(seed: u64, tasks: usize) -> Self {
        Self::with(seed, tasks, spec())
    }

    pub fn with(seed: u64, tasks: usize, spec: RunSpec) -> Self {
        let mut planner = Planner::new(spec.run, spec.alias.clone(), TaskIds::random());
        let mut planned = Vec::new();
        for (node, slots) in SLOTS {
            let all: Vec<u16> = slots.collect();
            for slots in all.chunks(all.len().div_ceil(tasks)) {
                let slots = slots.iter().copied().collect();
                let scope = Scope::Slots { slots };
                planned.push(planner.task(&NodeId::new(node), scope, 50));
            }
        }
        let mut world = Self {
            rng: Rng::with_seed(seed),
            leader: RunState::new(spec.clone(), config(&[])),
            spec: spec.clone(),
            now: Duration::ZERO,
            records: Vec::new(),
            queue: VecDeque::new(),
            published: Vec::new(),
            accepts: true,
            answers: true,
            histories: SLOTS.map(|(node, _)| (NodeId::new(node), format!("{node}0"))).into(),
            ended: BTreeSet::new(),
            seen: Vec::new(),
            read: 0,
            yielded: false,
        };
        for (n, decision) in (0..).zip(Decision::list(None, &planned)) {
            world.store(Record::Decision { n, decision });
        }
        world.store(Record::Spec(Box::new(spec)));
        world.elect();
        world
    }

    /// Replaces the leader.
    pub fn elect(&mut self) {
        self.elect_with(config(&self.records));
    }

    pub fn elect_with(&mut self, config: LeaderConfig) {
        let decision = Decision::LeaderElected { epoch: config.epoch.number, who: "a test".to_owned() };
        self.store(Record::Decision { n: config.epoch.entry, decision });
        self.leader = RunState::new(self.spec.clone(), config);
        (self.read, self.yielded) = (0, false);
    }

    /// Stores a record, unless one stands in its place.
    pub fn store(&mut self, record: Record) -> bool {
        let is_new = self.records.iter().all(|stored| !same_place(stored, &record));
        if is_new {
            self.records.push(record);
        }
        is_new
    }

    /// Gives the leader an input, and carries out at most `limit` of the effects that follow.
    pub fn step(&mut self, input: Input, limit: usize) {
        let mut effects = VecDeque::from(self.leader.apply(self.now, input));
        for _ in 0..limit {
            let Some(effect) = effects.pop_front() else { return };
            if let Some(reply) = self.carry_out(effect) {
                effects.extend(self.leader.apply(self.now, reply));
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Append { n, decision } => {
                (!self.store(Record::Decision { n, decision })).then_some(Input::AppendRefused)
            }
            Effect::Publish { task, id } => {
                if self.accepts {
                    self.queue.push_back((*task).clone());
                    self.published.push(id);
                }
                Some(Input::Published { task, accepted: self.accepts })
            }
            Effect::CreateReport(report) => {
                self.store(Record::Report(report));
                None
            }
            Effect::CreateReceipt(receipt) => {
                self.store(Record::Receipt(receipt.clone())).then_some(Input::ReceiptCreated(receipt))
            }
            Effect::CreateGrant(grant) => {
                self.store(Record::Grant(grant));
                None
            }
            Effect::CreateCancel(cancel) => {
                self.store(Record::Cancel(cancel));
                None
            }
            Effect::EndBatch(batch) => Some(self.end(batch)),
            Effect::QueryNodes(request) => {
                let answers = request.queries().map(|query| self.answer(query)).collect();
                Some(Input::NodesQueried { request, answers })
            }
            Effect::QueryHistories(histories) => {
                let replies = histories.into_iter().map(|history| (history.clone(), self.history(&history)));
                Some(Input::HistoriesQueried(replies.collect()))
            }
            Effect::Yield => {
                self.yielded = true;
                None
            }
            Effect::StoreProgress(_) | Effect::Emit(_) | Effect::Log(_) | Effect::Finish(_) => {
                self.seen.push(effect);
                None
            }
        }
    }

    fn end(&mut self, batch: OpenBatch) -> Input {
        self.ended.insert(batch.batch);
        Input::BatchEnded { batch, outcome: Outcome::Unreached }
    }

    fn answer(&self, query: &NodeQuery) -> Option<NodeAnswer> {
        let NodeQuery::Slots(slots) = query else { return None };
        let nodes = self.spec.nodes.iter().map(|node| NodeKeys {
            node: node.node.clone(),
            keys: node.keys,
            process: String::new(),
            slot_tables: false,
            one_lane: false,
            slots: node.slots.intersection(slots).iter().map(|slot| (slot, 5)).collect(),
        });
        let nodes = nodes.filter(|node| !node.slots.is_empty()).collect();
        self.answers.then_some(NodeAnswer { nodes, unserved: SlotSet::new() })
    }

    fn history(&self, (node, _): &NodeReplicationId) -> HistoryReply {
        if !self.answers {
            return HistoryReply::NoAnswer;
        }
        let replication_id = self.histories.get(node).cloned();
        HistoryReply::Answered { replication_id, replicas: ReplicationState::Behind }
    }

    /// Lets the leader read what is stored, each record so many times, with a tick after each.
    pub fn deliver(&mut self, times: usize) {
        while let Some(record) = self.records.get(self.read).cloned() {
            self.read += 1;
            for _ in 0..times {
                self.step(Input::Record(Box::new(record.clone())), usize::MAX);
            }
            self.step(Input::Tick, usize::MAX);
        }
    }

    /// Time passes.
    pub fn wait(&mut self, time: Duration) {
        self.now += time;
        self.step(Input::Tick, usize::MAX);
        self.deliver(1);
    }

    /// A scanner scans a published task: completely, in part, or in vain.
    pub fn scan_any(&mut self) {
        let Some(task) = self.queue.pop_front() else { return };
        let batches = self.rng.u64(0..3);
        let mut report = self.scanned(&task, batches);
        match self.rng.u8(0..8) {
            0 => report = TaskReport::lost(&task, "it was dead-lettered", false),
            1 => {
                let Scope::Slots { slots } = &task.scope else { panic!("{task:?}") };
                let (done, rest): (Vec<u16>, Vec<u16>) = slots.iter().partition(|_| self.rng.bool());
                let scope = Scope::Slots { slots: rest.into_iter().collect() };
                report.covered = Covered::Slots(done.into_iter().collect());
                report.remainder = vec![Remainder { reason: RemainderReason::Full, scope, pass: None }];
            }
            _ => {}
        }
        self.store(Record::Report(Box::new(report)));
    }

    /// The report of a scanner that found `batches` batches.
    pub fn scanned(&self, task: &ScanTask, batches: u64) -> TaskReport {
        let listed = |_| ListedBatch { batch: BatchId::new(), keys: 2, deletes: 2, rule: None, digest: None };
        let history = self.histories[&task.node].clone();
        TaskReport {
            covered: Covered::Slots(task.scope.slots()),
            batches: (0..batches).map(listed).collect(),
            replication_id: (task.scan_generation > 0).then_some(history),
            ..TaskReport::blank(task)
        }
    }

    /// Grants, with those of their batches that have no receipt.
    pub fn open_batches(&self) -> Vec<(Grant, BatchId)> {
        let done: BTreeSet<BatchId> = self.receipts().map(|receipt| receipt.batch).collect();
        let grants = self.records.iter().filter_map(|record| match record {
            Record::Grant(grant) => Some(grant),
            _ => None,
        });
        let batches =
            grants.flat_map(|grant| grant.batches.iter().map(|listed| ((**grant).clone(), listed.batch)));
        batches.filter(|(_, batch)| !done.contains(batch)).collect()
    }

    pub fn receipts(&self) -> impl Iterator<Item = &Receipt> {
        self.records.iter().filter_map(|record| match record {
            Record::Receipt(receipt) => Some(&**receipt),
            _ => None,
        })
    }

    /// A reaper deletes the candidates of a batch, without a replica that has the deletions.
    pub fn reap_any(&mut self) {
        let Some((grant, batch)) = self.open_batches().into_iter().next() else { return };
        let slot = grant.slots.iter().next().unwrap();
        let writes = UnreplicatedWrites {
            node: grant.node.clone(),
            replication_id: self.histories[&grant.node].clone(),
            slots: std::iter::once(slot).collect(),
        };
        let outcomes = vec![Outcome::Deleted, Outcome::Spared];
        let receipt = Receipt {
            groups: vec![GroupReceipt { slot, reason: Reason::Stale, outcomes }],
            all: None,
            cause: None,
            unreplicated: vec![writes],
            ..Receipt::whole(grant.run, batch, grant.node, grant.scan_generation, Outcome::Unreached, "")
        };
        self.store(Record::Receipt(Box::new(receipt)));
    }

    /// The primary of a node is replaced by one that lacks its writes.
    pub fn fail_over(&mut self, node: &str) {
        self.histories.insert(NodeId::new(node), format!("{node}{}", self.rng.u32(..)));
    }

    /// Works until everything is done.
    pub fn finish(&mut self) {
        for _ in 0..10_000 {
            self.deliver(1);
            if self.leader.recorded().phase == RunPhase::Reporting {
                return;
            }
            while !self.queue.is_empty() {
                self.scan_any();
            }
            while !self.open_batches().is_empty() {
                self.reap_any();
            }
            self.now += LATER;
            self.step(Input::Tick, usize::MAX);
        }
        panic!("the run does not end: {:#?}", self.leader.recorded());
    }

    /// What another process knows that reads all records: one that is, or was, the leader by `config`.
    pub fn replayed(&self, config: LeaderConfig) -> RunState {
        let mut state = RunState::new(self.spec.clone(), config);
        for record in &self.records {
            state.apply(Duration::ZERO, Input::Record(Box::new(record.clone())));
        }
        state
    }

    pub fn decisions(&self) -> impl Iterator<Item = &Decision> {
        self.records.iter().filter_map(|record| match record {
            Record::Decision { decision, .. } => Some(decision),
            _ => None,
        })
    }

    pub fn reports(&self) -> impl Iterator<Item = &TaskReport> {
        self.records.iter().filter_map(|record| match record {
            Record::Report(report) => Some(&**report),
            _ => None,
        })
    }

    /// The report of a task, if it is stored.
    pub fn report(&self, task: TaskId) -> Option<&TaskReport> {
        self.reports().find(|report| report.task == task)
    }
}
