//! SIGINT and SIGTERM: the first one stops the run at a safe point, the second one ends the process.

use std::future::ready;
use std::{fmt, io};

use coordinator::exit;
use keysweep_model::messages::{Cancel, CancelKind};
use keysweep_storage::records::Records;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;

use super::error::CommandError;
use super::force_exit;
use crate::limits::DRAIN_TIMEOUT;

/// The exit code and the name of a signal that arrived.
pub(super) type Seen = Option<(u8, &'static str)>;

/// The process ends before the run reached a safe point.
#[derive(Clone, Copy, Debug)]
pub struct Interrupted {
    /// The exit code.
    pub code: u8,
    /// Whether the cancellation of the run was stored.
    pub announced: bool,
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.announced {
            true => "was cancelled and stops at a safe point",
            false => "may continue: it could not be cancelled",
        })
    }
}

/// The two signals.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on the signals have no default effect; the second one ends the process in any case (`force_exit.rs`).
    pub(super) fn catch() -> io::Result<Self> {
        force_exit::start();
        Self::listen()
    }

    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for a signal; its exit code and name.
    pub(super) async fn next(&mut self) -> (u8, &'static str) {
        tokio::select! {
            _ = self.interrupt.recv() => (exit::INTERRUPTED, "SIGINT"),
            _ = self.terminate.recv() => (exit::TERMINATED, "SIGTERM"),
        }
    }

    /// The exit code of a signal that has arrived, if one has.
    pub(super) async fn arrived(&mut self) -> Option<u8> {
        tokio::select! {
            biased;
            (code, _) = self.next() => Some(code),
            () = ready(()) => None,
        }
    }

    /// The output of `work`, unless a signal arrives first.
    pub(super) async fn or_stop<T>(&mut self, work: impl Future<Output = T>) -> Result<T, CommandError> {
        tokio::select! {
            done = work => Ok(done),
            (code, name) = self.next() => Err(CommandError::Stopped(code, name)),
        }
    }

    /// Cancels the run in `records` at the first signal; see [`Signals::stop_by`].
    pub(super) async fn stop_run(self, records: Records, seen: watch::Sender<Seen>) -> Interrupted {
        self.stop_by(async |cancel| records.create_cancel(&cancel).await.map(drop), seen).await
    }

    /// Cancels the run by `stop` at the first signal, which it sends to `seen`; then waits for a second one, or for the
    /// deadline. It returns only then: the caller races it against the run.
    pub(super) async fn stop_by<E: fmt::Display>(
        mut self,
        stop: impl AsyncFnOnce(Cancel) -> Result<(), E>,
        seen: watch::Sender<Seen>,
    ) -> Interrupted {
        let (code, name) = self.next().await;
        seen.send_replace(Some((code, name)));
        tracing::warn!("{name}: stopping at a safe point; repeat the signal to exit at once");
        let cancel = Cancel { kind: CancelKind::Asked, cause: format!("requested by {name}") };
        let mut announced = false;
        let stopping = async {
            match stop(cancel).await {
                Ok(()) => announced = true,
                Err(e) => tracing::error!(error = %e, "failed to stop the run"),
            }
            sleep(DRAIN_TIMEOUT).await;
        };
        let code = tokio::select! {
            (code, _) = self.next() => code,
            () = stopping => {
                tracing::error!("no safe point within {} s; exiting", DRAIN_TIMEOUT.as_secs());
                code
            }
        };
        Interrupted { code, announced }
    }
}
