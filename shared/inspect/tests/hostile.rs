//! Whatever the names are: no key is lost, memory is bounded, and what is read from elsewhere is checked.
#![cfg(test)]

use std::num::NonZeroUsize;

use keysweep_inspect::limits::{NAMESPACES_MAX, NODES_SENT_MAX};
use keysweep_inspect::{KeyDetails, Lifetime, Miner, Sampling};
use keysweep_model::limits::MESSAGE_BYTES_MAX;
use keysweep_model::wire;
use keysweep_testkit::populations::letters;
use proptest::prelude::*;

fn mine(names: impl IntoIterator<Item = Vec<u8>>) -> Miner {
    let mut miner = Miner::default();
    for (n, name) in names.into_iter().enumerate() {
        miner.add(&name, if n % 3 == 0 { Lifetime::Unlimited } else { Lifetime::Ms(n as u64 * 1_000) });
    }
    miner
}

/// The same, and all keys are measured: the third one of each three is the largest.
fn measure(names: &[Vec<u8>], numbers: impl IntoIterator<Item = usize>) -> Miner {
    let mut miner = Miner::sampling(Sampling::whole());
    for n in numbers {
        let lifetime = if n % 3 == 0 { Lifetime::Unlimited } else { Lifetime::Ms(n as u64 * 1_000) };
        let chosen = miner.add(&names[n], lifetime).expect("all are measured");
        let bytes = names[n].len() as u64 * (n as u64 % 3);
        miner.measured(
            &names[n],
            chosen,
            KeyDetails { bytes: Some(bytes), kind: Some("hash"), idle_s: None },
        );
    }
    miner
}

/// All keys are counted, and what is shown adds up.
fn check(miner: &Miner, keys: u64, no_ttl: u64) {
    assert_eq!(miner.keys(), keys);
    let found = miner.namespaces(None);
    assert_eq!(found.rows.iter().map(|row| row.keys).sum::<u64>() + found.other_keys, keys);
    assert_eq!(found.rows.iter().map(|row| row.no_ttl).sum::<u64>() + found.other_no_ttl, no_ttl);
    assert!(found.rows.len() <= NAMESPACES_MAX);
}

/// Parts of names, from a few words and any bytes.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just("user".to_owned()),
        Just("cart-7".to_owned()),
        Just("550e8400-e29b-41d4-a716-446655440000".to_owned()),
        "[a-c]{1,2}",
        "[0-9]{1,4}",
        Just("{tag}".to_owned()),
        "[a-f0-9*?\\\\\\[-]{0,12}",
    ];
    let text = prop::collection::vec((token, "[:/|#_.-]{0,2}"), 0..6);
    let text = text.prop_map(|parts| {
        parts.into_iter().flat_map(|(token, end)| [token, end]).collect::<String>().into_bytes()
    });
    prop_oneof![9 => text, 1 => prop::collection::vec(any::<u8>(), 0..40)]
}

/// Words of letters that stand for no number.
fn words(count: usize) -> Vec<Vec<u8>> {
    let letter = |n: usize| char::from(b'g' + (n % 20) as u8);
    (0..count)
        .map(|n| format!("page:{}{}{}", letter(n / 400), letter(n / 20), letter(n)).into_bytes())
        .collect()
}

#[test]
fn words_that_are_many_only_together_are_no_words() {
    let names = words(90);
    let whole = measure(&names, 0..names.len());
    let mut merged = measure(&names, 0..45);
    merged.merge(&measure(&names, 45..names.len()));
    let [whole, merged] = [whole, merged].map(|miner| miner.namespaces(None).rows);
    assert_eq!(whole.len(), 1, "{whole:?}");
    assert_eq!(merged, whole);
}

