//! Hostile messages, records, documents and settings: no input causes a panic, and no error repeats more than a line
//! of it. Each seed is a real encoding.
#![cfg(test)]

use std::path::Path;

use keysweep_config::{Environment, FlagLayer, JobFile, NatsUrl, RedisUrl, check_file, resolve};
use keysweep_model::duration;
use keysweep_model::glob::Pattern;
use keysweep_model::ids::{Alias, BatchId, NodeId, RunId, TaskId};
use keysweep_model::key::Key;
use keysweep_model::key_template::KeyTemplate;
use keysweep_model::ledger::UsedLedgers;
use keysweep_model::limits::REASON_BYTES_MAX;
use keysweep_model::memory::{PrefixMemory, SampleRate, Sampler, StratifiedSample};
use keysweep_model::messages::{
    Action, ActivityRule, Cancel, CancelKind, Covered, Fingerprint, Group, GroupReceipt, InactiveRule,
    ListedBatch, NodePacing, ReadSource, ReapBatch, Reason, Receipt, Remainder, RemainderReason, Rules,
    ScanStatistics, ScanTask, TaskFailure, TaskReport, UnreplicatedWrites, UserMatching,
};
use keysweep_model::outcome::Outcome;
use keysweep_model::range::{CursorRange, CursorScope, ScanTable, Scope};
use keysweep_model::redact::redact;
use keysweep_model::slot::SlotSet;
use keysweep_model::wire::{self, WireError};
use keysweep_redis::guard::BatchWindow;
use keysweep_storage::counter_snapshot::CounterSnapshot;
use keysweep_storage::dead_letter::DeadLetter;
use keysweep_storage::history::RunLine;
use keysweep_storage::records::{Decision, Failures, NodeLookups, TaskLists};
use keysweep_testkit::hostile::fuzz;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn scopes() -> [Scope; 2] {
    let slots: SlotSet = [1, 2, 3, 700, 16_383].into_iter().collect();
    let ranges = (4..8).map(|part| CursorRange::part(part, 3)).collect();
    let (pass, table, process) = (TaskId::new(), ScanTable::Slot(700), "8c5f".to_owned());
    let cursors = CursorScope { pass, table, ranges, bits: 3, slots: Some(slots.clone()), process };
    [Scope::Slots { slots }, Scope::Cursors(cursors)]
}

fn task(scope: Scope) -> ScanTask {
    let (run, task, alias, node) = (RunId::new(), TaskId::new(), Alias::new("main"), NodeId::new("n"));
    ScanTask { run, task, alias, node, scope, keys: 1_000, reschedules: 2, skip: false, scan_generation: 0 }
}

fn tasks() -> Vec<ScanTask> {
    scopes().map(task).to_vec()
}

fn batch() -> ReapBatch {
    let group = |slot, reason, keys: &[&[u8]], expires_at_ms: &[u64]| Group {
        slot,
        reason,
        keys: keys.iter().map(|key| Key::new(*key)).collect(),
        expires_at_ms: expires_at_ms.to_vec(),
        fingerprints: expires_at_ms.iter().map(|_| Fingerprint::Text { bytes: 9, sha1: [7; 20] }).collect(),
    };
    ReapBatch {
        run: RunId::new(),
        batch: BatchId::new(),
        task: TaskId::new(),
        alias: Alias::new("main"),
        node: NodeId::new("n"),
        not_before_ms: 1_795_341_074_000,
        not_after_ms: 1_795_341_974_000,
        scan_generation: 1,
        ledger_keys: 100,
        rule: None,
        groups: vec![
            group(700, Reason::Stale, &[b"permissions:1", b"\xff\x00"], &[]),
            group(16_383, Reason::Inactive, &[b"permissions:2"], &[1_795_341_999_000]),
        ],
    }
}

fn report() -> TaskReport {
    let mut statistics = ScanStatistics::default();
    for n in 0..40_u64 {
        statistics.ttls.add(n as f64 * 100.0, 1);
        statistics.add_to_bars(n * 100_000, 1);
        statistics.keys.add(&format!("permissions:{n}:"), n + 1);
        statistics.examples.insert(format!("p{n}"), "key".to_owned());
    }
    (statistics.memory_by_prefix, statistics.reported) = (prefix_memory(), prefix_memory());
    let mut pacing = NodePacing { duty_cycle_min: Some(0.5), before_us: Some(90), ..NodePacing::default() };
    pacing.probes_us.add(120.0, 7);
    let [slots, cursors] = scopes();
    let primary_reason = Some("replica `a:1` does not answer".to_owned());
    TaskReport {
        covered: Covered::Ranges { pass: TaskId::new(), slots: None, ranges: vec![CursorRange::WHOLE] },
        remainder: vec![
            Remainder { reason: RemainderReason::Unstable, scope: slots, pass: None },
            Remainder { reason: RemainderReason::Full, scope: cursors, pass: Some(TaskId::new()) },
        ],
        batches: vec![ListedBatch {
            batch: BatchId::new(),
            keys: 3,
            deletes: 3,
            rule: Some(1),
            digest: Some(u128::MAX / 3),
        }],
        long_keys: vec!["xxxx… (1000001 bytes)".to_owned()],
        statistics: Box::new(statistics),
        pacing: Box::new(pacing),
        source: Some(Box::new(ReadSource { primary_reason, ..ReadSource::default() })),
        lost: Some(TaskFailure { cause: "cancelled".to_owned(), node_failed: true }),
        ..TaskReport::blank(&tasks()[0])
    }
}

