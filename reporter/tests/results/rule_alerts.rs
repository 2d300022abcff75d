//! Alerts about single rules of a job: each rule has its own, with its owner.

use keysweep_model::glob::Pattern;
use keysweep_model::ids::{Alias, BatchId, NodeId, RunId, TaskId};
use keysweep_model::messages::{
    Cancel, CancelKind, HitRateSource, ListedBatch, Policy, RuleAction, RuleCounts, Rules, RunSpec, ScanTask,
    StatedRule, TaskReport,
};
use keysweep_model::range::Scope;
use keysweep_model::result::Status;
use keysweep_model::slot::SlotSet;
use keysweep_storage::alerts::{AlertStore, AlertTransition};
use keysweep_storage::history::RunLine;
use keysweep_storage::records::Record;
use reporter::alerts::{ConditionInput, RulesFound, conditions, evaluate};
use reporter::hit_rate::CounterSnapshots;
use reporter::{Fold, ResultContext, finish};

fn rule(pattern: &str, owner: &str) -> StatedRule {
    StatedRule {
        matching: vec![Pattern::new(pattern).unwrap()],
        action: Some(RuleAction::Delete),
        owner: Some(owner.to_owned()),
        ..StatedRule::default()
    }
}

/// A job: its alerts, and its runs so far.
#[derive(Default)]
struct Job {
    store: AlertStore,
    runs: Vec<RunLine>,
}

/// What a run of it finds.
struct Run<'a> {
    rules: &'a [StatedRule],
    /// Keys that break each rule.
    breaches: &'a [u64],
    status: Status,
    /// The number of the rule whose limit stopped it, from 0.
    stopped_by: Option<u16>,
    selection: &'a str,
}

impl<'a> Run<'a> {
    fn of(rules: &'a [StatedRule], breaches: &'a [u64]) -> Self {
        Self { rules, breaches, status: Status::Completed, stopped_by: None, selection: "main" }
    }

    fn spec(&self) -> RunSpec {
        let policy = Policy { rules: self.rules.to_vec(), ..Policy::default() };
        let rules = Rules {
            policy: Some(policy).filter(|policy| !policy.rules.is_empty()),
            ..Rules::deleting(&[], &[]).unwrap()
        };
        let mut spec = RunSpec { alias: Alias::new(self.selection), ..RunSpec::plain(RunId::new(), rules) };
        spec.rule_deletions_max = self.rules.iter().map(|_| Some(40)).collect();
        spec
    }

    /// The records of the run.
    fn fold(&self, spec: &RunSpec) -> Fold {
        let mut fold = Fold::default();
        fold.apply(&Record::Spec(Box::new(spec.clone())));
        let task = ScanTask {
            run: spec.run,
            task: TaskId::new(),
            alias: spec.alias.clone(),
            node: NodeId::new("n"),
            scope: Scope::Slots { slots: SlotSet::all() },
            keys: 0,
            reschedules: 0,
            skip: false,
            scan_generation: 0,
        };
        let found = (0..).zip(self.breaches);
        let found = found.map(|(rule, reported)| RuleCounts { reported: *reported, ..RuleCounts::of(rule) });
        let batch = |rule| ListedBatch {
            batch: BatchId::new(),
            keys: 50,
            deletes: 50,
            rule: Some(rule),
            digest: None,
        };
        let batches = self.stopped_by.map(batch).into_iter().collect();
        fold.apply(&Record::Report(Box::new(TaskReport {
            rules: found.collect(),
            batches,
            ..TaskReport::blank(&task)
        })));
        if self.stopped_by.is_some() {
            let cause = "too many".to_owned();
            fold.apply(&Record::Cancel(Cancel { kind: CancelKind::Guard, cause }));
        }
        fold
    }
}

impl Job {
    /// Carries out a run. Returns the firing alerts: their names, rules and owners.
    fn run(&mut self, run: &Run<'_>) -> Vec<(String, u32, String)> {
        let spec = run.spec();
        let fold = run.fold(&spec);
        let mut result = finish(&fold, &ResultContext::default()).unwrap();
        result.status = run.status;
        self.runs.push(RunLine::begin(&spec).end(&result));
        self.evaluate(Some(&RulesFound::of(&fold, &result)))
    }

    /// Evaluates the alerts, as at a sample if there is no run.
    fn evaluate(&mut self, rules: Option<&RulesFound>) -> Vec<(String, u32, String)> {
        let samples = CounterSnapshots::new(&[], "j", &HitRateSource::Redis);
        let active = &self.store.active;
        let input = ConditionInput { runs: &self.runs, samples: &samples, window: None, active, rules };
        let newest = self.runs.last().map(|line| line.run_id);
        self.store = evaluate(self.store.clone(), "j", &conditions(&input), newest, 1_000);
        let mut firing: Vec<_> = self
            .store
            .active
            .iter()
            .map(|alert| {
                let rule = alert.policy_rule.clone().unwrap_or_else(|| panic!("{alert:?}"));
                (alert.alert.clone(), rule.index, rule.owner.unwrap_or_default())
            })
            .collect();
        firing.sort();
        firing
    }

