//! Numbered databases of a cluster (Valkey 9, `cluster-databases`): a run in one of them works like any other, and the
//! same names in the others are not touched.

use std::time::Duration;

use coordinator::embedded::RunError;
use coordinator::job_lock::LockError;
use keysweep_model::messages::{Action, ReadFrom};
use keysweep_model::result::Status;
use keysweep_redis::{ConnectOptions, Reply};
use keysweep_servers::{ClusterServers, Seeder, Server};
use keysweep_testkit::kit::backup::{self, Folder, contents, differences, restore};
use keysweep_testkit::kit::ground_truth::GroundTruth;
use keysweep_testkit::kit::population::{self, Population};
use keysweep_testkit::kit::{self, keys};

/// A cluster with 16 databases; `None`, with a word about it, where the servers know none.
async fn cluster() -> Option<ClusterServers> {
    cluster_with(3, 0).await
}

async fn cluster_with(primaries: usize, replicas_each: usize) -> Option<ClusterServers> {
    let server = kit::standalone().await;
    let said = server.conn().await.unwrap().info_text("CONFIG GET cluster-databases").await.unwrap();
    if matches!(said, Reply::Array(settings) if settings.is_empty()) {
        println!("skipped: clusters of these servers have no numbered databases");
        return None;
    }
    Some(
        ClusterServers::start_with(primaries, replicas_each, &["--cluster-databases", "16"], None)
            .await
            .unwrap(),
    )
}

/// The same deployment, another database.
fn at(access: &ConnectOptions, db: u32) -> ConnectOptions {
    ConnectOptions { db, ..access.clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_in_one_database_of_a_cluster_touches_no_other() {
    let Some(cluster) = cluster().await else { return };
    let mut options = kit::options(cluster.urls());
    let first = options.access.clone();
    let (truth, elsewhere) = (GroundTruth::mixture(9_000, ""), GroundTruth::mixture(3_000, ""));
    for db in [0, 3] {
        elsewhere.seed(&at(&first, db)).await;
    }
    options.access.db = 5;
    truth.seed(&options.access).await;
    let preflight = kit::preflight_of(&options).await;
    assert_eq!(
        preflight.nodes.iter().map(|node| node.keys).sum::<u64>(),
        truth.all(),
        "those of the database alone"
    );
    let result = kit::run(&options).await;
    truth.check(&options.access, &result).await;
    assert_eq!(result.coverage.slots_covered, Some(16_384));
    for db in [0, 3] {
        elsewhere.check_keys(&at(&first, db), false).await;
    }
    for db in [0, 3, 5] {
        let own = keys::matching(&at(&first, db), "keysweep:*").await;
        assert_eq!(own, Vec::<Vec<u8>>::new(), "neither lock nor ledgers stay in {db}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_database_without_stale_keys_is_skipped_independently_of_the_others() {
    let Some(cluster) = cluster().await else { return };
    let mut options = kit::options(cluster.urls());
    GroundTruth::mixture(1_000, "").seed(&options.access).await;
    options.access.db = 6;
    let mut seeder = Seeder::open(&options.access).await.unwrap();
    for n in 0..300 {
        seeder.set(format!("permissions:{n}").as_bytes(), b"x", Some(3_600_000)).await.unwrap();
    }
    seeder.finish().await.unwrap();
    let result = kit::run(&options).await;
    assert_eq!((result.status, result.cleaned_keys), (Status::Completed, 0), "{:?}", result.issues);
    assert_eq!((result.scanned_keys, result.skipped_keys), (0, 300));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inactive_users_of_one_database_of_a_cluster() {
    let Some(cluster) = cluster().await else { return };
    let mut options = population::options(cluster.urls(), population::zset());
    options.access.db = 7;
    let population = Population::of(1_000);
    population.seed(&options.access).await;
    let result = kit::run(&options).await;
    population.check_numbers(&result, Action::Delete);
    population.check_keys(&options.access, (true, true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_one_database_of_a_cluster_comes_back_there() {
    let Some(cluster) = cluster().await else { return };
    let folder = Folder::new();
    let mut options = backup::saving(backup::options(cluster.urls()), &folder);
    options.access.db = 5;
    backup::seed(&options.access, 210).await;
    let before = contents(&options.access).await;
    assert_eq!(kit::run(&options).await.status, Status::Completed);
    let order = backup::order(&options, &folder);
    assert_eq!(restore(&order).await.restored, 210);
    assert_eq!(differences(&before, &contents(&options.access).await), Vec::<String>::new());
    assert_eq!(contents(&at(&options.access, 0)).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_run_once_at_a_time_in_a_database_of_a_cluster() {
    let Some(cluster) = cluster().await else { return };
    let mut options = kit::options(cluster.urls());
    options.access.db = 5;
    options.rules.grace_ms = 3_000;
    GroundTruth::mixture(1_000, "").seed(&options.access).await;
    let (first, second) = tokio::join!(kit::run(&options), async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        coordinator::embedded::run_cleanup_now(&options).await
    });
    assert_eq!(first.status, Status::Completed);
    assert!(matches!(second, Err(RunError::Lock(LockError::Held { .. }))), "the job is being run");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_database_of_a_cluster_is_read_from_replicas() {
    let Some(cluster) = cluster_with(2, 1).await else { return };
    let mut options = kit::options(cluster.primaries().iter().map(Server::url).collect());
    options.read_from = ReadFrom::Replica { lag_max_ms: 60_000 };
    GroundTruth::mixture(1_000, "").seed(&options.access).await;
    options.access.db = 5;
    let truth = GroundTruth::mixture(3_000, "");
    truth.seed(&options.access).await;
    let result = kit::run(&options).await;
    truth.check(&options.access, &result).await;
    let read = &result.read_from.as_ref().expect("replicas were asked for").nodes;
    assert!(read.iter().all(|node| node.primary_tasks == 0 && node.replicas.len() == 1), "{read:?}");
}
