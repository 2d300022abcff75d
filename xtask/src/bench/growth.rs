//! `cargo xtask bench --growth`: the same contenders with increasing numbers of keys. Expected to stay constant: the
//! speed relative to the floor, and the memory.

use anyhow::{Context, Result, bail};

use super::case::{Case, USUAL_PERCENT};
use super::contenders::Contender;
use super::figures::{Comparison, Figures, Outcome};

/// The measurements for one number of keys.
pub(crate) struct Size {
    /// The number of keys.
    pub(crate) keys: u64,
    /// keysweep in one process.
    pub(crate) embedded: Figures,
    /// The bare client.
    pub(crate) floor: Figures,
    /// keysweep on workers, with its roles.
    pub(crate) over_nats: Figures,
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

/// What to measure: one after the other in the same turn, so that sizes can be compared turn by turn as well.
pub(crate) fn cases(sizes: &[u64]) -> Vec<Case> {
    let contenders = [Contender::Keysweep, Contender::Floor, Contender::Nats];
    sizes.iter().flat_map(|keys| contenders.map(|who| Case::new(who, USUAL_PERCENT, *keys))).collect()
}

/// The measurements of [`cases`] by size.
///
/// # Errors
/// If one of them could not be run, failed, or left wrong keys.
pub(crate) fn by_size(measured: &Comparison) -> Result<Vec<Size>> {
    let row = |(case, outcome): &(Case, Outcome)| match outcome {
        Outcome::Measured(figures) => Ok(figures.clone()),
        Outcome::NotRun(why) | Outcome::Failed(why) => {
            bail!("{} with {} keys: {why}", case.label(), case.keys)
        }
    };
    let size = |rows: &[(Case, Outcome)]| match rows {
        [embedded, floor, over_nats] => Ok(Size {
            keys: embedded.0.keys,
            embedded: row(embedded)?,
            floor: row(floor)?,
            over_nats: row(over_nats)?,
        }),
        _ => bail!("a contender was not measured"),
    };
    measured.rows.chunks(3).map(size).collect()
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
