//! Whether a server takes as many connections as a run may make there.

use std::time::Duration;

use keysweep_model::limits::{CONNECTIONS_MAX, CONNECTIONS_WAIT};
use keysweep_redis::node::{self, NodeStatus};
use keysweep_redis::{Conn, RedisError, RedisErrorKind};
use tokio::time::{Instant, sleep};

/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Checks it by what the server behind `conn` said in `status`, and asks again for [`CONNECTIONS_WAIT`].
///
/// # Errors
/// [`RedisErrorKind::TooManyClients`] if it takes fewer. A server that does not say is taken to have enough.
pub(crate) async fn check(conn: &Conn, status: &NodeStatus, db: u32) -> Result<(), RedisError> {
    let (until, most) = (Instant::now() + CONNECTIONS_WAIT, CONNECTIONS_MAX as u64);
    let mut left = status.connections_left;
    loop {
        let Some(room) = left.map(|left| left.saturating_add(conn.connections() as u64)) else {
            return Ok(());
        };
        if room >= most {
            return Ok(());
        }
        if Instant::now() >= until {
            let said = format!("it has {room} for keysweep, which may take {most}");
            return Err(RedisError::new(RedisErrorKind::TooManyClients, conn.address(), said));
        }
        sleep(LOOK_EVERY).await;
        left = node::status(conn, db).await?.connections_left;
    }
}
