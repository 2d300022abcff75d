//! The end of the process, whatever the rest of it does: a thread of its own listens for SIGINT and SIGTERM, too. After
//! the first one the command has a while to end by itself, and after the second one a moment for its last words; then
//! the thread ends the process, even if all others hang in the system.

use std::sync::Once;
use std::thread;
use std::time::Duration;

use shared::limits::{GOING_TIMEOUT, LAST_WORDS_TIMEOUT};
use tokio::time::sleep;

use super::signals::Signals;

/// Starts the thread; the first call does, and the others do nothing.
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

/// Returns when the process has to end; its exit code.
async fn end() -> std::io::Result<u8> {
    let mut signals = Signals::listen()?;
    let (code, name) = signals.next().await;
    tokio::select! {
        (code, _) = signals.next() => {
            sleep(LAST_WORDS_TIMEOUT).await;
            Ok(code)
        }
        () = sleep(GOING_TIMEOUT) => {
            let words = format!("{name}: not at an end after {} s; leaving", GOING_TIMEOUT.as_secs());
            // If nothing reads our stderr, writing to it can block for ever.
            let _ = thread::Builder::new().spawn(move || tracing::error!("{words}"));
            sleep(Duration::from_millis(200)).await;
            Ok(code)
        }
    }
}
