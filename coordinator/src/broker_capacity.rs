//! Checks that a server accepts as many connections as a run may open.

use std::time::Duration;

use keysweep_redis::limits::CONNECTIONS_MAX;
use keysweep_redis::node::{self, NodeStatus};
use keysweep_redis::{Conn, RedisError, RedisErrorKind};
use tokio::time::{Instant, sleep};

use crate::limits::CONNECTIONS_WAIT;

/// The interval between checks.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Checks the connection limit by the server's `status`, and repeats for [`CONNECTIONS_WAIT`].
///
/// # Errors
/// [`RedisErrorKind::TooManyClients`] if it accepts fewer. A server that does not report its limit is assumed to have
/// enough.
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
