//! A whole Redis Cluster of local servers.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use keysweep_model::slot::SLOTS;
use keysweep_redis::Conn;

use super::process::have_certificate;
use super::{Server, ServersError, ask, binary, redis62};

/// Settings of every node that has a certificate.
const TLS_ARGS: [&str; 4] = ["--tls-cluster", "yes", "--tls-replication", "yes"];

/// How long the nodes may take to agree; generous, because tests share small machines.
const AGREE_LIMIT: Duration = Duration::from_secs(30);

/// Settings of every node: no delay before a replica's first full copy, and no replica migration.
const NODE_ARGS: [&str; 6] = [
    "--cluster-node-timeout",
    "5000",
    "--repl-diskless-sync-delay",
    "0",
    "--cluster-allow-replica-migration",
    "no",
];

/// A running cluster: first the primaries in the order of their slots, then the replicas, primary by primary. Dropping
/// it ends all servers.
pub struct ClusterServers {
    nodes: Vec<Server>,
    ids: Vec<String>,
    primaries: usize,
}

impl ClusterServers {
    /// Starts `primaries` nodes that share all slots evenly, each with `replicas_each` replicas; returns when every
    /// node reports the state `ok` and every replica is in sync.
    pub async fn start(primaries: usize, replicas_each: usize) -> Result<Self, ServersError> {
        Self::start_with(primaries, replicas_each, &[], None).await
    }

    /// [`ClusterServers::start`] with more arguments for every node, and without owners for the slots of `leave_out`
    /// (inclusive). Without `--cluster-require-full-coverage no` such a cluster rejects every key, and this does not
    /// wait for the state `ok`. With a certificate, the nodes use TLS among each other, and have a second port with
    /// TLS for clients.
    pub async fn start_with(
        primaries: usize,
        replicas_each: usize,
        extra_args: &[&str],
        leave_out: Option<(u16, u16)>,
    ) -> Result<Self, ServersError> {
        let tls: &[&str] = if have_certificate(extra_args) { &TLS_ARGS } else { &[] };
        let args = [&NODE_ARGS, tls, extra_args].concat();
        let count = primaries * (1 + replicas_each);
        let nodes = try_join_all((0..count).map(|_| Server::start_as(&args, true))).await?;
        let conns = try_join_all(nodes.iter().map(Server::conn)).await?;
        let shares = shares(primaries, leave_out);
        for (index, conn) in conns.iter().enumerate() {
            if let Some(share) = shares.get(index) {
                own(conn, share).await?;
                conn.info_text(&format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1)).await?;
            }
        }
        for node in &nodes[1..] {
            let bus_port = node.bus_port().unwrap_or_default();
            conns[0].info_text(&format!("CLUSTER MEET 127.0.0.1 {} {bus_port}", node.port())).await?;
        }
        let ids = try_join_all(conns.iter().map(|conn| ask(conn, "CLUSTER MYID"))).await?;
        let cluster = Self { nodes, ids, primaries };
        let mut wanted = ExpectedCluster { nodes: count, replicas: 0, slots: slot_count(&shares), ok: false };
        cluster.agree(&conns, &wanted).await?;
        for (number, replica) in conns[primaries..].iter().enumerate() {
            let primary = &cluster.ids[number / replicas_each];
            replica.info_text(&format!("CLUSTER REPLICATE {primary}")).await?;
        }
        wanted.replicas = count - primaries;
        wanted.ok = leave_out.is_none() || covers_in_part(extra_args);
        cluster.agree(&conns, &wanted).await?;
        Ok(cluster)
    }

    /// Waits until every node has the expected view.
    async fn agree(&self, conns: &[Conn], wanted: &ExpectedCluster) -> Result<(), ServersError> {
        let deadline = Instant::now() + AGREE_LIMIT;
        for (node, conn) in self.nodes.iter().zip(conns) {
            while !wanted.seen_by(conn).await? {
                if Instant::now() > deadline {
                    let what = format!("the cluster did not agree within 30 s, seen from `{}`", node.url());
                    return Err(ServersError::NotReady { what, log: node.log_tail() });
                }
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        }
        Ok(())
    }

    /// The servers: primaries in slot order, then replicas, those of the first primary first.
    #[must_use]
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// The servers that were started as primaries.
    #[must_use]
    pub fn primaries(&self) -> &[Server] {
        &self.nodes[..self.primaries]
    }

    /// The node id of node `index`: 40 hexadecimal digits.
    #[must_use]
    pub fn id(&self, index: usize) -> &str {
        &self.ids[index]
    }

    /// The addresses of all nodes, as in [`ClusterServers::nodes`].
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Server::url).collect()
    }
}

/// The expected view of every node.
struct ExpectedCluster {
    nodes: usize,
    replicas: usize,
    slots: usize,
    /// Whether the state must be `ok`, and every replica in sync with its primary.
    ok: bool,
}

