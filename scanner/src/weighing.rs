//! Asking for the memory of the keys that were chosen for it.

use shared::cluster::weigh::weigh;
use shared::cluster::{Conn, Fault};
use shared::limits::WEIGHED_AT_ONCE;
use shared::messages::Lookups;

use crate::statistics::Statistics;

/// Weighs some of the keys that wait for it, in one write; the look-ups that it took.
pub(crate) async fn weigh_some(statistics: &mut Statistics, conn: &Conn) -> Result<Lookups, Fault> {
    let found = weigh(conn, &statistics.to_weigh(WEIGHED_AT_ONCE)).await?;
    statistics.weighed(&found);
    Ok(found.lookups)
}
