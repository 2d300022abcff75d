//! The life of a process: it runs, stands still, or dies, at a time or right after one of its own requests was carried
//! out and before the answer came.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

/// How often what waits for a frozen process looks whether it may go on.
const SILENT: Duration = Duration::from_millis(50);

/// What decides whether a process goes on. Shared by the process and its connections.
#[derive(Debug, Default)]
pub(crate) struct Life {
    state: Mutex<State>,
    killed: Notify,
}

#[derive(Debug, Default)]
struct State {
    is_frozen: bool,
    /// Wakes up the process when it may go on.
    waker: Option<Waker>,
    /// It dies after so many requests, and stays dead for so many milliseconds.
    dies_after: Option<(u64, u64)>,
    /// It is dying, and stays dead for so many milliseconds.
    dying: Option<u64>,
    /// Whether the broker does not reach it.
    is_parted: bool,
}

impl Life {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It dies now.
    pub(crate) fn kill(&self, back_ms: u64) {
        self.state().dying = Some(back_ms);
        self.killed.notify_one();
    }

    /// It dies after so many more requests to servers and broker.
    pub(crate) fn kill_after(&self, requests: u64, back_ms: u64) {
        self.state().dies_after = Some((requests.max(1), back_ms));
    }

    /// It does not die after a number of requests any more.
    pub(crate) fn spare(&self) {
        self.state().dies_after = None;
    }

    /// It stands still, or goes on. What it has sent may still be carried out.
    pub(crate) fn freeze(&self, is_frozen: bool) {
        let mut state = self.state();
        state.is_frozen = is_frozen;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.state().is_frozen
    }

    pub(crate) async fn thawed(&self) {
        while self.is_frozen() {
            sleep(SILENT).await;
        }
    }

    /// Parts it from the broker, or lets them meet again.
    pub(crate) fn part(&self, is_parted: bool) {
        self.state().is_parted = is_parted;
    }

    pub(crate) fn is_parted(&self) -> bool {
        self.state().is_parted
    }

    /// A request was carried out. Returns whether the process is still there to get the answer.
    pub(crate) fn carried_out(&self) -> bool {
        let mut state = self.state();
        match state.dies_after {
            Some((1, back_ms)) => {
                (state.dies_after, state.dying) = (None, Some(back_ms));
                self.killed.notify_one();
            }
            Some((requests, back_ms)) => state.dies_after = Some((requests - 1, back_ms)),
            None => {}
        }
        state.dying.is_none()
    }

    /// The same, for what ends with the process.
    pub(crate) async fn survive(&self) {
        if !self.carried_out() {
            pending::<()>().await;
        }
        self.thawed().await;
    }

    /// Lives until `work` ends, or until the process dies: then it is an error, with the milliseconds that it stays dead.
    pub(crate) async fn lives<T>(&self, work: impl Future<Output = T>) -> Result<T, u64> {
        self.state().dying = None;
        let mut work = pin!(work);
        let work = poll_fn(|cx| {
            let mut state = self.state();
            if state.is_frozen {
                state.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            drop(state);
            work.as_mut().poll(cx)
        });
        tokio::select! {
            biased;
            back_ms = self.death() => Err(back_ms),
            ended = work => Ok(ended),
        }
    }

    async fn death(&self) -> u64 {
        loop {
            // A notification may be left of an earlier death.
            if let Some(back_ms) = self.state().dying {
                return back_ms;
            }
            self.killed.notified().await;
        }
    }
}
