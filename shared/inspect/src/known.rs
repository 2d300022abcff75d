//! Structures of well-known libraries, recognized by the names of their keys. The names are data (`structures.toml`).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use keysweep_model::glob::Pattern;
use serde::Deserialize;

/// So many different states behind one beginning show a library.
const STATES_MIN: usize = 3;

/// The keys of a library.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownStructure {
    /// For programs.
    pub name: String,
    /// For people.
    pub label: String,
    /// What to do about its keys.
    pub advice: String,
    #[serde(default)]
    keys: Vec<Glob>,
    #[serde(default)]
    evidence: Vec<Glob>,
    #[serde(default)]
    states: Vec<String>,
    #[serde(default)]
    shows: Vec<String>,
}

impl PartialEq for KnownStructure {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Glob(Pattern);

impl TryFrom<String> for Glob {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Pattern::new(text).map(Self).map_err(|e| e.to_string())
    }
}

#[derive(Deserialize)]
struct File {
    structure: Vec<KnownStructure>,
}

static STRUCTURES: LazyLock<Vec<KnownStructure>> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the file is part of the binary, and a test reads it")]
    let file: File = toml::from_str(include_str!("structures.toml")).expect("the structures can be read");
    file.structure
});

/// All known structures.
#[must_use]
pub fn known_structures() -> &'static [KnownStructure] {
    &STRUCTURES
}

/// Recognizes structures among the patterns of all namespaces.
pub(crate) struct Recognizer<'a> {
    /// For each structure, patterns of its namespaces.
    owned: Vec<(&'static KnownStructure, Vec<&'a [u8]>)>,
}

impl<'a> Recognizer<'a> {
    /// `patterns` are those of namespaces before any was merged with others.
    pub(crate) fn of(patterns: &[&'a [u8]]) -> Self {
        let owned = known_structures().iter().map(|structure| (structure, structure.owned(patterns)));
        Self { owned: owned.filter(|(_, owned)| !owned.is_empty()).collect() }
    }

    /// The structure that a namespace belongs to, if one is known.
    pub(crate) fn structure(&self, pattern: &Pattern) -> Option<&'static KnownStructure> {
        // One without a beginning may be of anybody.
        if pattern.as_bytes().starts_with(b"*") {
            return None;
        }
        let owns = |owned: &[&[u8]]| owned.iter().any(|its| pattern.matches(its));
        self.owned.iter().find(|(_, owned)| owns(owned)).map(|(structure, _)| *structure)
    }
}

impl KnownStructure {
    /// Which of `patterns` are of its keys.
    fn owned<'a>(&self, patterns: &[&'a [u8]]) -> Vec<&'a [u8]> {
        let any = |globs: &[Glob], text: &[u8]| globs.iter().any(|glob| glob.0.matches(text));
        let proven = self.evidence.is_empty() || patterns.iter().any(|text| any(&self.evidence, text));
        let beginnings = self.beginnings(patterns);
        let is_own = |text: &&&[u8]| {
            proven && any(&self.keys, text) || beginnings.iter().any(|beginning| text.starts_with(beginning))
        };
        patterns.iter().filter(is_own).copied().collect()
    }

    /// Beginnings, each with its separator, behind which there are enough of its states.
    fn beginnings<'a>(&self, patterns: &[&'a [u8]]) -> Vec<&'a [u8]> {
        let mut states: BTreeMap<&[u8], Vec<&str>> = BTreeMap::new();
        for text in patterns {
            let Some(end) = text.iter().rposition(|byte| *byte == b':') else { continue };
            let (beginning, ending) = text.split_at(end + 1);
            let state = self.states.iter().find(|state| state.as_bytes() == ending);
            if let Some(state) = state {
                states.entry(beginning).or_default().push(state);
            }
        }
        let shown = |found: &[&str]| {
            found.len() >= STATES_MIN
                && (self.shows.is_empty()
                    || found.iter().any(|state| self.shows.iter().any(|shows| shows == state)))
        };
        states.into_iter().filter(|(_, found)| shown(found)).map(|(beginning, _)| beginning).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_file_is_complete() {
        let all = known_structures();
        let names: BTreeSet<&str> = all.iter().map(|structure| structure.name.as_str()).collect();
        assert_eq!(names.len(), all.len());
        for structure in all {
            assert!(!structure.keys.is_empty() || structure.states.len() >= STATES_MIN, "{}", structure.name);
            assert!(
                structure.shows.iter().all(|state| structure.states.contains(state)),
                "{}",
                structure.name
            );
            assert!(
                !structure.label.is_empty()
                    && structure.advice.len() > 20
                    && !structure.advice.ends_with('.')
            );
        }
    }

    /// The structure of a namespace among others.
    #[track_caller]
    fn check(pattern: &str, others: &[&str], expected: Option<&str>) {
        let patterns: Vec<&[u8]> = others.iter().chain([&pattern]).map(|text| text.as_bytes()).collect();
        let found = Recognizer::of(&patterns).structure(&Pattern::new(pattern).unwrap());
        assert_eq!(found.map(|structure| structure.name.as_str()), expected, "{pattern}");
    }

    #[test]
    fn structures_are_recognized_by_their_keys() {
        let mq = ["bull:email:meta", "bull:email:id", "bull:email:wait", "bull:email:*"];
        check("bull:email:*", &mq, Some("bullmq"));
        check("bull:*:*", &mq, Some("bullmq"));
        check(
            "bull:*:*:logs",
            &["bull:email:meta", "bull:email:id", "bull:email:wait", "bull:email:*:logs"],
            Some("bullmq"),
        );
        let own = ["{jobs}:mail:events", "{jobs}:mail:id", "{jobs}:mail:completed"];
        check("{jobs}:mail:*", &own, Some("bullmq"));
        check(
            "bull:email:*",
            &["bull:email:id", "bull:email:wait", "bull:email:stalled-check"],
            Some("bull"),
        );
        check("bull:email:*", &["bull:email:id", "bull:email:wait"], None);
        check("user:*:profile", &mq, None);
        check("queue:default", &["stat:processed:*"], Some("sidekiq"));
        check("queue:default", &[], None);
        check("celery-task-meta-*", &[], Some("celery"));
        check("_kombu.binding.celery.pidbox", &[], Some("celery"));
        check("rq:job:*", &[], Some("rq"));
        check("laravel_database_queues:default:delayed", &[], Some("laravel-queue"));
        check("laravel_cache:tag:users:entries", &[], Some("laravel-tags"));
        check("laravel_cache:*", &[], Some("laravel-cache"));
        check("app:\u{1}tags\u{1}products", &[], Some("symfony-tags"));
        check("spring:session:sessions:expires:*", &[], Some("spring-session"));
        check(":1:django.contrib.sessions.*", &[], Some("django-sessions"));
        check(":1:views.decorators.cache.cache_page..GET.*.*.en-us.UTC", &[], Some("django-cache"));
        check("redisson__timeout__set:{*}", &[], Some("redisson"));
        check("rl:login:*", &[], Some("rate-limiter"));
        check("lock:order:*", &[], Some("lock"));
        check("cache:page:*", &[], None);
        check("*:lock", &[], None);
    }
}
