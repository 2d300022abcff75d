//! One run of a job at a time: the lock of an embedded run, taken before the first write and kept until the
//! last one.

use std::time::Duration;

use jiff::Timestamp;
use shared::cluster::lock::{self, Holder, Lock, Taken};
use shared::cluster::{Conn, Deployment, Fault, FaultKind};
use shared::ids::RunId;
use shared::limits::LOCK_LEASE;
use shared::messages::{Cancel, CancelKind};
use shared::records::Records;
use shared::slot::slot_of;
use thiserror::Error;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::options::Options;

/// How often somebody who waits for the lock asks again.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// Why the lock is not ours.
#[derive(Debug, Error)]
pub enum LockError {
    /// A server failed.
    #[error(transparent)]
    Redis(#[from] Fault),
    /// Another run has it.
    #[error(
        "job `{job}` is being run {holder}; wait for it with `--lock-wait 10m`, or, if that process is gone, \
         until its lease ends in {lease_left} s"
    )]
    Held {
        /// The job.
        job: String,
        /// Who holds it, and since when.
        holder: String,
        /// Seconds until the lease ends, unless it is renewed.
        lease_left: u64,
    },
}

/// A lock that is being kept.
pub(crate) struct JobLock {
    deployment: Deployment,
    lock: Lock,
}

/// Takes the lock of the job, waiting for it as long as the options say.
pub(crate) async fn take(options: &Options, run: RunId, host: &str) -> Result<JobLock, LockError> {
    let deployment = Deployment::discover(options.access.clone(), "keysweep-lock").await?;
    let holder =
        Holder { run, host: host.to_owned(), pid: std::process::id(), since: Timestamp::now().to_string() };
    let until = Instant::now() + options.lock_wait;
    loop {
        let conn = conn(&deployment, &options.job).await?;
        match lock::take(&conn, &options.job, &holder, LOCK_LEASE).await? {
            Taken::Ours(lock) => return Ok(JobLock { deployment, lock }),
            Taken::Held { holder, lease_left } if Instant::now() >= until => {
                return Err(LockError::Held {
                    job: options.job.clone(),
                    holder: holder.map_or_else(|| "by somebody unknown".to_owned(), |holder| who(&holder)),
                    lease_left: lease_left.as_secs() + 1,
                });
            }
            Taken::Held { .. } => sleep(ASK_AGAIN).await,
        }
    }
}

fn who(holder: &Holder) -> String {
    format!("by process {} on `{}` since {} (run {})", holder.pid, holder.host, holder.since, holder.run)
}

/// The connection to the server that has the lock.
async fn conn(deployment: &Deployment, job: &str) -> Result<Conn, Fault> {
    let slot = slot_of(&lock::lock_key(job));
    let topology = deployment.topology();
    let unserved =
        || Fault::new(FaultKind::NotReady, format!("slot {slot}"), "nobody serves the slot of the lock");
    let owner = topology.owner(slot).ok_or_else(unserved)?;
    deployment.conn(&owner.node).await
}

impl JobLock {
    /// Renews the lease until `done`, and frees the lock then. If it is lost, or cannot be renewed before the
    /// lease ends, the run is stopped.
    pub(crate) async fn keep(
        self,
        job: String,
        records: Records,
        done: CancellationToken,
    ) -> Result<(), Fault> {
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = done.cancelled() => break,
                () = sleep(LOCK_LEASE / 6) => {}
            }
            match self.renew(&job).await {
                Ok(true) => renewed = Instant::now(),
                Ok(false) => return self.lost(&records, "somebody else took it").await,
                Err(fault) if renewed.elapsed() > LOCK_LEASE * 2 / 3 => {
                    return self.lost(&records, &fault.to_string()).await;
                }
                Err(fault) => tracing::warn!(error = %fault, "failed to renew the lock, will try again"),
            }
        }
        let freed = self.lock.free(&conn(&self.deployment, &job).await?).await?;
        tracing::debug!(freed, "lock freed");
        Ok(())
    }

    async fn renew(&self, job: &str) -> Result<bool, Fault> {
        let renewed = self.lock.renew(&conn(&self.deployment, job).await?).await;
        if renewed.is_err() {
            self.deployment.refresh().await?;
            for primary in &self.deployment.topology().primaries {
                self.deployment.forget(&primary.node);
            }
        }
        renewed
    }

    async fn lost(&self, records: &Records, why: &str) -> Result<(), Fault> {
        let cancel =
            Cancel { kind: CancelKind::LockLost, cause: format!("the lock of the job was lost: {why}") };
        if let Err(e) = records.create_cancel(&cancel).await {
            tracing::error!(error = %e, "failed to stop a run whose lock is lost");
        }
        Ok(())
    }
}
