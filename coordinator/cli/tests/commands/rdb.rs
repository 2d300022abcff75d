//! `keysweep inspect` and `policy check` of RDB files say what they say of the servers that wrote them.

use std::path::{Path, PathBuf};

use keysweep_servers::{ClusterServers, Seeder, Server};
use keysweep_testkit::populations::POPULATIONS;
use serde_json::{Value, json};

use crate::cli::{keysweep, with_input};
use crate::inspect::written;

/// A new folder for files of a test.
pub fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Lets a server write its file, and copies it to `path`.
pub async fn save(server: &Server, path: &Path) -> String {
    server.conn().await.unwrap().command(&[b"SAVE"]).await.unwrap();
    std::fs::copy(server.dir().join("dump.rdb"), path).unwrap();
    path.to_str().unwrap().to_owned()
}

fn of_server(words: &[&str], url: &str) -> Value {
    keysweep(&[words, &["--json", "--max-speed", "--redis", url]].concat()).run().exits(0).json()
}

fn of_files(words: &[&str], files: &[&str]) -> Value {
    let flags: Vec<&str> = files.iter().flat_map(|file| ["--rdb", file]).collect();
    keysweep(&[words, &["--json"], &flags].concat()).run().exits(0).json()
}

/// What both must say alike. Of types, a server says those of a sample.
fn counts(found: &Value) -> Value {
    let row = |row: &Value| {
        let types: Vec<&String> = row["types"].as_object().unwrap().keys().collect();
        json!({
            "db": row["db"], "template": row["template"], "keys": row["keys"], "keysMax": row["keysMax"],
            "noTtl": row["noTtl"], "fieldTtl": row["fieldTtl"], "known": row["known"], "types": types,
            "hasTtl": !row["ttl"]["max"].is_null(), "sampleKeys": row["sampleKeys"],
        })
    };
    json!({
        "totalKeys": found["totalKeys"], "noTtl": found["noTtl"], "complete": found["complete"],
        "databases": found["databases"], "other": found["other"], "approximate": found["approximate"],
        "namespaces": found["namespaces"].as_array().unwrap().iter().map(row).collect::<Vec<_>>(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_has_the_namespaces_of_its_server() {
    let (server, folder) = (Server::start(&[]).await.unwrap(), folder("rdb-populations"));
    for population in POPULATIONS {
        written(&[server.url()], population).await;
        // Another database.
        let script =
            b"redis.call('SELECT', 7) for i = 1, 40 do redis.call('HSET', 'seven:' .. i, 'f', i) end";
        server.conn().await.unwrap().command(&[b"EVAL", script, b"0"]).await.unwrap();
        let file = save(&server, &folder.join(format!("{}.rdb", population.name))).await;
        let (expected, found) = (of_server(&["inspect"], &server.url()), of_files(&["inspect"], &[&file]));
        assert_eq!(counts(&found), counts(&expected), "{}", population.name);
        assert_eq!(expected["source"], Value::Null);
        let source = &found["source"]["files"][0];
        assert_eq!((&source["name"], &source["keys"]), (&json!(file), &found["totalKeys"]));
        assert!(
            source["server"].as_str().unwrap().contains(' ') && source["savedAt"].is_string(),
            "{source}"
        );
        let longest = |found: &Value| {
            let rows = found["namespaces"].as_array().unwrap().iter();
            rows.filter_map(|row| row["ttl"]["max"].as_f64()).fold(0.0, f64::max)
        };
        assert!((longest(&found) - longest(&expected)).abs() < 60.0);
        for row in found["namespaces"].as_array().unwrap() {
            let types = row["types"].as_object().unwrap().values().map(|keys| keys.as_u64().unwrap());
            assert_eq!(
                (types.sum(), &row["memoryBytes"]),
                (row["keys"].as_u64().unwrap(), &Value::Null),
                "{row}"
            );
        }
        assert_eq!((&found["memory"]["bytes"], &found["largest"]["keys"]), (&Value::Null, &json!([])));
        let one = of_files(&["inspect", "--db", "7"], &[&file]);
        assert_eq!((&one["databases"], &one["totalKeys"]), (&json!([7]), &json!(40)));
        let piped = with_input(Path::new(&file), &["inspect", "--json", "--rdb", "-"]).run().exits(0).json();
        assert_eq!(
            (counts(&piped), &piped["source"]["files"][0]["name"]),
            (counts(&found), &json!("standard input"))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_files_of_a_cluster_have_its_namespaces() {
    let (cluster, folder) = (ClusterServers::start(3, 0).await.unwrap(), folder("rdb-cluster"));
    written(&cluster.urls(), POPULATIONS[0]).await;
    let mut files = Vec::new();
    for (number, server) in cluster.primaries().iter().enumerate() {
        files.push(save(server, &folder.join(format!("node-{number}.rdb"))).await);
    }
    std::fs::write(folder.join("notes.txt"), "not read").unwrap();
    let expected = counts(&of_server(&["inspect"], &cluster.urls()[0]));
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    assert_eq!(counts(&of_files(&["inspect"], &files)), expected);
    assert_eq!(counts(&of_files(&["inspect"], &[folder.to_str().unwrap()])), expected);
    // The same node twice, and the file of another server beside it.
    let copy = folder.join("copy.rdb");
    std::fs::copy(files[0], &copy).unwrap();
    let twice = keysweep(&["inspect", "--json", "--rdb", folder.to_str().unwrap()]).run();
    twice.fails(2, &["copy.rdb", "their keys would count twice"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_breaks_the_rules_that_its_server_breaks() {
    let (server, folder) = (Server::start(&[]).await.unwrap(), folder("rdb-rules"));
    let (url, conn) = (server.url(), server.conn().await.unwrap());
    let fill = "for i = 1, 30 do redis.call('SET', 'cache:' .. i, 'x') end
                for i = 1, 20 do redis.call('SET', 'cart:' .. i, 'x', 'EX', 9000) end
                for i = 1, 10 do redis.call('RPUSH', 'list:' .. i, unpack({1, 2, 3, 4, 5, 6}, 1, i % 6 + 1)) end
                for i = 1, 5 do redis.call('SET', 'loose:' .. i, 'x') end";
    conn.command(&[b"EVAL", fill.as_bytes(), b"0"]).await.unwrap();
    let path = folder.join("rules.toml");
    let rules = "[[job]]\nname = \"hygiene\"\n[[job.rule]]\nmatch = [\"cache:*\"]\nttl = \"1h\"\nowner = \"web\"\n\
                 [[job.rule]]\nmatch = [\"cart:*\"]\nmax_ttl = \"1h\"\n\
                 [[job.rule]]\nmatch = [\"list:*\"]\nwhere = \"type = list and length > 3\"\naction = \"report\"\n";
    std::fs::write(&path, rules).unwrap();
    let file = save(&server, &folder.join("dump.rdb")).await;
    let check = ["policy", "check", "--json", "--config", path.to_str().unwrap()];
    let expected = keysweep(&[&check[..], &["--redis", &url]].concat()).run().exits(6).json();
    assert_eq!(expected["rules"][0]["sampleKeys"].as_array().map(Vec::len), Some(3), "{expected}");
    let mut found = keysweep(&[&check[..], &["--rdb", &file]].concat()).run().exits(6).json();
    assert_eq!(found["source"]["files"][0]["complete"], true);
    found["source"] = Value::Null;
    assert_eq!(found, expected);
    assert_eq!(found["breaches"], 30 + 20 + 5);
    // What is not in a file is unknown, and said to be.
    std::fs::write(&path, rules.replace("length > 3", "bytes > 1")).unwrap();
    let page = keysweep(&["policy", "check", "--config", path.to_str().unwrap(), "--rdb", &file]).run();
    for part in ["of 10 keys it is unknown", "dump.rdb", "How much memory keys took is not in a file"] {
        let text = page.exits(6).stdout.replace('\n', " ").replace("   ", " ").replace("  ", " ");
        assert!(text.contains(part), "{part}: {page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_had_expired_when_a_file_was_written_are_not_counted() {
    let server = Server::start(&["--enable-debug-command", "yes"]).await.unwrap();
    let folder = folder("rdb-expired");
    let mut seeder = Seeder::connect(&[server.url()]).await.unwrap();
    // Servers write keys that have expired and were not removed yet.
    server.conn().await.unwrap().info_text("DEBUG SET-ACTIVE-EXPIRE 0").await.unwrap();
    for n in 0..50 {
        seeder.set(format!("gone:{n}").as_bytes(), b"v", Some(1)).await.unwrap();
        seeder.set(format!("here:{n}").as_bytes(), b"v", Some(3_000)).await.unwrap();
    }
    seeder.finish().await.unwrap();
    // The file is of a whole second.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let file = save(&server, &folder.join("dump.rdb")).await;
    tokio::time::sleep(std::time::Duration::from_millis(3_000)).await;
    let found = of_files(&["inspect"], &[&file]);
    // What expired since then was there.
    assert_eq!(
        (&found["totalKeys"], &found["source"]["files"][0]["keys"]),
        (&json!(50), &json!(100)),
        "{found}"
    );
}
