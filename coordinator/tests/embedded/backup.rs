//! Keys that a run with a backup deletes are restored exactly: every type, every name, every expiry; only deleted
//! keys, and existing keys are replaced only on request.

use std::fs;

use keysweep_model::glob::Pattern;
use keysweep_model::messages::Reason;
use keysweep_model::result::Status;
use keysweep_redis::Reply;
use keysweep_testkit::kit::backup::{self, Folder, contents, differences, restore};
use keysweep_testkit::kit::{self, soak_keys};

/// Keys of a test that runs with each change.
const KEYS: u64 = 2_500;

/// All keys deleted and put back.
async fn round_trip(urls: Vec<String>, keys: u64) {
    let folder = Folder::new();
    let options = backup::saving(backup::options(urls), &folder);
    backup::seed(&options.access, keys).await;
    let before = contents(&options.access).await;
    assert_eq!(before.len() as u64, keys + 1);
    let result = kit::run(&options).await;
    assert_eq!((result.status, result.cleaned_keys), (Status::Completed, keys), "{:?}", result.issues);
    assert_eq!(
        (result.current_metrics.hits, result.current_metrics.misses),
        (Some(0), Some(0)),
        "our own look-ups are known"
    );
    assert_eq!(contents(&options.access).await.len(), 1, "the set of those who are active");
    let account = restore(&backup::order(&options, &folder)).await;
    assert_eq!((account.read, account.restored), (keys, keys), "{account:?}");
    assert!(account.is_whole() && account.unconfirmed == 0, "{account:?}");
    assert_eq!(differences(&before, &contents(&options.access).await), Vec::<String>::new());
    // Once more: all of them are there.
    let again = restore(&backup::order(&options, &folder)).await;
    assert_eq!((again.read, again.existing), (keys, keys), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_comes_back_to_a_standalone_server() {
    let server = kit::standalone().await;
    round_trip(vec![server.url()], KEYS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_comes_back_to_a_cluster() {
    let cluster = kit::cluster().await;
    round_trip(cluster.urls(), KEYS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a tenth of KEYSWEEP_SOAK_KEYS keys of every type"]
async fn soak_every_type_comes_back() {
    let server = kit::standalone().await;
    round_trip(vec![server.url()], soak_keys() / 10).await;
    let cluster = kit::cluster().await;
    round_trip(cluster.urls(), soak_keys() / 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_requested_keys_are_restored_and_existing_ones_stay_unless_replacing() {
    let (server, folder, keys) = (kit::standalone().await, Folder::new(), 210);
    let options = backup::saving(backup::options(vec![server.url()]), &folder);
    backup::seed(&options.access, keys).await;
    let before = contents(&options.access).await;
    kit::run(&options).await;
    let conn = server.conn().await.unwrap();
    conn.info_text("SET permissions:user-2:documents mine").await.unwrap();
    let mut order = backup::order(&options, &folder);
    order.wanted.reason = Some(Reason::Inactive);
    order.dry_run = true;
    let checked = restore(&order).await;
    assert_eq!((checked.restorable, checked.filtered, checked.files), (keys / 2, keys / 2, 1), "{checked:?}");
    assert_eq!(contents(&options.access).await.len(), 2, "a dry run changes nothing");
    order.dry_run = false;
    assert_eq!(restore(&order).await.restored, keys / 2);
    order.wanted.reason = None;
    order.wanted.patterns = vec![Pattern::new(*b"permissions:*{tag}").unwrap()];
    let by_pattern = restore(&order).await;
    let (tagged, there) = (keys / 7, keys / 14);
    assert_eq!((by_pattern.restored, by_pattern.existing), (tagged - there, there), "{by_pattern:?}");
    order.wanted.patterns.clear();
    let rest = restore(&order).await;
    let back = by_pattern.restored + keys / 2;
    assert_eq!((rest.restored, rest.existing), (keys - back - 1, back + 1), "{rest:?}");
    assert_eq!(
        differences(&before, &contents(&options.access).await),
        ["permissions:user-2:documents holds another value"]
    );
    order.replace = true;
    assert_eq!(restore(&order).await.restored, keys);
    assert_eq!(differences(&before, &contents(&options.access).await), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_stays_and_is_named() {
    let (server, folder) = (kit::standalone().await, Folder::new());
    let mut options = backup::saving(kit::options(vec![server.url()]), &folder);
    options.max_delete_percent = 100;
    options.backup.as_mut().unwrap().1 = 2 << 20;
    let conn = server.conn().await.unwrap();
    let mut random = kit::seeded(11);
    for n in 0..24 {
        // Some too large, others so large that one script call takes but one of them.
        let bytes = [3 << 20, 1_500_000, 700_000, 20][n % 4];
        let value: Vec<u8> = (0..bytes).map(|_| random.u8(..)).collect();
        conn.command(&[b"SET", format!("permissions:{n}").as_bytes(), &value]).await.unwrap();
    }
    let before = contents(&options.access).await;
    let result = kit::run(&options).await;
    assert_eq!((result.status, result.cleaned_keys, result.accounting.failed), (Status::Partial, 18, 6));
    assert!(result.accounting.balanced);
    assert_eq!(
        (result.current_metrics.hits, result.current_metrics.misses),
        (Some(0), Some(0)),
        "our own look-ups are known"
    );
    let said = result.issues.iter().any(|issue| issue.contains("larger than 2097152 bytes are not saved"));
    assert!(said, "{:?}", result.issues);
    assert_eq!(contents(&options.access).await.len(), 6);
    assert!(folder.files("save").len() > 1, "no file grows without end");
    assert_eq!(restore(&backup::order(&options, &folder)).await.restored, 18);
    assert_eq!(differences(&before, &contents(&options.access).await), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_damaged_file_the_place_is_named_and_the_rest_is_restored() {
    let (server, folder, keys) = (kit::standalone().await, Folder::new(), 2_000);
    let options = backup::saving(backup::options(vec![server.url()]), &folder);
    backup::seed(&options.access, keys).await;
    kit::run(&options).await;
    let [file] = folder.files("save").try_into().expect("one batch, one file");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    fs::write(folder.0.join("notes.txt"), "a note").unwrap();
    let account = restore(&backup::order(&options, &folder)).await;
    let [damage] = account.damages.as_slice() else { panic!("{account:?}") };
    assert!(file.ends_with(&damage.file) && damage.offset <= middle as u64, "{damage:?}");
    assert!(account.lost > 0 && account.restored == account.read && account.read + account.lost == keys);
    assert!(!account.is_whole() && account.foreign_files == ["notes.txt"], "{account:?}");
    assert_eq!(contents(&options.access).await.len() as u64, account.restored + 1);
    // Cut off, and empty.
    server.conn().await.unwrap().info_text("FLUSHALL").await.unwrap();
    fs::write(&file, &bytes[..middle]).unwrap();
    fs::write(&folder.files("done")[0], "").unwrap();
    let account = restore(&backup::order(&options, &folder)).await;
    assert!(account.restored > 0 && account.unconfirmed == account.restored, "{account:?}");
    assert!(account.damages.iter().any(|damage| damage.what.contains("cut off")), "{account:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_runs_the_newest_value_is_restored_and_expired_keys_are_not() {
    let (server, folder) = (kit::standalone().await, Folder::new());
    let mut options = backup::saving(backup::options(vec![server.url()]), &folder);
    options.inactive.as_mut().unwrap().near_expiry_ms = 100;
    let conn = server.conn().await.unwrap();
    backup::seed(&options.access, 0).await;
    for value in ["old", "new"] {
        conn.info_text(&format!("SET permissions:a:x {value}")).await.unwrap();
        conn.info_text("SET permissions:b:x soon PX 1500").await.unwrap();
        assert_eq!(kit::run(&options).await.cleaned_keys, 2);
    }
    tokio::time::sleep(std::time::Duration::from_millis(1_600)).await;
    let account = restore(&backup::order(&options, &folder)).await;
    assert_eq!((account.read, account.restored, account.expired, account.older), (4, 1, 1, 2), "{account:?}");
    let value = conn.info_text("GET permissions:a:x").await.unwrap();
    assert_eq!(value, Reply::BulkString(b"new".to_vec()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_string_above_a_small_limit_stays() {
    let (server, folder) = (kit::standalone().await, Folder::new());
    let mut options = backup::saving(kit::options(vec![server.url()]), &folder);
    options.max_delete_percent = 100;
    options.backup.as_mut().unwrap().1 = 1_024;
    let conn = server.conn().await.unwrap();
    for (key, bytes) in [("large", 2_000), ("small", 20), ("empty", 0)] {
        let value = "x".repeat(bytes);
        conn.command(&[b"SET", format!("permissions:{key}").as_bytes(), value.as_bytes()]).await.unwrap();
    }
    let before = contents(&options.access).await;
    let result = kit::run(&options).await;
    assert_eq!((result.status, result.cleaned_keys, result.accounting.failed), (Status::Partial, 2, 1));
    assert_eq!((result.current_metrics.hits, result.current_metrics.misses), (Some(0), Some(0)));
    assert_eq!(restore(&backup::order(&options, &folder)).await.restored, 2);
    assert_eq!(differences(&before, &contents(&options.access).await), Vec::<String>::new());
}
