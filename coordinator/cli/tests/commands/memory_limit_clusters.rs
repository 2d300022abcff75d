//! The memory of a process when every node of a cluster sends unbounded replies at once, and when a cluster's
//! description of itself is unbounded: less than 64 MiB, in these debug builds.

use std::time::Duration;

use keysweep_redis::Reply;
use keysweep_servers::ClusterServers;
use tokio::time::{Instant, sleep};

use crate::cli::deployment::TestDeployment;
use crate::cli::proxy::{On, Proxy, ReplyFault};
use crate::cli::{DEBUG_KIB_MAX, keysweep};

/// The limit in KiB.
const CEILING_KIB: u64 = DEBUG_KIB_MAX;

/// The limit of a run whose nodes send unbounded descriptions repeatedly.
const DESCRIBED_AGAIN_KIB: u64 = 96 << 10;

/// By when all nodes know each other's addresses.
const KNOWN_BY: Duration = Duration::from_secs(20);

/// A cluster whose nodes are reachable through proxies only.
struct Behind {
    _servers: ClusterServers,
    proxies: Vec<Proxy>,
}

impl Behind {
    async fn start(primaries: usize) -> Self {
        let servers = ClusterServers::start(primaries, 0).await.expect("a cluster can be started");
        TestDeployment::cluster(&servers).await.seed(600).await;
        let proxies: Vec<_> =
            servers.nodes().iter().map(|node| Proxy::new(On::any(""), &[], node.port())).collect();
        let port = |proxy: &Proxy| proxy.address.rsplit(':').next().expect("a port").to_owned();
        for (node, proxy) in servers.nodes().iter().zip(&proxies) {
            let conn = node.conn().await.expect("it answers");
            conn.info_text(&format!("CONFIG SET cluster-announce-port {}", port(proxy)))
                .await
                .expect("it is set");
        }
        let begun = Instant::now();
        for node in servers.nodes() {
            let conn = node.conn().await.expect("it answers");
            loop {
                let said = conn.info_text("CLUSTER NODES").await.expect("it answers");
                let Reply::BulkString(said) = said else { panic!("{said:?}") };
                let said = String::from_utf8_lossy(&said).into_owned();
                if proxies.iter().all(|proxy| said.contains(&format!(":{}@", port(proxy)))) {
                    break;
                }
                assert!(begun.elapsed() < KNOWN_BY, "{said}");
                sleep(Duration::from_millis(50)).await;
            }
        }
        Self { _servers: servers, proxies }
    }

    /// Runs a command to its end while all nodes reply to `on` with one fault after another, each node with a
    /// different one.
    fn ends_below_the_ceiling(
        &self,
        args: &[&str],
        (on, first_asked): (On, &'static str),
        odd: &[ReplyFault],
    ) {
        let peak_kib = self.peak_kib(args, (on, first_asked), odd);
        assert!((1..CEILING_KIB).contains(&peak_kib), "{peak_kib} KiB: {args:?} {on:?} {odd:?}");
    }

    /// The same; returns the peak memory.
    fn peak_kib(&self, args: &[&str], (on, first_asked): (On, &'static str), odd: &[ReplyFault]) -> u64 {
        let before: usize = self.proxies.iter().map(Proxy::given).sum();
        for (n, proxy) in self.proxies.iter().enumerate() {
            let mut odd = odd.to_vec();
            let first = n % odd.len();
            odd.rotate_left(first);
            // The first one is queried for the topology.
            let after = if n == 0 && on.after.is_empty() { first_asked } else { on.after };
            proxy.turn_to(On { after, ..on }, &odd);
        }
        let url = format!("redis://{}", self.proxies[0].address);
        let (ended, peak_kib) = keysweep(&[args, &["--redis", &url]].concat()).start().end_with_peak();
        let given = self.proxies.iter().map(Proxy::given).sum::<usize>() - before;
        let took = format!(
            "{} {on:?} {odd:?}: {peak_kib} KiB, {given} answers, exit {:?}, {:?}",
            args.join(" "),
            ended.code,
            ended.took
        );
        println!("{took}");
        assert!(given > 0 && matches!(ended.code, Some(0 | 1 | 3 | 5)), "{took}\n{ended}");
        peak_kib
    }
}

const PLAN: &[&str] = &["plan", "--json"];
const RUN: &[&str] = &["run", "--yes", "--json", "--grace", "0s", "--max-runtime", "40s"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_primaries_that_answer_without_measure_take_no_more_than_one() {
    let cluster = Behind::start(6).await;
    let all =
        [On::any("INFO"), On::any("PING"), On::any("MEMORY USAGE"), On::listing(""), On::listing("PTTL")];
    for on in all {
        cluster.ends_below_the_ceiling(PLAN, (on, "CLUSTER SHARDS"), &ReplyFault::AT_ONCE);
    }
    cluster.ends_below_the_ceiling(PLAN, (On::any("INFO"), "CLUSTER SHARDS"), &[ReplyFault::EndlessText]);
    for on in [On::listing("").after_the_plan(), On::acting("").after_the_plan()] {
        cluster.ends_below_the_ceiling(RUN, (on, ""), &ReplyFault::AT_ONCE);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_description_of_a_cluster_takes_64_mib() {
    let cluster = Behind::start(3).await;
    let slots = On { refused: "CLUSTER SHARDS", ..On::any("CLUSTER SLOTS") };
    for on in [On::any("CLUSTER SHARDS"), slots, On::any("CLUSTER NODES")] {
        for odd in ReplyFault::AT_ONCE {
            cluster.ends_below_the_ceiling(PLAN, (on, ""), &[odd]);
        }
    }
    cluster.ends_below_the_ceiling(PLAN, (On::any("CLUSTER NODES"), ""), &[ReplyFault::Dripping]);
    let peak_kib = cluster.peak_kib(RUN, (On::any("CLUSTER").after_the_plan(), ""), &ReplyFault::AT_ONCE);
    assert!((1..DESCRIBED_AGAIN_KIB).contains(&peak_kib), "{peak_kib} KiB");
}
