//! What a plan reports when no key matches: how many keys exist, their most frequent namespaces, and how to choose. Pure.

use coordinator::options::Options;
use coordinator::preflight::Preflight;
use keysweep_model::words::quoted;
use reporter::grouped;
use reporter::printer::terminal;
use reporter::view::{Block, Kind, Table};
use scanner::name_sample::{CommonNamespace, commonest};
use serde_json::{Value, json};

use super::inspect_page::advice::shell_words;

/// Namespaces shown.
const SHOWN: usize = 8;

/// The lines for people, below the table of nodes.
#[must_use]
pub fn text(plan: &Preflight, options: &Options) -> String {
    let row = |alike: &CommonNamespace| vec![alike.template.clone(), share(alike)];
    let found = found(plan);
    let table = Table::new("Namespaces", "namespaces")
        .columns(Kind::Code, ["Namespace"])
        .columns(Kind::Number, ["Share"])
        .rows(found.iter().map(row));
    let table = (!found.is_empty()).then_some(Block::Table(table));
    let advice = (keys(plan) > 0).then(|| [Block::Text(String::new()), Block::Text(advice(&found, options))]);
    let blocks = [Block::Text(String::new()), Block::Text(sentence(plan, options))].into_iter();
    terminal::blocks(&blocks.chain(table).chain(advice.into_iter().flatten()).collect::<Vec<_>>())
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
            "No key matches {patterns}. There are {} keys. The most frequent namespaces, from a sample of {}:",
            grouped(keys),
            grouped(sampled)
        ),
        keys => {
            format!("No key matches {patterns}. There are {} keys. Their namespaces:", grouped(keys))
        }
    }
}

/// How to choose.
fn advice(found: &[CommonNamespace], options: &Options) -> String {
    let pattern = found.iter().find_map(|alike| std::str::from_utf8(alike.pattern.as_bytes()).ok());
    let has_rules = options.rules.policy.is_some();
    let first = pattern.and_then(|pattern| match has_rules {
        true => Some(format!("A rule with `match = [{}]` would", toml::Value::from(pattern))),
        false => shell_words(&[format!("--pattern={pattern}")]).map(|flag| format!("`{flag}` would")),
    });
    let first = first.map(|first| format!("{first} select the first of them. ")).unwrap_or_default();
    let all = match has_rules {
        true => "`keysweep inspect --write-policy FILE` writes a rule for each namespace.",
        false => "`keysweep inspect` shows all by namespace.",
    };
    first + all
}

/// The same on one line: the sentence, then the namespaces.
#[must_use]
pub fn line(plan: &Preflight, options: &Options) -> String {
    let all: Vec<String> =
        found(plan).iter().map(|alike| format!("{} ({})", alike.template, share(alike))).collect();
    format!("{} {}", sentence(plan, options), all.join(", ")).trim_end().to_owned()
}

/// The namespaces as JSON: `[{"template", "pattern", "percent", "example"}]`; `null` if some key matches.
#[must_use]
pub fn json(plan: &Preflight) -> Value {
    if plan.estimate.matching_keys > 0 {
        return Value::Null;
    }
    let row = |alike: CommonNamespace| {
        let percent = (alike.percent * 10.0).round() / 10.0;
        json!({
            "template": alike.template,
            "pattern": alike.pattern.to_string(),
            "percent": percent,
            "example": alike.example,
        })
    };
    found(plan).into_iter().map(row).collect()
}

fn found(plan: &Preflight) -> Vec<CommonNamespace> {
    commonest(plan.nodes.iter().map(|node| (&node.names, node.keys)), SHOWN)
}

fn keys(plan: &Preflight) -> u64 {
    plan.nodes.iter().map(|node| node.keys).sum()
}

fn sampled(plan: &Preflight) -> u64 {
    plan.nodes.iter().map(|node| node.names.sampled()).sum()
}

/// `61 %`, `< 1 %`
fn share(alike: &CommonNamespace) -> String {
    if alike.percent < 1.0 { "< 1 %".to_owned() } else { format!("{:.0} %", alike.percent) }
}
