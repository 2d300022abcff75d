//! Files that real servers write, compared key by key with what those servers say of their keys.
#![cfg(test)]

mod data;

use std::collections::BTreeMap;
use std::fs;

use keysweep_rdb::{Entry, Parser, Summary};
use keysweep_redis::{Batch, Conn, Reply};
use keysweep_servers::{ClusterServers, Server};

/// What a server or a file says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    kind: String,
    /// When it expires, in milliseconds; 0 if never.
    expires_ms: u64,
    elements: Option<u64>,
    fields_expire: bool,
}

type Keys = BTreeMap<(u32, Vec<u8>), Said>;

/// What a file says besides.
struct Written {
    keys: Keys,
    summary: Summary,
    idle: Vec<Option<u64>>,
    freq: Vec<Option<u8>>,
    server: Option<String>,
    saved_s: Option<u64>,
}

fn read(bytes: &[u8], piece: usize) -> Written {
    let (mut parser, mut keys) = (Parser::new(), Keys::new());
    let (mut idle, mut freq) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        let fed = parser.feed(piece, |entry: Entry<'_>| {
            let said = Said {
                kind: entry.kind.to_string(),
                expires_ms: entry.expires_ms.unwrap_or_default(),
                elements: entry.elements,
                fields_expire: entry.fields_expire,
            };
            assert_eq!(keys.insert((entry.database, entry.key.to_vec()), said), None, "twice: {entry:?}");
            idle.push(entry.idle_s);
            freq.push(entry.freq);
        });
        fed.unwrap();
    }
    let origin = parser.origin().clone();
    Written {
        keys,
        summary: parser.finish().unwrap(),
        idle,
        freq,
        server: origin.server,
        saved_s: origin.saved_s,
    }
}

/// The file that the server writes now.
async fn saved(server: &Server) -> Vec<u8> {
    let conn = server.conn().await.unwrap();
    conn.command(&[b"SAVE"]).await.unwrap();
    fs::read(server.dir().join("dump.rdb")).unwrap()
}

async fn ask(conn: &Conn, commands: Vec<Vec<&[u8]>>) -> Vec<Reply> {
    let mut batch = Batch::new();
    commands.iter().for_each(|words| batch.add(words));
    conn.batch(batch).await.unwrap()
}

/// What the server says of the keys of a database.
async fn said(conn: &Conn, database: u32) -> Keys {
    let number = database.to_string();
    let listed = ask(conn, vec![vec![b"SELECT", number.as_bytes()], vec![b"KEYS", b"*"]]).await;
    let Some(Reply::Array(names)) = listed.into_iter().nth(1) else { panic!("no list") };
    let names: Vec<Vec<u8>> = names.into_iter().map(bytes).collect();
    let mut keys = Keys::new();
    for name in names {
        let replies = ask(conn, vec![vec![b"TYPE", &name], vec![b"PEXPIRETIME", &name]]).await;
        let kind = String::from_utf8(bytes(replies[0].clone())).unwrap();
        let count: &[u8] = match kind.as_str() {
            "list" => b"LLEN",
            "set" => b"SCARD",
            "zset" => b"ZCARD",
            "hash" => b"HLEN",
            "stream" => b"XLEN",
            _ => b"",
        };
        let elements = match count {
            [] => None,
            command => Some(number_of(&ask(conn, vec![vec![command, &name]]).await[0])),
        };
        let fields_expire = kind == "hash" && have_ttls(conn, &name).await;
        keys.insert(
            (database, name),
            Said { kind, expires_ms: number_of(&replies[1]), elements, fields_expire },
        );
    }
    keys
}

/// Whether all fields of a hash expire.
async fn have_ttls(conn: &Conn, name: &[u8]) -> bool {
    let fields = ask(conn, vec![vec![b"HKEYS", name]]).await;
    let Some(Reply::Array(fields)) = fields.into_iter().next() else { return false };
    let fields: Vec<Vec<u8>> = fields.into_iter().map(bytes).collect();
    let count = fields.len().to_string();
    let mut words: Vec<&[u8]> = vec![b"HPTTL", name, b"FIELDS", count.as_bytes()];
    words.extend(fields.iter().map(Vec::as_slice));
    match ask(conn, vec![words]).await.remove(0) {
        Reply::Array(ttls) => ttls.iter().all(|ttl| number_of(ttl) > 0),
        _ => false,
    }
}

fn bytes(reply: Reply) -> Vec<u8> {
    match reply {
        Reply::BulkString(bytes) => bytes,
        Reply::SimpleString(text) => text.into_bytes(),
        other => panic!("{other:?}"),
    }
}

