//! `cargo xtask bench --growth`: the same contenders with increasing numbers of keys. Expected to stay constant: the
//! speed relative to the floor, and the memory.

use anyhow::{Context, Result, bail};

use super::contenders::Contender;
use super::contenders::launch::Launcher;
use super::figures::{Figures, Sample, figures};
use super::measure::{Bench, in_turn};

/// The measurements for one number of keys.
pub(crate) struct Size {
    /// The number of keys.
    pub(crate) keys: u64,
    /// keysweep in one process.
    pub(crate) embedded: Figures,
    /// keysweep on workers, with its roles.
    pub(crate) over_nats: Figures,
    /// The bare client.
    pub(crate) floor: Figures,
}

/// Parses sizes separated by commas and sorts them.
///
/// # Errors
/// If one is no number, or there is none.
pub(crate) fn sizes(list: &str) -> Result<Vec<u64>> {
    let parsed: Result<Vec<u64>, _> = list.split(',').map(|size| size.trim().parse()).collect();
    let mut sizes =
        parsed.with_context(|| format!("`{list}` is no list of numbers of keys, such as `100000,300000`"))?;
    if sizes.iter().any(|size| *size < 1_000) {
        bail!("`{list}`: each number of keys must be 1000 or more");
    }
    sizes.sort_unstable();
    sizes.dedup();
    Ok(sizes)
}

/// Measures each size; progress is written to stderr.
///
/// # Errors
/// If a contender cannot be run, fails, or leaves wrong keys.
pub(crate) async fn run(bench: &Bench, sizes: &[u64], repeats: usize, args: &[String]) -> Result<Vec<Size>> {
    let mut measured = Vec::new();
    for keys in sizes {
        let mut runs = Vec::new();
        for contender in [Contender::Keysweep, Contender::Floor, Contender::Nats] {
            runs.push((contender, Launcher::find(contender, &bench.programs, args)?, Vec::new()));
        }
        for turn in 1..=repeats {
            let mut runs: Vec<&mut (Contender, Launcher, Vec<Sample>)> = runs.iter_mut().collect();
            in_turn(&mut runs, turn);
            for (contender, launcher, samples) in runs {
                let label = contender.label();
                eprintln!("xtask: {keys} keys, {turn}/{repeats}: {label}");
                let sample = bench.once(*contender, launcher, *keys).await;
                samples.push(sample.with_context(|| format!("{label} with {keys} keys"))?);
            }
        }
        let mut medians = runs.into_iter().map(|(_, _, samples)| figures(samples, None));
        let mut next = || medians.next().flatten().context("no run was requested");
        measured.push(Size { keys: *keys, embedded: next()?, floor: next()?, over_nats: next()? });
    }
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_sorted_numbers() {
        assert_eq!(sizes("300000, 1000,300000").unwrap(), [1_000, 300_000]);
        assert!(sizes("1000,x").unwrap_err().to_string().contains("no list of numbers of keys"));
        assert!(sizes("10").unwrap_err().to_string().contains("1000 or more"));
    }
}
