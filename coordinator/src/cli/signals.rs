//! SIGINT and SIGTERM: the first one stops the run at a safe point, the second one ends the process.

use std::io;

use shared::limits::DRAIN_TIMEOUT;
use shared::messages::{Cancel, CancelKind};
use shared::records::Records;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::exit;

/// The exit code and the name of a signal that came.
pub(super) type Seen = Option<(u8, &'static str)>;

/// The two signals.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From here on the signals do nothing by themselves.
    pub(super) fn catch() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for a signal; its exit code and name.
    pub(super) async fn next(&mut self) -> (u8, &'static str) {
        tokio::select! {
            _ = self.interrupt.recv() => (exit::INTERRUPTED, "SIGINT"),
            _ = self.terminate.recv() => (exit::TERMINATED, "SIGTERM"),
        }
    }

    /// Cancels the run at the first signal, which it tells to `seen`; then waits for a second one, or for the
    /// deadline. Never returns otherwise: it is raced against the run.
    pub(super) async fn stop_run(mut self, records: Records, seen: watch::Sender<Seen>) -> u8 {
        let (code, name) = self.next().await;
        seen.send_replace(Some((code, name)));
        tracing::warn!("{name}: stopping at a safe point; once more to leave at once");
        let cancel = Cancel { kind: CancelKind::Asked, cause: format!("asked to by {name}") };
        if let Err(e) = records.create_cancel(&cancel).await {
            tracing::error!(error = %e, "failed to stop the run");
        }
        tokio::select! {
            (code, _) = self.next() => code,
            () = sleep(DRAIN_TIMEOUT) => {
                tracing::error!("no safe point within {} s; leaving", DRAIN_TIMEOUT.as_secs());
                code
            }
        }
    }
}
