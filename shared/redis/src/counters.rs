//! Reads the counters that an application keeps in a hash: the fields `hits`, `misses` and `errors`.

use keysweep_model::counters::Counters;
use keysweep_model::key::Key;
use keysweep_model::printable::one_line;
use keysweep_model::slot::slot_of;
use redis::Value;

use super::client::RedisClient;

/// Reads the counters in the hash `key`.
///
/// # Errors
/// The reason, for display: the hash cannot be read, the key is not a hash, or a field is not a number.
pub async fn read(client: &RedisClient, key: &Key) -> Result<Counters, String> {
    let name = key.shortened(60);
    let topology = client.topology();
    let owner = topology.owner(slot_of(key.as_bytes()));
    let owner = owner.ok_or_else(|| format!("no node serves the slot of the hash `{name}`"))?;
    let failed = |fault: super::RedisError| format!("the hash `{name}` cannot be read: {fault}");
    let conn = client.conn(&owner.node).await.map_err(failed)?;
    let reply = conn.command(&[b"HMGET", key.as_bytes(), b"hits", b"misses", b"errors"]).await;
    let Value::Array(fields) = reply.map_err(failed)? else {
        return Err(format!("the hash `{name}` returned an unexpected reply"));
    };
    if fields.iter().all(|field| *field == Value::Nil) {
        return Err(format!("there is no hash `{name}` with the fields `hits` and `misses`"));
    }
    let number = |at: usize, field: &str| count(&name, field, fields.get(at));
    let (hits, misses) = (number(0, "hits")?, number(1, "misses")?);
    let missing = |field: &str| format!("the hash `{name}` has no field `{field}`");
    Ok(Counters {
        hits: hits.ok_or_else(|| missing("hits"))?,
        misses: misses.ok_or_else(|| missing("misses"))?,
        errors: number(2, "errors")?,
    })
}

fn count(hash: &str, field: &str, value: Option<&Value>) -> Result<Option<u64>, String> {
    let Some(Value::BulkString(text)) = value else { return Ok(None) };
    let number = str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok());
    let shown: String = String::from_utf8_lossy(text).chars().take(40).collect();
    let wrong = || format!("field `{field}` of the hash `{hash}` is `{}`, not a number", one_line(&shown));
    number.map(Some).ok_or_else(wrong)
}