impl ExpectedCluster {
    async fn seen_by(&self, conn: &Conn) -> Result<bool, ServersError> {
        let info = ask(conn, "CLUSTER INFO").await?;
        if !self.met_by(&info, &ask(conn, "CLUSTER NODES").await?) {
            return Ok(false);
        }
        let replication = ask(conn, "INFO replication").await?;
        Ok(!replication.contains("role:slave") || replication.contains("master_link_status:up"))
    }

    fn met_by(&self, info: &str, nodes: &str) -> bool {
        let lines: Vec<Vec<&str>> = nodes.lines().map(|line| line.split(' ').collect()).collect();
        let flags = |line: &Vec<&str>| line.get(2).copied().unwrap_or_default().to_owned();
        let settled = lines.iter().all(|line| {
            let flags = flags(line);
            !flags.contains("handshake") && !flags.contains("fail") && line.get(7) == Some(&"connected")
        });
        let replicas = lines.iter().filter(|line| flags(line).contains("slave")).count();
        let says = |what: &str| info.lines().any(|line| line.trim_end() == what);
        settled
            && lines.len() == self.nodes
            && replicas == self.replicas
            && says(&format!("cluster_slots_assigned:{}", self.slots))
            && (!self.ok || says("cluster_state:ok"))
    }
}

async fn own(conn: &Conn, share: &[(u16, u16)]) -> Result<(), ServersError> {
    if share.is_empty() {
        return Ok(());
    }
    let ranges: Vec<String> = share.iter().map(|(first, last)| format!("{first} {last}")).collect();
    let older = redis62::is_older(&binary::redis_server()?);
    let range = || format!("CLUSTER ADDSLOTSRANGE {}", ranges.join(" "));
    conn.info_text(&if older { redis62::add_slots(share) } else { range() }).await?;
    Ok(())
}

fn covers_in_part(args: &[&str]) -> bool {
    args.windows(2).any(|pair| pair == ["--cluster-require-full-coverage", "no"])
}

/// The slot ranges (inclusive) of each primary.
fn shares(primaries: usize, leave_out: Option<(u16, u16)>) -> Vec<Vec<(u16, u16)>> {
    let start = |index: usize| (usize::from(SLOTS) * index / primaries) as u16;
    (0..primaries).map(|index| without((start(index), start(index + 1) - 1), leave_out)).collect()
}

fn without((first, last): (u16, u16), hole: Option<(u16, u16)>) -> Vec<(u16, u16)> {
    let Some((hole_first, hole_last)) = hole.filter(|hole| hole.0 <= last && hole.1 >= first) else {
        return vec![(first, last)];
    };
    let mut rest = Vec::new();
    if hole_first > first {
        rest.push((first, hole_first - 1));
    }
    if hole_last < last {
        rest.push((hole_last + 1, last));
    }
    rest
}

fn slot_count(shares: &[Vec<(u16, u16)>]) -> usize {
    shares.iter().flatten().map(|(first, last)| usize::from(last - first) + 1).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primaries_share_all_slots_but_those_left_out() {
        assert_eq!(shares(3, None), [[(0, 5460)], [(5461, 10_921)], [(10_922, 16_383)]]);
        assert_eq!(slot_count(&shares(7, None)), 16_384);
        let holed = shares(2, Some((8000, 8200)));
        assert_eq!(holed, [[(0, 7999)], [(8201, 16_383)]]);
        assert_eq!(shares(1, Some((10, 20))), [[(0, 9), (21, 16_383)]]);
        assert_eq!(shares(2, Some((0, 8191)))[0], []);
        assert_eq!(slot_count(&holed), 16_384 - 201);
    }

    #[test]
    fn a_node_that_still_shakes_hands_has_not_settled() {
        let wanted = ExpectedCluster { nodes: 2, replicas: 1, slots: 16_384, ok: true };
        let info = "cluster_state:ok\r\ncluster_slots_assigned:16384\r\n";
        let one = "a 127.0.0.1:1@2 myself,master - 0 0 1 connected 0-16383\n";
        let check = |expected: bool, other: &str| {
            assert_eq!(wanted.met_by(info, &format!("{one}{other}")), expected, "{other}");
        };
        check(true, "b 127.0.0.1:3@4 slave a 0 0 1 connected\n");
        check(false, "b 127.0.0.1:3@4 handshake - 0 0 1 connected\n");
        check(false, "b 127.0.0.1:3@4 slave a 0 0 1 disconnected\n");
        check(false, "b 127.0.0.1:3@4 master - 0 0 1 connected\n");
        check(false, "");
        let down = info.replace("ok", "fail");
        assert!(!wanted.met_by(&down, &format!("{one}b 127.0.0.1:3@4 slave a 0 0 1 connected\n")));
    }
}