    /// The notifications since the last call: the number of the rule, and the change.
    fn sent(&mut self) -> Vec<(u32, AlertTransition)> {
        let sent = std::mem::take(&mut self.store.outbox).into_iter();
        sent.map(|notice| (notice.alert.policy_rule.map_or(0, |rule| rule.index), notice.change)).collect()
    }
}

fn breached(index: u32, owner: &str) -> (String, u32, String) {
    ("rule-breached".to_owned(), index, owner.to_owned())
}

#[test]
fn each_rule_has_an_alert_of_its_own_with_its_owner() {
    let rules = [rule("a:*", "web"), rule("b:*", "accounts")];
    let mut job = Job::default();
    assert_eq!(job.run(&Run::of(&rules, &[10, 11])), [breached(2, "accounts")]);
    assert_eq!(
        job.store.active[0].message,
        "Found 11 keys that break rule 2 (`b:*`, owner accounts) in one run (more than 10)"
    );
    assert_eq!(job.run(&Run::of(&rules, &[99, 12])), [breached(1, "web"), breached(2, "accounts")]);
    assert_eq!(job.evaluate(None), [breached(1, "web"), breached(2, "accounts")], "between runs");
    assert_eq!(job.run(&Run::of(&rules, &[99, 0])), [breached(1, "web")]);
    use AlertTransition::{Raised, Resolved};
    assert_eq!(job.sent(), [(2, Raised), (1, Raised), (2, Resolved)]);
    let id = job.store.active[0].id;
    let moved = [rule("a:*", "shop"), rule("b:*", "accounts")];
    assert_eq!(job.run(&Run::of(&moved, &[99, 0])), [breached(1, "shop")]);
    assert_eq!((job.store.active[0].id, job.sent()), (id, vec![]), "the owner is not what it is about");
}

#[test]
fn a_run_that_did_not_read_all_keys_resolves_nothing() {
    let rules = [rule("a:*", "web")];
    let mut job = Job::default();
    job.run(&Run::of(&rules, &[50]));
    for status in [Status::Partial, Status::Failed, Status::Cancelled] {
        assert_eq!(job.run(&Run { status, ..Run::of(&rules, &[0]) }), [breached(1, "web")], "{status:?}");
    }
    let elsewhere = Run { selection: "other", ..Run::of(&rules, &[0]) };
    assert_eq!(job.run(&elsewhere), [breached(1, "web")], "a run of other keys");
    assert_eq!(job.run(&Run::of(&rules, &[0])), []);
}

#[test]
fn alerts_of_rules_that_are_gone_are_resolved() {
    let rules = [rule("a:*", "web"), rule("b:*", "accounts")];
    let mut job = Job::default();
    job.run(&Run::of(&rules, &[50, 60]));
    for _ in 0..9 {
        // Until ten runs have read other keys, they may have been started by hand.
        assert_eq!(job.run(&Run::of(&rules[1..], &[60])).len(), 2);
    }
    assert_eq!(job.run(&Run::of(&rules[1..], &[60])), [breached(1, "accounts")], "it has another number now");
    for _ in 0..11 {
        job.run(&Run::of(&[], &[]));
    }
    assert_eq!(job.store.active, [], "the job has patterns now");
}

#[test]
fn a_rule_whose_limit_stopped_a_run() {
    let rules = [rule("a:*", "web"), rule("b:*", "accounts")];
    let stopped =
        |rule| Run { status: Status::Cancelled, stopped_by: Some(rule), ..Run::of(&rules, &[0, 0]) };
    let limit = |index, owner: &str| ("rule-limit".to_owned(), index, owner.to_owned());
    let mut job = Job::default();
    assert_eq!(job.run(&stopped(1)), [limit(2, "accounts")]);
    assert_eq!(
        job.store.active[0].message,
        "The limit of rule 2 (`b:*`, owner accounts) stopped the last run: 50 of its keys qualified for deletion, more than 40"
    );
    assert_eq!(job.run(&stopped(0)), [limit(1, "web"), limit(2, "accounts")], "it was not reached");
    let asked = Run { status: Status::Cancelled, ..Run::of(&rules, &[0, 0]) };
    assert_eq!(job.run(&asked).len(), 2, "a run that was stopped by a user says nothing");
    assert_eq!(job.run(&Run::of(&rules, &[0, 0])), []);
}
