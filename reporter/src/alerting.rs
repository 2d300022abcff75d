//! Evaluates the alerts of a job and delivers notifications to subscribers and webhooks. Undelivered notifications stay
//! in the alert store; every long-lived process ([`deliver_pending`]) and the next run retry them.

use std::collections::{BTreeMap, BTreeSet};

use keysweep_http::Webhook;
use keysweep_model::messages::HitRateSource;
use keysweep_model::metrics::{Alert, HitRateWindow};
use keysweep_model::time::now_ms;
use keysweep_runtime::context::Context;
use keysweep_storage::alerts::{self, AlertNotification, AlertStore};
use keysweep_storage::counter_snapshot::CounterSnapshot;
use keysweep_storage::events::{self, Event};
use keysweep_storage::history::{self, RunLine};
use keysweep_storage::store::StoreError;
use keysweep_tasks::concurrency::join_bounded;
use keysweep_tasks::pause::pause;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::alerts::outbox::{self, Claim, DeliveryResult, Receivers};
use crate::alerts::{ConditionInput, RulesFound, conditions, evaluate, names};
use crate::hit_rate::CounterSnapshots;
use crate::limits::{NOTIFICATION_ROUNDS, NOTIFICATION_TRY_TIMEOUT};

/// The receiver name of the event subscribers.
const SUBSCRIBERS: &str = "events";

/// The result of an evaluation.
#[derive(Clone, Debug, Default)]
pub struct AlertEvaluation {
    /// Alerts that are firing.
    pub active: Vec<Alert>,
    /// Deliveries that failed, as text for people.
    pub problems: Vec<String>,
}

/// Evaluates the alerts of `job` from its `runs` (the oldest first) and the `samples` of its Redis deployment, of which
/// `window` is the latest, and delivers new notifications. At the end of a run, `rules` is what it found of its rules.
///
/// # Errors
/// When the store fails. A failing webhook is no error; it is in the result.
pub async fn evaluate_alerts(
    context: &Context,
    job: &str,
    runs: &[RunLine],
    (samples, source): (&[CounterSnapshot], &HitRateSource),
    window: Option<&HitRateWindow>,
    rules: Option<&RulesFound>,
) -> Result<AlertEvaluation, StoreError> {
    let samples = CounterSnapshots::new(samples, job, source);
    let (now, newest) = (now_ms(), runs.iter().map(|line| line.run_id).max());
    let (store, before) = alerts::replace(&*context.history_store, job, |store| {
        let before = store.sequence;
        let conditions =
            conditions(&ConditionInput { runs, samples: &samples, window, active: &store.active, rules });
        (evaluate(store, job, &conditions, newest, now), before)
    })
    .await?;
    for notification in store.outbox.iter().filter(|notification| notification.sequence > before) {
        let (word, alert) = (notification.change, &notification.alert);
        tracing::warn!(job, alert = alert.alert, "alert {word}: {}", alert.message);
    }
    let mut evaluation = AlertEvaluation { active: store.active, problems: Vec::new() };
    for _ in 0..NOTIFICATION_ROUNDS {
        match deliver(context, job).await? {
            Some(problems) => evaluation.problems.extend(problems),
            None => break,
        }
    }
    Ok(evaluation)
}

/// Delivers pending notifications of all jobs that this process knows, until `shutdown`, and exports the firing alerts
/// of the jobs in `exported` as metrics.
///
/// # Errors
/// None: a failing store is queried again.
pub async fn deliver_pending(
    context: &Context,
    exported: &[String],
    shutdown: &CancellationToken,
) -> Result<(), StoreError> {
    let mut stores: BTreeMap<String, AlertStore> =
        exported.iter().map(|job| (job.clone(), AlertStore::default())).collect();
    let mut revision = 0;
    while !shutdown.is_cancelled() {
        let check = async {
            read_changed(context, &mut stores, &mut revision).await?;
            for (job, store) in stores.iter().filter(|(job, _)| exported.contains(job)) {
                context.telemetry.alerts(job, &names(), &store.active);
            }
            let waiting = stores.iter().filter(|(job, store)| is_due(context, job, store));
            let delivered = join_bounded(waiting.map(|(job, _)| deliver(context, job)).collect()).await;
            delivered.into_iter().try_for_each(|delivered| delivered.map(drop))
        };
        if let Err(e) = check.await {
            tracing::warn!(error = %e, "failed to check for pending alert notifications");
        }
        pause(context.timing.notification_retry_delay / 2, shutdown).await;
    }
    Ok(())
}

async fn read_changed(
    context: &Context,
    stores: &mut BTreeMap<String, AlertStore>,
    revision: &mut u64,
) -> Result<(), StoreError> {
    while let Some((job, store, at)) = alerts::next_after(&*context.history_store, *revision).await? {
        stores.insert(job, store);
        *revision = at;
    }
    Ok(())
}

