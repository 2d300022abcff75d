//! Many simulated slow nodes: over NATS, four scanners are nearly four times as fast as one, and the limit per node
//! holds for any number of scanners.

use std::process::Stdio;
use std::time::Duration;

use keysweep_model::messages::Action;
use keysweep_model::result::Status;
use keysweep_pacing::limits::TASKS_PER_NODE;
use keysweep_runtime::context::Timing;
use keysweep_testkit::kit;
use keysweep_testkit::kit::net::{self, Counts, Net, Workers};
use keysweep_testkit::kit::slow_nodes::{Service, SlowNodes};
use tokio::time::Instant;

use crate::cli::keysweep;

const NODES: u16 = 32;

/// Each node has 2,048 keys.
const KEYS_PER_SLOT: u64 = 4;

/// So slow that the processor does not matter: a node is busy for 0.6 s with all requests of a run.
const SERVICE: Service = Service { command: Duration::ZERO, key: Duration::from_micros(150) };

/// A dry run over `nodes` nodes with scanners of one task each: the time from election to result, and the maximum of
/// concurrent tasks at a node.
async fn dry_run(
    net: &Net,
    (count, keys_per_slot): (u16, u64),
    service: Service,
    scanners: usize,
) -> (Duration, usize) {
    let nodes = SlowNodes::start(count, keys_per_slot, Service::default()).await;
    let mut options = kit::options(nodes.urls());
    (options.rules.action, options.dry_run) = (Action::Report, true);
    let (env, preflight) = (net.env(&options).await, kit::preflight_of(&options).await);
    nodes.set_service(service);
    let workers = Workers::start(&env, Counts { scanners, reapers: 0, reporters: 1 });
    let held = net::submitted(&env, &options, &preflight, "a test").await;
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
    let most = nodes.tasks_at_once(&preflight.tasks).into_iter().max().unwrap();
    println!("{scanners} scanners, {count} nodes, {} tasks: {took:?}, {most} at once", preflight.tasks.len());
    assert!(most <= TASKS_PER_NODE, "{most} tasks at a node");
    (took, most)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_scanners_are_three_times_as_fast_as_one() {
    let _turn = crate::TURN.lock().await;
    let net = Net::start(Timing::default()).await;
    // Other load on the machine may spoil one try.
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

/// Two nodes with enough tasks for eight scanners, which would all be in flight without a limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_limit_holds_with_any_number_of_scanners() {
    let _turn = crate::TURN.lock().await;
    let net = Net::start(Timing::default()).await;
    let service = Service { command: Duration::ZERO, key: Duration::from_micros(20) };
    let (_, most) = dry_run(&net, (2, KEYS_PER_SLOT), service, 8).await;
    assert_eq!(most, TASKS_PER_NODE, "the limit is used, and kept");
}

/// Keys of each slot of the simulated clusters.
const SOAK_KEYS_PER_SLOT: u64 = 32;

/// Per listing and lookup of each key: 105 s of work for one scanner, so that the processor time, which all processes
/// and nodes share, matters little.
const SOAK_SERVICE: Service = Service { command: Duration::ZERO, key: Duration::from_micros(100) };

/// 10, 100 and 1,000 nodes: the cost of planning, and the time by number of scanners. A node has one thread, so no
/// number of scanners is faster than its slowest node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; cargo xtask soak runs it"]
async fn soak_many_slow_nodes() {
    let _turn = crate::TURN.lock().await;
    for count in [10, 100, 1_000] {
        let nodes = SlowNodes::start(count, SOAK_KEYS_PER_SLOT, Service::default()).await;
        let (planned, mb) = planning(&nodes.urls()[0]);
        println!("{count} nodes: `keysweep plan` takes {planned:.2?} and {mb:.1} MB");
        // The busy time of all nodes, and of the busiest one.
        let each = 2 * SOAK_SERVICE.key * u32::try_from(nodes.keys() / u64::from(count)).unwrap();
        drop(nodes);
        let net = Net::start(Timing::default()).await;
        for scanners in [1, 2, 4, 8, 16] {
            let cpu = cpu_time();
            let (took, _) = dry_run(&net, (count, SOAK_KEYS_PER_SLOT), SOAK_SERVICE, scanners).await;
            let cpu = cpu_time() - cpu;
            let ideal = (each * u32::from(count) / u32::try_from(scanners).unwrap()).max(each);
            println!(
                "{count} nodes, {scanners} scanners: {took:.1?}, {:.2} of the ideal; our own work {cpu:.1?}",
                took.as_secs_f64() / ideal.as_secs_f64()
            );
        }
    }
}

/// User and system time of this process so far, in steps of 10 ms.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}

/// The cost of a plan by a separate process: time, and peak memory in MB.
fn planning(url: &str) -> (Duration, f64) {
    let begun = Instant::now();
    let plan = ["plan", "--json", "--dry-run", "--redis", url];
    let mut keysweep = keysweep(&plan).spawn(Stdio::null(), Stdio::inherit());
    let mut most = 0.0;
    let ended = loop {
        // A process that has ended reports nothing.
        most = peak_memory_mb(keysweep.id()).unwrap_or(most);
        match keysweep.try_wait().unwrap() {
            Some(ended) => break ended,
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    assert!(ended.success(), "{ended}");
    (begun.elapsed(), most)
}

/// The peak resident memory of a process so far.
fn peak_memory_mb(process: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1_024.0)
}
