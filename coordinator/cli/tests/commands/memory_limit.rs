//! The memory of a process whose server sends unbounded replies: less than 64 MiB, and 12 MiB more in
//! these debug builds, whose program is larger.

use std::sync::Mutex;
use std::thread;

use keysweep_redis::ConnectOptions;
use keysweep_redis::limits::SMALLEST_PAGE_BYTES_MAX;
use keysweep_servers::{Seeder, Server};
use tokio::runtime::Handle;

use crate::cli::deployment::{DIGEST, TestDeployment};
use crate::cli::proxy::{On, Proxy, ReplyFault};
use crate::cli::{DEBUG_KIB_MAX, keysweep};

/// The limit in KiB.
const CEILING_KIB: u64 = DEBUG_KIB_MAX;

/// The limit of a run with names of almost 1 MB; every stage holds several of them.
const LONG_NAMES_KIB: u64 = 88 << 10;

/// Concurrent processes.
const AT_ONCE: usize = 6;

/// A command line, the server's keys, and the command whose replies are unbounded.
struct Case {
    args: &'static [&'static str],
    on: On,
    odd: ReplyFault,
}

const PLAN: &[&str] = &["plan", "--json"];
const DRY_RUN: &[&str] = &["run", "--dry-run", "--json"];
const RUN: &[&str] = &["run", "--yes", "--json", "--grace", "0s"];

fn cases() -> Vec<Case> {
    let with = |odd: &'static [ReplyFault]| {
        move |(args, on): (&'static [&'static str], On)| {
            odd.iter().map(move |odd| Case { args, on, odd: *odd })
        }
    };
    // Each of the two readers of replies, and lookups, which are read with listed keys.
    let readers = [On::any("INFO"), On::listing("SCAN"), On::listing("PTTL")].map(|on| (PLAN, on));
    let others = ["PING", "CLIENT", "MEMORY USAGE", "TIME", "PTTL", "EVAL_RO"].map(On::any);
    let others = others.into_iter().chain([On::listing("INFO"), On::listing("CLIENT")]).map(|on| (PLAN, on));
    let runs = [On::listing("SCAN"), On::any("EVALSHA")].map(|on| (RUN, on.after_the_plan()));
    let more = [(DRY_RUN, On::listing("SCAN")), (RUN, On::listing("PTTL"))];
    let more = more.into_iter().map(|(args, on)| (args, on.after_the_plan()));
    let cases = readers.into_iter().flat_map(with(&ReplyFault::ALL));
    let cases = cases.chain(runs.into_iter().flat_map(with(&ReplyFault::AT_ONCE)));
    cases.chain(others.chain(more).flat_map(with(&[ReplyFault::Numbers, ReplyFault::EndlessText]))).collect()
}

/// Runs a case to its end; returns its peak memory as text.
fn ends_below_the_ceiling(case: &Case, port: u16) -> String {
    let Case { args, on, odd } = case;
    let proxy = Proxy::new(*on, &[*odd], port);
    let url = format!("redis://{}", proxy.address);
    let (ended, peak_kib) = keysweep(&[*args, &["--redis", &url]].concat()).start().end_with_peak();
    let took = format!(
        "{} {on:?} {odd:?}: {peak_kib} KiB, {} answers, exit {:?}, {:?}",
        args.join(" "),
        proxy.given(),
        ended.code,
        ended.took
    );
    assert!(matches!(ended.code, Some(0 | 1 | 3 | 5)), "{took}\n{ended}");
    assert!((1..CEILING_KIB).contains(&peak_kib), "{took}\n{ended}");
    took
}

async fn with_keys() -> Server {
    let server = Server::start(&DIGEST).await.unwrap();
    TestDeployment::standalone(&server).await.seed(600).await;
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reply_makes_a_plan_or_a_run_take_64_mib() {
    let (shared, handle, mut queue) = (with_keys().await, Handle::current(), cases());
    // The slow ones first.
    queue.sort_by_key(|case| case.odd.takes_long());
    let queue = Mutex::new(queue);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(case) = queue.lock().unwrap().pop() else { return };
                    // Runs change the data, and lock it.
                    let own = (case.args == RUN).then(|| handle.block_on(with_keys()));
                    let port = own.as_ref().unwrap_or(&shared).port();
                    println!("{}", ends_below_the_ceiling(&case, port));
                }
            });
        }
    });
}

/// A server with `keys` keys whose names have `bytes` bytes each; one in 50 has no TTL.
async fn with_long_names(keys: u64, bytes: usize) -> Server {
    let server = Server::start(&DIGEST).await.unwrap();
    let mut seeder = Seeder::open(&ConnectOptions::open(vec![server.url()])).await.unwrap();
    for n in 0..keys {
        let key = format!("permissions:{n}:{}", "x".repeat(bytes - 20)).into_bytes();
        seeder.set(&key, b"v", (n % 50 != 7).then_some(3_600_000)).await.unwrap();
    }
    seeder.finish().await.unwrap();
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_950_kb_pass_in_bounded_memory() {
    let server = with_long_names(150, 950_000).await;
    for (args, ceiling_kib) in [(PLAN, CEILING_KIB), (DRY_RUN, LONG_NAMES_KIB)] {
        let (ended, peak_kib) =
            keysweep(&[args, &["--redis", &server.url()]].concat()).start().end_with_peak();
        println!("{}: {peak_kib} KiB, {:?}", args.join(" "), ended.took);
        ended.exits(0);
        assert!((1..ceiling_kib).contains(&peak_kib), "{peak_kib} KiB\n{ended}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_too_long_to_be_listed_is_named_as_the_cause() {
    let server = with_long_names(2, SMALLEST_PAGE_BYTES_MAX + 100).await;
    let (ended, peak_kib) = keysweep(&[PLAN, &["--redis", &server.url()]].concat()).start().end_with_peak();
    ended.fails(1, &["the reply to the smallest page of SCAN (`COUNT 1`)", "more than 12582912 bytes"]);
    assert!((1..CEILING_KIB).contains(&peak_kib), "{peak_kib} KiB\n{ended}");
}
