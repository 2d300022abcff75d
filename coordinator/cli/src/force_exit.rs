//! Ends the process even if it hangs: a separate thread also listens for SIGINT and SIGTERM. After the first signal
//! the command has a deadline to end; after the second one it has a moment to print its last message. Then the thread
//! exits the process, even if all other threads are blocked in system calls.

use std::sync::Once;
use std::thread;
use std::time::Duration;

use tokio::time::sleep;

use super::signals::Signals;
use crate::limits::{FORCED_EXIT_TIMEOUT, SHUTDOWN_TIMEOUT};

/// Starts the thread on the first call; later calls do nothing.
pub(super) fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        if let Err(e) = thread::Builder::new().name("last-resort".to_owned()).spawn(watch) {
            tracing::warn!(error = %e, "a second signal may not end a process that hangs");
        }
    });
}

fn watch() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.and_then(|runtime| runtime.block_on(end()));
    match ended {
        Ok(code) => std::process::exit(i32::from(code)),
        Err(e) => tracing::warn!(error = %e, "a second signal may not end a process that hangs"),
    }
}

/// Returns the exit code when the process must end.
async fn end() -> std::io::Result<u8> {
    let mut signals = Signals::listen()?;
    let (code, name) = signals.next().await;
    tokio::select! {
        (code, _) = signals.next() => {
            sleep(FORCED_EXIT_TIMEOUT).await;
            Ok(code)
        }
        () = sleep(SHUTDOWN_TIMEOUT) => {
            let message = format!("{name}: not finished after {} s; exiting", SHUTDOWN_TIMEOUT.as_secs());
            // If no process reads our stderr, writing to it can block without limit.
            let _ = thread::Builder::new().spawn(move || tracing::error!("{message}"));
            sleep(Duration::from_millis(200)).await;
            Ok(code)
        }
    }
}
