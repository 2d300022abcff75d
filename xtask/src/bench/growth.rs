//! `cargo xtask bench --growth`: the same contenders with more and more keys. What has to stay as it is: the speed
//! beside the floor's, and the memory.

use anyhow::{Context, Result, bail};

use super::contenders::Contender;
use super::contenders::launch::Launcher;
use super::figures::{Figures, figures};
use super::measure::Bench;

/// What was measured with so many keys.
pub(crate) struct Size {
    /// How many there were.
    pub(crate) keys: u64,
    /// keysweep in one process.
    pub(crate) embedded: Figures,
    /// keysweep on workers, with its roles.
    pub(crate) over_nats: Figures,
    /// The bare client.
    pub(crate) floor: Figures,
}

/// Sizes separated by commas, in ascending order.
///
/// # Errors
/// If one is no number, or there is none.
pub(crate) fn sizes(list: &str) -> Result<Vec<u64>> {
    let parsed: Result<Vec<u64>, _> = list.split(',').map(|size| size.trim().parse()).collect();
    let mut sizes =
        parsed.with_context(|| format!("`{list}` is no list of numbers of keys, such as `100000,300000`"))?;
    if sizes.iter().any(|size| *size < 1_000) {
        bail!("`{list}`: each number of keys has to be 1000 or more");
    }
    sizes.sort_unstable();
    sizes.dedup();
    Ok(sizes)
}

/// Measures each size; progress goes to stderr.
///
/// # Errors
/// If a contender cannot be run, fails, or leaves something else than it has to.
pub(crate) async fn run(bench: &Bench, sizes: &[u64], repeats: usize, args: &[String]) -> Result<Vec<Size>> {
    let mut measured = Vec::new();
    for keys in sizes {
        let [embedded, over_nats, floor] = [Contender::Keysweep, Contender::Nats, Contender::Floor];
        measured.push(Size {
            keys: *keys,
            embedded: medians(bench, embedded, *keys, repeats, args).await?,
            over_nats: medians(bench, over_nats, *keys, repeats, args).await?,
            floor: medians(bench, floor, *keys, repeats, args).await?,
        });
    }
    Ok(measured)
}

async fn medians(
    bench: &Bench,
    contender: Contender,
    keys: u64,
    repeats: usize,
    args: &[String],
) -> Result<Figures> {
    let launcher = Launcher::find(contender, &bench.programs, args)?;
    let mut samples = Vec::new();
    for turn in 1..=repeats {
        eprintln!("xtask: {keys} keys, {turn}/{repeats}: {}", contender.label());
        let sample = bench.once(contender, &launcher, keys).await;
        samples.push(sample.with_context(|| format!("{} with {keys} keys", contender.label()))?);
    }
    figures(&samples, None).context("no run was asked for")
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
