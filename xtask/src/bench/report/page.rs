//! `BENCHMARKS.md`: text written by hand, with blocks between markers that the bench writes. Whatever stands
//! outside of the blocks stays as it is.

use super::table::thousands;
use super::{growth, tables};
use crate::bench::figures::Comparison;
use crate::bench::growth::Size;
use crate::bench::machine::Machine;
use crate::bench::targets::Target;

/// Where the page is, below the root.
pub(crate) const PAGE: &str = "BENCHMARKS.md";
/// Where its plots are.
pub(crate) const RATES_PLOT: &str = "docs/benchmark-rates.svg";
pub(crate) const GROWTH_PLOT: &str = "docs/benchmark-growth.svg";

/// The block of a comparison, made by `command`.
pub(crate) fn comparison(comparison: &Comparison, targets: &[Target], command: &str) -> String {
    let mut parts = vec![
        head(command, &comparison.machine),
        format!("{}.", tables::title(comparison)),
        tables::figures(comparison).markdown(),
        tables::LEGEND.to_owned(),
        format!("![keys per second of each]({RATES_PLOT})"),
        "How many times keysweep's figure is that of each other, in the median of the turns:".to_owned(),
        tables::ratios(comparison).markdown(),
        "What has to be reached:".to_owned(),
        tables::targets(targets).markdown(),
    ];
    parts.extend(tables::roles(comparison).map(|table| table.markdown()));
    parts.extend(tables::notes(comparison));
    parts.push("Who is compared:".to_owned());
    let who =
        comparison.rows.iter().map(|(who, _)| format!("- **{}**: {}.\n", who.label(), who.description()));
    parts.push(who.collect());
    joined(&parts)
}

/// The block of a growth, made by `command`.
pub(crate) fn growth(sizes: &[Size], machine: &Machine, repeats: usize, command: &str) -> String {
    let runs =
        if repeats == 1 { "One run each".to_owned() } else { format!("Medians of {repeats} runs each") };
    let counts: Vec<String> = sizes.iter().map(|size| thousands(size.keys)).collect();
    joined(&[
        head(command, machine),
        format!(
            "{runs} with {} keys, a tenth of them without a TTL; by the floor: in the median of the turns.",
            counts.join(", ")
        ),
        growth::speed(sizes).markdown(),
        growth::memory(sizes).markdown(),
        format!("![keys per second and memory by the number of keys]({GROWTH_PLOT})"),
    ])
}

fn head(command: &str, machine: &Machine) -> String {
    format!("Written by `{command}`.\n\nMeasured on {}.", machine.line())
}

/// Parts with an empty line between them.
fn joined(parts: &[String]) -> String {
    parts.iter().map(|part| part.trim()).collect::<Vec<_>>().join("\n\n")
}

/// `page` with the block called `name` replaced by `block`, or with the block at its end if it has none.
pub(crate) fn with_block(page: &str, name: &str, block: &str) -> String {
    let begin = format!("<!-- begin {name}: what follows is generated, changes to it are lost -->");
    let end = format!("<!-- end {name} -->");
    let whole = format!("{begin}\n\n{}\n\n{end}", block.trim());
    let (start, stop) = (page.find(&begin), page.find(&end));
    match (start, stop) {
        (Some(start), Some(stop)) if start < stop => {
            format!("{}{whole}{}", &page[..start], &page[stop + end.len()..])
        }
        _ => format!("{}\n\n{whole}\n", page.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::sample;
    use crate::bench::targets::targets;

    #[test]
    fn a_block_is_replaced_and_the_rest_stays() {
        let first = with_block("# Title\n\nBy hand.\n", "one", "old");
        let both = format!("{}\nAlso by hand.\n", with_block(&first, "two", "other"));
        let replaced = with_block(&both, "one", "new");
        assert_eq!(replaced, both.replace("old", "new"));
        assert!(replaced.starts_with("# Title\n\nBy hand.\n\n<!-- begin one:"), "{replaced}");
        assert_eq!(with_block(&replaced, "one", "new"), replaced);
    }

    #[test]
    fn the_block_says_how_it_was_made_and_who_took_part() {
        let comparison = sample::comparison();
        let block = super::comparison(&comparison, &targets(&comparison), "cargo xtask bench --keys 7");
        assert!(block.starts_with("Written by `cargo xtask bench --keys 7`.\n\nMeasured on 2 processors"));
        assert!(block.contains("| floor | 0.20 | 1,000,000 | 2.00 |"), "{block}");
        assert!(block.contains("- **single cursor**: a client in Rust"), "{block}");
        assert!(block.contains("redis-py: FAILED: it left 7 keys"), "{block}");
    }
}
