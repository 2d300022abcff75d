//! Asking for the memory of the keys that were chosen for it.

use shared::cluster::weigh::weigh;
use shared::cluster::{Conn, Fault};
use shared::limits::WEIGHED_AT_ONCE;
use shared::messages::Lookups;

use crate::statistics::Statistics;

/// Weighs keys as long as at least `enough` wait for it; the look-ups that it took.
pub(crate) async fn weigh_those(
    statistics: &mut Statistics,
    enough: usize,
    conn: &Conn,
) -> Result<Lookups, Fault> {
    let mut lookups = Lookups::default();
    while statistics.waiting() >= enough {
        let found = weigh(conn, &statistics.to_weigh(WEIGHED_AT_ONCE)).await?;
        lookups += found.lookups;
        statistics.weighed(&found);
    }
    Ok(lookups)
}
