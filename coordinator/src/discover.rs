//! The first connection of the preflight.

use std::time::Duration;

use keysweep_redis::{RedisClient, RedisError, RedisErrorKind};
use tokio::time::{Instant, sleep};

use crate::limits::NOT_READY_TIMEOUT;
use crate::options::Options;

/// Connects, and waits for servers that are still loading their data.
pub(crate) async fn discover(options: &Options) -> Result<RedisClient, RedisError> {
    let until = Instant::now() + NOT_READY_TIMEOUT;
    let mut logged = false;
    loop {
        match RedisClient::discover(options.access.clone()).await {
            Err(fault) if fault.kind == RedisErrorKind::Unavailable && Instant::now() < until => {
                if !logged {
                    tracing::warn!(error = %fault, "waiting for it, for {} s at most", NOT_READY_TIMEOUT.as_secs());
                    logged = true;
                }
                sleep(Duration::from_millis(500)).await;
            }
            done => return done,
        }
    }
}
