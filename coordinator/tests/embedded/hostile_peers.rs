//! Whole runs in which one role reads tampered messages and records: cut, spliced, repeated, reordered, taken from
//! another run or changed in a field. After each change: nothing panics, every run ends, no key is deleted that must
//! stay, deletions stay within the limit, and results are true except for figures from tampered input.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coordinator::drive::drive;
use coordinator::options::Options;
use coordinator::preflight::Preflight;
use fastrand::Rng;
use keysweep_model::messages::Action;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_model::time::now_ms;
use keysweep_redis::ConnectOptions;
use keysweep_runtime::context::{Context, Timing};
use keysweep_servers::{ClusterServers, Server};
use keysweep_storage::audit::{AuditTrail, EntryAudit};
use keysweep_storage::records::{Decision, Record, Records};
use keysweep_storage::store::Store;
use keysweep_tasks::supervision::{Exit, TaskGroup};
use keysweep_testkit::kit::ground_truth::{Class, GroundTruth};
use keysweep_testkit::kit::{self, keys};
use keysweep_testkit::soak::Cases;
use keysweep_testkit::soak::fields::Kind;
use keysweep_testkit::soak::tamper::{Corpus, Tamper, TamperMode, TamperedStore};
use reaper::Reaper;
use reporter::Fold;
use scanner::Scanner;
use tokio_util::sync::CancellationToken;

/// Matching keys of each run.
const KEYS: u64 = 300;

/// Keys that lose their TTL after the run was planned, in some of them: more than the limit allows.
const LATE: usize = 150;

/// Cases of each role in a test run, and in a soak.
const CASES: u64 = 10;
const SOAK_CASES: u64 = 1_000;

/// Cases side by side. Lanes above the first have a database of a standalone server each; the first has a cluster.
const LANES: usize = 6;

/// After which time a run is stopped, and by when it must have ended, on a machine with other things to do.
const RUNTIME_MAX: Duration = Duration::from_secs(10);
const END: Duration = Duration::from_secs(90);

/// Who reads what was tampered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Scanner,
    Reaper,
    Reporter,
    Driver,
}

impl Role {
    /// The records that are changed before this role reads them. All read the same reports: who replaces one that was read
    /// already is another matter.
    fn kinds(self, mode: TamperMode) -> &'static [Kind] {
        match (self, mode) {
            (_, TamperMode::AtRest) => &[Kind::Report, Kind::Receipt, Kind::Lookups, Kind::Document],
            (Self::Scanner, _) => &[Kind::Report],
            (Self::Reaper, _) => &[Kind::Report, Kind::Receipt],
            (Self::Reporter, _) => &[Kind::Receipt, Kind::Lookups, Kind::Log, Kind::Grant, Kind::Document],
            (Self::Driver, _) => &[Kind::Report, Kind::Receipt, Kind::Lookups, Kind::Log, Kind::Grant],
        }
    }

    fn reads_queues(self) -> bool {
        matches!(self, Self::Scanner | Self::Reaper)
    }
}

/// Where the cases run.
struct Site {
    server: Server,
    cluster: ClusterServers,
    corpora: [Arc<Corpus>; 2],
}

impl Site {
    /// Servers, and the traffic of an undisturbed run on each.
    async fn start() -> Self {
        let cluster = ClusterServers::start(3, 0).await.expect("a cluster can be started");
        let kept = |truth: &GroundTruth| [&truth.fresh[..10], &truth.protected, &truth.other].concat();
        let corpora = [(); 2].map(|()| Corpus::new(kept(&GroundTruth::mixture(KEYS, ""))));
        let site = Self { server: kit::standalone().await, cluster, corpora };
        for lane in [0, 1] {
            let tamper = Tamper::new(site.corpus(lane), TamperMode::Record, &[], Rng::with_seed(0));
            let case =
                Case { site: &site, lane, role: Role::Scanner, tamper: Arc::clone(&tamper), late: false };
            let (result, truth, _) = case.run().await;
            truth.check_numbers(&result.expect("it was undisturbed"), Action::Delete);
            let recorded = tamper.corpus.recorded();
            assert!(recorded.keys().len() >= 6, "{recorded:?}");
        }
        site
    }

    fn access(&self, lane: usize) -> ConnectOptions {
        let urls = if lane == 0 { self.cluster.urls() } else { vec![self.server.url()] };
        ConnectOptions { db: u32::try_from(lane).unwrap(), ..ConnectOptions::open(urls) }
    }

    fn corpus(&self, lane: usize) -> &Arc<Corpus> {
        &self.corpora[lane.min(1)]
    }

    async fn empty(&self, access: &ConnectOptions) {
        for conn in keys::conns(access).await {
            conn.info_text("FLUSHDB").await.unwrap();
        }
    }
}

