//! The whole protocol in a simulated world: all roles as tasks of one thread, whose clock jumps from timer to timer; a
//! Redis server or cluster that runs the real scripts; a network, a queue and a store that fail as real ones do. All that
//! happens follows from a seed, so that a failure is replayed, and made smaller. One world is one process: nothing is left
//! of it for the next one.

mod broker;
mod clock;
pub mod entropy;
mod keys;
mod network;
mod oracle;
mod plan;
mod redis;
mod roles;
pub mod shrink;
pub mod timeline;
mod world;

use anyhow::Result;

/// How the world of a seed ended.
#[derive(Debug)]
pub struct Outcome {
    /// What is wrong; empty if nothing is.
    pub wrong: Vec<String>,
    /// The result, in a few words.
    pub ended: String,
    /// The acts that happened.
    pub acts: Vec<String>,
}

/// Lets the world of `seed` happen, without the acts at these places. Call it once per process, before anything else.
///
/// # Errors
/// When the world cannot be made.
pub fn simulate(seed: u64, without: &[usize]) -> Result<Outcome> {
    let mut plan = plan::WorldPlan::of(seed);
    let mut place = 0;
    plan.acts.retain(|_| {
        place += 1;
        !without.contains(&(place - 1))
    });
    let acts = plan.acts.iter().map(ToString::to_string).collect();
    entropy::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    let verdict = runtime.block_on(world::run(plan))?;
    Ok(Outcome { wrong: verdict.wrong, ended: verdict.ended, acts })
}

/// How many acts the world of `seed` has.
#[must_use]
pub fn acts(seed: u64) -> usize {
    plan::WorldPlan::of(seed).acts.len()
}
