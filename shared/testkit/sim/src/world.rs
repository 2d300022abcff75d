//! One world, from its seed to the verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use keysweep_model::ids::RunId;
use keysweep_model::messages::{Cancel, CancelKind};
use keysweep_model::result::CleanupResult;
use keysweep_model::time::now_ms;
use keysweep_storage::history;
use keysweep_storage::queue::MemoryQueue;
use keysweep_storage::records::{Decision, Record, Records};
use keysweep_storage::store::{MemoryStore, Store};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, sleep_until};

use crate::coverage::{Coverage, Failure};
use crate::network::Net;
use crate::oracle::{RunEnd, judge};
use crate::plan::{Act, PROCESSES, Profile, WORKERS, WorldPlan};
use crate::rates::Rates;
use crate::redis::deployment::{Deployment, MoveStep};
use crate::redis::keyspace::{KeyEntry, Value};
use crate::roles::{Process, Shared, locked};
use crate::witness::{Seen, Witness, dead_letters};
use crate::{clock, keys};

/// A run that takes longer hangs: two hours, in milliseconds.
const HANG_MS: u64 = 2 * 3_600_000;

/// How often the world looks whether the run has ended.
const LOOK: Duration = Duration::from_millis(500);

/// How long the world goes on after the result: processes that are dead or late come back, and must not do anything any more.
const SETTLE: Duration = Duration::from_secs(60);

/// So many milliseconds after the last act, nothing fails by chance any more: where one request in a hundred takes too long,
/// a plan of many requests may never be made.
const CHANCE_MS: u64 = 1_800_000;

/// The bytes that each topic of the queue takes.
const QUEUE_BYTES: usize = 4 << 20;

/// No run within so many milliseconds after the last act: there will be none.
const NO_RUN_MS: u64 = 600_000;

/// How a world ended.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// What is wrong; empty if nothing is.
    pub(crate) wrong: Vec<String>,
    /// The result, in a few words.
    pub(crate) ended: String,
    pub(crate) has_result: bool,
    pub(crate) coverage: Coverage,
}

struct World {
    plan: WorldPlan,
    shared: Arc<Shared>,
    processes: Vec<Process>,
    lives: JoinSet<()>,
    /// The process that asks for the run, until it has asked.
    asking: AbortHandle,
    before: BTreeMap<Vec<u8>, KeyEntry>,
    /// Runs whose results are judged already, or that another run was in progress with.
    earlier: BTreeSet<RunId>,
    /// Once there is a result.
    end: Option<RunEnd>,
    /// What is undone later, and when.
    later: BTreeMap<u64, Vec<Undo>>,
}

enum Undo {
    Up(usize),
    CatchUp(usize),
    TakeWrites(usize),
    MeetServer(usize, usize),
    MeetBroker(usize),
    Thaw(usize),
}

/// Lets the world of a plan happen. Must run in a runtime of one thread whose time is paused.
pub(crate) async fn run(plan: WorldPlan, state_dir: Option<PathBuf>) -> anyhow::Result<Verdict> {
    clock::begin();
    let mut deployment = Deployment::new(plan.primaries, plan.has_replicas, now_ms());
    deployment.runs_scripts = plan.profile != Profile::Transactions;
    deployment.crosses_slots = plan.profile != Profile::Slots;
    deployment.wobble_ms = plan.wobble_ms;
    keys::seed(&mut deployment, plan.keys, now_ms());
    let before = deployment.live(now_ms());
    let addresses = deployment.nodes.iter().map(|node| node.address).collect();
    let witness = Arc::new(Witness::default());
    let rates = Arc::new(Rates::new(plan.net, plan.broker));
    let shared = Arc::new(Shared {
        profile: plan.profile,
        net: Net::new(deployment, Arc::clone(&rates), Arc::clone(&witness)),
        rates,
        queue: Arc::new(MemoryQueue::new(keysweep_storage::limits::ACK_WAIT, QUEUE_BYTES, QUEUE_BYTES)),
        store: Arc::new(MemoryStore::default()),
        witness,
        result: Mutex::default(),
        own_store: Mutex::default(),
        own_run: Mutex::default(),
        refusal: Mutex::default(),
        state_dir,
        addresses,
    });
    let roles = if plan.profile.is_one_process() { 1 } else { PROCESSES.len() };
    let processes: anyhow::Result<Vec<Process>> =
        (0..roles).map(|role| Process::new(&plan, &shared, role)).collect();
    let (processes, mut lives) = (processes?, JoinSet::new());
    let asking = processes[0].start(&mut lives);
    processes[1..].iter().for_each(|process| drop(process.start(&mut lives)));
    let mut world = World {
        plan,
        shared,
        processes,
        lives,
        asking,
        before,
        earlier: BTreeSet::new(),
        end: None,
        later: BTreeMap::new(),
    };
    world.happen().await?;
    let mut verdict = world.judged().await?;
    if verdict.has_result && verdict.wrong.is_empty() {
        verdict.wrong.extend(world.next_run().await?);
    }
    Ok(verdict)
}

