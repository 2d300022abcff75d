//! Reports and batches of a hostile scanner, in real runs: reapers do nothing that the run does not allow, the limit
//! on deletions is enforced before the first one, and every run ends.

use std::time::{Duration, Instant};

use coordinator::options::Options;
use keysweep_model::ids::{BatchId, NodeId, TaskId};
use keysweep_model::messages::{Action, ListedBatch, ReapBatch, Reason, ScanTask, TaskReport, Verify};
use keysweep_model::result::{CleanupResult, Status};
use keysweep_model::time::now_ms;
use keysweep_model::wire;
use keysweep_runtime::context::{Context, Timing};
use keysweep_servers::{Seeder, Server};
use keysweep_testkit::kit::forger::{self, Forged, batch, covering, listed};
use keysweep_testkit::kit::{self, keys, population};
use serde::Serialize;

const HEALTHY: usize = 5_000;
const STALE: usize = 10;

/// A server with keys that expire in an hour, and a few without TTL.
struct Scene {
    server: Server,
    healthy: Vec<Vec<u8>>,
    stale: Vec<Vec<u8>>,
    /// When the healthy ones expire.
    at_ms: u64,
}

fn named(what: &str, count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|n| format!("permissions:{what}{n}:x").into_bytes()).collect()
}

impl Scene {
    async fn new() -> Self {
        let scene = Self {
            server: kit::standalone().await,
            healthy: named("user", HEALTHY),
            stale: named("stale", STALE),
            at_ms: now_ms() + 3_600_000,
        };
        scene.seed().await;
        scene
    }

    async fn seed(&self) {
        let mut seeder = Seeder::connect(&[self.server.url()]).await.unwrap();
        let at = self.at_ms.to_string();
        for key in &self.healthy {
            seeder.command(key, &[b"SET", key, b"v", b"PXAT", at.as_bytes()]).await.unwrap();
        }
        for key in &self.stale {
            seeder.set(key, b"v", None).await.unwrap();
        }
        seeder.finish().await.unwrap();
    }

    /// A run with the limit `percent`.
    fn options(&self, percent: u8) -> Options {
        Options { max_delete_percent: percent, ..kit::options(vec![self.server.url()]) }
    }

    async fn gone(&self) -> (usize, usize) {
        let access = self.options(0).access;
        let healthy = HEALTHY - keys::existing(&access, &self.healthy).await.len();
        (healthy, STALE - keys::existing(&access, &self.stale).await.len())
    }
}

/// A run of `options` whose scanner answers with what `forge` makes. It ends long before a batch would be taken for lost.
async fn attacked(
    options: &Options,
    forge: impl Fn(&ScanTask) -> Forged + Send + Sync + 'static,
) -> (CleanupResult, Context) {
    let preflight = kit::preflight_of(options).await;
    let mut env = kit::env(options, Timing::default());
    forger::install(&mut env, forge);
    let begun = Instant::now();
    let result = kit::run_in(&env, options, &preflight).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(30), "it took {:?}", begun.elapsed());
    (result, env)
}

/// The same, where nothing may be deleted and the result says why.
async fn refused(
    scene: &Scene,
    options: &Options,
    why: &str,
    forge: impl Fn(&ScanTask) -> Forged + Send + Sync + 'static,
) {
    let (result, _) = attacked(options, forge).await;
    assert_eq!(scene.gone().await, (0, 0), "{why}");
    assert_eq!(result.cleaned_keys, 0, "{why}");
    assert!(matches!(result.status, Status::Partial | Status::Cancelled), "{why}: {:?}", result.status);
    assert!(result.issues.iter().any(|issue| issue.contains(why)), "{why}: {:?}", result.issues);
}

/// The batch of the audit: healthy keys of users who are said to be inactive, in a run that looks for stale keys alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn healthy_keys_of_a_stale_only_run_stay_in_forged_batches() {
    let scene = Scene::new().await;
    let expire = Action::Expire { ttl_ms: 60_000, jitter_ms: 0 };
    for action in [Action::Delete, expire] {
        for (keys, why) in [
            (0, "with an impossible number of keys"),
            (1, "its number of keys differs from the report"),
            (4_000, "does not look for inactive users"),
        ] {
            let mut options = scene.options(if keys == 4_000 { 100 } else { 2 });
            options.rules.action = action;
            let (healthy, at_ms) = (scene.healthy[..4_000].to_vec(), scene.at_ms);
            let forge = move |task: &ScanTask| {
                let batch = batch(task, Reason::Inactive, &healthy, at_ms);
                let listed =
                    ListedBatch { batch: batch.batch, keys, deletes: keys, rule: None, digest: None };
                Forged::of(task, &[batch], vec![listed])
            };
            refused(&scene, &options, why, forge).await;
        }
    }
}

