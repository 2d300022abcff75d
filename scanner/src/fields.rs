//! Hashes without a TTL whose fields expire are distinguished from stale keys before anything is counted. This is
//! queried only if the server has such hashes.

use keysweep_model::messages::Lookups;
use keysweep_redis::fields::{FieldTtls, ask};
use keysweep_redis::{Conn, RedisError, Ttl, WindowReply};

use crate::classify::Classifier;
use crate::walk::ListedWindow;

/// The keys of `last` that have no TTL according to `answers` and that no pattern protects, each with its index.
pub(crate) fn persistent<'k>(
    last: &'k ListedWindow,
    answers: &WindowReply,
    selector: &Classifier<'_>,
) -> Vec<(usize, &'k [u8])> {
    let seen = last.keys().zip(answers.seen()).enumerate();
    let persistent =
        seen.filter(|(_, ((_, key), seen))| seen.ttl == Ttl::Persistent && !selector.protects(key));
    persistent.map(|(number, ((_, key), _))| (number, key)).collect()
}

/// Queries the field TTLs of `keys` and corrects their entries in `answers`. Returns the lookups made.
pub(crate) async fn classify_hashes(
    conn: &Conn,
    keys: &[(usize, &[u8])],
    answers: &mut WindowReply,
) -> Result<Lookups, RedisError> {
    let asked: Vec<&[u8]> = keys.iter().map(|(_, key)| *key).collect();
    let (found, lookups) = ask(conn, &asked).await?;
    for ((number, _), fields) in keys.iter().zip(found) {
        answers.set_ttl(*number, ttl(fields));
    }
    Ok(lookups)
}

/// The TTL state of a key without a key TTL.
pub(crate) fn ttl(fields: FieldTtls) -> Ttl {
    match fields {
        FieldTtls::Lasting => Ttl::Persistent,
        FieldTtls::Expire => Ttl::FieldTtls,
        FieldTtls::Gone => Ttl::Gone,
        FieldTtls::Moved => Ttl::Moved,
    }
}
