//! The progress bar of a run, on terminals only.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use reporter::grouped;
use tokio::sync::watch;

use super::log;
use crate::drive::Progress;
use crate::state::RunState;

const TEMPLATE: &str = "{msg:9} [{bar:24}] {pos}/{len} keys  {per_sec}  {eta} left  {prefix}";

/// Shows `progress` until its sender is gone. Does nothing off a terminal, or if `quiet`.
pub(super) async fn show(mut progress: watch::Receiver<Progress>, quiet: bool) {
    if quiet || !std::io::stderr().is_terminal() {
        return;
    }
    let bar = ProgressBar::new(progress.borrow().keys);
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    log::write_above(Some(bar.clone()));
    while progress.changed().await.is_ok() {
        let now = *progress.borrow_and_update();
        bar.set_length(now.keys.max(now.totals.counts.listed));
        bar.set_position(now.totals.counts.listed);
        bar.set_message(phase(now.state));
        let (stale, deleted) = (now.totals.counts.stale, now.totals.accounting.deleted);
        bar.set_prefix(format!("{} stale, {} deleted", grouped(stale), grouped(deleted)));
    }
    log::write_above(None);
    bar.finish_and_clear();
}

fn phase(state: RunState) -> &'static str {
    match state {
        RunState::Planned => "planned",
        RunState::Scanning => "scanning",
        RunState::Reaping => "reaping",
        RunState::Reporting => "reporting",
        RunState::Ended(_) => "done",
    }
}
