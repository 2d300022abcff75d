//! Progress bars of planning and of a run, on terminals only.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::time::Duration;

use console::Term;
use coordinator::drive::Progress;
use coordinator::plan_progress::PlanStep;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike};
use keysweep_model::duration;
use keysweep_pacing::Pacers;
use reporter::{WaitingBatches, grouped};
use tokio::sync::watch;

use super::log;

/// Two lines, so that hundreds of millions of keys fit 80 columns.
const TEMPLATE: &str = "{msg:9} [{bar:32}] {percent:>3}%  {rate} keys/s  {left}\n          {human_pos} of {human_len} keys{prefix}";

/// Redraw interval of a spinner.
const TICK: Duration = Duration::from_millis(100);

/// How long keys must arrive before the remaining time is shown.
const KNOWN_AFTER: Duration = Duration::from_secs(3);

/// Maximum redraws per second.
const DRAWN_PER_S: u8 = 20;

/// After this time everything stored before we attached has been read.
const CAUGHT_UP: Duration = Duration::from_millis(500);

/// A bar at the bottom of the terminal. Log lines go above it. Dropping it removes it.
struct ProgressBars(ProgressBar);

impl ProgressBars {
    fn start(bar: ProgressBar, template: &str) -> Self {
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> ").with_key("rate", rate).with_key("left", time_left));
        }
        let terminal = Box::new(Terminal(Term::stderr()));
        bar.set_draw_target(ProgressDrawTarget::term_like_with_hz(terminal, DRAWN_PER_S));
        bar.enable_steady_tick(TICK);
        log::write_above(Some(bar.clone()));
        Self(bar)
    }
}

impl Drop for ProgressBars {
    fn drop(&mut self) {
        log::write_above(None);
        self.0.finish_and_clear();
    }
}

/// A terminal that leaves the cursor at the start of the last drawn line, not behind its end: the `^C` that the
/// terminal echoes there would wrap to another line, and one line too few would be cleared.
#[derive(Debug)]
struct Terminal(Term);

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        TermLike::width(&self.0)
    }

    fn height(&self) -> u16 {
        TermLike::height(&self.0)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_up(n)
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_down(n)
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_right(n)
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_left(n)
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.0.write_line(line)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.write_str(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.clear_line()
    }

    /// Ends a drawing.
    fn flush(&self) -> io::Result<()> {
        self.0.write_str("\r")?;
        self.0.flush()
    }
}

fn is_shown(quiet: bool) -> bool {
    !quiet && std::io::stderr().is_terminal()
}

/// Shows the steps of the preflight while `work` runs it.
pub(super) async fn planning<T>(
    mut steps: watch::Receiver<PlanStep>,
    quiet: bool,
    work: impl Future<Output = T>,
) -> T {
    let mut work = std::pin::pin!(work);
    if !is_shown(quiet) {
        return work.await;
    }
    let drawn = ProgressBars::start(ProgressBar::new_spinner(), "{spinner} {msg} ({elapsed})");
    loop {
        drawn.0.set_message(steps.borrow_and_update().text());
        tokio::select! {
            done = &mut work => return done,
            Ok(()) = steps.changed() => {}
        }
    }
}

/// Shows `progress` until its sender is dropped, and the current duty cycle from `pacers` for an in-process run. Does
/// nothing off a terminal, or if `quiet`.
pub(super) async fn show(mut progress: watch::Receiver<Progress>, pacers: Option<&Pacers>, quiet: bool) {
    if !is_shown(quiet) {
        return;
    }
    let first = *progress.borrow();
    let drawn = ProgressBars::start(ProgressBar::new(first.keys), TEMPLATE);
    let bar = &drawn.0;
    bar.set_message(<&str>::from(first.phase));
    while progress.changed().await.is_ok() {
        let now = *progress.borrow_and_update();
        bar.set_length(now.keys.max(now.read.listed));
        bar.set_position(now.read.listed);
        if first.keys == 0 && bar.elapsed() < CAUGHT_UP {
            // Keys read before we attached must not count as speed.
            bar.reset_eta();
        }
        let waits = now.waits();
        bar.set_message(if waits.is_some() { "waiting" } else { now.phase.into() });
        if let Some(WaitingBatches { keys, grace_ms, .. }) = waits {
            let grace = duration::show(Duration::from_millis(grace_ms));
            bar.set_prefix(format!(", {} wait (grace {grace})", grouped(keys)));
            continue;
        }
        let (stale, deleted) = (now.read.stale, now.totals.accounting.deleted);
        let speed = pacers
            .and_then(Pacers::duty_cycle_now)
            .map_or_else(String::new, |share| format!(", at {:.0}% speed", share * 100.0));
        bar.set_prefix(format!(", {} stale, {} deleted{speed}", grouped(stale), grouped(deleted)));
    }
}

/// Keys per second, without the fractions that `{per_sec}` shows.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate for people")]
fn rate(state: &ProgressState, out: &mut dyn Write) {
    let _ = write!(out, "{:>9}", grouped(state.per_sec() as u64));
}

/// The remaining time, once keys have arrived for [`KNOWN_AFTER`].
fn time_left(state: &ProgressState, out: &mut dyn Write) {
    let moves = state.per_sec() > f64::EPSILON && state.pos() > 0 && state.elapsed() >= KNOWN_AFTER;
    if moves && state.len().is_some_and(|len| state.pos() < len) {
        let _ = write!(out, "{:#} left", HumanDuration(state.eta()));
    }
}