/// Listed truly, they are more than the limit allows: the run stops before the first one goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_is_enforced_before_anything_is_deleted() {
    for parts in [1, 10] {
        let scene = Scene::new().await;
        let options = scene.options(2);
        let preflight = kit::preflight_of(&options).await;
        // The plan saw ten stale keys, and allows a hundred.
        assert_eq!(preflight.spec.guards.deletions_max, Some(100));
        let conn = keys::conns(&options.access).await.remove(0);
        for key in &scene.healthy[..1_000] {
            conn.command(&[b"PERSIST", key]).await.unwrap();
        }
        let stale = scene.healthy[..1_000].to_vec();
        let mut env = kit::env(&options, Timing::default());
        forger::install(&mut env, move |task| {
            let of_part = |keys: &[Vec<u8>]| batch(task, Reason::Stale, keys, 0);
            Forged::honest(task, &stale.chunks(1_000 / parts).map(of_part).collect::<Vec<_>>())
        });
        let result = kit::run_in(&env, &options, &preflight).await.unwrap();
        assert_eq!((scene.gone().await, result.status), ((0, 0), Status::Cancelled));
        assert_eq!((result.accounting.unreached, result.accounting.balanced), (1_000, true));
        let cause = "1000 keys qualify for deletion, more than the limit of 100";
        assert!(result.issues.iter().any(|issue| issue.contains(cause)), "{:?}", result.issues);
    }
}

/// What the other tests change one thing of: truly stale keys, listed as they are, go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_follows_all_rules_is_applied() {
    let scene = Scene::new().await;
    let stale = scene.stale.clone();
    let forge = move |task: &ScanTask| Forged::honest(task, &[batch(task, Reason::Stale, &stale, 0)]);
    let (result, _) = attacked(&scene.options(50), forge).await;
    assert_eq!((result.status, result.cleaned_keys), (Status::Completed, STALE as u64));
    assert_eq!(scene.gone().await, (0, STALE));
}

/// A batch that is wrong in one thing does nothing at all, although its keys are stale.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reaper_enforces_each_rule() {
    let scene = Scene::new().await;
    let mut options = scene.options(100);
    options.rules.delete_batch_keys = 50;
    let check = async |why: &str, keys: &[&str], tamper: fn(&mut ReapBatch)| {
        let mut all = scene.stale.clone();
        all.extend(keys.iter().map(|key| key.as_bytes().to_vec()));
        let forge = move |task: &ScanTask| {
            let mut batch = batch(task, Reason::Stale, &all, 0);
            tamper(&mut batch);
            Forged::honest(task, &[batch])
        };
        refused(&scene, &options, why, forge).await;
    };
    check("matches no pattern", &["session:1"], |_| {}).await;
    check("one of its keys is protected", &["permissions:system:1"], |_| {}).await;
    check("matches no pattern", &["keysweep:lock:x"], |_| {}).await;
    check("contains a key twice", &["permissions:stale0:x"], |_| {}).await;
    check("does not belong to its task", &[], |batch| batch.groups[0].slot = 7).await;
    check("node or scan generation differs", &[], |batch| batch.node = NodeId::new("other")).await;
    check("node or scan generation differs", &[], |batch| batch.scan_generation = 1).await;
    check("time window is longer than allowed", &[], |batch| batch.not_after_ms += 1).await;
    let large = |batch: &mut ReapBatch| {
        let key = batch.groups[0].keys[0].clone();
        batch.groups[0].keys.resize(51, key);
    };
    check("larger than the run allows", &[], large).await;
}

/// In a run that compares values, a batch that says of none what it was does nothing, and so does one whose scanner is too
/// old to take fingerprints.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_without_fingerprints_are_refused_where_values_are_compared() {
    let scene = Scene::new().await;
    let mut options = scene.options(100);
    options.rules.verify = Verify::Value;
    for (verified, why) in
        [(false, "its scanner took no fingerprints"), (true, "one of its groups has no fingerprints")]
    {
        let stale = scene.stale.clone();
        let forge = move |task: &ScanTask| {
            let mut forged = Forged::honest(task, &[batch(task, Reason::Stale, &stale, 0)]);
            forged.reports[0].verified = verified;
            forged
        };
        refused(&scene, &options, why, forge).await;
    }
}

