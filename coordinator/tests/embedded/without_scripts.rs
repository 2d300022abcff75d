//! Whole runs on servers without scripts: as exact as with scripts when every message is delivered twice, when a worker
//! dies, and when slots move.

use keysweep_runtime::failpoint::FailPoint;
use keysweep_servers::{ClusterServers, Server};

use crate::redelivery::{cut_off, delivered_twice};
use crate::reshard::moves_before_deletion;

/// Options of a server that runs no scripts.
pub const RENAMED: [&str; 9] =
    ["--rename-command", "EVAL", "", "--rename-command", "EVALSHA", "", "--rename-command", "SCRIPT", ""];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_cluster() {
    let cluster = ClusterServers::start_with(3, 0, &RENAMED, None).await.unwrap();
    delivered_twice(cluster.urls(), 10_000, 100).await;
    for node in cluster.nodes() {
        node.conn().await.unwrap().info_text("FLUSHALL").await.unwrap();
    }
    Box::pin(moves_before_deletion(&cluster)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_standalone_server_where_a_worker_is_cut_off() {
    // The second visits are those of runs that save what they delete.
    let backup = (FailPoint::BackupWritten, 1);
    for (point, visit) in
        [(FailPoint::BatchReceived, 1), backup, (FailPoint::ScriptsRun, 1), (FailPoint::ScriptsRun, 2)]
    {
        let server = Server::start(&RENAMED).await.unwrap();
        cut_off(vec![server.url()], point, visit, true).await;
    }
}
