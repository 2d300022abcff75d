//! What a plan reports when no key matches: how many keys exist, and their most frequent prefixes. Pure.

use std::fmt::Write;

use coordinator::options::Options;
use coordinator::preflight::Preflight;
use keysweep_model::words::quoted;
use reporter::{grouped, wrap};
use scanner::name_sample::{CommonPrefix, commonest};
use serde_json::{Value, json};

/// Prefixes shown.
const SHOWN: usize = 8;

/// The lines for people, below the table of nodes. Writing to a string cannot fail.
#[must_use]
pub fn text(plan: &Preflight, options: &Options) -> String {
    let (found, keys) = (found(plan), keys(plan));
    let mut page = format!("\n  {}\n", wrap(&sentence(plan, options), 2));
    for alike in &found {
        let (name, example) = (alike.prefix.as_deref().unwrap_or("(no separator)"), &alike.example);
        let _ = writeln!(page, "    {name:<24} {:>5}   {}", share(alike), wrap(example, 39));
    }
    let usual = found.iter().find_map(|alike| alike.prefix.as_deref()).filter(|prefix| is_plain(prefix));
    if let (Some(prefix), true) = (usual, keys > 0) {
        let _ = writeln!(
            page,
            "\n  {}",
            wrap(
                &format!(
                    "`--pattern '{prefix}*'` would select the first of them. `keysweep inspect` shows all by namespace."
                ),
                2
            )
        );
    }
    page
}

/// One sentence, also for a log line.
#[must_use]
pub fn sentence(plan: &Preflight, options: &Options) -> String {
    let (patterns, keys, sampled) = (quoted(&*options.rules.all_patterns()), keys(plan), sampled(plan));
    let database = match (options.access.db, plan.spec.cluster) {
        (0, true) => "the cluster".to_owned(),
        (db, _) => format!("database {db}"),
    };
    match keys {
        0 => format!("No key matches {patterns}: {database} is empty."),
        keys if sampled == 0 => format!(
            "No key matches {patterns}. Of the {} existing keys, the sample lists only keysweep's own.",
            grouped(keys)
        ),
        keys if sampled < keys => format!(
            "No key matches {patterns}. There are {} keys. The most frequent prefixes, from a sample of {}:",
            grouped(keys),
            grouped(sampled)
        ),
        keys => {
            format!("No key matches {patterns}. There are {} keys. Their prefixes:", grouped(keys))
        }
    }
}

/// The same on one line: the sentence, then the prefixes.
#[must_use]
pub fn line(plan: &Preflight, options: &Options) -> String {
    let name = |alike: &CommonPrefix| alike.prefix.clone().unwrap_or_else(|| "no separator".to_owned());
    let all: Vec<String> =
        found(plan).iter().map(|alike| format!("{} ({})", name(alike), share(alike))).collect();
    format!("{} {}", sentence(plan, options), all.join(", ")).trim_end().to_owned()
}

/// The prefixes as JSON: `[{"prefix", "percent", "example"}]`; `null` if some key matches.
#[must_use]
pub fn json(plan: &Preflight) -> Value {
    if plan.estimate.matching_keys > 0 {
        return Value::Null;
    }
    let row = |alike: CommonPrefix| {
        let percent = (alike.percent * 10.0).round() / 10.0;
        json!({ "prefix": alike.prefix, "percent": percent, "example": alike.example })
    };
    found(plan).into_iter().map(row).collect()
}

fn found(plan: &Preflight) -> Vec<CommonPrefix> {
    commonest(plan.nodes.iter().map(|node| (&node.names, node.keys)), SHOWN)
}

fn keys(plan: &Preflight) -> u64 {
    plan.nodes.iter().map(|node| node.keys).sum()
}

fn sampled(plan: &Preflight) -> u64 {
    plan.nodes.iter().map(|node| node.names.sampled()).sum()
}

/// `61 %`, `< 1 %`
fn share(alike: &CommonPrefix) -> String {
    if alike.percent < 1.0 { "< 1 %".to_owned() } else { format!("{:.0} %", alike.percent) }
}

/// Whether a prefix has no special meaning as a pattern or in the quotes of a shell.
fn is_plain(prefix: &str) -> bool {
    !prefix.contains(['*', '?', '[', ']', '\\', '\'', '…'])
}
