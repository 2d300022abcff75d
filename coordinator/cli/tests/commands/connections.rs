//! How many connections a process opens to a server: four at most, in all modes; and the error if a server allows
//! fewer.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keysweep_redis::{Conn, Reply};
use keysweep_servers::{ClusterServers, Server};
use keysweep_testkit::kit::keys::asked;
use keysweep_testkit::sentinel::Sentinel;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::cli::deployment::TestDeployment;
use crate::cli::keysweep;

/// The reply of a server without TLS to a connection beyond its limit.
const FULL: &str = "max number of clients reached";

/// The connection limit of servers in these tests.
const CLIENTS_MAX: u64 = 32;

async fn info(conn: &Conn, name: &str) -> u64 {
    let Reply::BulkString(info) = asked(conn, "INFO").await else { panic!("INFO is a text") };
    let info = String::from_utf8(info).unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap_or_else(|| panic!("no `{name}` in INFO")).trim().parse().unwrap()
}

/// Ends all connections but that of `conn`: also those that their processes have closed and the server has not noticed
/// yet, which it would count.
async fn end_others(conn: &Conn) {
    conn.info_text("CLIENT KILL TYPE normal").await.unwrap();
}

/// Opens connections of other clients, so that the server accepts `left` more. Dropping them closes them.
async fn open_clients(conn: &Conn, server: &Server, left: u64) -> Vec<TcpStream> {
    conn.info_text(&format!("CONFIG SET maxclients {CLIENTS_MAX}")).await.unwrap();
    end_others(conn).await;
    let there = info(conn, "connected_clients").await + info(conn, "connected_slaves").await;
    let others =
        (there..CLIENTS_MAX - left).map(|_| TcpStream::connect(("127.0.0.1", server.port())).unwrap());
    let others = others.collect();
    let opened = Instant::now();
    while info(conn, "connected_clients").await + info(conn, "connected_slaves").await < CLIENTS_MAX - left {
        assert!(opened.elapsed() < Duration::from_secs(30), "the server does not see all clients");
        sleep(Duration::from_millis(5)).await;
    }
    others
}

/// The maximum number of connections to a server, beyond those at the start.
struct Watch {
    most: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    looking: JoinSet<()>,
}

