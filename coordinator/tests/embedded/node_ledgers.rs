//! Whole runs with one deletion call per node: servers that refuse such calls, and ledgers that get lost while slots move.

use std::time::Duration;

use keysweep_model::messages::Action;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_model::slot::slot_of;
use keysweep_redis::{Conn, Reply};
use keysweep_runtime::context::Timing;
use keysweep_runtime::failpoint::{FailPoint, FailPoints};
use keysweep_servers::ClusterServers;
use keysweep_testkit::kit;
use keysweep_testkit::kit::ground_truth::{Class, GroundTruth};
use keysweep_testkit::reshard::Reshard;

use crate::redelivery::delivered_twice;
use crate::reshard::{moves_before_deletion, run_and_change};

/// The script that tries keys of several slots uses keys whose names contain no `-`, unlike all others.
const REFUSES_PROBE: &str = "ACL SETUSER default resetkeys ~permissions:* ~keysweep:*-*";

async fn calls(conn: &Conn, command: &str) -> u64 {
    let Reply::BulkString(text) = conn.info_text("INFO commandstats").await.unwrap() else {
        panic!("no text")
    };
    let text = String::from_utf8(text).unwrap();
    let start = format!("cmdstat_{command}:calls=");
    let calls = text.lines().find_map(|line| line.strip_prefix(start.as_str()));
    calls.map_or(0, |calls| calls.split(',').next().unwrap().parse().unwrap())
}

