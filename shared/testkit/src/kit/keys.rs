//! Access to single keys, at any node.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keysweep_model::slot::slot_of;
use keysweep_redis::{Batch, Conn, ConnectOptions, RedisClient, RedisErrorKind, Reply};

/// How often a key is queried again whose slot has just moved: nodes take a while to agree.
const REDIRECTIONS_MAX: u32 = 50;

/// Sends `command` for each key to its node; the replies are in the order of the keys.
pub async fn ask(access: &ConnectOptions, command: &str, keys: &[Vec<u8>]) -> Vec<i64> {
    let client = RedisClient::discover(access.clone()).await.unwrap();
    let mut answers = vec![0; keys.len()];
    let mut open: Vec<usize> = (0..keys.len()).collect();
    for _ in 0..REDIRECTIONS_MAX {
        open = ask_once(&client, command, keys, &open, &mut answers).await;
        if open.is_empty() {
            return answers;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        client.refresh().await.unwrap();
    }
    panic!("{} keys are redirected for ever", open.len());
}

/// Queries the keys at `indices`, and returns the indices of those that were redirected.
async fn ask_once(
    client: &RedisClient,
    command: &str,
    keys: &[Vec<u8>],
    indices: &[usize],
    answers: &mut [i64],
) -> Vec<usize> {
    let topology = client.topology();
    let mut nodes: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for index in indices {
        let owner = topology.owner(slot_of(&keys[*index])).expect("the slot has an owner");
        nodes.entry(owner.node.clone()).or_default().push(*index);
    }
    let mut redirected = Vec::new();
    for (node, indices) in nodes {
        let conn = client.conn(&node).await.unwrap();
        for chunk in indices.chunks(1_000) {
            let mut batch = Batch::new();
            for index in chunk {
                let words = command.split(' ').map(str::as_bytes).chain([keys[*index].as_slice()]);
                batch.add(&words.collect::<Vec<_>>());
            }
            for (index, reply) in chunk.iter().zip(conn.batch(batch).await.unwrap()) {
                match (&reply, conn.fault(&reply)) {
                    (Reply::Int(answer), _) => answers[*index] = *answer,
                    (_, Some(fault)) if settles(fault.kind) => redirected.push(*index),
                    _ => panic!("{command} answered {reply:?}"),
                }
            }
        }
    }
    redirected
}

/// Whether the error is temporary until the cluster agrees.
fn settles(kind: RedisErrorKind) -> bool {
    matches!(kind, RedisErrorKind::Moved | RedisErrorKind::Unavailable)
}

/// Those of `keys` that exist.
pub async fn existing<'a>(access: &ConnectOptions, keys: &'a [Vec<u8>]) -> Vec<&'a [u8]> {
    let answers = ask(access, "EXISTS", keys).await;
    keys.iter().zip(answers).filter(|(_, there)| *there == 1).map(|(key, _)| key.as_slice()).collect()
}

/// A connection to each primary.
pub async fn conns(access: &ConnectOptions) -> Vec<Conn> {
    let client = RedisClient::discover(access.clone()).await.unwrap();
    let mut conns = Vec::new();
    for primary in &client.topology().primaries {
        conns.push(client.conn(&primary.node).await.unwrap());
    }
    conns
}

/// How often a server is asked: on a busy machine it may answer late.
const ATTEMPTS: usize = 3;

/// The reply to a command.
pub async fn asked(conn: &Conn, command: &str) -> Reply {
    let mut failures = Vec::new();
    while failures.len() < ATTEMPTS {
        match conn.info_text(command).await {
            Ok(reply) => return reply,
            Err(failure) => failures.push(failure.to_string()),
        }
    }
    panic!("`{command}` was not answered: {failures:?}")
}

/// The keys of a server that match `pattern`. All tests of a process share its limit for replies, so pages are small.
pub async fn matching_at(conn: &Conn, pattern: &str) -> BTreeSet<Vec<u8>> {
    let (mut found, mut cursor) = (BTreeSet::new(), "0".to_owned());
    loop {
        let reply = asked(conn, &format!("SCAN {cursor} MATCH {pattern} COUNT 1000")).await;
        let Reply::Array(page) = &reply else { panic!("SCAN answered {reply:?}") };
        let [Reply::BulkString(next), Reply::Array(keys)] = page.as_slice() else {
            panic!("SCAN answered {page:?}")
        };
        found.extend(keys.iter().map(|key| match key {
            Reply::BulkString(key) => key.clone(),
            other => panic!("SCAN answered {other:?}"),
        }));
        if next == b"0" {
            return found;
        }
        cursor = String::from_utf8(next.clone()).unwrap();
    }
}

/// All keys of the deployment that match `pattern`.
pub async fn matching(access: &ConnectOptions, pattern: &str) -> Vec<Vec<u8>> {
    let mut found = BTreeSet::new();
    for conn in conns(access).await {
        found.extend(matching_at(&conn, pattern).await);
    }
    found.into_iter().collect()
}

/// The number of keys, including those that match no pattern.
pub async fn count(access: &ConnectOptions) -> u64 {
    let mut keys = 0;
    for conn in conns(access).await {
        let Reply::Int(here) = conn.info_text("DBSIZE").await.unwrap() else {
            panic!("DBSIZE answered no number")
        };
        keys += here.unsigned_abs();
    }
    keys
}

/// A section of INFO, from every primary.
pub async fn info(access: &ConnectOptions, section: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for conn in conns(access).await {
        match conn.info_text(&format!("INFO {section}")).await.unwrap() {
            Reply::BulkString(text) => texts.push(String::from_utf8_lossy(&text).into_owned()),
            other => panic!("INFO answered {other:?}"),
        }
    }
    texts
}
