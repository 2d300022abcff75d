//! Backups of distributed runs: in a shared bucket, and the outcome of a run whose workers have no backup target.

use std::collections::BTreeMap;
use std::sync::Arc;

use coordinator::restore::RestoreRequest;
use keysweep_backup::{BackupTarget, BackupTargets};
use keysweep_config::BackupPlace;
use keysweep_model::result::Status;
use keysweep_runtime::context::Context;
use keysweep_runtime::failpoint::{FailPoint, FailPoints};
use keysweep_testkit::kit;
use keysweep_testkit::kit::backup::{self, Folder, contents, differences, restore};
use keysweep_testkit::kit::net::{self, Counts, Net, Workers};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bucket_restores_what_workers_deleted_after_a_crash() {
    let (net, cluster, keys) = (Net::start(kit::hasty()).await, kit::cluster().await, 2_000);
    let mut options = backup::options(cluster.urls());
    options.backup = Some((BackupPlace::Bucket("saved".to_owned()), 4 << 20));
    backup::seed(&options.access, keys).await;
    let before = contents(&options.access).await;
    let (env, preflight) = (net.env(&options).await, kit::preflight_of(&options).await);
    // The first worker that saved a batch never deletes it; another one does.
    let cut = net::with_crash(&env, FailPoints::at(FailPoint::BackupWritten, 1));
    let mut workers = Workers::start(&cut, Counts { scanners: 0, reapers: 1, reporters: 0 });
    workers.add(&env, Counts::PAIRS);
    let result = kit::in_time(net::driven(&env, &options, &preflight)).await;
    net::closed(&env, result.run_id).await;
    workers.stop().await;
    assert_eq!((result.status, result.cleaned_keys), (Status::Completed, keys), "{:?}", result.issues);
    let place = BackupTarget::bucket(&net.connect().await, "saved");
    let order = RestoreRequest { place, ..backup::order(&options, &Folder::new()) };
    let account = restore(&order).await;
    assert_eq!((account.restored, account.unconfirmed, account.damaged), (keys, 0, 0), "{account:?}");
    assert_eq!(differences(&before, &contents(&options.access).await), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_without_a_backup_target_delete_nothing_and_name_it() {
    let (net, server, folder) = (Net::start(kit::hasty()).await, kit::standalone().await, Folder::new());
    let options = backup::saving(backup::options(vec![server.url()]), &folder);
    backup::seed(&options.access, 100).await;
    let (env, preflight) = (net.env(&options).await, kit::preflight_of(&options).await);
    let result = net::run_in(&env, &options, &preflight, Counts::PAIRS).await;
    assert_eq!((result.status, result.cleaned_keys), (Status::Cancelled, 0), "{:?}", result.issues);
    assert!(result.accounting.balanced && result.accounting.failed > 0, "{:?}", result.accounting);
    let said =
        result.issues.iter().any(|issue| issue.contains("has no place") && issue.contains("`--backup`"));
    assert!(said, "{:?}", result.issues);
    assert_eq!(contents(&options.access).await.len(), 101);
    // A worker with a directory for all jobs.
    let places = BackupTargets::new([("another job".to_owned(), folder.place())], None);
    let env = Context { backups: Arc::new(places), ..env };
    let preflight = kit::preflight_of(&options).await;
    net::freed(&env, &options).await;
    let result = net::run_in(&env, &options, &preflight, Counts::PAIRS).await;
    assert_eq!((result.status, result.cleaned_keys), (Status::Completed, 100), "{:?}", result.issues);
    assert_eq!(restore(&backup::order(&options, &folder)).await.restored, 100);
    let types: BTreeMap<_, _> = contents(&options.access).await;
    assert_eq!(types.len(), 101);
}