/// One run.
struct Case<'a> {
    site: &'a Site,
    lane: usize,
    role: Role,
    tamper: Arc<Tamper>,
    /// Whether more keys lose their TTL than may be deleted.
    late: bool,
}

impl Case<'_> {
    /// The result, if there is one; the truth that it is held against; and what may be deleted.
    async fn run(&self) -> (Option<CleanupResult>, GroundTruth, u64) {
        let access = self.site.access(self.lane);
        self.site.empty(&access).await;
        let mut truth = GroundTruth::mixture(KEYS, "");
        truth.seed(&access).await;
        let options = Options {
            access: access.clone(),
            max_delete_percent: 20,
            max_runtime: Some(RUNTIME_MAX),
            ..kit::options(Vec::new())
        };
        let planned = kit::preflight_of(&options).await;
        if self.late {
            let late = truth.fresh.split_off(truth.fresh.len() - LATE);
            keys::ask(&access, "PERSIST", &late).await;
            late.into_iter().for_each(|key| truth.add(Class::Stale, key));
        }
        let allowed = planned.spec.guards.deletions_max.expect("there is a limit");
        let timing = Timing { batch_lost_after: Duration::from_secs(4), ..kit::hasty() };
        let (env, distributed) = (kit::env(&options, timing), self.lane % 2 == 1);
        let audit = distributed.then(|| audit_in(&env.store));
        let env = Context { distributed, audit, ..env };
        let begun = Instant::now();
        let result = tokio::time::timeout(END, self.stages(&env, &planned)).await;
        let Ok(result) = result else {
            panic!(
                "it does not end: {:?}: {}",
                self.tamper.done(),
                left(&env.records(planned.spec.run)).await
            );
        };
        assert!(begun.elapsed() < END);
        (result, truth, allowed)
    }

    /// `env` as `role` has it.
    fn env_of(&self, context: &Context, role: Role) -> Context {
        let mut env = context.clone();
        // What is tampered with at rest is written by another role.
        let victim = role == self.role || self.tamper.mode != TamperMode::InTransit;
        if !victim {
            return env;
        }
        let tamper = &self.tamper;
        let store = |inner| Arc::new(TamperedStore { inner, tamper: Arc::clone(tamper) });
        (env.store, env.history_store) = (store(env.store), store(env.history_store));
        env.audit = env.audit.map(|_| audit_in(&env.store));
        if role.reads_queues() && self.tamper.mode != TamperMode::AtRest {
            env.queue = tamper.queue(&env.queue);
        }
        env
    }

    /// All stages, as an embedded run has them, each in surroundings of its own.
    async fn stages(&self, context: &Context, plan: &Preflight) -> Option<CleanupResult> {
        let (run, shutdown, mut task_group) = (plan.spec.run, CancellationToken::new(), TaskGroup::default());
        for n in 0..2 {
            let scanner = Scanner::new(self.env_of(context, Role::Scanner), shutdown.clone());
            task_group.start(format!("scanner {n}"), async move { scanner.run(1).await });
            let reaper = Reaper::new(self.env_of(context, Role::Reaper), shutdown.clone());
            task_group.start(format!("reaper {n}"), async move { reaper.run(1).await });
        }
        plan.note(context).await;
        plan.store(&context.records(run)).await.unwrap();
        let (tampered, honest) = (self.env_of(context, Role::Reporter), context.clone());
        task_group.start("reporter", async move {
            // Who cannot read its records ends, and is started again.
            let mut env = &tampered;
            while let Err(e) = reporter::report(env, run, now_ms).await {
                println!("the reporter ended: {e}");
                (env, _) = (&honest, tokio::time::sleep(Duration::from_millis(50)).await);
            }
            Ok::<(), String>(())
        });
        let tampered = self.env_of(context, Role::Driver);
        let (mut driving, mut times) = (&tampered, 0);
        let result = loop {
            let (progress, _seen) = kit::progress(plan);
            match Box::pin(drive(driving, run, "a test", progress)).await {
                Ok(result) => break Some(result),
                Err(e) => println!("the driver ended: {e}"),
            }
            (driving, times) = (context, times + 1);
            if times > 5 {
                break None;
            }
        };
        shutdown.cancel();
        if result.is_some() {
            let bad = task_group.join().await;
            let panicked = bad.iter().find(|(_, exit)| matches!(exit, Exit::Panicked(_)));
            assert_eq!(panicked, None);
        }
        result
    }

    async fn check(&self) -> Option<Status> {
        let (result, truth, allowed) = self.run().await;
        let (access, reported) = (self.site.access(self.lane), self.tamper.done());
        for (class, kept) in
            [("fresh", &truth.fresh), ("protected", &truth.protected), ("other", &truth.other)]
        {
            assert_eq!(
                keys::existing(&access, kept).await.len(),
                kept.len(),
                "{class} keys are gone: {reported:?}"
            );
        }
        let gone = (truth.stale.len() - keys::existing(&access, &truth.stale).await.len()) as u64;
        // Receipts are a reaper's word: who lies in them may have keys deleted that no longer count.
        let receipts = reported.iter().any(|what| what.starts_with("Receipt"));
        assert!(gone <= allowed || receipts, "{gone} of {allowed} are deleted: {reported:?}");
        let result = result.unwrap_or_else(|| panic!("no result: {reported:?}"));
        // What scanners and reapers lie about in reports and receipts cannot be known.
        let lies = reported.iter().any(|what| what.starts_with("Re") || what.starts_with("Task"));
        let lost = result.issues.iter().any(|issue| issue.contains("message was lost"));
        if !lies {
            assert!(result.accounting.balanced, "{result:#?}");
            let cleaned = result.accounting.deleted;
            assert!(
                lost || cleaned <= gone && gone <= cleaned + result.accounting.unconfirmed,
                "{gone}: {result:#?}"
            );
            // Batches are not signed: a changed one may name other keys, of as many as the run allows, which are spared.
            if result.status == Status::Completed && !reported.iter().any(|what| what.starts_with("Batch")) {
                truth.check_numbers(&result, Action::Delete);
                assert_eq!(gone, truth.stale.len() as u64);
            }
        }
        Some(result.status)
    }
}