impl Watch {
    async fn start(conn: &Conn) -> Self {
        let (conn, most, over) =
            (conn.clone(), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let before = info(&conn, "connected_clients").await;
        let (seen, ends) = (Arc::clone(&most), Arc::clone(&over));
        let mut looking = JoinSet::new();
        looking.spawn(async move {
            while !ends.load(Ordering::Relaxed) {
                let now = info(&conn, "connected_clients").await.saturating_sub(before);
                seen.fetch_max(now, Ordering::Relaxed);
                // Leaves the processors to the servers and the run.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        Self { most, over, looking }
    }

    async fn most(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.looking.join_all().await;
        self.most.load(Ordering::Relaxed)
    }
}

/// Checks that a run with `more` completes at a server that accepts only four connections, with none rejected.
async fn finishes(server: &Server, place: &TestDeployment, more: &[&str]) {
    let conn = &place.conns()[0];
    conn.info_text("FLUSHALL").await.unwrap();
    conn.info_text("CONFIG RESETSTAT").await.unwrap();
    // Several tasks, batches and windows.
    let stale = place.seed(60_000).await;
    let now_s = keysweep_model::time::now_ms() / 1_000;
    place.all(&format!("ZADD permissions:warming {now_s} 7")).await;
    let others = open_clients(conn, server, 4).await;
    let watch = Watch::start(conn).await;
    let url = server.url();
    let args = ["run", "--yes", "--json", "--grace", "0s", "--max-delete-percent", "100", "--redis", &url];
    let ended = keysweep(&[&args[..], more].concat()).run();
    let cleaned = ended.exits(0).result("completed")["cleanedKeys"].as_u64().unwrap();
    assert!(cleaned >= stale, "{ended}");
    let most = watch.most().await;
    assert!((2..=4).contains(&most), "{most} connections at a time with {more:?}");
    assert_eq!(info(conn, "rejected_connections").await, 0, "with {more:?}");
    drop(others);
}

const AGGRESSIVE: [&str; 5] =
    ["--aggressive", "--identity", "permissions:{user}:*", "--activity", "zset:permissions:warming"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_opens_at_most_four_connections() {
    let server = Server::start(&[]).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("four-connections");
    let folder = folder.to_str().unwrap();
    finishes(&server, &place, &["--max-speed"]).await;
    finishes(&server, &place, &["--max-speed", "--backup", folder]).await;
    finishes(&server, &place, &["--latency-budget", "20ms"]).await;
    finishes(&server, &place, &[&AGGRESSIVE[..], &["--max-speed", "--backup", folder]].concat()).await;
    finishes(&server, &place, &[&AGGRESSIVE[..], &["--latency-budget", "20ms"]].concat()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_opens_at_most_four_with_transactions_and_replica_waits() {
    let renamed = ["EVAL", "EVALSHA", "SCRIPT"].map(|name| ["--rename-command", name, ""]).concat();
    let server = Server::start(&renamed).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    finishes(&server, &place, &["--max-speed"]).await;
    finishes(&server, &place, &["--latency-budget", "20ms"]).await;
    let server = Server::start(&[]).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let port = server.port().to_string();
    let _replica = Server::start(&["--replicaof", "127.0.0.1", &port]).await.unwrap();
    while info(&place.conns()[0], "connected_slaves").await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    finishes(&server, &place, &["--max-speed"]).await;
    // Reads from the replica use the same number of connections, and the primary has its own.
    finishes(&server, &place, &["--max-speed", "--read-from", "replica"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_opens_at_most_four_per_cluster_node_and_behind_sentinels() {
    let cluster = ClusterServers::start(3, 0).await.unwrap();
    let place = TestDeployment::cluster(&cluster).await;
    let stale = place.seed(60_000).await;
    let check = async |place: &TestDeployment, url: &str, stale: u64, more: &[&str]| {
        let mut watches = Vec::new();
        for conn in place.conns() {
            end_others(conn).await;
            watches.push(Watch::start(conn).await);
        }
        let args = ["run", "--yes", "--json", "--grace", "0s", "--redis", url];
        let ended = keysweep(&[&args[..], more].concat()).run();
        assert_eq!(ended.exits(0).result("completed")["cleanedKeys"], stale, "{ended}");
        for watch in watches {
            let most = watch.most().await;
            assert!((2..=4).contains(&most), "{most} connections at a time with {more:?}");
        }
    };
    check(&place, place.url(), stale, &["--max-speed"]).await;
    // Through another name of the first node than the announced one.
    let stale = place.seed(60_000).await;
    let named = place.url().replace("127.0.0.1", "localhost");
    check(&place, &named, stale, &["--latency-budget", "20ms"]).await;
    let server = Server::start(&[]).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let sentinel = Sentinel::start("main", &server, &[]).await.unwrap();
    let stale = place.seed(20_000).await;
    check(&place, &format!("redis+sentinel://{}/main", sentinel.address()), stale, &["--max-speed"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_a_lower_limit_is_named_with_it() {
    let server = Server::start(&[]).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    place.seed(1_000).await;
    let address = &server.url()["redis://".len()..];
    for left in 0..4 {
        let others = open_clients(&place.conns()[0], &server, left).await;
        // Older servers do not report their limit.
        if left > 0 && place.is_older().await {
            continue;
        }
        for command in [&["run", "--yes"][..], &["run", "--dry-run"], &["plan"]] {
            let ended = keysweep(&[command, &["--json", "--redis", &server.url()]].concat()).run();
            let said = if left == 0 { FULL.to_owned() } else { format!("it has {left} for keysweep") };
            ended.fails(5, &[address, &said, "`maxclients`", "raise"]);
            assert!(ended.took < Duration::from_secs(8), "{ended}");
        }
        drop(others);
    }
    assert_eq!(place.keys("permissions:*").await, 1_000, "nothing was deleted");
}
