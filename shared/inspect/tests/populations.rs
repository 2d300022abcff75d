//! What is found in realistic data sets is what a person would name.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use keysweep_inspect::{Lifetime, Miner, Namespaces};
use keysweep_testkit::populations::{KeyPopulation, POPULATIONS, PopulationKey};

fn lifetime(key: &PopulationKey) -> Lifetime {
    key.entry.ttl_ms.map_or(Lifetime::Unlimited, Lifetime::Ms)
}

fn keys(population: &'static KeyPopulation, count: u64, seed: u64) -> Vec<PopulationKey> {
    population.keys(count, seed).collect()
}

fn mine<'a>(keys: impl IntoIterator<Item = &'a PopulationKey>) -> Miner {
    let mut miner = Miner::default();
    for key in keys {
        miner.add(&key.entry.key, lifetime(key));
    }
    miner
}

/// In percent, how many keys are in a namespace with the pattern that the list has for them. Checks that no such namespace
/// has keys of two listed ones.
fn right(population: &KeyPopulation, keys: &[PopulationKey], found: &Namespaces) -> f64 {
    let mut owners: BTreeMap<usize, BTreeSet<Option<usize>>> = BTreeMap::new();
    let mut right = 0_u64;
    for key in keys {
        let Some(place) = found.place_of(&key.entry.key) else { continue };
        owners.entry(place).or_default().insert(key.namespace);
        let listed = key.namespace.map(|index| population.namespaces[index].pattern);
        right += u64::from(
            listed.is_some_and(|pattern| pattern.as_bytes() == found.rows[place].pattern.as_bytes()),
        );
    }
    for (place, owners) in owners {
        let listed: Vec<_> = owners.into_iter().flatten().collect();
        assert!(listed.len() <= 1, "{}: `{}` merges {listed:?}", population.name, found.rows[place].template);
    }
    right as f64 * 100.0 / keys.len() as f64
}

fn show(population: &KeyPopulation, found: &Namespaces) {
    println!("{}:", population.name);
    for row in found.rows.iter().take(40) {
        println!(
            "  {:<45} {:>8} {:>8} {:>12?} {:?}",
            row.template, row.keys, row.no_ttl, row.ttl_median_ms, row.sample_keys
        );
    }
    println!("  {} more, other {}", found.rows.len().saturating_sub(40), found.other_keys);
}

#[test]
fn nearly_all_keys_are_in_the_namespace_that_a_person_would_name() {
    for population in POPULATIONS {
        for (count, seed) in [(3_000, 1), (20_000, 2), (100_000, 3)] {
            let keys = keys(population, count, seed);
            let found = mine(&keys).namespaces(None);
            show(population, &found);
            let right = right(population, &keys, &found);
            println!("{}, {count} keys: {right:.2} %", population.name);
            // The keys that exist once weigh more in a small data set.
            let least = if count < 10_000 { 85.0 } else { 95.0 };
            assert!(right >= least, "{}, {count} keys: {right:.2} %", population.name);
        }
    }
}

#[test]
fn counts_are_exact() {
    for population in POPULATIONS {
        let keys = keys(population, 30_000, 4);
        let found = mine(&keys).namespaces(None);
        let mut truth: BTreeMap<usize, (u64, u64, u64)> = BTreeMap::new();
        for key in &keys {
            let (keys, no_ttl, longest) = truth.entry(found.place_of(&key.entry.key).unwrap()).or_default();
            *keys += 1;
            *no_ttl += u64::from(key.entry.ttl_ms.is_none());
            *longest = (*longest).max(key.entry.ttl_ms.unwrap_or_default());
        }
        for (place, row) in found.rows.iter().enumerate() {
            let (keys, no_ttl, longest) = truth[&place];
            assert_eq!((row.keys, row.no_ttl, row.missed_max), (keys, no_ttl, 0), "{}", row.template);
            assert_eq!(row.ttl_max_ms, (longest > 0).then_some(longest), "{}", row.template);
        }
        assert_eq!(found.rows.iter().map(|row| row.keys).sum::<u64>(), keys.len() as u64);
    }
}