/// Memory statistics of some keys.
fn prefix_memory() -> PrefixMemory {
    let rate = SampleRate { outright: 20, per_group: 9, one_in: 2 };
    let (mut sampler, mut strata) = (Sampler::new(rate), StratifiedSample::default());
    for n in 0..90_u64 {
        let names = [format!("p{}:", n % 5), format!("p{}:{}:", n % 5, n % 7)];
        if let Some(take) = sampler.take(names[0].as_bytes()) {
            strata.add_named(&names, sampler.last_hash(), take, n * n);
        }
    }
    sampler.finish(strata, 20)
}

fn receipt() -> Receipt {
    let outcomes = vec![Outcome::Deleted, Outcome::Spared, Outcome::Vanished];
    Receipt {
        run: RunId::new(),
        batch: BatchId::new(),
        node: NodeId::new("n"),
        groups: vec![GroupReceipt { slot: 700, reason: Reason::Stale, outcomes }],
        lookups: Default::default(),
        cause: Some("lost".to_owned()),
        pacing: Some(Box::default()),
        scan_generation: 1,
        unreplicated: vec![UnreplicatedWrites {
            node: NodeId::new("n"),
            replication_id: "h".to_owned(),
            slots: SlotSet::all(),
        }],
        all: None,
        freed: Some(Box::new(prefix_memory())),
        ledgers: Some(UsedLedgers { node_keys: 2, groups: vec![0, 9] }),
    }
}

fn rules() -> Rules {
    let matching = Some(Box::new(UserMatching {
        source_prefix: b"user:".to_vec().into(),
        key_prefixes: vec![b"u".to_vec().into()],
        ..UserMatching::default()
    }));
    let activity = ActivityRule::Users { parts: 2, users: 9, seed: 7, matching };
    let identity = "permissions:{user}:*".to_owned();
    let rules = Rules::deleting(&["permissions:*"], &["permissions:[a-z]?*"]).expect("good patterns");
    Rules {
        sources: vec![Key::new(*b"warm")],
        action: Action::Expire { ttl_ms: 900_000, jitter_ms: 90_000 },
        grace_ms: 1_000,
        inactive: Some(InactiveRule { identity, near_expiry_ms: 300_000, threshold_ms: 1 << 40, activity }),
        ..rules
    }
}

/// Reads `seeds` and mutations of them as `T`, and uses the result as its readers do.
fn messages<T: Serialize + DeserializeOwned>(name: &str, seeds: &[T], then: impl Fn(T)) {
    let seeds: Vec<Vec<u8>> = seeds.iter().map(|seed| wire::encode(seed).expect("it is encoded")).collect();
    assert!(seeds.iter().all(|seed| wire::decode::<T>(seed).is_ok()), "{name}: every seed is read");
    fuzz(name, seeds, |bytes| match wire::decode::<T>(bytes) {
        // What was read can be encoded again, unless its own encoding is longer than the one received.
        Ok(read) => match wire::encode(&read) {
            Ok(again) => {
                assert!(wire::decode::<T>(&again).is_ok(), "it cannot be decoded again");
                then(read);
            }
            Err(WireError::TooLarge(_)) => {}
            Err(e) => panic!("{e}"),
        },
        Err(e) => assert!(e.to_string().len() < REASON_BYTES_MAX + 100, "{e}"),
    });
}

#[test]
fn fuzz_tasks_and_batches() {
    messages("scan tasks", &tasks(), |task| drop(task.scope.slots().to_string()));
    messages("reap batches", &[batch()], |batch| {
        let tags = batch.groups.iter().map(|group| keysweep_model::slot::tag_for(group.slot).len());
        assert!(tags.sum::<usize>() <= 4 * batch.groups.len());
        let _ = (batch.keys(), BatchWindow::from(&batch));
    });
}

