//! Hashes without a TTL whose fields expire: they are told from stale keys before anything is counted. Asked only where
//! the server has hashes with such fields.

use shared::cluster::fields::{Fields, ask};
use shared::cluster::{Answers, Conn, Fault, Ttl};
use shared::messages::Lookups;

use crate::select::Selector;
use crate::walk::Window;

/// Those keys of `last`, which `answers` has seen, that have no TTL and that no pattern protects; each with its number.
pub(crate) fn lasting<'k>(
    last: &'k Window,
    answers: &Answers,
    selector: &Selector<'_>,
) -> Vec<(usize, &'k [u8])> {
    let seen = last.keys().zip(answers.seen()).enumerate();
    let lasting = seen.filter(|(_, ((_, key), seen))| seen.ttl == Ttl::Unlimited && !selector.protects(key));
    lasting.map(|(number, ((_, key), _))| (number, key)).collect()
}

/// Asks about `keys` and corrects what `answers` has seen of them. The look-ups that it took.
pub(crate) async fn settle(
    conn: &Conn,
    keys: &[(usize, &[u8])],
    answers: &mut Answers,
) -> Result<Lookups, Fault> {
    let asked: Vec<&[u8]> = keys.iter().map(|(_, key)| *key).collect();
    let (found, lookups) = ask(conn, &asked).await?;
    for ((number, _), fields) in keys.iter().zip(found) {
        answers.settle(*number, ttl(fields));
    }
    Ok(lookups)
}

/// What a key without TTL turns out to be.
pub(crate) fn ttl(fields: Fields) -> Ttl {
    match fields {
        Fields::Lasting => Ttl::Unlimited,
        Fields::Expire => Ttl::Fields,
        Fields::Gone => Ttl::Gone,
        Fields::Moved => Ttl::Moved,
    }
}