/// The audit trail as over NATS.
fn audit_in(store: &Arc<dyn Store>) -> Arc<dyn AuditTrail> {
    Arc::new(EntryAudit(Arc::clone(store)))
}

/// What a run still waits for.
async fn left(records: &Records) -> String {
    let (mut fold, mut seen, mut revision) = (Fold::default(), Vec::new(), 0);
    while let Some((at, record)) = records.next_after(revision).await.expect("it can be read") {
        revision = at;
        let Some(record) = record else { continue };
        fold.apply(&record);
        seen.push(match record {
            Record::Report(report) => {
                format!("report {}: {:?}, {:?}", report.task, report.batches, report.remainder)
            }
            Record::Receipt(receipt) => format!("receipt {}: {:?}", receipt.batch, receipt.all),
            Record::Grant(grant) => format!("grant {}: {:?}", grant.task, grant.batches),
            Record::Decision { decision: Decision::Tasks { tasks, .. }, .. } => {
                format!("tasks {:?}", tasks.iter().map(|task| task.task).collect::<Vec<_>>())
            }
            Record::Decision { decision, .. } => format!("{decision:?}"),
            Record::Cancel(cancel) => cancel.cause,
            _ => continue,
        });
    }
    let (planned, scanned, settled) = (fold.planned(), fold.scanned(), fold.is_settled());
    format!("planned {planned}, scanned {scanned}, settled {settled}, records {seen:#?}")
}

async fn soak(role: Role, first_seed: u64, count: u64) {
    let site = Site::start().await;
    let cases = Cases::new(name(role), first_seed, count, LANES);
    let sums = std::sync::Mutex::new(std::collections::BTreeMap::<String, u64>::new());
    Box::pin(cases.run(async |lane, seed| {
        let mut rng = Rng::with_seed(seed);
        let at_rest = !role.reads_queues() && rng.bool();
        let mode = if at_rest { TamperMode::AtRest } else { TamperMode::InTransit };
        let late = rng.u8(0..8) == 0;
        let tamper = Tamper::new(site.corpus(lane), mode, role.kinds(mode), rng);
        let case = Case { site: &site, lane, role, tamper: Arc::clone(&tamper), late };
        let status = Box::pin(case.check()).await;
        let mut sums = sums.lock().unwrap();
        *sums.entry(format!("{status:?}")).or_default() += 1;
        *sums.entry("changed".to_owned()).or_default() += tamper.done().len() as u64;
    }))
    .await;
    println!("{}: {:?}", name(role), sums.lock().unwrap());
}

fn name(role: Role) -> &'static str {
    match role {
        Role::Scanner => "hostile peers of a scanner",
        Role::Reaper => "hostile peers of a reaper",
        Role::Reporter => "hostile peers of a reporter",
        Role::Driver => "hostile peers of a coordinator",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scanner_with_hostile_peers() {
    Box::pin(soak(Role::Scanner, 1_000, CASES)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reaper_with_hostile_peers() {
    Box::pin(soak(Role::Reaper, 2_000, CASES)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reporter_with_hostile_peers() {
    Box::pin(soak(Role::Reporter, 3_000, CASES)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_with_hostile_peers() {
    Box::pin(soak(Role::Driver, 4_000, CASES)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; cargo xtask soak runs it"]
async fn soak_hostile_peers() {
    for (role, first_seed) in
        [(Role::Scanner, 10_000), (Role::Reaper, 20_000), (Role::Reporter, 30_000), (Role::Driver, 40_000)]
    {
        Box::pin(soak(role, first_seed, SOAK_CASES)).await;
    }
}