/// A report that its task cannot have is refused by the driver of the run, and its batches do nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_that_fit_no_planned_task_are_refused() {
    let scene = Scene::new().await;
    let options = scene.options(100);
    let check = async |why: &str, tamper: fn(&mut TaskReport, &mut ReapBatch)| {
        let stale = scene.stale.clone();
        let forge = move |task: &ScanTask| {
            let mut batch = batch(task, Reason::Stale, &stale, 0);
            let mut report = TaskReport { batches: vec![listed(&batch)], ..covering(task) };
            tamper(&mut report, &mut batch);
            let mut reports = vec![report];
            if reports[0].task != task.task {
                reports.push(covering(task));
            }
            Forged { reports, ..Forged::of(task, &[batch], Vec::new()) }
        };
        refused(&scene, &options, why, forge).await;
    };
    check("its task was not planned", |report, batch| {
        report.task = TaskId::new();
        batch.task = report.task;
    })
    .await;
    // Such deletions would not count into the limit.
    check("another run, scan generation or node", |report, batch| {
        (report.scan_generation, batch.scan_generation) = (1, 1);
    })
    .await;
    check("another run, scan generation or node", |report, batch| {
        report.node = NodeId::new("other");
        batch.node = report.node.clone();
    })
    .await;
    check("an impossible number of keys", |report, _| report.batches[0].deletes += 1).await;
    check("an impossible number of keys", |report, _| {
        (report.batches[0].keys, report.batches[0].deletes) = (u64::MAX, u64::MAX);
    })
    .await;
    check("lists 1001 batches", |report, _| {
        let more = || ListedBatch { batch: BatchId::new(), ..report.batches[0].clone() };
        let more: Vec<ListedBatch> = (0..1_000).map(|_| more()).collect();
        report.batches.extend(more);
    })
    .await;
}

/// Two tasks cannot both have a batch, or the limit would count it once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_of_other_tasks_and_batches_of_other_reports_are_refused() {
    let cluster = kit::cluster().await;
    let options = Options { max_delete_percent: 100, ..kit::options(cluster.urls()) };
    let stale = named("stale", 300);
    let mut seeder = Seeder::open(&options.access).await.unwrap();
    for key in &stale {
        seeder.set(key, b"v", None).await.unwrap();
    }
    seeder.finish().await.unwrap();
    // Every task claims all keys.
    let all = stale.clone();
    let forge = move |task: &ScanTask| Forged::honest(task, &[batch(task, Reason::Stale, &all, 0)]);
    let (result, _) = attacked(&options, forge).await;
    assert_eq!((result.cleaned_keys, keys::existing(&options.access, &stale).await.len()), (0, 300));
    let why = "one of its slots does not belong to its task";
    assert!(result.issues.iter().any(|issue| issue.contains(why)), "{:?}", result.issues);
    // All tasks list one batch: one of them has it.
    let (one, all) = (BatchId::new(), stale.clone());
    let forge = move |task: &ScanTask| {
        let slots = task.scope.slots();
        let here: Vec<Vec<u8>> =
            all.iter().filter(|key| slots.contains(keysweep_model::slot::slot_of(key))).cloned().collect();
        let mut forged =
            Forged::honest(task, &[ReapBatch { batch: one, ..batch(task, Reason::Stale, &here, 0) }]);
        // Or the queue would take them for one message.
        forged.batches[0].0 = task.task.to_string();
        forged
    };
    let (result, _) = attacked(&options, forge).await;
    let gone = 300 - keys::existing(&options.access, &stale).await.len();
    assert!(gone <= 150 && result.cleaned_keys == gone as u64, "{gone} of 300");
    let why = "it lists a batch that another one lists";
    assert!(result.issues.iter().any(|issue| issue.contains(why)), "{:?}", result.issues);
}

/// A batch that says that its grace is over waits for it all the same: by then these keys have their TTL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_batch_shortens_the_grace() {
    let scene = Scene::new().await;
    let mut options = scene.options(50);
    options.rules.grace_ms = 3_000;
    let stale = scene.stale.clone();
    let forge = move |task: &ScanTask| Forged::honest(task, &[batch(task, Reason::Stale, &stale, 0)]);
    let applying = async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let conn = keys::conns(&options.access).await.remove(0);
        for key in &scene.stale {
            conn.command(&[b"EXPIRE", key, b"3600"]).await.unwrap();
        }
    };
    let ((result, _), ()) = tokio::join!(attacked(&options, forge), applying);
    assert_eq!((result.accounting.spared, scene.gone().await), (STALE as u64, (0, 0)));
}

