//! The next run of the job, when nothing fails any more: what the runs before have left does not hinder it, and it leaves
//! nothing.

use keysweep_model::result::Status;

use super::{Act, HANG_MS, LOOK, World, WorldPlan, dead_letters, history, judge, locked, now_ms, sleep};
use crate::clock;
use crate::oracle::RunEnd;
use crate::rates::{BrokerRates, NetRates};

impl World {
    /// Lets the job run once more; returns what is wrong with that.
    pub(super) async fn next_run(&mut self) -> anyhow::Result<Vec<String>> {
        self.end_faults();
        if self.is_unreachable() {
            return Ok(Vec::new());
        }
        if !self.is_idle_in_time().await? {
            return Ok(vec![
                "all faults are over, and a run does not end, or cannot be asked for".to_owned(),
            ]);
        }
        let letters = dead_letters(&*self.store()).await?;
        let lines = history::read(&*self.shared.store).await?;
        self.earlier.extend(lines.into_iter().map(|line| line.run_id));
        *locked(&self.shared.result) = None;
        *self.shared.witness.seen() = crate::witness::Seen::default();
        let (began_ms, since) = (now_ms(), self.shared.net.deployment().effects.len());
        let before = self.shared.net.deployment().live(began_ms);
        self.asking = self.processes[0].start(&mut self.lives);
        let last_ms = clock::elapsed_ms() + HANG_MS;
        let result = loop {
            sleep(LOOK).await;
            if let Some((result, _)) = self.result().await? {
                break result;
            }
            if locked(&self.shared.refusal).is_some() && self.plan.max_delete_percent < 100 {
                return Ok(Vec::new());
            }
            if clock::elapsed_ms() > last_ms {
                return Ok(vec!["all faults are over, and the next run has no result".to_owned()]);
            }
        };
        let letters = dead_letters(&*self.store()).await?.saturating_sub(letters);
        let (deployment, seen) = (self.shared.net.deployment(), self.shared.witness.seen());
        let end = RunEnd::now(&deployment).since(began_ms);
        let effects = &deployment.effects[since..];
        let mut wrong = judge(&self.quiet(), &before, &end, effects, &result, &seen, letters);
        wrong.extend(seen.wrong.iter().cloned());
        let (status, unconfirmed) = (result.status, result.accounting.unconfirmed);
        if (status, unconfirmed) != (Status::Completed, 0) {
            wrong.push(format!("nothing failed, and it is {status:?}, with {unconfirmed} keys unconfirmed"));
        }
        Ok(wrong.into_iter().map(|wrong| format!("in the next run: {wrong}")).collect())
    }

    /// Ends what happens by chance, or was to happen later.
    fn end_faults(&self) {
        self.shared.rates.end();
        let mut deployment = self.shared.net.deployment();
        deployment.wobble_ms = 0;
        deployment.end_moves();
        self.processes.iter().for_each(|process| process.life.spare());
    }

    /// The world from now on: only a clock that has jumped stays wrong.
    fn quiet(&self) -> WorldPlan {
        let stays = |act: &Act| matches!(act, Act::Clock { .. });
        let acts = self.plan.acts.iter().filter(|timed| stays(&timed.act)).cloned().collect();
        let (net, broker) = (NetRates::default(), BrokerRates::default());
        WorldPlan { net, broker, acts, wobble_ms: 0, ..self.plan.clone() }
    }

    /// Waits until no run is in progress, and none is asked for: a request whose answer was lost is repeated.
    async fn is_idle_in_time(&self) -> anyhow::Result<bool> {
        let last_ms = clock::elapsed_ms() + HANG_MS;
        while clock::elapsed_ms() < last_ms {
            let lines = history::read(&*self.shared.store).await?;
            if self.asking.is_finished() && lines.iter().all(|line| line.status.is_some()) {
                return Ok(true);
            }
            sleep(LOOK).await;
        }
        Ok(false)
    }
}