impl World {
    /// Lets all acts happen.
    async fn happen(&mut self) -> anyhow::Result<()> {
        let begin = tokio::time::Instant::now();
        let mut acts = std::mem::take(&mut self.plan.acts).into_iter().peekable();
        loop {
            let next = [acts.peek().map(|timed| timed.at_ms), self.later.keys().next().copied()];
            let Some(at_ms) = next.into_iter().flatten().min() else { return Ok(()) };
            sleep_until(begin + Duration::from_millis(at_ms)).await;
            for undo in self.later.remove(&at_ms).into_iter().flatten() {
                self.undo(&undo);
            }
            if self.end.is_none() && (self.result().await?.is_some() || self.is_checked().await?) {
                self.end = Some(RunEnd::now(&self.shared.net.deployment()));
            }
            while let Some(timed) = acts.next_if(|timed| timed.at_ms <= at_ms) {
                tracing::info!("world: {:?}", timed.act);
                self.act(&timed.act, timed.at_ms).await?;
                self.plan.acts.push(timed);
            }
        }
    }

    fn undo(&mut self, undo: &Undo) {
        let (now, net) = (now_ms(), &self.shared.net);
        match undo {
            Undo::Up(node) => net.deployment().nodes[*node].restart(now),
            Undo::CatchUp(node) => net.deployment().nodes[*node].is_behind = false,
            Undo::TakeWrites(node) => net.deployment().nodes[*node].refuses_writes = false,
            Undo::MeetServer(process, node) => net.part(*process, *node, false),
            Undo::MeetBroker(process) => self.processes[*process].life.part(false),
            Undo::Thaw(process) => self.processes[*process].life.freeze(false),
        }
    }

    fn undo_after(&mut self, at_ms: u64, for_ms: u64, undo: Undo) {
        self.later.entry(at_ms + for_ms).or_default().push(undo);
    }

    async fn act(&mut self, act: &Act, at_ms: u64) -> anyhow::Result<()> {
        self.witness_of(act).await?;
        match act {
            Act::Kill { process, back_ms } => self.processes[*process].life.kill(*back_ms),
            Act::KillAfter { process, requests, back_ms } => {
                self.processes[*process].life.kill_after(*requests, *back_ms);
            }
            Act::Freeze { process, for_ms } => {
                self.processes[*process].life.freeze(true);
                self.undo_after(at_ms, *for_ms, Undo::Thaw(*process));
            }
            Act::PartServer { process, node, for_ms } => {
                self.shared.net.part(*process, *node, true);
                self.undo_after(at_ms, *for_ms, Undo::MeetServer(*process, *node));
            }
            Act::PartBroker { process, for_ms } => {
                self.processes[*process].life.part(true);
                self.undo_after(at_ms, *for_ms, Undo::MeetBroker(*process));
            }
            Act::Away { node, for_ms } => {
                self.shared.net.deployment().nodes[*node].is_up = false;
                self.undo_after(at_ms, *for_ms, Undo::Up(*node));
            }
            Act::Behind { node, for_ms } => {
                self.shared.net.deployment().nodes[*node].is_behind = true;
                self.undo_after(at_ms, *for_ms, Undo::CatchUp(*node));
            }
            Act::RefuseWrites { node, for_ms } => {
                self.shared.net.deployment().nodes[*node].refuses_writes = true;
                self.undo_after(at_ms, *for_ms, Undo::TakeWrites(*node));
            }
            Act::Cancel => self.cancel().await?,
            act => happen_to_servers(&mut self.shared.net.deployment(), act, at_ms),
        }
        Ok(())
    }

