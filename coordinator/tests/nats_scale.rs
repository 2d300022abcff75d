//! Many slow nodes, simulated: over NATS, four scanners are as good as four times as fast as one, and no node is
//! crowded however many there are.
#![cfg(test)]

mod kit;

use std::time::Duration;

use kit::net::{self, Counts, Net, Workers};
use kit::slow_nodes::{Service, SlowNodes};
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

/// A dry run with so many scanners of one task each: the time from conducting to the result.
async fn dry_run(net: &Net, scanners: usize) -> Duration {
    let nodes = SlowNodes::start(NODES, KEYS_PER_SLOT, Service::default()).await;
    let mut options = kit::options(nodes.urls());
    (options.rules.action, options.dry_run) = (Action::Report, true);
    let (env, survey) = (net.env(&options).await, kit::look(&options).await);
    nodes.set_service(SERVICE);
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
    assert_eq!(nodes.listed(), [nodes.keys() / u64::from(NODES); NODES as usize], "every slot was listed once");
    let most = nodes.tasks_at_once(&survey.tasks);
    println!("{scanners} scanners, {} tasks: {took:?}, {:?} at once", survey.tasks.len(), most.iter().max());
    assert!(most.iter().all(|tasks| *tasks <= TASKS_PER_NODE), "{most:?}");
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_scanners_are_three_times_as_fast_as_one() {
    let net = Net::start(Timing::default()).await;
    let (one, four) = (dry_run(&net, 1).await, dry_run(&net, 4).await);
    let ratio = one.as_secs_f64() / four.as_secs_f64();
    println!("one takes {one:?}, four take {four:?}: {ratio:.2} times as fast");
    assert!(ratio >= 3.0, "{ratio:.2}");
}
