//! Keys that are looked at apart, because all of them together have several TTLs: those of each rule of the job, or of each
//! namespace by their names. Pure.

use keysweep_inspect::{Lifetime, Miner};
use keysweep_model::printable::Printable;
use keysweep_policy::{Rule, RuleSet};

use super::look::{SeenKey, TtlSample};
use crate::limits::{TTL_GROUP_KEYS, TTL_GROUPS_MAX};

/// The keys of a rule or of a namespace.
pub(super) struct Group {
    /// The patterns of the rule, or the template of the namespace.
    pub(super) keys: String,
    /// `rule` or `namespace`.
    pub(super) by: &'static str,
    /// Its part of the sample.
    pub(super) sample: TtlSample,
}

/// The largest groups of a sample, the largest first: by `rules`, or by namespaces without any. Keys of no rule are in none.
pub(super) fn grouped(sample: &TtlSample, rules: Option<&RuleSet>) -> Vec<Group> {
    let (by, names, place_of): (_, Vec<String>, Vec<Option<usize>>) = match rules {
        Some(rules) => {
            let place = |key: &SeenKey| rules.of(key.key.as_bytes()).map(usize::from);
            ("rule", rules.rules().iter().map(patterns).collect(), sample.keys.iter().map(place).collect())
        }
        None => {
            let mut miner = Miner::default();
            for key in &sample.keys {
                miner.add(key.key.as_bytes(), Lifetime::Ms(key.remaining_ms));
            }
            let found = miner.namespaces(None);
            let places = sample.keys.iter().map(|key| found.place_of(key.key.as_bytes())).collect();
            ("namespace", found.rows.into_iter().map(|row| row.template).collect(), places)
        }
    };
    let mut members: Vec<(String, Vec<SeenKey>)> = names.into_iter().map(|name| (name, Vec::new())).collect();
    for (key, place) in sample.keys.iter().zip(place_of) {
        if let Some((_, keys)) = place.and_then(|place| members.get_mut(place)) {
            keys.push(key.clone());
        }
    }
    // Those of equal size in the order of their names, so that the same are chosen again.
    members.sort_by(|(a, one), (b, other)| other.len().cmp(&one.len()).then_with(|| a.cmp(b)));
    let all = sample.keys.len() as u64;
    let group = |(keys, mut seen): (String, Vec<SeenKey>)| {
        let live_keys = u128::from(sample.live_keys) * seen.len() as u128 / u128::from(all.max(1));
        seen.truncate(TTL_GROUP_KEYS);
        let live_keys = u64::try_from(live_keys).unwrap_or(u64::MAX);
        Group { keys, by, sample: TtlSample { keys: seen, live_keys } }
    };
    members.into_iter().filter(|(_, keys)| !keys.is_empty()).take(TTL_GROUPS_MAX).map(group).collect()
}

/// The patterns of a rule as its name.
fn patterns(rule: &Rule) -> String {
    let all = rule.matching().iter().map(|pattern| Printable(pattern.as_bytes()).to_string());
    all.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use keysweep_model::glob::Pattern;
    use keysweep_model::key::Key;
    use keysweep_model::messages::StatedRule;

    use super::*;

    fn sample(names: impl Iterator<Item = String>) -> TtlSample {
        let key = |name: String| SeenKey {
            db: 0,
            key: Key::new(name),
            remaining_ms: 1_000,
            expires_at_ms: 10_000,
            idle_s: None,
            uptime_ms: 0,
            bytes: None,
        };
        let keys: Vec<SeenKey> = names.map(key).collect();
        TtlSample { live_keys: 10 * keys.len() as u64, keys }
    }

    fn sizes(groups: &[Group]) -> Vec<(&str, &str, usize, u64)> {
        let size = |group: &'_ Group| (group.sample.keys.len(), group.sample.live_keys);
        groups.iter().map(|group| (group.by, group.keys.as_str(), size(group).0, size(group).1)).collect()
    }

    #[test]
    fn keys_are_grouped_by_their_templates() {
        let names = (0..300).map(|n| match n % 3 {
            0 => format!("session:{n}"),
            _ => format!("page:{n}:html"),
        });
        let groups = grouped(&sample(names), None);
        assert_eq!(
            sizes(&groups),
            [("namespace", "page:{id}:html", 200, 2_000), ("namespace", "session:{id}", 100, 1_000)]
        );
    }

    #[test]
    fn the_rules_of_a_job_come_before_names() {
        let rule = |patterns: &[&str], durable| StatedRule {
            matching: patterns.iter().map(|pattern| Pattern::new(*pattern).unwrap()).collect(),
            durable,
            ttl_ms: (!durable).then_some(60_000),
            ..StatedRule::default()
        };
        let rules = RuleSet::new(&[rule(&["page:*", "part:*"], false), rule(&["session:*"], true)]).unwrap();
        let names =
            ["page", "part", "session", "other"].iter().flat_map(|kind| (0..50).map(move |n| (kind, n)));
        let groups = grouped(&sample(names.map(|(kind, n)| format!("{kind}:{n}"))), Some(&rules));
        assert_eq!(sizes(&groups), [("rule", "page:*, part:*", 100, 1_000), ("rule", "session:*", 50, 500)]);
    }

    #[test]
    fn groups_are_few_and_bounded() {
        let kinds = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        let names = (0..30_000).map(|n| format!("{}:{n}", kinds[if n < 5_000 { 0 } else { n % 10 }]));
        let groups = grouped(&sample(names), None);
        assert_eq!(groups.len(), TTL_GROUPS_MAX);
        assert!(groups.iter().all(|group| group.sample.keys.len() <= TTL_GROUP_KEYS), "{:?}", sizes(&groups));
        assert_eq!(groups[0].sample.live_keys, 75_000);
        assert!(grouped(&sample(std::iter::empty()), None).is_empty());
    }
}
