//! Plans and runs of the real binary against servers with random faults in their replies, from seeded scripts: nothing
//! panics, each command ends soon with a documented exit code and within its memory limit, and no key is deleted that
//! must stay. If all faults could occur on an honest server, the result is true.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use fastrand::Rng;
use keysweep_redis::{Conn, Reply};
use keysweep_servers::{ClusterServers, Server};
use keysweep_testkit::soak::Cases;
use keysweep_testkit::soak::faulty_proxy::{FaultyProxy, Sort};
use serde_json::Value;

use crate::cli::deployment::TestDeployment;
use crate::cli::{DEBUG_KIB_MAX, Ended, keysweep};

/// Keys that match; a tenth of them is stale.
const KEYS: u64 = 300;

/// Keys of each other kind.
const OTHERS: u64 = 10;

/// Scripts in a test run, and in a soak; and how many at a time.
const CASES: u64 = 24;
const SOAK_CASES: u64 = 1_000;
const LANES: usize = 8;

/// By when a command has ended, on a busy machine.
const END: Duration = Duration::from_secs(200);

/// The memory limit of a command.
const PEAK_KIB_MAX: u64 = DEBUG_KIB_MAX;

/// The commands.
const COMMANDS: [&[&str]; 5] = [
    &["plan", "--json"],
    &["run", "--yes", "--json", "--grace", "0s", "--max-runtime", "20s"],
    &["run", "--yes", "--json", "--grace", "0s", "--max-speed"],
    &["run", "--yes", "--json", "--grace", "100ms", "--max-runtime", "20s", "--max-speed"],
    &["run", "--yes", "--json", "--grace", "0s", "--dry-run"],
];

/// A deployment with a fault-injecting proxy in front of each of its servers.
struct Lane {
    place: TestDeployment,
    odd: FaultyProxy,
    flags: Vec<String>,
    /// How often each command is sent without faults.
    usual: BTreeMap<String, u64>,
    _servers: (Option<Server>, Option<ClusterServers>),
}

impl Lane {
    /// The first one is a cluster, the others are standalone servers.
    async fn start(lane: usize) -> Self {
        let odd = FaultyProxy::default();
        let mut flags = vec!["--protect".to_owned(), "permissions:system:*".to_owned()];
        flags.extend(["--state-dir", "none", "--redis"].map(str::to_owned));
        let (place, servers) = if lane == 0 {
            let cluster = ClusterServers::start(3, 0).await.expect("a cluster can be started");
            let ports: Vec<u16> = cluster.nodes().iter().map(Server::port).collect();
            let before: Vec<String> = ports.iter().map(|port| odd.before(*port)).collect();
            flags.push(format!("redis://{}", before[0]));
            for (port, there) in ports.iter().zip(&before) {
                flags.extend(["--address-map".to_owned(), format!("127.0.0.1:{port}={there}")]);
            }
            (TestDeployment::cluster(&cluster).await, (None, Some(cluster)))
        } else {
            let server = Server::start(&[]).await.expect("a server can be started");
            flags.push(format!("redis://{}", odd.before(server.port())));
            (TestDeployment::standalone(&server).await, (Some(server), None))
        };
        let mut lane = Self { place, odd, flags, usual: BTreeMap::new(), _servers: servers };
        lane.seed().await;
        let (ended, _) = lane.ended(COMMANDS[3]).await;
        ended.exits(0).result("completed");
        lane.usual = lane.odd.counts();
        lane
    }

    /// Seeds the keys that a case needs; returns the stale keys.
    async fn seed(&self) -> BTreeSet<Vec<u8>> {
        self.place.all("FLUSHALL").await;
        self.odd.honest();
        self.place.seed(KEYS).await;
        for n in 0..OTHERS {
            for name in ["permissions:system", "product"] {
                let key = format!("{name}:{n}");
                for conn in self.place.conns() {
                    // The node that serves the slot accepts it.
                    let _ = conn.info_text(&format!("SET {key} x")).await;
                }
            }
        }
        let stale = (0..KEYS).step_by(10).map(|n| format!("permissions:{n}:documents").into_bytes());
        stale.collect()
    }

    async fn there(&self) -> BTreeSet<Vec<u8>> {
        let mut there = BTreeSet::new();
        for conn in self.place.conns() {
            there.extend(keys(conn).await);
        }
        there
    }