    /// Notes what an act does to the run, if one is in progress.
    async fn witness_of(&self, act: &Act) -> anyhow::Result<()> {
        let witness = &self.shared.witness;
        witness.fault();
        if let Act::Freeze { process, .. } = act {
            witness.seen().has_stopped |= WORKERS.contains(process);
        }
        let failure = match act {
            Act::FailOver { .. } => Failure::FailOver,
            Act::Move { step: MoveStep::End, .. } => Failure::Move,
            Act::Away { .. } => Failure::Away,
            Act::RefuseWrites { .. } => Failure::NoWrites,
            _ => return Ok(()),
        };
        if self.has_run().await? && self.result().await?.is_none() {
            witness.reached(failure);
        }
        Ok(())
    }

    /// Whether a run has begun.
    async fn has_run(&self) -> anyhow::Result<bool> {
        if self.plan.profile.is_one_process() {
            return Ok(!self.shared.witness.seen().windows.is_empty());
        }
        Ok(!history::read(&*self.shared.store).await?.is_empty())
    }

    /// Whether a run has begun that did not end with its only process.
    async fn is_driven(&self) -> anyhow::Result<bool> {
        match self.plan.profile.is_one_process() {
            true => Ok(locked(&self.shared.own_run).is_some()),
            false => self.has_run().await,
        }
    }

    async fn cancel(&self) -> anyhow::Result<()> {
        let cancel = Cancel { kind: CancelKind::Asked, cause: "a person".to_owned() };
        let store = self.store();
        let own = *locked(&self.shared.own_run);
        let planned = history::read(&*self.shared.store).await?.into_iter().map(|line| line.run_id);
        for run in planned.chain(own) {
            Records::new(Arc::clone(&store), run).create_cancel(&cancel).await?;
        }
        Ok(())
    }

    /// The store that the processes share, or that of the only one.
    fn store(&self) -> Arc<dyn Store> {
        let own = locked(&self.shared.own_store).clone();
        own.unwrap_or_else(|| Arc::clone(&self.shared.store))
    }

    /// Waits for the result, and judges it.
    async fn judged(&mut self) -> anyhow::Result<Verdict> {
        let last_ms = clock::elapsed_ms();
        while clock::elapsed_ms() < HANG_MS {
            sleep(LOOK).await;
            if clock::elapsed_ms() > last_ms + CHANCE_MS {
                self.shared.rates.end();
            }
            if let Some((result, cancel)) = self.result().await? {
                let now = RunEnd::now(&self.shared.net.deployment());
                let end = self.end.take().unwrap_or(now);
                sleep(SETTLE).await;
                return self.judged_by(&result, cancel, &end).await;
            }
            let is_late = clock::elapsed_ms() > last_ms + NO_RUN_MS;
            if let Some(cause) = locked(&self.shared.refusal).take() {
                return Ok(self.without_run(cause));
            }
            if is_late && self.is_unreachable() && !self.is_driven().await? {
                return Ok(
                    self.without_run("no address in the settings is that of a server any more".to_owned())
                );
            }
        }
        let wrong = vec!["the run has no result after two hours".to_owned()];
        Ok(Verdict { wrong, ..self.without_run("no result".to_owned()) })
    }

    fn without_run(&self, cause: String) -> Verdict {
        let Seen { wrong, coverage, .. } = std::mem::take(&mut *self.shared.witness.seen());
        Verdict { wrong, ended: format!("no run: {cause}"), has_result: false, coverage }
    }

    /// Whether all servers have other addresses than the settings say.
    fn is_unreachable(&self) -> bool {
        let deployment = self.shared.net.deployment();
        self.shared.addresses.iter().all(|address| deployment.serving(*address).is_none())
    }

