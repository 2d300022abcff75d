//! Slows a cluster down, so that a run with few keys lasts long enough for faults: its nodes are paused most of the
//! time, like busy ones. Their replies are correct.

use std::time::Duration;

use keysweep_servers::ClusterServers;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How long a node runs between two pauses.
const GAP: Duration = Duration::from_millis(5);

/// A slowed cluster. Dropping it ends the pauses.
pub struct SlowCluster {
    _tasks: JoinSet<()>,
}

impl SlowCluster {
    /// Repeatedly pauses each node for `pause`.
    pub async fn on(cluster: &ClusterServers, pause: Duration) -> Self {
        let mut tasks = JoinSet::new();
        for node in cluster.primaries() {
            let conn = node.conn().await.unwrap();
            let command = format!("CLIENT PAUSE {} ALL", pause.as_millis());
            tasks.spawn(async move {
                loop {
                    conn.info_text(&command).await.expect("a node can be paused");
                    sleep(pause + GAP).await;
                }
            });
        }
        Self { _tasks: tasks }
    }
}
