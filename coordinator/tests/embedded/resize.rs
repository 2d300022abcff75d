//! A hash table that is resized while its cursor ranges are read: every key that was there throughout is seen.
//! `KEYSWEEP_SOAK_SEEDS` sets how many seeds are tried.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use coordinator::options::Options;
use coordinator::plan::Planner;
use coordinator::preflight::Preflight;
use coordinator::task_ids::TaskIds;
use fastrand::Rng;
use keysweep_model::ids::TaskId;
use keysweep_model::messages::Action;
use keysweep_model::range::{CursorRange, CursorScope, ScanTable, Scope};
use keysweep_model::result::{CleanupResult, Status};
use keysweep_redis::{Conn, Reply};
use keysweep_runtime::context::Timing;
use keysweep_servers::Server;
use keysweep_tasks::supervision::TaskGroup;
use keysweep_testkit::kit;
use keysweep_testkit::kit::ground_truth::{Class, GroundTruth};

/// Keys of one command of the writer.
const KEYS_AT_ONCE: usize = 500;

/// Tasks that the parts of a table are shared by.
const TASKS: u64 = 8;

/// The buckets of the database's table, and of the one that replaces it meanwhile.
async fn table_sizes(conn: &Conn) -> Vec<u64> {
    let stats = match conn.info_text("DEBUG HTSTATS 0").await.unwrap() {
        Reply::BulkString(text) => String::from_utf8(text).unwrap(),
        Reply::VerbatimString { text, .. } | Reply::SimpleString(text) => text,
        other => panic!("{other:?}"),
    };
    // The keys' table first, then that of the TTLs.
    let keys = stats.split("[Expires HT]").next().unwrap_or_default();
    keys.lines().filter_map(|line| line.trim().strip_prefix("table size: ")?.parse().ok()).collect()
}

/// Adds and deletes `keys` keys of another pattern repeatedly until `stop`. Returns the sizes of the table.
async fn breathe(server_url: String, keys: usize, stop: Arc<AtomicBool>) -> BTreeSet<u64> {
    let access = keysweep_redis::ConnectOptions::open(vec![server_url.clone()]);
    let conn = access.connect_dedicated(&server_url).await.unwrap();
    let names: Vec<Vec<u8>> = (0..keys).map(|n| format!("noise:{n}").into_bytes()).collect();
    let mut sizes = BTreeSet::new();
    while !stop.load(Ordering::Relaxed) {
        for command in [b"MSET".as_slice(), b"UNLINK"] {
            for chunk in names.chunks(KEYS_AT_ONCE) {
                let mut args = vec![command];
                for name in chunk {
                    args.push(name);
                    if command == b"MSET" {
                        args.push(b"x");
                    }
                }
                conn.command(&args).await.unwrap();
                // What the run reads is to change often, and not to wait for this.
                tokio::task::yield_now().await;
            }
            sizes.extend(table_sizes(&conn).await);
        }
    }
    sizes
}

/// Replaces the tasks of `survey` by those that read `2^bits` parts of the table.
fn cut(planned: &mut Preflight, bits: u32) {
    let spec = &planned.spec;
    let mut planner = Planner::new(spec.run, spec.alias.clone(), TaskIds::random());
    let (node, pass, parts) = (&spec.nodes[0], TaskId::new(), 1_u64 << bits);
    let tasks = TASKS.min(parts);
    let scope = |first: u64| CursorScope {
        pass,
        table: ScanTable::Database,
        ranges: (first..first + parts / tasks).map(|part| CursorRange::part(part, bits)).collect(),
        bits,
        slots: None,
        process: node.process.clone(),
    };
    let firsts = (0..tasks).map(|n| n * (parts / tasks));
    planned.tasks = firsts.map(|first| planner.task(&node.node, Scope::Cursors(scope(first)), 0)).collect();
}

/// One run over `2^bits` parts, while the table grows and shrinks.
async fn run(server: &Server, options: &Options, bits: u32, noise: usize) -> (CleanupResult, BTreeSet<u64>) {
    let mut planned = kit::preflight_of(options).await;
    cut(&mut planned, bits);
    let (stop, mut task_group) = (Arc::new(AtomicBool::new(false)), TaskGroup::default());
    let (tell, sizes) = tokio::sync::oneshot::channel();
    let breathing = breathe(server.url(), noise, Arc::clone(&stop));
    task_group.start("writer", async move { tell.send(breathing.await).map_err(|_| "the receiver is gone") });
    let result = kit::run_in(&kit::env(options, Timing::default()), options, &planned).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    let sizes = sizes.await.unwrap();
    assert_eq!(task_group.join().await, []);
    (result, sizes)
}

/// Reports and then deletes `keys` stale keys in `2^bits` parts. Returns how many sizes the table had.
async fn check(rng: &mut Rng, server: &Server, keys: u64, bits: u32, noise: usize) -> usize {
    let mut options = kit::options(vec![server.url()]);
    options.max_delete_percent = 100;
    options.rules.scan_batch_keys = rng.u32(10..60);
    let mut truth = GroundTruth::default();
    (0..keys).for_each(|n| truth.add(Class::Stale, format!("permissions:{n}")));
    truth.seed(&options.access).await;
    println!(
        "  {keys} keys in 2^{bits} parts, {noise} that come and go, COUNT {}",
        options.rules.scan_batch_keys
    );
    let mut seen = BTreeSet::new();
    for action in [Action::Report, Action::Delete] {
        options.rules.action = action;
        let (result, sizes) = run(server, &options, bits, noise).await;
        let (found, accounting) = (result.scanned_keys, result.accounting);
        println!(
            "    {}: {found} found, approximate {}, tables of {sizes:?}",
            result.action, result.scanned_keys_approximate
        );
        seen.extend(sizes);
        assert!(result.coverage.complete && accounting.balanced, "{result:#?}");
        assert!(found >= keys, "{} keys were missed", keys - found);
        // A key may be counted twice, but only if the result says so.
        assert!(found == keys || result.scanned_keys_approximate, "{found} were counted");
        assert_eq!(result.status, Status::Completed);
        if action == Action::Delete {
            assert_eq!((result.cleaned_keys, accounting.vanished), (keys, found - keys), "{accounting:?}");
        }
    }
    let gone = kit::keys::existing(&options.access, &truth.stale).await;
    assert_eq!(gone.len(), 0, "stale keys are left");
    seen.len()
}

#[expect(clippy::disallowed_methods, reason = "how much a test does is no setting of keysweep")]
fn seeds() -> u64 {
    std::env::var("KEYSWEEP_SOAK_SEEDS")
        .map_or(5, |seeds| seeds.parse().expect("KEYSWEEP_SOAK_SEEDS is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_is_missed_while_the_table_is_resized() {
    // A server that resizes and rehashes as soon as it can, and tells the size of its table.
    let args = ["--hz", "100", "--enable-debug-command", "local"];
    let mut resized = 0;
    for seed in 0..seeds() {
        let mut rng = kit::seeded(seed);
        let server = Server::start(&args).await.expect("a server can be started");
        let keys = rng.u64(1_500..6_000);
        // Fewer parts than buckets, as the plan makes them; and more, as after a table has shrunk.
        for bits in [rng.u32(0..4), rng.u32(9..13)] {
            let noise = rng.usize(20_000..60_000);
            let sizes = check(&mut rng, &server, keys, bits, noise).await;
            resized += usize::from(sizes > 1);
            server.conn().await.unwrap().info_text("FLUSHALL").await.unwrap();
        }
    }
    assert!(resized as u64 >= seeds(), "the table was resized in {resized} of {} trials", 2 * seeds());
}
