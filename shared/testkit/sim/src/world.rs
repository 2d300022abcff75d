//! One world, from its seed to the verdict.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use keysweep_model::messages::{Cancel, CancelKind};
use keysweep_model::result::CleanupResult;
use keysweep_model::time::now_ms;
use keysweep_storage::history;
use keysweep_storage::queue::MemoryQueue;
use keysweep_storage::records::Records;
use keysweep_storage::store::MemoryStore;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use crate::network::Net;
use crate::oracle::judge;
use crate::plan::{Act, PROCESSES, WorldPlan};
use crate::redis::deployment::Deployment;
use crate::redis::keyspace::{KeyEntry, Value};
use crate::roles::{Process, Shared};
use crate::{clock, keys};

/// A run that takes longer hangs: six hours, in milliseconds.
const HANG_MS: u64 = 6 * 3_600_000;

/// How often the world looks whether the run has ended.
const LOOK: Duration = Duration::from_millis(500);

/// The bytes that each topic of the queue takes.
const QUEUE_BYTES: usize = 4 << 20;

/// How a world ended.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// What is wrong; empty if nothing is.
    pub(crate) wrong: Vec<String>,
    /// The result, in a few words.
    pub(crate) ended: String,
}

struct World {
    plan: WorldPlan,
    shared: Shared,
    processes: Vec<Process>,
    lives: JoinSet<()>,
    before: BTreeMap<Vec<u8>, KeyEntry>,
    /// What is undone later, and when.
    later: BTreeMap<u64, Vec<Undo>>,
}

enum Undo {
    Start(usize),
    Up(usize),
    MeetServer(usize, usize),
    MeetBroker(usize),
}

/// Lets the world of a plan happen. Must run in a runtime of one thread whose time is paused.
pub(crate) async fn run(plan: WorldPlan) -> anyhow::Result<Verdict> {
    clock::begin();
    let mut deployment = Deployment::new(plan.primaries, plan.has_replicas, now_ms());
    keys::seed(&mut deployment, plan.keys, now_ms());
    let before = deployment.live(now_ms());
    let shared = Shared {
        net: Net::new(deployment, plan.net),
        queue: Arc::new(MemoryQueue::new(keysweep_storage::limits::ACK_WAIT, QUEUE_BYTES, QUEUE_BYTES)),
        store: Arc::new(MemoryStore::default()),
    };
    let processes: anyhow::Result<Vec<Process>> =
        (0..PROCESSES.len()).map(|role| Process::new(&plan, &shared, role)).collect();
    let mut world =
        World { plan, shared, processes: processes?, lives: JoinSet::new(), before, later: BTreeMap::new() };
    for role in 0..PROCESSES.len() {
        world.processes[role].start(&mut world.lives);
    }
    world.happen().await?;
    world.judged().await
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
            while let Some(timed) = acts.next_if(|timed| timed.at_ms <= at_ms) {
                tracing::info!("world: {:?}", timed.act);
                self.act(&timed.act, timed.at_ms).await?;
                self.plan.acts.push(timed);
            }
        }
    }

    fn undo(&mut self, undo: &Undo) {
        let now = now_ms();
        match undo {
            Undo::Start(process) => self.processes[*process].start(&mut self.lives),
            Undo::Up(node) => self.shared.net.deployment().nodes[*node].restart(now),
            Undo::MeetServer(process, node) => self.shared.net.part(*process, *node, false),
            Undo::MeetBroker(process) => self.processes[*process].is_parted.store(false, Ordering::Relaxed),
        }
    }

    fn undo_after(&mut self, at_ms: u64, for_ms: u64, undo: Undo) {
        self.later.entry(at_ms + for_ms).or_default().push(undo);
    }

    async fn act(&mut self, act: &Act, at_ms: u64) -> anyhow::Result<()> {
        let (now, net) = (now_ms(), Arc::clone(&self.shared.net));
        match act {
            Act::Kill { process, back_ms } => {
                self.processes[*process].kill();
                self.undo_after(at_ms, *back_ms, Undo::Start(*process));
            }
            Act::Restart { node } => net.deployment().nodes[*node].restart(now),
            Act::Away { node, for_ms } => {
                net.deployment().nodes[*node].is_up = false;
                self.undo_after(at_ms, *for_ms, Undo::Up(*node));
            }
            Act::FailOver { node } => net.deployment().fail_over(*node, now),
            Act::Replicate { node } => net.deployment().replicate(*node),
            Act::Cut { node } => net.deployment().nodes[*node].cut += 1,
            Act::Clock { node, ahead_ms } => net.deployment().nodes[*node].ahead_ms = *ahead_ms,
            Act::PartServer { process, node, for_ms } => {
                net.part(*process, *node, true);
                self.undo_after(at_ms, *for_ms, Undo::MeetServer(*process, *node));
            }
            Act::PartBroker { process, for_ms } => {
                self.processes[*process].is_parted.store(true, Ordering::Relaxed);
                self.undo_after(at_ms, *for_ms, Undo::MeetBroker(*process));
            }
            Act::Move { key, to, step } => {
                let slot = keysweep_model::slot::slot_of(&keys::name(*key));
                net.deployment().move_slot(slot, *to, *step);
            }
            Act::Write { key, ttl_ms } => {
                let value = Value::Text(format!("written at {at_ms}").into_bytes());
                net.deployment().write(&keys::name(*key), value, *ttl_ms, now);
            }
            Act::Expire { key, ttl_ms } => net.deployment().touch(&keys::name(*key), Some(*ttl_ms), now),
            Act::Delete { key } => net.deployment().touch(&keys::name(*key), None, now),
            Act::Flush { node } => net.deployment().nodes[*node].keys.clear(),
            Act::Cancel => self.cancel().await?,
        }
        Ok(())
    }

    async fn cancel(&self) -> anyhow::Result<()> {
        let cancel = Cancel { kind: CancelKind::Asked, cause: "a person".to_owned() };
        for line in history::read(&*self.shared.store).await? {
            let records = Records::new(Arc::clone(&self.shared.store), line.run_id);
            records.create_cancel(&cancel).await?;
        }
        Ok(())
    }

    /// Waits for the result, and judges it.
    async fn judged(self) -> anyhow::Result<Verdict> {
        while clock::elapsed_ms() < HANG_MS {
            sleep(LOOK).await;
            if let Some(result) = self.result().await? {
                let deployment = self.shared.net.deployment();
                let wrong = judge(&self.plan, &self.before, &deployment, &result, now_ms());
                let ended = format!(
                    "{:?} after {} s: {:?}",
                    result.status,
                    clock::elapsed_ms() / 1_000,
                    result.accounting
                );
                return Ok(Verdict { wrong, ended });
            }
        }
        Ok(Verdict {
            wrong: vec!["the run has no result after six hours".to_owned()],
            ended: "no result".to_owned(),
        })
    }

    async fn result(&self) -> anyhow::Result<Option<CleanupResult>> {
        for line in history::read(&*self.shared.store).await? {
            if line.status.is_some() {
                let records = Records::new(Arc::clone(&self.shared.store), line.run_id);
                return Ok(Some(records.result().await?.context("a run that has ended has a result")?));
            }
        }
        Ok(None)
    }
}