async fn on_all(cluster: &ClusterServers, command: &str) {
    for node in cluster.nodes() {
        node.conn().await.unwrap().info_text(command).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_refuse_keys_of_several_slots_get_a_call_per_slot() {
    let cluster = ClusterServers::start(3, 0).await.unwrap();
    let mut scripts = Vec::new();
    for refuses in [false, true] {
        on_all(&cluster, "ACL SETUSER default allkeys").await;
        on_all(&cluster, "FLUSHALL").await;
        on_all(&cluster, "CONFIG RESETSTAT").await;
        let options = kit::options(cluster.urls());
        let truth = GroundTruth::mixture(20_000, "");
        truth.seed(&options.access).await;
        if refuses {
            on_all(&cluster, REFUSES_PROBE).await;
        }
        let result = kit::run(&options).await;
        on_all(&cluster, "ACL SETUSER default allkeys").await;
        truth.check(&options.access, &result).await;
        assert_eq!(result.status, Status::Completed, "{:?}", result.issues);
        let mut sent = 0;
        for node in cluster.nodes() {
            sent += calls(&node.conn().await.unwrap(), "evalsha").await;
        }
        scripts.push(sent);
    }
    let [by_node, by_slot] = scripts[..] else { panic!("{scripts:?}") };
    // Redis 6.2 has no such scripts, and makes a call per slot either way.
    assert!(
        by_node * 4 < by_slot || by_slot.abs_diff(by_node) < by_slot / 10,
        "{by_node} and {by_slot} calls"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_per_slot_is_as_exact() {
    let cluster = ClusterServers::start(3, 0).await.unwrap();
    // The data set of these runs has keys that a run must not touch.
    on_all(&cluster, &format!("{REFUSES_PROBE} ~product:*")).await;
    delivered_twice(cluster.urls(), 10_000, 100).await;
    on_all(&cluster, "FLUSHALL").await;
    Box::pin(moves_before_deletion(&cluster)).await;
}

/// The state of the ledgers when a cut-off reaper's batch is redelivered.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meanwhile {
    /// They are there, and so is the slot.
    Nothing,
    /// They are there, and a slot of each batch has moved.
    Moved,
    /// A person has deleted them.
    Lost,
    /// They are lost, as with a node, and a slot of each batch has moved.
    MovedAndLost,
}

/// A run whose reaper is cut off after its first deletions.
async fn cut_off_after_deletions(meanwhile: Meanwhile) -> (CleanupResult, GroundTruth) {
    let cluster = kit::cluster().await;
    let options = kit::options(cluster.urls());
    let mut truth = GroundTruth::default();
    // In one slot, so that there is one batch.
    for n in 0..200 {
        let class = if n < 50 { Class::Stale } else { Class::Fresh };
        truth.add(class, format!("permissions:{{x}}:{n}"));
    }
    truth.seed(&options.access).await;
    let slot = slot_of(b"{x}");
    let (from, moves) =
        (cluster_owner(slot), matches!(meanwhile, Meanwhile::Moved | Meanwhile::MovedAndLost));
    let timing = Timing { ack_wait: Duration::from_secs(2), ..Timing::default() };
    let preflight = kit::preflight_of(&options).await;
    let (env, crash) =
        kit::with_crash(kit::env(&options, timing), FailPoints::at(FailPoint::ReceiptPending, 1));
    let running = kit::run_in(&env, &options, &preflight);
    let changing = async {
        kit::in_time(async {
            while !crash.has_fired() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        if matches!(meanwhile, Meanwhile::Lost | Meanwhile::MovedAndLost) {
            let conn = cluster.nodes()[from].conn().await.unwrap();
            let Reply::Array(ledgers) = conn.info_text("KEYS keysweep:ledger:*").await.unwrap() else {
                panic!("no keys")
            };
            assert!(!ledgers.is_empty());
            for ledger in ledgers {
                let Reply::BulkString(name) = ledger else { panic!("no name") };
                conn.command(&[b"UNLINK", &name]).await.unwrap();
            }
        }
        if moves {
            cluster.move_slot(slot, from, (from + 1) % 3).await.unwrap();
        }
    };
    let (result, ()) = tokio::join!(running, changing);
    if moves {
        cluster.move_slot(slot, (from + 1) % 3, from).await.unwrap();
    }
    (result.unwrap(), truth)
}

/// The primary of `slot` in a new cluster of three.
fn cluster_owner(slot: u16) -> usize {
    (0..3).rfind(|index| usize::from(slot) >= 16_384 * index / 3).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redelivered_batch_reads_its_ledgers_also_after_slots_moved() {
    for meanwhile in [Meanwhile::Nothing, Meanwhile::Moved] {
        let (result, truth) = cut_off_after_deletions(meanwhile).await;
        assert_eq!(result.status, Status::Completed, "{meanwhile:?} {:?}", result.issues);
        truth.check_numbers(&result, Action::Delete);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_keys_of_a_lost_ledger_are_unconfirmed() {
    for meanwhile in [Meanwhile::Lost, Meanwhile::MovedAndLost] {
        let (result, _) = cut_off_after_deletions(meanwhile).await;
        let accounting = &result.accounting;
        assert_eq!(
            (accounting.deleted, accounting.vanished, accounting.unconfirmed),
            (0, 0, 50),
            "{meanwhile:?} {accounting:?}"
        );
        assert!(accounting.is_balanced(), "{accounting:?}");
        assert_eq!(result.status, Status::Partial);
    }
}

/// Valkey 9 moves slots at once, between two commands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_atomically_before_the_deletion_are_followed() {
    let cluster = ClusterServers::start(3, 0).await.unwrap();
    let mut options = kit::options(cluster.urls());
    options.rules.grace_ms = 700;
    let truth = GroundTruth::mixture(10_000, "");
    truth.seed(&options.access).await;
    let (from, to) = (cluster.nodes()[0].conn().await.unwrap(), cluster.nodes()[1].conn().await.unwrap());
    let request = format!("CLUSTER MIGRATESLOTS SLOTSRANGE 0 2000 NODE {}", cluster.id(1));
    let mut supported = true;
    let env = kit::env(&options, Timing::default());
    let result = run_and_change(&env, &options, async |scanned| {
        scanned.await;
        supported = from.info_text(&request).await.is_ok();
        // Slot 0 is that of this name.
        while supported && to.info_text("SET keysweep:{3560} 1 XX").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    if !supported {
        println!("skipped: this server does not move slots atomically");
        return;
    }
    assert_eq!(result.status, Status::Completed, "{:?}", result.issues);
    truth.check(&options.access, &result).await;
}
