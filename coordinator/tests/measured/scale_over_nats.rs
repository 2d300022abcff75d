//! Many slow nodes, simulated: over NATS, four scanners are as good as four times as fast as one, and no node is
//! crowded however many there are.

use std::time::Duration;

use crate::kit;
use crate::kit::net::{self, Counts, Net, Workers};
use crate::kit::slow_nodes::{Service, SlowNodes};
use shared::env::Timing;
use shared::limits::TASKS_PER_NODE;
use shared::messages::Action;
use shared::result::Status;
use tokio::time::Instant;

const NODES: u16 = 32;

/// Each node has 2,048 keys.
const KEYS_PER_SLOT: u64 = 4;

/// So slow that the processor does not matter: a node is busy for 0.6 s with all that a run asks of it.
const SERVICE: Service = Service { command: Duration::ZERO, key: Duration::from_micros(150) };

/// A dry run over so many nodes with so many scanners of one task each: the time from conducting to the result, and
/// the most tasks that a node was at.
async fn dry_run(
    net: &Net,
    (count, keys_per_slot): (u16, u64),
    service: Service,
    scanners: usize,
) -> (Duration, usize) {
    let nodes = SlowNodes::start(count, keys_per_slot, Service::default()).await;
    let mut options = kit::options(nodes.urls());
    (options.rules.action, options.dry_run) = (Action::Report, true);
    let (env, survey) = (net.env(&options).await, kit::look(&options).await);
    nodes.set_service(service);
    let workers = Workers::start(&env, Counts { scanners, reapers: 0, reporters: 1 });
    let held = net::submitted(&env, &options, &survey, "a test").await;
    let begun = Instant::now();
    let result = kit::in_time(net::conducted(&env, held)).await;
    let took = begun.elapsed();
    workers.stop().await;
    assert_eq!(nodes.refused(), [""; 0], "a dry run needs no other commands");
    assert_eq!((result.status, result.dry_run), (Status::Completed, true), "{:?}", result.issues);
    assert_eq!((result.scanned_keys, result.stale_ttl_keys), (nodes.keys(), nodes.stale()));
    assert_eq!((result.cleaned_keys, result.accounting.reported), (0, nodes.stale()));
    let listed: Vec<u64> = result.nodes.iter().map(|row| row.listed_keys).collect();
    assert_eq!(listed, nodes.listed(), "every slot was listed once");
    let most = nodes.tasks_at_once(&survey.tasks).into_iter().max().unwrap();
    println!("{scanners} scanners, {count} nodes, {} tasks: {took:?}, {most} at once", survey.tasks.len());
    assert!(most <= TASKS_PER_NODE, "{most} tasks at a node");
    (took, most)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_scanners_are_three_times_as_fast_as_one() {
    let _turn = crate::TURN.lock().await;
    let net = Net::start(Timing::default()).await;
    // On a machine that does something else at the moment, a try is worth less than the next one.
    let mut best = 0.0_f64;
    for _ in 0..3 {
        let (one, _) = dry_run(&net, (NODES, KEYS_PER_SLOT), SERVICE, 1).await;
        let (four, _) = dry_run(&net, (NODES, KEYS_PER_SLOT), SERVICE, 4).await;
        best = best.max(one.as_secs_f64() / four.as_secs_f64());
        println!("one takes {one:?}, four take {four:?}: the best so far is {best:.2} times as fast");
        if best >= 3.0 {
            return;
        }
    }
    panic!("{best:.2}");
}

/// Two nodes with tasks for all eight scanners, which would all be there if they could.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_node_is_crowded_however_many_scanners_there_are() {
    let _turn = crate::TURN.lock().await;
    let net = Net::start(Timing::default()).await;
    let service = Service { command: Duration::ZERO, key: Duration::from_micros(20) };
    let (_, most) = dry_run(&net, (2, KEYS_PER_SLOT), service, 8).await;
    assert_eq!(most, TASKS_PER_NODE, "the limit is used, and kept");
}

/// Keys of each simulated cluster.
const SOAK_KEYS: u64 = 16_384 * 8;

/// 10, 100 and 1,000 nodes: what planning takes, and how the time falls with the number of scanners. A node is one
/// thread, so no number of scanners is faster than its slowest node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; cargo xtask soak runs it"]
async fn soak_many_slow_nodes() {
    let _turn = crate::TURN.lock().await;
    // Both a listing and a look-up of each key: 13 s of work for one scanner.
    let service = Service { command: Duration::ZERO, key: Duration::from_micros(50) };
    for count in [10, 100, 1_000] {
        let nodes = SlowNodes::start(count, SOAK_KEYS / 16_384, Service::default()).await;
        let (mut options, before) = (kit::options(nodes.urls()), peak_memory_mb());
        (options.rules.action, options.dry_run) = (Action::Report, true);
        let begun = Instant::now();
        let survey = kit::look(&options).await;
        let (planned, grown) = (begun.elapsed(), peak_memory_mb() - before);
        println!("{count} nodes: planned in {planned:?}, {} tasks, {grown:.1} MB more", survey.tasks.len());
        drop(nodes);
        let net = Net::start(Timing::default()).await;
        let mut one = None;
        for scanners in [1, 2, 4, 8, 16] {
            let (took, _) = dry_run(&net, (count, SOAK_KEYS / 16_384), service, scanners).await;
            let one = *one.get_or_insert(took);
            let slowest = 2 * service.key * u32::try_from(SOAK_KEYS / u64::from(count)).unwrap();
            let ideal = (one / u32::try_from(scanners).unwrap()).max(slowest);
            println!(
                "{count} nodes, {scanners} scanners: {:.2} of the ideal",
                took.as_secs_f64() / ideal.as_secs_f64()
            );
        }
    }
}

/// The largest resident memory of this process so far.
fn peak_memory_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1_024.0
}