#[test]
fn medians_are_close() {
    let population = POPULATIONS[0];
    let keys = keys(population, 50_000, 5);
    let found = mine(&keys).namespaces(None);
    for row in found.rows.iter().filter(|row| row.keys - row.no_ttl > 500) {
        let mut ttls: Vec<u64> = keys
            .iter()
            .filter(|key| row.pattern.matches(&key.entry.key))
            .filter_map(|key| key.entry.ttl_ms)
            .collect();
        ttls.sort_unstable();
        let (median, found) = (ttls[ttls.len() / 2] as f64, row.ttl_median_ms.unwrap() as f64);
        assert!((found / median - 1.0).abs() < 0.05, "{}: {found} for {median}", row.template);
    }
}

#[test]
fn any_split_over_miners_finds_the_same() {
    for population in POPULATIONS {
        let keys = keys(population, 20_000, 6);
        let whole = mine(&keys).namespaces(None);
        for parts in [2, 7, 40] {
            let split = || (0..parts).map(|part| mine(keys.iter().skip(part).step_by(parts)));
            let (mut there, mut back) = (Miner::default(), Miner::default());
            split().for_each(|miner| there.merge(&miner));
            split().rev().for_each(|miner| back.merge(&miner));
            assert_eq!(there.namespaces(None).rows, whole.rows, "{} in {parts}", population.name);
            assert_eq!(back.namespaces(None).rows, whole.rows, "{} in {parts}, backwards", population.name);
        }
    }
}

#[test]
fn a_depth_sums_up_what_is_deeper() {
    let names: [(&str, Lifetime); 9] = [
        ("user:1:profile", Lifetime::Unlimited),
        ("user:2:profile", Lifetime::Ms(8_000)),
        ("user:2:settings", Lifetime::FieldTtls),
        ("user:2", Lifetime::Unlimited),
        ("config", Lifetime::Unlimited),
        ("bull:mail:wait", Lifetime::Unlimited),
        ("bull:mail:active", Lifetime::Unlimited),
        ("bull:mail:meta", Lifetime::Unlimited),
        ("bull:mail:completed", Lifetime::Unlimited),
    ];
    let mut miner = Miner::default();
    for (name, lifetime) in names {
        miner.add(name.as_bytes(), lifetime);
    }
    let check = |depth: usize, expected: &[(&str, &str, u64, u64, u64)]| {
        let found = miner.namespaces(NonZeroUsize::new(depth));
        let mut rows: Vec<_> = found
            .rows
            .iter()
            .map(|row| (row.template.as_str(), row.pattern.to_string(), row.keys, row.no_ttl, row.field_ttls))
            .collect();
        rows.sort_unstable();
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, pattern, keys, no_ttl, fields)| {
                (*name, (*pattern).to_owned(), *keys, *no_ttl, *fields)
            })
            .collect();
        assert_eq!(rows, expected, "{depth}");
        // A part that a library keeps makes the whole one that it keeps.
        let known = found.rows.iter().filter(|row| row.known.is_some()).map(|row| row.keys).sum::<u64>();
        assert_eq!(known, 4, "{depth}");
    };
    let config = ("config", "config", 1, 1, 0);
    check(1, &[("bull:*", "bull:*", 4, 4, 0), config, ("user:*", "user:*", 4, 2, 1)]);
    check(
        2,
        &[
            ("bull:mail:*", "bull:mail:*", 4, 4, 0),
            config,
            ("user:2", "user:2", 1, 1, 0),
            ("user:{id}:*", "user:*:*", 3, 1, 1),
        ],
    );
    let longest = miner.namespaces(NonZeroUsize::new(1)).rows;
    let user = longest.iter().find(|row| row.template == "user:*").unwrap();
    assert_eq!((user.ttl_median_ms, user.ttl_max_ms), (Some(8_000), Some(8_000)));
}