/// A batch as it travels, of which nothing is checked.
#[derive(Serialize)]
struct Raw {
    run: keysweep_model::ids::RunId,
    batch: BatchId,
    task: TaskId,
    alias: keysweep_model::ids::Alias,
    node: NodeId,
    not_before_ms: u64,
    not_after_ms: u64,
    groups: Vec<(u16, Reason, Vec<keysweep_model::key::Key>, Vec<u64>)>,
    scan_generation: u32,
}

/// What cannot be carried out, or is so large that no receipt could list it, ends as soon as it is met.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_cannot_be_carried_out_does_not_hold_up_its_run() {
    let scene = Scene::new().await;
    let options = scene.options(100);
    for (groups, keys, why) in [
        (100_000, 0, "a group without keys"),
        (0, 0, "a batch without groups"),
        (41, 100, "a batch of more than 4000 keys"),
        (1, 1_001, "a group of 1001 keys is larger than the limit"),
    ] {
        let forge = move |task: &ScanTask| {
            let ReapBatch { run, batch, task: of, alias, node, not_before_ms, not_after_ms, .. } =
                batch(task, Reason::Stale, &[], 0);
            let key = |n: usize| keysweep_model::key::Key::new(format!("permissions:stale{n}:x").as_bytes());
            let group = |_| (0, Reason::Stale, (0..keys).map(key).collect(), Vec::new());
            let groups = (0..groups).map(group).collect();
            let raw = Raw {
                run,
                batch,
                task: of,
                alias,
                node,
                not_before_ms,
                not_after_ms,
                groups,
                scan_generation: 0,
            };
            let listed = vec![ListedBatch { batch, keys: 7, deletes: 7, rule: None, digest: None }];
            let batches = vec![(batch.to_string(), wire::encode(&raw).unwrap())];
            Forged { batches, ..Forged::of(task, &[], listed) }
        };
        let (result, _) = attacked(&options, forge).await;
        assert_eq!((result.accounting.unreached, result.accounting.candidates), (7, 7), "{why}");
        assert!(result.accounting.balanced && result.status == Status::Partial, "{why}");
        assert!(result.issues.iter().any(|issue| issue.contains(why)), "{why}: {:?}", result.issues);
        assert_eq!(scene.gone().await, (0, 0), "{why}");
    }
}

/// Whose key it is, and who is active, reapers judge by the run's own rules.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_active_users_stay_in_forged_batches() {
    let scene = Scene::new().await;
    let options = Options {
        max_delete_percent: 100,
        ..population::options(vec![scene.server.url()], population::zset())
    };
    let conn = keys::conns(&options.access).await.remove(0);
    let now = (now_ms() / 1_000).to_string();
    for user in (0..HEALTHY / 2).map(|n| format!("user{n}")) {
        let zadd: [&[u8]; 4] = [b"ZADD", population::WARMING.as_bytes(), now.as_bytes(), user.as_bytes()];
        conn.command(&zadd).await.unwrap();
    }
    let at_ms = scene.at_ms;
    for from in [0, HEALTHY / 2 - 1] {
        let some = scene.healthy[from..from + 200].to_vec();
        let forge =
            move |task: &ScanTask| Forged::honest(task, &[batch(task, Reason::Inactive, &some, at_ms)]);
        refused(&scene, &options, "not known to belong to an inactive user", forge).await;
    }
    // Of inactive users, they go; but those that expire at another time, or soon, do not.
    let some = scene.healthy[HEALTHY / 2..HEALTHY / 2 + 200].to_vec();
    let refreshed = some.clone();
    let forge =
        move |task: &ScanTask| Forged::honest(task, &[batch(task, Reason::Inactive, &refreshed, at_ms - 1)]);
    let (result, _) = attacked(&options, forge).await;
    assert_eq!((result.accounting.spared, scene.gone().await), (200, (0, 0)));
    let forge = move |task: &ScanTask| Forged::honest(task, &[batch(task, Reason::Inactive, &some, at_ms)]);
    let (result, _) = attacked(&options, forge).await;
    assert_eq!((result.inactive_user_caches, scene.gone().await), (200, (200, 0)));
}