#[test]
fn keys_without_a_name_may_be_of_each_namespace_on_both_sides_of_a_merge() {
    let named = || measure(&words(1), 0..1);
    let unnamed = || {
        let mut miner = Miner::default();
        miner.add_unnamed(5, 2);
        miner
    };
    for (mut miner, other) in [(named(), unnamed()), (unnamed(), named())] {
        miner.merge(&other);
        let [row] = &miner.namespaces(None).rows[..] else { panic!("{:?}", miner.namespaces(None)) };
        assert_eq!((row.keys, row.missed_max, miner.keys()), (1, 5, 6));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_key_is_counted_once(names in prop::collection::vec(name(), 0..300), depth in prop::option::of(1_usize..5)) {
        let miner = mine(names.clone());
        check(&miner, names.len() as u64, names.len().div_ceil(3) as u64);
        let found = miner.namespaces(depth.and_then(NonZeroUsize::new));
        let mut keys = vec![0; found.rows.len()];
        for name in &names {
            let place = found.place_of(name).expect("nothing was evicted");
            let row = &found.rows[place];
            prop_assert!(row.pattern.matches(name), "`{}` for {name:?}", row.pattern);
            prop_assert!(row.missed_max == 0);
            keys[place] += 1;
        }
        prop_assert_eq!(keys, found.rows.iter().map(|row| row.keys).collect::<Vec<_>>());
    }

    #[test]
    fn the_order_of_keys_and_merges_does_not_matter(
        names in prop::collection::vec(name(), 0..300),
        cut: prop::sample::Index,
        seed: u64,
    ) {
        let cut = cut.index(names.len() + 1);
        let whole = measure(&names, 0..names.len());
        let mut order: Vec<usize> = (0..names.len()).collect();
        fastrand::Rng::with_seed(seed).shuffle(&mut order);
        let shuffled = measure(&names, order);
        let (a, b) = (measure(&names, 0..cut), measure(&names, cut..names.len()));
        let (mut ab, mut other) = (Miner::default(), Miner::default());
        ab.merge(&a);
        ab.merge(&b);
        other.merge(&b);
        other.merge(&a);
        for depth in [None, NonZeroUsize::new(2)] {
            let all = [&whole, &ab, &other, &shuffled].map(|miner| miner.namespaces(depth));
            let [whole, ab, other, shuffled] = all;
            prop_assert_eq!(&shuffled.rows, &whole.rows);
            prop_assert_eq!(&shuffled.largest, &whole.largest);
            prop_assert_eq!(&ab.rows, &other.rows);
            prop_assert_eq!(&ab.rows, &whole.rows);
            prop_assert_eq!(&ab.largest, &other.largest);
            prop_assert_eq!(&ab.largest, &whole.largest);
        }
    }

    #[test]
    fn a_state_survives_its_travel(names in prop::collection::vec(name(), 0..200)) {
        let miner = measure(&names, 0..names.len());
        let read: Miner = wire::decode(&wire::encode(&miner).unwrap()).unwrap();
        prop_assert_eq!(read.keys(), miner.keys());
        let [read, own] = [&read, &miner].map(|miner| miner.namespaces(None));
        prop_assert_eq!(read.rows, own.rows);
        prop_assert_eq!(read.largest, own.largest);
    }

    #[test]
    fn damaged_states_are_harmless(names in prop::collection::vec(name(), 0..20), at: prop::sample::Index, byte: u8) {
        let mut sent = wire::encode(&measure(&names, 0..names.len())).unwrap();
        let at = at.index(sent.len());
        sent[at] = byte;
        if let Ok(read) = wire::decode::<Miner>(&sent) {
            let mut merged = Miner::default();
            merged.merge(&read);
            prop_assert_eq!(merged.keys(), read.keys());
            let _ = merged.namespaces(None);
        }
    }
}

fn random(seed: u64, length: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut rng = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(move || (0..rng.usize(..length)).map(|_| rng.u8(..)).collect())
}

#[test]
fn random_bytes_take_bounded_memory() {
    let mut measured = None;
    let allocated = allocation_counter::measure(|| {
        measured = Some(mine(random(1, 60).take(60_000)));
    });
    let mut miner = measured.unwrap();
    check(&miner, 60_000, 20_000);
    println!("{} bytes at most", allocated.bytes_max);
    assert!(allocated.bytes_max < 8 << 20, "{} bytes", allocated.bytes_max);
    for part in 2..6 {
        miner.merge(&mine(random(part, 60).take(20_000)));
    }
    assert_eq!(miner.keys(), 140_000);
    miner.shrink();
    assert_eq!(miner.keys(), 140_000);
    let sent = wire::encode(&miner).unwrap();
    println!("{} bytes sent, {} nodes", sent.len(), NODES_SENT_MAX);
    assert!(sent.len() < MESSAGE_BYTES_MAX * 7 / 10, "{} bytes", sent.len());
}

#[test]
fn words_that_never_repeat_take_bounded_memory() {
    let mut rng = fastrand::Rng::with_seed(3);
    let mut word = move || (0..6).map(|_| rng.lowercase()).collect::<String>();
    let names =
        std::iter::repeat_with(move || format!("{}:{}/{}|{}", word(), word(), word(), word()).into_bytes());
    let mut miner = Miner::default();
    let allocated = allocation_counter::measure(|| miner = mine(names.take(60_000)));
    check(&miner, 60_000, 20_000);
    assert!(allocated.bytes_max < 8 << 20, "{} bytes", allocated.bytes_max);
    assert_eq!(miner.namespaces(None).rows[0].template, "{word}:{word}/{word}|{word}");
}

#[test]
fn a_frequent_beginning_survives_many_rare_ones() {
    let names = (0..40_000_u64).map(|n| match n % 4 {
        0 => format!("session:{n}"),
        _ => {
            format!("{}:x:y", ["a", "b", "c"].map(|c| c.repeat(1 + (n % 7) as usize)).concat() + &letters(n))
        }
    });
    let found = mine(names.map(String::into_bytes)).namespaces(None);
    let session =
        found.rows.iter().find(|row| row.template == "session:{id}").expect("it has a quarter of all keys");
    assert_eq!((session.keys, session.missed_max), (10_000, 0));
}

#[test]
fn names_of_a_megabyte_are_cut() {
    let long =
        |beginning: &str, filling: &str| [beginning.as_bytes(), filling.repeat(1 << 20).as_bytes()].concat();
    let names = vec![long("user:", "x"), long("user:", "y"), long("", ":"), long("", "ab:"), long("", "7")];
    let miner = mine(names);
    check(&miner, 5, 2);
    let found = miner.namespaces(None);
    assert!(found.rows.iter().any(|row| row.template == "user:{word}" && row.keys == 2), "{:?}", found.rows);
    assert!(found.rows.iter().all(|row| row.sample_keys.iter().all(|key| key.len() < 100)));
}

#[test]
fn no_memory_is_allocated_per_key() {
    let names: Vec<Vec<u8>> = (0..20_000_u64)
        .map(|n| match n % 4 {
            0 => format!("user:{n}:profile"),
            1 => format!("cache:page:{:032x}", u128::from(n) << 70 | 0xabc),
            2 => format!("cart-{n}"),
            _ => format!("tenant:{}:user:{n}:roles", letters(n)),
        })
        .map(String::into_bytes)
        .collect();
    let mut miner = Miner::default();
    let add = |miner: &mut Miner| names.iter().for_each(|name| _ = miner.add(name, Lifetime::Ms(60_000)));
    add(&mut miner);
    let again = allocation_counter::measure(|| add(&mut miner));
    assert!(again.count_total < 100, "{} allocations", again.count_total);
}
