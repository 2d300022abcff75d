//! What a driver shows of its run while it drives it: to this process, and through it to others.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::detail::RunDetail;
use super::executor::Executor;
use super::progress::Progress;
use crate::limits::DETAIL_EVERY;

/// Where a driver shows its run.
pub struct RunDisplay {
    progress: watch::Sender<Progress>,
    detail: watch::Sender<Option<Arc<RunDetail>>>,
    /// When the detail was shown last.
    shown: Option<Instant>,
}

/// What a driver shows. It stays as it was when the driver ends.
#[derive(Clone)]
pub struct ShownRun {
    /// How far the run is.
    pub progress: watch::Receiver<Progress>,
    /// Where it is; `None` before the first task.
    pub detail: watch::Receiver<Option<Arc<RunDetail>>>,
}

impl From<watch::Sender<Progress>> for RunDisplay {
    fn from(progress: watch::Sender<Progress>) -> Self {
        Self { progress, detail: watch::Sender::default(), shown: None }
    }
}

impl Default for RunDisplay {
    fn default() -> Self {
        watch::Sender::new(Progress::start(0)).into()
    }
}

impl RunDisplay {
    /// What is shown from now on.
    #[must_use]
    pub fn view(&self) -> ShownRun {
        ShownRun { progress: self.progress.subscribe(), detail: self.detail.subscribe() }
    }

    /// So many keys are planned.
    pub(crate) fn plan(&self, keys: u64) {
        self.progress.send_modify(|progress| progress.keys = keys);
    }

    /// Shows the run as it is. The detail is made for those who look at it only.
    pub(super) fn show(&mut self, executor: &Executor<'_>) {
        self.progress.send_modify(|progress| *progress = executor.progress(progress.keys));
        let is_due = self.shown.is_none_or(|shown| shown.elapsed() >= DETAIL_EVERY);
        if is_due && self.detail.receiver_count() > 0 {
            self.shown = Some(Instant::now());
            self.detail.send_replace(Some(Arc::new(executor.detail())));
        }
    }
}
