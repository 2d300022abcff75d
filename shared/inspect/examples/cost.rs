//! What a miner costs per key, for each realistic data set: `cargo run --release -p keysweep-inspect --example cost`.
#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::time::Instant;

use keysweep_inspect::{Lifetime, Miner};
use keysweep_testkit::populations::POPULATIONS;

const KEYS: u64 = 1_000_000;

fn main() {
    for population in POPULATIONS {
        let keys: Vec<_> = population.keys(KEYS, 1).map(|key| (key.entry.key, key.entry.ttl_ms)).collect();
        let mut times = Vec::new();
        for _ in 0..5 {
            let (mut miner, begun) = (Miner::default(), Instant::now());
            for (name, ttl_ms) in &keys {
                miner.add(name, ttl_ms.map_or(Lifetime::Unlimited, Lifetime::Ms));
            }
            times.push(begun.elapsed().as_nanos() as u64 / keys.len() as u64);
        }
        times.sort_unstable();
        println!("{}: {} ns per key ({times:?})", population.name, times[2]);
    }
}
