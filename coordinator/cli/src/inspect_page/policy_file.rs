//! A job file with a rule for each namespace, for a person to read and complete. As written, its rules change nothing. Pure.

use std::cmp::Reverse;
use std::fmt::Write;

use keysweep_inspect::Namespace;
use keysweep_model::printable::one_line;
use keysweep_policy::limits::{PATTERNS_MAX, RULES_MAX, TTL_MS_MAX};
use reporter::{counted, grouped};

use super::view::{Inspected, InspectedDatabase};

const HEAD: &str = "\
# Rules for the namespaces that `keysweep inspect` found. As they are, they change nothing.
# What a rule does follows from what it states: `durable = true` keeps its keys, `ttl` gives keys without TTL one,
# `max_ttl` shortens longer TTLs, `action` reports or deletes keys without TTL. A key belongs to the first rule
# that matches its name. `owner` is shown beside each rule.
#
# keysweep config check FILE                         are the rules right?
# keysweep policy check --config FILE --redis URL    which keys break them? Changes nothing
# keysweep run --config FILE --redis URL             carry them out
";

/// The units of durations, the largest first, in milliseconds.
const UNITS: [(&str, u64); 4] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

/// The job file: a job for each database, with a rule for each of its namespaces. `None` if there is none to state: a
/// job without rules has the default patterns, and deletes.
#[must_use]
pub fn policy_file(of: &Inspected) -> Option<String> {
    let jobs: String = of.databases.iter().filter_map(|database| job(database, of.has_several())).collect();
    if jobs.is_empty() {
        return None;
    }
    let is_whole = of.unread.is_empty() && of.databases.iter().all(|one| one.coverage.complete);
    let partial = if is_whole { "" } else { "#\n# Not all keys were read.\n" };
    Some(format!("{HEAD}{partial}{jobs}"))
}

fn job(of: &InspectedDatabase, has_several: bool) -> Option<String> {
    let mut text = match has_several {
        true => format!("\n[[job]]\nname = \"db{db}\"\ndb = {db}\n", db = of.db),
        false => "\n[[job]]\nname = \"policy\"\n".to_owned(),
    };
    let head = text.len();
    let rows = &of.namespaces.found.rows;
    let (once, several): (Vec<_>, Vec<_>) = rows.iter().partition(|namespace| namespace.keys == 1);
    // One rule for all keys that exist once.
    let room = RULES_MAX - usize::from(!once.is_empty());
    let mut named: Vec<&Namespace> = several.iter().copied().take(room).collect();
    // A pattern that matches all keys of another one has fewer bytes that stand for themselves, and comes later.
    named.sort_by_key(|namespace| Reverse(literals(namespace.pattern.as_bytes())));
    text.extend(once_rule(&once, PATTERNS_MAX - named.len()));
    text.extend(named.iter().filter_map(|namespace| rule(namespace)));
    if text.len() == head {
        return None;
    }
    let unnamed =
        several.iter().enumerate().filter(|(at, namespace)| *at >= room || quoted(namespace).is_none());
    let left: u64 = unnamed.map(|(_, namespace)| namespace.keys).sum();
    let left = left.saturating_add(of.namespaces.found.other_keys);
    if left > 0 {
        let keys = counted(left, "key", "keys");
        let _ = write!(
            text,
            "\n# {keys} of other namespaces belong to none of these rules, and are left alone.\n"
        );
    }
    Some(text)
}

/// The rule for keys that exist once, at most `patterns_max` of them: such keys are what a program keeps.
fn once_rule(once: &[&Namespace], patterns_max: usize) -> Option<String> {
    let patterns: Vec<String> =
        once.iter().filter_map(|namespace| quoted(namespace)).take(patterns_max).collect();
    if patterns.is_empty() {
        return None;
    }
    let keys = counted(patterns.len() as u64, "key whose name is", "keys whose names are");
    Some(format!(
        "\n# {keys} like no other\n[[job.rule]]\nmatch = [\n    {},\n]\ndurable = true\n",
        patterns.join(",\n    ")
    ))
}

/// The rule of a namespace with its comment; `None` if no rule can name it.
fn rule(of: &Namespace) -> Option<String> {
    let pattern = quoted(of)?;
    let counts = match of.no_ttl {
        0 => "all with a TTL".to_owned(),
        no_ttl if no_ttl == of.keys => "none with a TTL".to_owned(),
        no_ttl => format!("{} without TTL", grouped(no_ttl)),
    };
    let head = format!("\n# {}: {}, {counts}\n", one_line(&of.template), counted(of.keys, "key", "keys"));
    Some(format!("{head}{}", stated(of, &pattern)))
}

/// What is known of a namespace, and the rule that changes nothing.
fn stated(of: &Namespace, pattern: &str) -> String {
    let rule = |note: &str, states: &str| format!("{note}[[job.rule]]\nmatch = [{pattern}]\n{states}\n");
    if let Some(known) = of.known {
        return rule(&format!("# {}: {}.\n", known.label, known.advice), "durable = true");
    }
    if of.no_ttl == of.keys {
        return rule(
            "# If they are a cache, state a `ttl` instead of `durable`.\n",
            "durable = true\n# ttl = \"1d\"",
        );
    }
    let median = of.ttl_median_ms.map_or("1d".to_owned(), duration);
    match of.no_ttl {
        0 => {
            let longest = of.ttl_max_ms.map_or("1d".to_owned(), duration);
            rule(
                &format!("# A key that loses its TTL is reported. The longest TTL is about {longest}.\n"),
                &format!("action = \"report\"\n# ttl = \"{median}\""),
            )
        }
        _ => rule(
            &format!(
                "# The median of the TTLs is about {median}. To give the others one, state `ttl` instead of `action`.\n"
            ),
            &format!("action = \"report\"\n# ttl = \"{median}\""),
        ),
    }
}

/// The pattern as a TOML string; `None` if it is not text.
fn quoted(of: &Namespace) -> Option<String> {
    let text = std::str::from_utf8(of.pattern.as_bytes()).ok()?;
    Some(toml::Value::from(text).to_string())
}

/// How many bytes of a pattern stand for themselves.
fn literals(pattern: &[u8]) -> usize {
    pattern.iter().filter(|byte| **byte != b'*').count()
}

/// A duration in whole units, rounded up, that a rule may state.
fn duration(ms: u64) -> String {
    let ms = ms.min(TTL_MS_MAX);
    // Two digits are precise enough, and a person reads them more easily.
    let (unit, size) = UNITS.into_iter().find(|(_, size)| ms >= 2 * size).unwrap_or(UNITS[3]);
    format!("{}{unit}", ms.div_ceil(size).max(1))
}