    /// The end of `keysweep`, and its peak memory in KiB.
    async fn ended(&self, args: &[&str]) -> (Ended, u64) {
        let flags = self.flags.iter().map(String::as_str);
        let args: Vec<&str> = args.iter().copied().chain(flags).collect();
        let mut running = keysweep(&args).start();
        let mut peak = 0;
        while !running.has_ended() && running.age() < END {
            peak = peak.max(running.peak_kib());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        (running.end_within(END), peak)
    }

    async fn case(&self, seed: u64) -> (Option<i32>, u64) {
        let stale = self.seed().await;
        let before = self.there().await;
        let sort = self.odd.script(&self.usual, seed);
        let args = *Rng::with_seed(seed).choice(COMMANDS.iter()).expect("one of them");
        let (ended, peak) = self.ended(args).await;
        let reported = self.odd.reported();
        let there = self.there().await;
        let gone: BTreeSet<&Vec<u8>> = before.difference(&there).collect();
        let wrong = gone.iter().find(|key| !stale.contains(**key)).map(|key| key.escape_ascii().to_string());
        assert_eq!(wrong, None, "{sort:?}, {reported}\n{ended}");
        assert!(ended.code.is_some_and(|code| (0..=5).contains(&code)), "{sort:?}, {reported}\n{ended}");
        assert!(peak < PEAK_KIB_MAX, "{peak} KiB: {sort:?}, {reported}\n{ended}");
        let writes = args[0] == "run" && !args.contains(&"--dry-run");
        assert!(writes || gone.is_empty(), "{sort:?}, {reported}\n{ended}");
        if sort == Sort::Faults {
            is_true(&ended, writes, (gone.len() as u64, stale.len() as u64), &reported);
        }
        (ended.code, peak)
    }
}

/// Compares the deletions in a result with the server, if the server did not lie.
fn is_true(ended: &Ended, writes: bool, (gone, stale): (u64, u64), reported: &str) {
    let Ok(result) = serde_json::from_str::<Value>(&ended.stdout) else { return };
    let accounting = &result["accounting"];
    let (Some(deleted), true) = (accounting["deleted"].as_u64(), writes) else { return };
    let unconfirmed = accounting["unconfirmed"].as_u64().unwrap_or_default();
    assert_eq!(accounting["balanced"], true, "{reported}\n{ended}");
    assert!(deleted <= gone && gone <= deleted + unconfirmed, "{gone} are gone: {reported}\n{ended}");
    if result["status"] == "completed" {
        assert_eq!((gone, deleted), (stale, stale), "{reported}\n{ended}");
    }
}

async fn keys(conn: &Conn) -> Vec<Vec<u8>> {
    let Ok(Reply::Array(keys)) = conn.info_text("KEYS *").await else { panic!("KEYS answers a list") };
    let name = |key: Reply| match key {
        Reply::BulkString(key) => key,
        other => panic!("{other:?} is no key"),
    };
    // Keys of keysweep itself on servers that it cannot reach any more expire automatically.
    keys.into_iter().map(name).filter(|key| !key.starts_with(b"keysweep:")).collect()
}

async fn soak(first_seed: u64, count: u64) {
    let cases = Cases::new("odd servers", first_seed, count, LANES);
    let mut lanes = Vec::new();
    for lane in 0..cases.lanes {
        lanes.push(Lane::start(lane).await);
    }
    let (codes, most) = (Mutex::new(BTreeMap::<Option<i32>, u64>::new()), Mutex::new((0, 0)));
    Box::pin(cases.run(async |lane, seed| {
        let (code, peak) = lanes[lane].case(seed).await;
        *codes.lock().unwrap().entry(code).or_default() += 1;
        let mut most = most.lock().unwrap();
        *most = (*most).max((peak, seed));
    }))
    .await;
    let (peak, seed) = *most.lock().unwrap();
    println!("odd servers: by exit code {:?}; at most {peak} KiB (seed {seed})", codes.lock().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_with_faulty_replies() {
    Box::pin(soak(1, CASES)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; cargo xtask soak runs it"]
async fn soak_faulty_servers() {
    Box::pin(soak(100_000, SOAK_CASES)).await;
}
