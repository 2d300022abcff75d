//! The whole protocol in a simulated world: all roles as tasks of one thread, whose clock jumps from timer to timer; a
//! Redis server or cluster that runs the real scripts; a network, a queue and a store that fail as real ones do. All that
//! happens follows from a seed, so that a failure is replayed, and made smaller. One world is one process: nothing is left
//! of it for the next one.

mod broker;
mod bucket;
mod clock;
pub mod coverage;
pub mod entropy;
#[cfg(test)]
mod honest;
mod keys;
mod life;
mod network;
mod oracle;
mod plan;
mod rates;
mod redis;
mod roles;
pub mod shrink;
pub mod tally;
pub mod timeline;
mod witness;
mod world;

use std::path::PathBuf;

use anyhow::Result;

pub use plan::Profile;

use coverage::Coverage;

/// A world: its seed, what of it is not drawn, and the acts that are left out.
#[derive(Clone, Debug, Default)]
pub struct WorldOf {
    /// All that happens follows from it.
    pub seed: u64,
    /// What its run is like.
    pub profile: Option<Profile>,
    /// How many keys it has; drawn if this is `None`.
    pub keys: Option<usize>,
    /// The places of these acts.
    pub without: Vec<usize>,
}

/// How a world ended.
#[derive(Debug)]
pub struct Outcome {
    /// What its run was like.
    pub profile: Profile,
    /// What is wrong; empty if nothing is.
    pub wrong: Vec<String>,
    /// The result, in a few words.
    pub ended: String,
    /// The acts that happened.
    pub acts: Vec<String>,
    /// The failures that it went through.
    pub coverage: Coverage,
}

/// Lets a world happen. Call it once per process, before anything else.
///
/// # Errors
/// When the world cannot be made.
pub fn simulate(of: &WorldOf) -> Result<Outcome> {
    let mut plan = plan::WorldPlan::of(of.seed, of.profile);
    plan.keys = of.keys.unwrap_or(plan.keys);
    let mut place = 0;
    plan.acts.retain(|_| {
        place += 1;
        !of.without.contains(&(place - 1))
    });
    let (profile, acts) = (plan.profile, plan.acts.iter().map(ToString::to_string).collect());
    let state_dir = in_memory().join(format!("keysweep-sim-{}", std::process::id()));
    let state_dir = (profile == Profile::State).then_some(state_dir);
    entropy::seed(of.seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    let verdict = runtime.block_on(world::run(plan, state_dir.clone()));
    drop(runtime);
    if let Some(dir) = state_dir {
        // It is not there if no run began.
        let _ = std::fs::remove_dir_all(dir);
    }
    let world::Verdict { wrong, ended, coverage, .. } = verdict?;
    Ok(Outcome { profile, wrong, ended, acts, coverage })
}

/// A folder in memory, if there is one: state files are synced often.
fn in_memory() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() { shared } else { std::env::temp_dir() }
}

/// How many acts a world has.
#[must_use]
pub fn acts(of: &WorldOf) -> usize {
    plan::WorldPlan::of(of.seed, of.profile).acts.len()
}