fn is_due(context: &Context, job: &str, store: &AlertStore) -> bool {
    let mut after = store.clone();
    !outbox::claim(&mut after, &receivers(context, job), now_ms()).is_empty() || after != *store
}

/// Attempts all deliveries that are due, concurrently. Returns the failures as text, or `None` if no delivery was due.
async fn deliver(context: &Context, job: &str) -> Result<Option<Vec<String>>, StoreError> {
    let receivers = receivers(context, job);
    let (_, claims) = alerts::replace(&*context.history_store, job, |mut store| {
        let claims = outbox::claim(&mut store, &receivers, now_ms());
        (store, claims)
    })
    .await?;
    if claims.is_empty() {
        return Ok(None);
    }
    let hooks = hooks(context, job);
    let tries = claims.iter().map(async |claim| {
        let hook = hooks.get(&claim.receiver);
        let result = timeout(NOTIFICATION_TRY_TIMEOUT, post(context, hook, &claim.notification)).await;
        result.unwrap_or_else(|_| {
            Err((DeliveryResult::Failed, format!("no reply within {NOTIFICATION_TRY_TIMEOUT:?}")))
        })
    });
    let result = join_bounded(tries.collect()).await;
    let mut problems = Vec::new();
    for (claim, result) in claims.iter().zip(&result) {
        if let Err((result, why)) = result {
            log_failure(context, claim, *result, why);
            problems.push(format!("An alert could not be delivered: {why}"));
        }
    }
    alerts::replace(&*context.history_store, job, |mut store| {
        for (claim, result) in claims.iter().zip(&result) {
            let result = result.as_ref().map_or_else(|(result, _)| *result, |()| DeliveryResult::Delivered);
            outbox::record_delivery(
                &mut store,
                claim,
                result,
                now_ms(),
                context.timing.notification_retry_delay,
            );
        }
        // Notifications that all receivers have are removed.
        outbox::prune(&mut store, &receivers, now_ms());
        (store, ())
    })
    .await?;
    Ok(Some(problems))
}

/// Logs a failed attempt. Webhook errors contain only scheme and host.
fn log_failure(context: &Context, claim: &Claim, result: DeliveryResult, why: &str) {
    let (alert, change) = (&claim.notification.alert, claim.notification.change.to_string());
    let tries = claim.notification.deliveries.get(&claim.receiver).map_or(0, |delivery| delivery.tries) + 1;
    if result == DeliveryResult::Refused {
        tracing::error!(
            job = alert.job,
            alert = alert.alert,
            change,
            tries,
            "alert notification refused: {why}"
        );
        return;
    }
    let seconds = outbox::pause(tries, context.timing.notification_retry_delay).as_secs();
    tracing::warn!(
        job = alert.job,
        alert = alert.alert,
        change,
        tries,
        "failed to deliver an alert notification, next attempt in {seconds} s: {why}"
    );
}

async fn post(
    context: &Context,
    hook: Option<&Webhook>,
    notification: &AlertNotification,
) -> Result<(), (DeliveryResult, String)> {
    let Some(hook) = hook else {
        let event = Event::about_alert(&notification.alert.job, notification);
        return events::emit(&*context.history_store, &event)
            .await
            .map_err(|e| (DeliveryResult::Failed, e.to_string()));
    };
    context.notify(hook, notification).await.map_err(|e| {
        let result = if e.kind.may_pass() { DeliveryResult::Failed } else { DeliveryResult::Refused };
        (result, e.to_string())
    })
}

/// The webhooks of `job` that this process knows, by their names in the alert store, which contain no secret. Several
/// webhooks at one host are numbered.
fn hooks(context: &Context, job: &str) -> BTreeMap<String, Webhook> {
    let mut hooks = BTreeMap::new();
    for hook in context.integrations.hooks(job) {
        let name = format!("{} {}", hook.as_str(), hook.display_url());
        let same = hooks.keys().filter(|other: &&String| other.starts_with(&name)).count();
        let name = if same == 0 { name } else { format!("{name} {}", same + 1) };
        hooks.insert(name, hook);
    }
    hooks
}

/// A process without webhooks of a job cannot know whether another process has some. Without NATS there is no other
/// process.
fn receivers(context: &Context, job: &str) -> Receivers {
    let mut names: BTreeSet<String> = hooks(context, job).into_keys().collect();
    let all = !context.distributed || !names.is_empty();
    names.extend(context.is_kept().then(|| SUBSCRIBERS.to_owned()));
    Receivers { names, all }
}

/// The runs of the job, the oldest first.
///
/// # Errors
/// When the store fails.
pub async fn runs_of(context: &Context, job: &str) -> Result<Vec<RunLine>, StoreError> {
    let mut runs = history::read(&*context.history_store).await?;
    runs.retain(|line| line.job == job && line.status.is_some());
    Ok(runs)
}
