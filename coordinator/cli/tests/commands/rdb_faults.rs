//! RDB files that are damaged, cut off or none, and flags that do not go with them.

use std::path::Path;

use keysweep_servers::{Seeder, Server};
use serde_json::json;

use crate::cli::{Ended, keysweep};
use crate::rdb::{folder, save};

fn inspect(path: &Path, more: &[&str]) -> Ended {
    keysweep(&[&["inspect", "--json", "--rdb", path.to_str().unwrap()], more].concat()).run()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_cut_off_or_damaged_is_named_with_the_place() {
    let (server, folder) = (Server::start(&[]).await.unwrap(), folder("rdb-damaged"));
    let mut seeder = Seeder::connect(&[server.url()]).await.unwrap();
    for n in 0..2_000 {
        seeder.set(format!("cache:{n}").as_bytes(), b"value", None).await.unwrap();
    }
    seeder.finish().await.unwrap();
    let whole = save(&server, &folder.join("dump.rdb")).await;
    let bytes = std::fs::read(&whole).unwrap();
    let (path, rules) = (folder.join("wrong.rdb"), folder.join("rules.toml"));
    std::fs::write(&rules, "[[job]]\nname = \"j\"\n[[job.rule]]\nmatch = [\"cache:*\"]\ndurable = true\n")
        .unwrap();
    let half = bytes.len() / 2;
    let mut flipped = bytes.clone();
    flipped[half] ^= 1;
    for (wrong, causes) in [
        (bytes[..half].to_vec(), &[format!("`: at byte {half}: "), "before its end mark".to_owned()][..]),
        (flipped, &["`: at byte ".to_owned()]),
        ([bytes.as_slice(), b"*1\r\n"].concat(), &[format!("at byte {}: more bytes follow", bytes.len())]),
    ] {
        std::fs::write(&path, wrong).unwrap();
        let found = inspect(&path, &[]).exits(3).json();
        assert_eq!(
            (&found["complete"], &found["source"]["files"][0]["complete"]),
            (&json!(false), &json!(false))
        );
        assert!(found["missing"].as_str().unwrap().contains("wrong.rdb"), "{found}");
        let page = keysweep(&["inspect", "--rdb", path.to_str().unwrap()]).run();
        let text: String = page.exits(3).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(causes.iter().all(|cause| text.contains(cause)), "{causes:?}: {page}");
        let check = ["policy", "check", "--config", rules.to_str().unwrap(), "--rdb", path.to_str().unwrap()];
        let text: String =
            keysweep(&check).run().exits(3).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("not all keys were read") && text.contains("wrong.rdb"), "{text}");
        // A rule for each namespace says that there may be more.
        let policy = folder.join("policy.toml");
        let _ = std::fs::remove_file(&policy);
        inspect(&path, &["--write-policy", policy.to_str().unwrap()]).exits(3);
        assert!(std::fs::read_to_string(&policy).unwrap().contains("Not all keys were read"));
    }
}

#[test]
fn what_is_no_rdb_file_is_refused_with_the_way_out() {
    let folder = folder("rdb-foreign");
    let check = |bytes: &[u8], expected: &[&str]| {
        let path = folder.join("some.rdb");
        std::fs::write(&path, bytes).unwrap();
        inspect(&path, &[]).fails(2, &[&["some.rdb"], expected].concat());
    };
    check(b"some other file", &["this is no RDB file"]);
    check(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", &["gunzip -c"]);
    check(b"\x28\xb5\x2f\xfd\x00\x00\x00\x00\x00\x03", &["zstd -dc"]);
    check(b"*2\r\n$6\r\nSELECT\r\n", &["append-only file"]);
    check(b"REDIS0099\xff", &["version 99", "1 to 14"]);
    inspect(&folder.join("absent.rdb"), &[]).fails(2, &["absent.rdb", "No such file"]);
    let empty = crate::rdb::folder("rdb-empty");
    inspect(&empty, &[]).fails(2, &["has no file called `*.rdb`"]);
}

#[test]
fn flags_of_servers_do_not_go_with_files() {
    let path = folder("rdb-flags").join("empty.rdb");
    std::fs::write(&path, b"REDIS0009\xff\0\0\0\0\0\0\0\0").unwrap();
    for flags in [
        &["--redis", "redis://127.0.0.1:1"][..],
        &["--max-speed"],
        &["--read-from", "replica"],
        &["--cacert", "x"],
    ] {
        inspect(&path, flags).fails(2, &["`--rdb` reads files instead of servers", flags[0]]);
        let check = ["policy", "check", "--json", "--rdb", path.to_str().unwrap()];
        keysweep(&[&check[..], flags].concat())
            .run()
            .fails(2, &["`--rdb` reads files instead of servers", flags[0]]);
    }
    inspect(&path, &["--memory", "full"]).fails(2, &["leave out `--memory`"]);
    inspect(&path, &["--rdb", path.to_str().unwrap()]).fails(2, &["is named twice"]);
    let found = inspect(&path, &[]).exits(0).json();
    assert_eq!(
        (&found["totalKeys"], &found["complete"], &found["databases"]),
        (&json!(0), &json!(true), &json!([0]))
    );
}