    async fn judged_by(
        &self,
        result: &CleanupResult,
        cancel: Option<CancelKind>,
        end: &RunEnd,
    ) -> anyhow::Result<Verdict> {
        let letters = dead_letters(&*self.store()).await?;
        let last = self.result().await?.map(|(last, _)| last);
        let deployment = self.shared.net.deployment();
        let mut seen = std::mem::take(&mut *self.shared.witness.seen());
        if last.as_ref() != Some(result) {
            seen.wrong.push(format!("the result changed: {last:?} after {result:?}"));
        }
        let effects = &deployment.effects;
        seen.wrong.extend(judge(&self.plan, &self.before, end, effects, result, &seen, letters));
        let reached = [
            (letters > 0, Failure::DeadLetter),
            (result.accounting.spared > 0, Failure::Rewritten),
            (cancel == Some(CancelKind::Guard), Failure::Limit),
            (cancel == Some(CancelKind::LockLost), Failure::Lock),
            (!deployment.runs_scripts, Failure::NoScripts),
        ];
        seen.coverage.failures.extend(reached.into_iter().filter_map(|(is, failure)| is.then_some(failure)));
        let (status, counts) = (result.status, &result.accounting);
        let ended = format!("{status:?} after {} s: {counts:?}", clock::elapsed_ms() / 1_000);
        Ok(Verdict { wrong: seen.wrong, ended, has_result: true, coverage: seen.coverage })
    }

    /// Whether a driver has checked at the end of its work that no write is gone. A reporter that stands still makes the
    /// result later; what a failover undoes in between is as if it came after.
    async fn is_checked(&self) -> anyhow::Result<bool> {
        for line in history::read(&*self.shared.store).await? {
            let (records, mut revision) = (Records::new(Arc::clone(&self.shared.store), line.run_id), 0);
            while let Some((next, record)) = records.next_after(revision).await? {
                if let Some(Record::Decision { decision: Decision::Check { gone, unknown, .. }, .. }) =
                    &record
                    && gone.is_empty()
                    && unknown.is_empty()
                {
                    return Ok(true);
                }
                revision = next;
            }
        }
        Ok(false)
    }

    /// The result of the first run that has ended and is not an earlier one.
    async fn result(&self) -> anyhow::Result<Option<(CleanupResult, Option<CancelKind>)>> {
        if self.plan.profile.is_one_process() {
            return Ok(locked(&self.shared.result).clone());
        }
        for line in history::read(&*self.shared.store).await? {
            if line.status.is_some() && !self.earlier.contains(&line.run_id) {
                let records = Records::new(Arc::clone(&self.shared.store), line.run_id);
                let result = records.result().await?.context("a run that has ended has a result")?;
                return Ok(Some((result, records.cancel().await?.map(|cancel| cancel.kind))));
            }
        }
        Ok(None)
    }
}

/// What operators and other clients do to servers and keys.
fn happen_to_servers(deployment: &mut Deployment, act: &Act, at_ms: u64) {
    let now = now_ms();
    let text = || Value::Text(format!("written at {at_ms}").into_bytes());
    match act {
        Act::Restart { node } => deployment.nodes[*node].restart(now),
        Act::FailOver { node } => deployment.fail_over(*node, now),
        Act::Replicate { node } => drop(deployment.replicate(*node)),
        Act::Cut { node } => deployment.nodes[*node].cut += 1,
        Act::Clock { node, ahead_ms } => deployment.nodes[*node].ahead_ms = *ahead_ms,
        Act::Move { key, to, step } => {
            deployment.move_slot(keysweep_model::slot::slot_of(&keys::name(*key)), *to, *step);
        }
        Act::Write { key, ttl_ms } => deployment.write(&keys::name(*key), text(), *ttl_ms, now),
        Act::Burst { key, count } => {
            (*key..key + count).for_each(|key| deployment.write(&keys::name(key), text(), None, now));
        }
        Act::Expire { key, ttl_ms } => deployment.touch(&keys::name(*key), Some(*ttl_ms), now),
        Act::Delete { key } => deployment.touch(&keys::name(*key), None, now),
        Act::Flush { node } => deployment.flush(*node),
        Act::DropScripts { node } => deployment.nodes[*node].scripts.clear(),
        Act::Unlock => deployment.remove_all(b"keysweep:lock:"),
        Act::DropLedgers => deployment.remove_all(b"keysweep:ledger:"),
        _ => {}
    }
}

mod next_run;
#[cfg(test)]
mod tests;
