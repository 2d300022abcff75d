//! `keysweep-sim`: many worlds, each in a process of its own.

use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use keysweep_sim::{acts, shrink, simulate, timeline};
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
        let outcome = simulate(args.seed, &args.without)?;
        println!("{}", outcome.ended);
        outcome.wrong.iter().for_each(|wrong| println!("WRONG: {wrong}"));
        if !outcome.wrong.is_empty() {
            outcome.acts.iter().for_each(|act| println!("{act}"));
        }
        return Ok(if outcome.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    many(&args)
}

/// What a world of its own process says; `true` if nothing is wrong.
fn world(seed: u64, without: &[usize]) -> Result<(bool, String)> {
    let mut command = Command::new(std::env::current_exe().context("failed to find this program")?);
    command.args(["--one", "--seed", &seed.to_string()]);
    if !without.is_empty() {
        let without: Vec<String> = without.iter().map(ToString::to_string).collect();
        command.args(["--without", &without.join(",")]);
    }
    let ended = command.output().context("failed to start a world")?;
    let said = [ended.stdout, ended.stderr].concat();
    Ok((ended.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[expect(clippy::print_stdout, reason = "a command for developers")]
fn many(args: &Args) -> Result<ExitCode> {
    let (begin, next, failed) = (Instant::now(), AtomicU64::new(args.seed), AtomicU64::new(0));
    let until = args.seconds.map(|seconds| begin + Duration::from_secs(seconds));
    let end = args.seed.saturating_add(args.seeds);
    let work = || -> Result<()> {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let is_over = until.is_some_and(|until| Instant::now() >= until);
            if seed >= end || is_over || args.first && failed.load(Ordering::Relaxed) > 0 {
                return Ok(());
            }
            let (is_right, said) = world(seed, &[])?;
            if !is_right {
                failed.fetch_add(1, Ordering::Relaxed);
                if args.first {
                    println!("seed {seed}: {said}");
                    continue;
                }
                let fails = |without: &[usize]| world(seed, without).is_ok_and(|(is_right, _)| !is_right);
                let without = shrink::shrink(acts(seed), fails);
                let (_, said_less) = world(seed, &without)?;
                println!("seed {seed}: {said}\nthe smallest world that fails:\n{said_less}");
            }
        }
    };
    let workers = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        let all: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        all.into_iter().try_for_each(|one| one.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked")))
    })?;
    let (seeds, seconds) =
        (next.load(Ordering::Relaxed).min(end + 1) - args.seed, begin.elapsed().as_secs_f64());
    let failed = failed.load(Ordering::Relaxed);
    println!("{seeds} worlds in {seconds:.1} s, {failed} of them wrong");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
