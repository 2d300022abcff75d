//! Allocations per key that is not a candidate: its reply stays in the read buffer. Counted, not timed, so that the
//! figure is the same on any machine.

use coordinator::options::Options;
use keysweep_servers::{Seeder, Server};
use keysweep_testkit::kit;

/// The maximum of allocations per key: there are 0.02, those of tasks and of samples. With a separate value for each
/// reply, there were more than three.
const PER_KEY_MAX: f64 = 0.05;

/// Allocations of a run over `keys` keys, all of which have a TTL.
fn of_a_run(runtime: &tokio::runtime::Runtime, keys: u64) -> u64 {
    let (_server, options) = runtime.block_on(async {
        let server = Server::start(&[]).await.unwrap();
        let mut seeder = Seeder::connect(&[server.url()]).await.unwrap();
        for n in 0..keys {
            let key = format!("permissions:{n}:documents");
            seeder.set(key.as_bytes(), b"x", Some(3_600_000)).await.unwrap();
        }
        seeder.finish().await.unwrap();
        let options = Options { full_scan: true, ..kit::options(vec![server.url()]) };
        (server, options)
    });
    // One thread does all the work, so its counter includes everything.
    let counted = allocation_counter::measure(|| {
        let result = runtime.block_on(kit::run(&options));
        assert_eq!(result.scanned_keys, keys);
    });
    counted.count_total
}

#[test]
fn a_key_that_is_no_candidate_costs_no_allocation() {
    let _turn = crate::TURN.blocking_lock();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (few, many) = (40_000, 160_000);
    let (of_few, of_many) = (of_a_run(&runtime, few), of_a_run(&runtime, many));
    let per_key = of_many.saturating_sub(of_few) as f64 / (many - few) as f64;
    println!("{of_few} and {of_many} allocations: {per_key:.3} per key");
    assert!(per_key <= PER_KEY_MAX, "{per_key:.3}");
}