fn number_of(reply: &Reply) -> u64 {
    match reply {
        Reply::Int(number) => u64::try_from(*number).unwrap_or_default(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check(written: &Keys, expected: &Keys) {
    for (key, said) in expected {
        assert_eq!(written.get(key), Some(said), "{} {}", key.0, key.1.escape_ascii());
    }
    assert_eq!(written.len(), expected.len());
}

#[tokio::test]
async fn a_file_says_what_its_server_says() {
    let server = Server::start(&[]).await.unwrap();
    let conn = server.conn().await.unwrap();
    data::write(&conn, 0).await;
    data::write(&conn, 9).await;
    let mut expected = said(&conn, 0).await;
    expected.extend(said(&conn, 9).await);
    let kinds: std::collections::BTreeSet<&str> = expected.values().map(|said| said.kind.as_str()).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["hash", "list", "set", "stream", "string", "zset"]);
    let file = saved(&server).await;
    for piece in [1, 2, 3, 5, 7, 16, 61, 1_000, 65_536, usize::MAX] {
        let written = read(&file, piece);
        check(&written.keys, &expected);
        assert_eq!((written.summary.differences.as_slice(), written.summary.checked), (&[][..], true));
        assert_eq!(written.summary.bytes, file.len() as u64);
    }
    let written = read(&file, usize::MAX);
    let version = keysweep_servers::ask(&conn, "INFO server").await.unwrap();
    let number = written.server.as_deref().and_then(|server| server.split(' ').nth(1)).unwrap();
    assert!(version.contains(&format!("_version:{number}")), "{:?}", written.server);
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(written.saved_s.unwrap().abs_diff(now_s) < 60);
    // Under noeviction servers write neither.
    assert!(written.idle.iter().all(Option::is_none) && written.freq.iter().all(Option::is_none));
}

#[tokio::test]
async fn older_forms_of_values_are_read() {
    // Without compression, and with containers that are packed as little as possible.
    let server = Server::start(&["--rdbcompression", "no", "--rdbchecksum", "no"]).await.unwrap();
    let conn = server.conn().await.unwrap();
    for (setting, value) in [
        ("hash-max-listpack-entries", "0"),
        ("set-max-intset-entries", "0"),
        ("set-max-listpack-entries", "0"),
        ("zset-max-listpack-entries", "0"),
        ("list-max-listpack-size", "1"),
    ] {
        // Not every server has every setting.
        let _ = conn.command(&[b"CONFIG", b"SET", setting.as_bytes(), value.as_bytes()]).await;
    }
    data::write(&conn, 0).await;
    let written = read(&saved(&server).await, 4_096);
    check(&written.keys, &said(&conn, 0).await);
    assert_eq!((written.summary.differences.as_slice(), written.summary.checked), (&[][..], false));
}

#[tokio::test]
async fn idle_times_and_counters_are_there_under_their_policies() {
    let server = Server::start(&["--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru"]).await.unwrap();
    let conn = server.conn().await.unwrap();
    data::write(&conn, 0).await;
    tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
    conn.command(&[b"GET", b"12345"]).await.unwrap();
    let written = read(&saved(&server).await, 4_096);
    assert!(written.freq.iter().all(Option::is_none) && written.idle.iter().all(Option::is_some));
    let used: Vec<u64> = written.idle.iter().filter_map(|idle| *idle).collect();
    assert!(
        used.iter().filter(|idle| **idle < 2).count() <= 1 && used.iter().all(|idle| *idle < 60),
        "{used:?}"
    );
    let server = Server::start(&["--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lfu"]).await.unwrap();
    let conn = server.conn().await.unwrap();
    data::write(&conn, 0).await;
    let written = read(&saved(&server).await, 4_096);
    assert!(written.idle.iter().all(Option::is_none) && written.freq.iter().all(Option::is_some));
    let said = ask(&conn, vec![vec![b"OBJECT", b"FREQ", b"12345"]]).await;
    assert!(written.freq.contains(&Some(u8::try_from(number_of(&said[0])).unwrap())), "{:?}", written.freq);
}

#[tokio::test]
async fn files_of_a_cluster_are_read() {
    let cluster = ClusterServers::start(3, 0).await.unwrap();
    let mut seeder = keysweep_servers::Seeder::connect(&cluster.urls()).await.unwrap();
    for n in 0..2_000_u32 {
        let ttl_ms = (n % 3 == 0).then_some(1_000_000);
        seeder.set(format!("cache:{n}").as_bytes(), b"value", ttl_ms).await.unwrap();
    }
    seeder.finish().await.unwrap();
    let mut total = 0;
    for server in cluster.primaries() {
        let conn = server.conn().await.unwrap();
        let written = read(&saved(server).await, 4_096);
        check(&written.keys, &said(&conn, 0).await);
        assert_eq!(written.summary.differences, []);
        total += written.summary.entries;
    }
    assert_eq!(total, 2_000);
}
