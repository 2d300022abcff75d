//! The data sets are what they say.

use std::collections::{BTreeSet, HashSet};

use keysweep_model::glob::Pattern;

use super::*;

#[test]
fn every_key_is_different_and_matches_the_pattern_of_its_namespace() {
    for population in POPULATIONS {
        let keys: Vec<PopulationKey> = population.keys(60_000, 1).collect();
        let names: HashSet<&[u8]> = keys.iter().map(|key| key.entry.key.as_slice()).collect();
        assert_eq!(names.len(), keys.len(), "{}", population.name);
        assert!((59_900..=60_000).contains(&keys.len()), "{}: {}", population.name, keys.len());
        let patterns = population.namespaces.iter().map(|its| Pattern::new(its.pattern).unwrap());
        let patterns: Vec<Pattern> = patterns.collect();
        for (key, index) in keys.iter().filter_map(|key| Some((&key.entry.key, key.namespace?))) {
            assert!(patterns[index].matches(key), "{}: {}", patterns[index], String::from_utf8_lossy(key));
        }
    }
}

#[test]
fn shares_are_those_of_all_keys_and_patterns_differ() {
    for population in POPULATIONS {
        assert_eq!(population.namespaces.iter().map(|its| its.share).sum::<u64>(), WHOLE);
        let patterns: BTreeSet<&str> = population.namespaces.iter().map(|its| its.pattern).collect();
        assert_eq!(patterns.len(), population.namespaces.len());
    }
}

#[test]
fn keys_without_ttl_are_wanted_where_none_was_forgotten() {
    for population in POPULATIONS {
        let (mut unwanted, mut wanted) = (0, 0);
        for key in population.keys(20_000, 2) {
            let shape = key.namespace.map(|index| population.namespaces[index].ttl);
            match shape {
                None | Some(TtlShape::Never) => assert!(key.wanted && key.entry.ttl_ms.is_none()),
                Some(TtlShape::UpTo(most)) => {
                    assert!(
                        key.wanted && key.entry.ttl_ms.is_some_and(|ms| (TTL_MIN_MS..most).contains(&ms))
                    );
                }
                Some(TtlShape::Forgotten(..)) => assert_eq!(key.wanted, key.entry.ttl_ms.is_some()),
            }
            *(if key.wanted { &mut wanted } else { &mut unwanted }) += 1;
        }
        assert!(unwanted > 100 && wanted > 5 * unwanted, "{}: {unwanted} of {wanted}", population.name);
    }
}

#[test]
fn the_seed_decides_about_the_keys() {
    let keys = |seed| WEB_SHOP.keys(2_000, seed).map(|key| key.entry).collect::<Vec<_>>();
    assert_eq!(keys(5), keys(5));
    assert_ne!(keys(5), keys(6));
}
