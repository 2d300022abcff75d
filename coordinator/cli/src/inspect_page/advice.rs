//! The next command for what a look at all keys found. It is a plan, which changes nothing. Pure.

use keysweep_inspect::Namespace;
use reporter::{counted, grouped, share_text};

use super::view::{Inspected, Row, Selection, SortKey};
use super::{time_of_ms, time_of_s};

/// Suggestions that are made: those for the most keys without TTL.
const SUGGESTIONS_MAX: usize = 5;

/// Keys that were not used for longer are called idle, in seconds: a week.
const IDLE_S: u64 = 7 * 24 * 3_600;

/// What to look at next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The template of the namespace.
    pub template: String,
    /// What was found.
    pub finding: String,
    /// The command.
    pub command: String,
}

/// The next commands for the namespaces with the most keys without TTL that no library keeps.
#[must_use]
pub fn suggestions(of: &Inspected) -> Vec<Suggestion> {
    let by_no_ttl = Selection { sort: SortKey::NoTtl, only_no_ttl: true, top: None };
    let own = of.rows(by_no_ttl).into_iter().filter(|row| row.namespace.known.is_none());
    own.filter_map(|row| suggestion(of, row)).take(SUGGESTIONS_MAX).collect()
}

fn suggestion(of: &Inspected, row: Row<'_>) -> Option<Suggestion> {
    let namespace = row.namespace;
    // Keys that exist once are what a program keeps, such as a counter or its configuration.
    let pattern = std::str::from_utf8(namespace.pattern.as_bytes()).ok().filter(|_| namespace.keys > 1)?;
    let mut flags = vec![format!("--pattern={pattern}")];
    if of.has_several() {
        flags.push(format!("--db={}", row.db));
    }
    let words = ["keysweep plan", &of.connection, &shell_words(&flags)?];
    let command = words.into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join(" ");
    Some(Suggestion { template: namespace.template.clone(), finding: finding(namespace), command })
}

/// Flags such as `--redis=redis://cache:6379` as words for a shell, quoted where necessary; `None` if one has a NUL.
#[must_use]
pub fn shell_words(flags: &[String]) -> Option<String> {
    // A value that begins with a dash would be taken for a flag.
    let words = flags.iter().flat_map(|flag| match flag.split_once('=') {
        Some((name, value)) if !value.starts_with('-') => vec![name, value],
        _ => vec![flag.as_str()],
    });
    shlex::try_join(words).ok()
}

fn finding(of: &Namespace) -> String {
    let keys = counted(of.keys, "key", "keys");
    let idle = of.idle_median_s.filter(|seconds| *seconds >= IDLE_S);
    let idle = idle.map(|idle| format!("; half of the sampled ones were not used for {}", time_of_s(idle)));
    let idle = idle.unwrap_or_default();
    if of.no_ttl == of.keys {
        return format!("none of {keys} has a TTL{idle}");
    }
    let fields = match of.field_ttls {
        0 => String::new(),
        some => format!("; of {}, only fields have one", grouped(some)),
    };
    let median = of.ttl_median_ms.map(|ms| format!("; the median of the others is {}", time_of_ms(ms)));
    format!(
        "{} of {keys} ({}) have no TTL{fields}{}{idle}",
        grouped(of.no_ttl),
        share_text(of.no_ttl, of.keys),
        median.unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use keysweep_inspect::{Lifetime, Miner};

    use super::*;

    #[track_caller]
    fn check(lifetimes: &[Lifetime], expected: &str) {
        let mut miner = Miner::default();
        for (n, lifetime) in lifetimes.iter().enumerate() {
            miner.add(format!("k:{n}").as_bytes(), *lifetime);
        }
        assert_eq!(finding(&miner.namespaces(None).rows[0]), expected);
    }

    #[test]
    fn a_finding_says_what_was_measured() {
        let (never, fields, minute) = (Lifetime::Unlimited, Lifetime::FieldTtls, Lifetime::Ms(60_000));
        check(&[never; 3], "none of 3 keys has a TTL");
        check(&[never, fields, fields], "1 of 3 keys (33.3%) have no TTL; of 2, only fields have one");
        check(&[never, minute], "1 of 2 keys (50.0%) have no TTL; the median of the others is 1 min");
        check(
            &[never, fields, minute, minute],
            "1 of 4 keys (25.0%) have no TTL; of 1, only fields have one; the median of the others is 1 min",
        );
    }
}
