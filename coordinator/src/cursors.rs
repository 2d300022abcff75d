//! Checks whether a standalone server scans and counts like a hash table, by its INFO and by its behavior. A server
//! that does not is read in one lane, from cursor 0 until it returns 0, and is never skipped because of its counts.
//! Reads only.

use std::collections::HashSet;

use keysweep_model::limits::TABLE_SPARE_BITS;
use keysweep_redis::Throttle;
use keysweep_redis::node::NodeStatus;
use keysweep_redis::{Listing, LookupKind, RedisError, ScanConnection, WindowReply};
use scanner::limits::TABLE_CURSORS_MAX;
use tokio::time::Instant;

use crate::limits::{CURSOR_PAGE_KEYS, CURSOR_PAGES};

/// Why a server is read in one lane; `None` if it behaves as a hash table.
///
/// # Errors
/// When the server fails.
pub(crate) async fn why_one_lane(
    lister: &mut ScanConnection,
    status: &NodeStatus,
    breaks: Throttle,
) -> Result<Option<String>, RedisError> {
    if let Some(name) = &status.foreign {
        return Ok(Some(format!("it is {name}, whose cursors and counts are not those of a Redis table")));
    }
    let (mut cursors, mut keys, mut answers) = (Vec::new(), HashSet::new(), WindowReply::default());
    let mut cursor = 0;
    for _ in 0..CURSOR_PAGES {
        let sent = Instant::now();
        let page = Listing::Scan { cursor, count: CURSOR_PAGE_KEYS };
        lister.window(&[page], std::iter::empty(), LookupKind::Ttl, &mut answers).await?;
        breaks.rest(sent).await;
        keys.extend(answers.keys().map(<[u8]>::to_vec));
        cursor = answers.pages().next().map_or(0, |page| page.next);
        cursors.push(cursor);
        if cursor == 0 {
            break;
        }
    }
    Ok(contradiction(&cursors, keys.len() as u64, status.keys).map(str::to_owned))
}

/// How `cursors`, whose pages contained `listed` different keys in total, contradict a table of `counted` keys.
fn contradiction(cursors: &[u64], listed: u64, counted: u64) -> Option<&'static str> {
    let most = 1_u64 << (counted.max(1).ilog2() + 1 + TABLE_SPARE_BITS).min(TABLE_CURSORS_MAX.ilog2());
    let ended = cursors.last() == Some(&0);
    let going_on = || cursors.iter().filter(|cursor| **cursor != 0);
    if going_on().any(|cursor| *cursor >= most) {
        return Some("SCAN returned a cursor that no table of so many keys has");
    }
    if !going_on().map(|cursor| cursor.reverse_bits()).is_sorted_by(|one, next| one < next) {
        return Some("SCAN returned cursors that no table has in succession");
    }
    // Some keys may be added, deleted or expire during the listing.
    let slack = counted / 4 + 10;
    let (much_more, much_less) = (listed > counted + slack, ended && listed + slack < counted);
    (much_more || much_less).then_some("SCAN listed another number of keys than INFO counts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_tables_pass_and_other_stores_do_not() {
        let passes = |cursors: &[u64], listed, counted| {
            assert_eq!(contradiction(cursors, listed, counted), None, "{cursors:?} {listed} {counted}");
        };
        let fails = |cursors: &[u64], listed, counted| {
            assert!(contradiction(cursors, listed, counted).is_some(), "{cursors:?} {listed} {counted}");
        };
        passes(&[0], 0, 0);
        passes(&[0], 5, 5);
        passes(&[8, 4, 12, 2, 0], 50, 50);
        passes(&[4_096, 2_048, 6_144], 30, 40_000);
        // A table that was much fuller once.
        passes(&[65_536, 32_768], 20, 600);
        passes(&[0], 5, 0);
        fails(&[0], 50, 0);
        fails(&[0], 0, 40_000);
        fails(&[10, 20, 30, 40], 40, 40_000);
        fails(&[1 << 45], 10, 40_000);
        fails(&[2_048, 4_096], 20, 40_000);
        fails(&[2_048, 2_048], 20, 40_000);
    }
}
