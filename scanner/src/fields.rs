//! Hashes without a TTL whose fields expire: they are told from stale keys before anything is counted. Asked only where
//! the server has hashes with such fields.

use shared::cluster::fields::{FieldTtls, ask};
use shared::cluster::{Conn, RedisError, Ttl, WindowReply};
use shared::messages::Lookups;

use crate::classify::Classifier;
use crate::walk::ListedWindow;

/// Those keys of `last`, which `answers` has seen, that have no TTL and that no pattern protects; each with its number.
pub(crate) fn lasting<'k>(
    last: &'k ListedWindow,
    answers: &WindowReply,
    selector: &Classifier<'_>,
) -> Vec<(usize, &'k [u8])> {
    let seen = last.keys().zip(answers.seen()).enumerate();
    let lasting = seen.filter(|(_, ((_, key), seen))| seen.ttl == Ttl::Persistent && !selector.protects(key));
    lasting.map(|(number, ((_, key), _))| (number, key)).collect()
}

/// Asks about `keys` and corrects what `answers` has seen of them. The look-ups that it took.
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

/// What a key without TTL turns out to be.
pub(crate) fn ttl(fields: FieldTtls) -> Ttl {
    match fields {
        FieldTtls::Lasting => Ttl::Persistent,
        FieldTtls::Expire => Ttl::FieldTtls,
        FieldTtls::Gone => Ttl::Gone,
        FieldTtls::Moved => Ttl::Moved,
    }
}
