//! Keys of every type, their contents, and folders for backups of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use coordinator::options::Options;
use coordinator::restore::{self, RestoreFilter, RestoreRequest, RestoreSummary};
use keysweep_backup::BackupTarget;
use keysweep_config::BackupPlace;
use keysweep_model::key::Key;
use keysweep_model::messages::InactivePolicy;
use keysweep_model::slot::slot_of;
use keysweep_model::time::now_ms;
use keysweep_redis::{Batch, Conn, ConnectOptions, RedisClient, Reply, expect_values};
use tokio_util::sync::CancellationToken;

use super::keys;
use super::population::{self, TTL_MS, WARMING};

/// A temporary folder of a test.
pub struct Folder(pub PathBuf);

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Folder {
    pub fn new() -> Self {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let name = format!("backup-{}-{}", std::process::id(), FOLDERS.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(format!("keysweep-{name}")))
    }

    pub fn place(&self) -> BackupTarget {
        BackupTarget::directory(&self.0)
    }

    pub fn text(&self) -> &str {
        self.0.to_str().expect("the path is UTF-8")
    }

    /// The files of a kind: `save` or `done`.
    pub fn files(&self, kind: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for run in std::fs::read_dir(&self.0).into_iter().flatten() {
            let files = std::fs::read_dir(run.expect("it can be listed").path()).into_iter().flatten();
            found.extend(files.map(|file| file.expect("it can be listed").path()));
        }
        found.retain(|file| file.extension().is_some_and(|ending| ending == kind));
        found.sort();
        found
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It may not exist.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `options` with a backup in `folder`.
pub fn saving(mut options: Options, folder: &Folder) -> Options {
    options.backup = Some((BackupPlace::Directory(folder.0.clone()), 4 << 20));
    options
}

/// A request to restore everything in `folder`.
pub fn order(options: &Options, folder: &Folder) -> RestoreRequest {
    RestoreRequest {
        place: folder.place(),
        run: None,
        wanted: RestoreFilter::default(),
        alias: options.alias.clone(),
        access: options.access.clone(),
        replace: false,
        dry_run: false,
    }
}

/// Executes `order`; its accounting must balance.
pub async fn restore(order: &RestoreRequest) -> RestoreSummary {
    let found = restore::find(order).await.expect("there is a backup");
    let account =
        restore::restore(order, found, &CancellationToken::new()).await.expect("it can be put back");
    assert!(account.balanced, "{account:?}");
    account
}

/// The content of a key, and its expiry: -1 for none. The content is the reply to DUMP; for hashes and sets that the
/// server stores in a table, whose order is not significant and may differ after a restore, it is the list of
/// elements.
pub type Content = (Vec<u8>, i64);

/// The keys that match `permissions:*`.
pub async fn contents(access: &ConnectOptions) -> BTreeMap<Vec<u8>, Content> {
    let names = keys::matching(access, "permissions:*").await;
    let mut all = BTreeMap::new();
    // More than a run would read at once.
    expect_values(16 << 20);
    let client = RedisClient::discover(access.clone()).await.unwrap();
    let topology = client.topology();
    for primary in &topology.primaries {
        let conn = client.conn(&primary.node).await.unwrap();
        let here = |name: &&Vec<u8>| topology.owner(slot_of(name)).is_some_and(|of| of.node == primary.node);
        let here: Vec<&Vec<u8>> = names.iter().filter(here).collect();
        for chunk in here.chunks(500) {
            let mut batch = Batch::new();
            for name in chunk {
                batch.add(&[b"DUMP", name]);
                batch.add(&[b"PEXPIRETIME", name]);
                batch.add(&[b"OBJECT", b"ENCODING", name]);
            }
            let replies = conn.batch(batch).await.unwrap();
            for (name, replies) in chunk.iter().zip(replies.chunks(3)) {
                let [Reply::BulkString(value), Reply::Int(expires), Reply::BulkString(encoding)] = replies
                else {
                    panic!("{replies:?}")
                };
                let value = if encoding == b"hashtable" { members(&conn, name).await } else { value.clone() };
                all.insert((*name).clone(), (value, *expires));
            }
        }
    }
    all
}

/// All elements of a hash or a set, sorted.
async fn members(conn: &Conn, key: &[u8]) -> Vec<u8> {
    let texts = |reply| {
        let Reply::Array(members) = reply else { panic!("{reply:?}") };
        members.into_iter().map(|member| format!("{member:?}")).collect::<Vec<_>>()
    };
    let mut members = match conn.command(&[b"SMEMBERS", key]).await {
        Ok(members) => texts(members),
        Err(_) => texts(conn.command(&[b"HGETALL", key]).await.unwrap())
            .chunks(2)
            .map(|pair| pair.join(" = "))
            .collect(),
    };
    members.sort_unstable();
    members.join("\n").into_bytes()
}

/// The differences of `now` from `before`: values to the byte, expiries to a second.
pub fn differences(before: &BTreeMap<Vec<u8>, Content>, now: &BTreeMap<Vec<u8>, Content>) -> Vec<String> {
    let name = |key: &[u8]| key.escape_ascii().to_string();
    let mut found = Vec::new();
    for (key, (value, expires)) in before {
        match now.get(key) {
            None => found.push(format!("{} is missing", name(key))),
            Some((other, _)) if other != value => found.push(format!("{} holds another value", name(key))),
            Some((_, other)) if (other - expires).abs() > 1_000 => {
                found.push(format!("{} expires at {other} instead of {expires}", name(key)));
            }
            Some(_) => {}
        }
    }
    found.extend(
        now.keys().filter(|key| !before.contains_key(*key)).map(|key| format!("{} is new", name(key))),
    );
    found
}

fn words(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The commands that create key `n` with a value of the `n`-th kind; `KEY` is a placeholder for its name.
fn value(n: u64, field_ttls: bool) -> Vec<Vec<Vec<u8>>> {
    let many = |command: &str, count: u64, member: &dyn Fn(u64) -> Vec<String>| {
        let mut all = words(&[command, "KEY"]);
        all.extend((0..count).flat_map(member).map(String::into_bytes));
        vec![all]
    };
    // Sometimes enough for the encodings of large values.
    let count = if n % 50 < 10 { 600 } else { 3 };
    match n % 10 {
        0 => vec![vec![b"SET".to_vec(), b"KEY".to_vec(), [b"\x00\xff\r\n", &n.to_le_bytes()[..]].concat()]],
        1 => vec![vec![b"SET".to_vec(), b"KEY".to_vec(), n.to_string().into_bytes()]],
        2 => many("RPUSH", count, &|m| vec![format!("element {m} of {n}")]),
        3 => many("SADD", count, &|m| vec![(m * n).to_string()]),
        4 => many("SADD", count, &|m| vec![format!("member {m} of {n}")]),
        5 => {
            let mut all = many("HSET", count, &|m| vec![format!("field {m}"), format!("value {n}")]);
            if field_ttls {
                all.push(words(&["HPEXPIRE", "KEY", "7200000", "FIELDS", "1", "field 1"]));
            }
            all
        }
        6 => many("ZADD", count, &|m| vec![format!("{}.25", m * 3 % 7), format!("member {m}")]),
        7 => vec![
            words(&["XADD", "KEY", "1-1", "field", "value"]),
            words(&["XADD", "KEY", "1-2", "field", "other"]),
            words(&["XGROUP", "CREATE", "KEY", "group", "0"]),
            words(&["XREADGROUP", "GROUP", "group", "consumer", "COUNT", "1", "STREAMS", "KEY", ">"]),
        ],
        8 => vec![words(&["PFADD", "KEY", "a", "b", "c"])],
        _ => vec![words(&["SETRANGE", "KEY", if count > 3 { "20000" } else { "5" }, "end"])],
    }
}

/// Name `n`: some are binary.
fn name(n: u64) -> Vec<u8> {
    match n % 7 {
        0 => [b"permissions:user-\xff\x00\r\n*?[", &n.to_le_bytes()[..], b":x"].concat(),
        1 => format!("permissions:user-{n}:{{tag}}").into_bytes(),
        _ => format!("permissions:user-{n}:documents").into_bytes(),
    }
}

/// Keys in one write.
const SEED_BATCH: u64 = 1_000;

/// Writes `count` keys of every type, half of them without TTL, the others of inactive users.
pub async fn seed(access: &ConnectOptions, count: u64) {
    let client = RedisClient::discover(access.clone()).await.unwrap();
    let topology = client.topology();
    let conn = client.conn(&topology.primaries[0].node).await.unwrap();
    let known = conn.info_text("COMMAND INFO HPEXPIRE").await.unwrap();
    let field_ttls = !matches!(&known, Reply::Array(commands) if commands.contains(&Reply::Nil));
    let now = now_ms().to_string();
    let mut batches: BTreeMap<_, Batch> = BTreeMap::new();
    for n in 0..=count {
        let (name, mut commands) = match n {
            // At the end, the active user.
            last if last == count => (WARMING.into(), vec![words(&["ZADD", "KEY", &now, "user"])]),
            n => (name(n), value(n, field_ttls)),
        };
        if n % 2 == 1 && n < count {
            commands.push(words(&["PEXPIRE", "KEY", &(TTL_MS + n * 7).to_string()]));
        }
        let node = topology.owner(slot_of(&name)).expect("the slot has an owner").node.clone();
        let batch = batches.entry(node).or_default();
        for command in commands {
            let args: Vec<&[u8]> =
                command.iter().map(|word| if word == b"KEY" { &name[..] } else { word.as_slice() }).collect();
            batch.add(&args);
        }
        if n % SEED_BATCH == 0 || n == count {
            for (node, batch) in std::mem::take(&mut batches) {
                client.conn(&node).await.unwrap().batch(batch).await.unwrap();
            }
        }
    }
}

/// Options of a run that deletes all keys of [`seed`], except for the activity set: no key belongs to an active user.
pub fn options(urls: Vec<String>) -> Options {
    let mut options = population::options(urls, population::zset());
    options.inactive = options.inactive.map(|order| InactivePolicy { allow_no_active: true, ..order });
    assert!(options.rules.sources.contains(&Key::new(WARMING.as_bytes())));
    options
}
