//! Slows a cluster down, so that a run of few keys lasts long enough to be hit: its nodes answer nobody for most
//! of the time, as busy ones do. They say nothing wrong meanwhile.

use std::time::Duration;

use shared::servers::ClusterServers;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How long a node answers between two pauses.
const GAP: Duration = Duration::from_millis(5);

/// See the module. Dropping it lets go.
pub struct Brake {
    _tasks: JoinSet<()>,
}

impl Brake {
    /// From now on each node pauses for `pause`, again and again.
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
