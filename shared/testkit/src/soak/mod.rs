//! Shared by the soak tests with hostile peers: seeded cases, several at a time; panics anywhere in this process; and
//! peak memory of processes.
//!
//! `KEYSWEEP_CHAOS_SEED` is the first seed and `KEYSWEEP_SOAK_SEEDS` the number of cases, so that a failed case can be
//! run alone.

use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::join_all;

pub mod faulty_proxy;
pub mod fields;
pub mod tamper;

pub use crate::hostile;

/// Panics of this process since the first call of [`Cases::run`].
static PANICS: Mutex<Vec<Panic>> = Mutex::new(Vec::new());

/// A panic, and the name of its thread.
struct Panic {
    thread: Option<String>,
    text: String,
}

impl Panic {
    /// If it ended another test, which reports it itself: test threads have the path of their test as a name.
    fn is_of_another_test(&self) -> bool {
        let thread = self.thread.as_deref();
        thread.is_some_and(|name| name.contains("::")) && thread != std::thread::current().name()
    }
}

/// The number of cases of a test, and how many run at a time.
#[derive(Clone, Copy, Debug)]
pub struct Cases {
    /// For messages.
    pub name: &'static str,
    pub first_seed: u64,
    pub count: u64,
    pub lanes: usize,
}

/// A number from the environment.
#[expect(clippy::disallowed_methods, reason = "it is no setting of keysweep")]
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("`{variable}` is `{text}`, which is no number")))
}

impl Cases {
    /// `count` cases from `first_seed` on, or those from the environment.
    pub fn new(name: &'static str, first_seed: u64, count: u64, lanes: usize) -> Self {
        let first_seed = number("KEYSWEEP_CHAOS_SEED").unwrap_or(first_seed);
        let count = number("KEYSWEEP_SOAK_SEEDS").unwrap_or(count);
        Self { name, first_seed, count, lanes }
    }

    /// Runs all cases. `case` is called with its lane, which follows from its seed and runs one case at a time, and
    /// its seed; it panics on a failure. All cases are run, and the failed ones are listed at the end.
    pub async fn run(self, case: impl AsyncFn(usize, u64)) {
        static HOOK: Once = Once::new();
        // One test at a time, so that panics are counted for the right one.
        static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let _one = ONE.lock().await;
        HOOK.call_once(note_panics);
        let (begun, before) = (Instant::now(), panics().len());
        let seeds = self.first_seed..self.first_seed + self.count;
        let lane = async |lane: usize| {
            let (mut failed, mut longest) = (Vec::new(), (0.0, 0));
            for seed in seeds.clone().filter(|seed| seed % self.lanes as u64 == lane as u64) {
                let started = Instant::now();
                if AssertUnwindSafe(case(lane, seed)).catch_unwind().await.is_err() {
                    failed.push(seed);
                }
                longest = longer(longest, (started.elapsed().as_secs_f64(), seed));
            }
            (failed, longest)
        };
        let ended = join_all((0..self.lanes).map(lane)).await;
        let failed: Vec<u64> = ended.iter().flat_map(|(failed, _)| failed.iter().copied()).collect();
        let (longest, slowest) = ended.iter().map(|(_, longest)| *longest).fold((0.0, 0), longer);
        println!(
            "{}: {} cases, seeds {seeds:?}, in {:.1} s; the longest took {longest:.1} s (seed {slowest}); this process had \
             {} MiB at most",
            self.name,
            self.count,
            begun.elapsed().as_secs_f64(),
            peak_kib("self") >> 10,
        );
        let ours = |panic: &&Panic| !panic.is_of_another_test();
        let reported: Vec<String> = panics()[before..].iter().filter(ours).map(|p| p.text.clone()).collect();
        let reported = reported.join("\n");
        assert!(
            failed.is_empty() && reported.is_empty(),
            "{}: of the seeds {failed:?} each can be tried alone with KEYSWEEP_CHAOS_SEED=<seed> KEYSWEEP_SOAK_SEEDS=1; \
             what panicked:\n{reported}",
            self.name
        );
    }
}

/// The panics so far.
fn panics() -> MutexGuard<'static, Vec<Panic>> {
    PANICS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The longer of two cases: seconds, and the seed.
fn longer(one: (f64, u64), other: (f64, u64)) -> (f64, u64) {
    if other.0 > one.0 { other } else { one }
}

/// Records every panic of this process, in all its tasks: some are caught where no test would see them.
fn note_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let thread = std::thread::current().name().map(str::to_owned);
        panics().push(Panic { thread, text: info.to_string() });
        before(info);
    }));
}

/// The peak memory of a process, in KiB; 0 if it has ended.
pub fn peak_kib(process: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or_default()
}
