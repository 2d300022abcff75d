//! `keysweep-sim`: many worlds, each in a process of its own.

use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use keysweep_sim::tally::{self, Tally};
use keysweep_sim::{Profile, WorldOf, acts, shrink, simulate, timeline};
use tracing::Level;

/// Simulates runs.
#[derive(Parser)]
struct Args {
    /// So many seeds
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first one
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only worlds like this one: plain, expire, slots, transactions, rules, inactive, replicas, backup, embedded, state
    #[arg(long)]
    profile: Option<Profile>,
    /// So many keys in each world
    #[arg(long)]
    keys: Option<usize>,
    /// Stop after so many seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// Stop at the first world that is wrong, and do not make it smaller
    #[arg(long)]
    first: bool,
    /// Only this world, with what its processes log
    #[arg(long)]
    replay: bool,
    /// Leave out these acts of the world
    #[arg(long, value_delimiter = ',')]
    without: Vec<usize>,
    /// In this process
    #[arg(long, hide = true)]
    one: bool,
}

#[expect(clippy::print_stdout, reason = "a command for developers")]
fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if args.one || args.replay {
        if args.replay {
            timeline::print(Level::DEBUG);
        }
        let of = WorldOf { seed: args.seed, profile: args.profile, keys: args.keys, without: args.without };
        let outcome = simulate(&of)?;
        print!("{}\n{}", outcome.ended, tally::said(&outcome));
        outcome.wrong.iter().for_each(|wrong| println!("WRONG: {wrong}"));
        if !outcome.wrong.is_empty() {
            outcome.acts.iter().for_each(|act| println!("{act}"));
        }
        return Ok(if outcome.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    many(&args)
}

/// What a world of its own process says; `true` if nothing is wrong.
fn world(of: &WorldOf) -> Result<(bool, String)> {
    let mut command = Command::new(std::env::current_exe().context("failed to find this program")?);
    // Errors are part of a world, and backtraces of them are dear.
    command.args(["--one", "--seed", &of.seed.to_string()]).env("RUST_BACKTRACE", "0");
    if let Some(profile) = of.profile {
        command.args(["--profile", &profile.to_string()]);
    }
    if let Some(keys) = of.keys {
        command.args(["--keys", &keys.to_string()]);
    }
    if !of.without.is_empty() {
        let without: Vec<String> = of.without.iter().map(ToString::to_string).collect();
        command.args(["--without", &without.join(",")]);
    }
    let ended = command.output().context("failed to start a world")?;
    let said = [ended.stdout, ended.stderr].concat();
    Ok((ended.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

/// The smallest world that fails as this one does.
fn smaller(of: &WorldOf) -> Result<String> {
    let with = |without: &[usize]| WorldOf { without: without.to_vec(), ..of.clone() };
    let fails = |without: &[usize]| world(&with(without)).is_ok_and(|(is_right, _)| !is_right);
    let without = shrink::shrink(acts(of), fails);
    Ok(world(&with(&without))?.1)
}

#[expect(clippy::print_stdout, reason = "a command for developers")]
fn many(args: &Args) -> Result<ExitCode> {
    let (begin, next, sums) = (Instant::now(), AtomicU64::new(args.seed), Mutex::new(Tally::default()));
    let until = args.seconds.map(|seconds| begin + Duration::from_secs(seconds));
    let end = args.seed.saturating_add(args.seeds);
    let sums_now = || sums.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || -> Result<()> {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let is_over = until.is_some_and(|until| Instant::now() >= until);
            if seed >= end || is_over || args.first && sums_now().wrong > 0 {
                return Ok(());
            }
            let of = WorldOf { seed, profile: args.profile, keys: args.keys, without: Vec::new() };
            let (is_right, said) = world(&of)?;
            sums_now().add(&said, is_right);
            if !is_right {
                println!("seed {seed}: {said}");
            }
            if !is_right && !args.first {
                println!("the smallest world that fails, of seed {seed}:\n{}", smaller(&of)?);
            }
        }
    };
    let workers = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        let all: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        all.into_iter().try_for_each(|one| one.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked")))
    })?;
    let sums = sums_now();
    println!("{}", sums.shown(begin.elapsed()));
    Ok(if sums.wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