#[test]
fn fuzz_records() {
    messages("reports", &[report()], |report| {
        let mut sum = ScanStatistics::default();
        sum.merge(&report.statistics);
        sum.merge(&report.statistics);
        let mut counts = report.counts;
        counts += report.counts;
        let _ = (counts.matching(), counts.passed(), sum.keys.heaviest(10), sum.keys.error_max());
        let _ = (sum.memory_by_prefix.rows(Some(7)), sum.memory_by_prefix.all(None), sum.reported.rows(None));
        let _ = [0.0, 0.5, 0.99, 1.0].map(|q| sum.ttls.quantile(q));
        let mut pacing = NodePacing::default();
        pacing.merge(&report.pacing);
        let _ = (pacing.probes_us.quantile(0.99), pacing.probes_us.count());
    });
    messages("receipts", &[receipt()], |receipt| drop(format!("{receipt:?}")));
    let loss = TaskFailure { cause: "gone".to_owned(), node_failed: false };
    let mut log = Decision::list(Some(TaskId::new()), &tasks());
    log.extend(Decision::abandon(&tasks(), &loss));
    log.push(Decision::LeaderElected { epoch: 3, who: "host".to_owned() });
    messages("decisions", &log, |decision| {
        let mut lists = TaskLists::default();
        let _ = (lists.apply(&decision), lists.apply(&decision), lists.has(None));
    });
    let cancel = Cancel { kind: CancelKind::Guard, cause: "too many".to_owned() };
    messages("cancels", &[cancel], drop);
    messages("failures", &[Failures { count: 1, since_ms: 2 }], drop);
    messages("look-ups", &[NodeLookups { node: NodeId::new("n"), lookups: Default::default() }], drop);
    let dead = DeadLetter {
        reason: "no".to_owned(),
        queue: "tasks".to_owned(),
        run: Some(RunId::new()),
        at_ms: 1,
        payload: vec![0, 255],
    };
    messages("dead letters", &[dead], drop);
}

#[test]
fn fuzz_rules() {
    messages("rules", &[rules()], |rules| {
        for key in [&b"permissions:abc"[..], b"keysweep:x", b"warm", b"", &[0xff; 60]] {
            let _ = (rules.wants(key), rules.protects(key));
        }
        if let Some(Ok(template)) = rules.inactive.map(|rule| KeyTemplate::parse(&rule.identity)) {
            let _ = template.user(b"permissions:7:documents", |_| false);
        }
    });
    let patterns =
        ["permissions:*", "[^a-z]?\\*", "a*b*c*d*[x", "{a}[!]]"].map(|text| text.as_bytes().to_vec());
    fuzz("patterns", patterns.to_vec(), |bytes| {
        if let Ok(pattern) = Pattern::new(bytes) {
            let _ =
                (pattern.matches(b"permissions:1:documents"), pattern.matches(bytes), pattern.to_string());
        }
    });
}

#[test]
fn fuzz_documents() {
    let line = RunLine::failed(RunId::new(), "job", &Alias::new("main"), 1, "no server");
    let sample = "{\"job\":\"j\",\"redis\":\"main\",\"runId\":null,\"phase\":\"begin\",\"atMs\":7,\"nodes\":[],\
        \"application\":null,\"memoryUsagePercent\":1.5,\"latency\":0.1,\"matchingKeys\":9}";
    let seeds = vec![serde_json::to_vec(&line).expect("JSON"), sample.into()];
    fuzz("documents", seeds, |bytes| {
        let errors = [
            wire::from_json::<RunLine>(bytes).err(),
            wire::from_json::<CounterSnapshot>(bytes).err(),
            wire::from_json::<keysweep_model::result::CleanupResult>(bytes).err(),
            wire::from_json::<keysweep_redis::lock::Holder>(bytes).err(),
        ];
        for error in errors.into_iter().flatten() {
            assert!(error.to_string().len() < REASON_BYTES_MAX + 100, "{error}");
        }
    });
}

#[test]
fn fuzz_settings() {
    let file = "[redis.main]\nurls = [\"rediss://me:pw@a:1/2\"]\npassword_file = \"p\"\n[nats]\nurl = \"nats://u:p@h:4222\"\n\
        ack_wait = \"5s\"\n[[job]]\nname = \"j\"\nredis = \"main\"\npatterns = [\"a:*\"]\nschedule = \"0 */6 * * *\"\n\
        grace = \"1s\"\nmax_delete_percent = 50\nread_from = \"replica\"\naggressive_cleanup = false\n";
    fuzz("job files", vec![file.into()], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let path = Path::new("keysweep.toml");
        let _ = check_file(path, &text);
        let Ok(file) = JobFile::parse(path, &text) else { return };
        let env = Environment::from_pairs([("KEYSWEEP_GRACE", "2s")]);
        let _ = resolve(&FlagLayer::default(), &env, Some(&file)).map(|settings| settings.rows());
    });
    let urls =
        ["redis://me:pw@h:1/2?protocol=resp3", "unix:///s?db=1&pass=pw", "nats://u:p@[::1]:4222", "1500ms"];
    fuzz("addresses and durations", urls.map(Vec::from).to_vec(), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let _ = (RedisUrl::parse(&text), NatsUrl::parse(&text), redact(&text), duration::parse(&text));
    });
}
