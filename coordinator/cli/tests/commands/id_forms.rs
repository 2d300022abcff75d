//! Ids that are written differently in keys and in the activity set: active users keep their caches, and an activity
//! set without a user of any sampled key is rejected.

use keysweep_servers::Server;
use serde_json::{Value, json};

use crate::cli::deployment::{DIGEST, TestDeployment};
use crate::cli::keysweep;

/// Users with a cache each.
const USERS: u64 = 100;

/// The key of a user, by the number of the user.
type KeyOf = fn(u64) -> String;

/// The member of the activity set for a user; `None` if the user is not in it.
type MemberOf = fn(u64) -> Option<String>;

/// A server with a cache for each user, 200 other keys, and the activity set with all users that `member` names: they
/// were active an hour ago.
async fn scene(key: KeyOf, member: MemberOf) -> (Server, TestDeployment) {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let hour_ago_s = keysweep_model::time::now_ms() / 1_000 - 3_600;
    for n in 0..USERS {
        place.all(&format!("SET {} x PX 3600000", key(n))).await;
        if let Some(member) = member(n) {
            place.all(&format!("ZADD act {hour_ago_s} {member}")).await;
        }
    }
    for n in 0..200 {
        place.all(&format!("SET other:{n} x")).await;
    }
    (server, place)
}

fn run(place: &TestDeployment, more: &[&str]) -> Value {
    let args = ["run", "--yes", "--json", "--grace", "0s", "--max-delete-percent", "100", "--aggressive"];
    let source = ["--activity", "zset:act", "--identity", "permissions:{user}:*", "--redis", place.url()];
    keysweep(&[&args[..], &source, more].concat()).run().exits(0).result("completed")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn active_users_keep_their_caches_however_their_ids_are_written() {
    let plain = |n| format!("permissions:{n}:x");
    let cases: [(KeyOf, MemberOf); 4] = [
        (plain, |n| Some(format!("user:{n}"))),
        (plain, |n| Some(format!("{n:06}"))),
        (|n| format!("permissions:{{{n}}}:x"), |n| Some(n.to_string())),
        (|n| format!("permissions:u%40{n}:x"), |n| Some(format!("U@{n}"))),
    ];
    for (number, (key, member)) in cases.into_iter().enumerate() {
        let (_server, place) = scene(key, member).await;
        let result = run(&place, &[]);
        assert_eq!(place.keys("permissions:*").await, USERS as usize, "case {number}: {result:#}");
        assert_eq!(result["inactiveUserCaches"], json!(0), "case {number}");
        assert_eq!(result["inactive"]["searched"], json!(true), "case {number}");
    }
    // Inactive users are found by the same ids.
    let (_server, place) = scene(plain, |n| n.is_multiple_of(2).then(|| format!("user:{n}"))).await;
    let result = run(&place, &[]);
    assert_eq!((place.keys("permissions:*").await, &result["inactiveUserCaches"]), (50, &json!(50)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activity_set_that_matches_no_key_is_refused_with_an_id_of_each_side() {
    let (_server, place) = scene(|n| format!("permissions:{n}:x"), |n| Some(format!("zz-{n}-q"))).await;
    let result = run(&place, &[]);
    assert_eq!(place.keys("permissions:*").await, USERS as usize, "{result:#}");
    let why = result["inactive"]["refused"].as_str().unwrap();
    for words in ["none of 100 sampled keys", "`permissions:", "`zz-", "--allow-no-active"] {
        assert!(why.contains(words), "{why}");
    }
    assert!(result["issues"].to_string().contains("Aggressive cleanup was refused"), "{result:#}");
    let inactive = &result["inactive"];
    assert_eq!((&inactive["sampledActivePercent"], &inactive["found"]), (&json!(0.0), &Value::Null));
    // The operator overrides the check.
    let result = run(&place, &["--allow-no-active"]);
    assert_eq!((place.keys("permissions:*").await, &result["inactiveUserCaches"]), (0, &json!(USERS)));
}
