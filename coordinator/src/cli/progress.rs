//! The progress bar of a run, on terminals only.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use reporter::grouped;
use shared::pace::Pacers;
use tokio::sync::watch;

use super::log;
use crate::drive::Progress;

/// Two lines, so that hundreds of millions of keys fit 80 columns.
const TEMPLATE: &str = "{msg:9} [{bar:32}] {percent:>3}%  {rate} keys/s  {eta} left\n          {human_pos} of {human_len} keys{prefix}";

/// Shows `progress` until its sender is gone, and how fast `pacers` let the run go, if it is theirs. Does nothing off a
/// terminal, or if `quiet`.
pub(super) async fn show(mut progress: watch::Receiver<Progress>, pacers: Option<&Pacers>, quiet: bool) {
    if quiet || !std::io::stderr().is_terminal() {
        return;
    }
    let bar = ProgressBar::new(progress.borrow().keys);
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style.progress_chars("=> ").with_key("rate", rate));
    }
    bar.set_message(progress.borrow().state.word());
    bar.enable_steady_tick(Duration::from_millis(100));
    log::write_above(Some(bar.clone()));
    while progress.changed().await.is_ok() {
        let now = *progress.borrow_and_update();
        bar.set_length(now.keys.max(now.totals.counts.passed()));
        bar.set_position(now.totals.counts.passed());
        bar.set_message(now.state.word());
        let (stale, deleted) = (now.totals.counts.stale, now.totals.accounting.deleted);
        let speed = pacers
            .and_then(Pacers::share_now)
            .map_or_else(String::new, |share| format!(", at {:.0}% speed", share * 100.0));
        bar.set_prefix(format!(", {} stale, {} deleted{speed}", grouped(stale), grouped(deleted)));
    }
    log::write_above(None);
    bar.finish_and_clear();
}

/// Keys per second, without the fractions that `{per_sec}` shows.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate for people")]
fn rate(state: &ProgressState, out: &mut dyn Write) {
    let _ = write!(out, "{:>9}", grouped(state.per_sec() as u64));
}
