//! Judges the alerts of a job and tells those who want to know of them: subscribers, webhooks. What cannot be
//! delivered waits in the alert store, and is tried again by each process that stays ([`deliver_pending`]), or at the next run.

use std::collections::{BTreeMap, BTreeSet};

use shared::alerts::{self, AlertNotification, AlertStore};
use shared::concurrency::join_bounded;
use shared::context::Context;
use shared::counter_snapshot::CounterSnapshot;
use shared::events::{self, Event};
use shared::history::{self, RunLine};
use shared::http::Webhook;
use shared::limits::{NOTICE_ROUNDS, NOTICE_TRY_TIMEOUT};
use shared::messages::HitRateSource;
use shared::metrics::{Alert, HitRateWindow};
use shared::store::StoreError;
use shared::time::now_ms;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::alerts::outbox::{self, Claim, DeliveryResult, Receivers};
use crate::alerts::{ConditionInput, NAMES, conditions, evaluate};
use crate::hit_rate::CounterSnapshots;

/// The receiver that stands for the subscribers of events.
const SUBSCRIBERS: &str = "events";

/// What was judged.
#[derive(Clone, Debug, Default)]
pub struct AlertEvaluation {
    /// Alerts that hold.
    pub active: Vec<Alert>,
    /// What could not be delivered, for people.
    pub problems: Vec<String>,
}

/// Judges the alerts of `job` by its `runs` (the oldest first) and `samples` of its deployment, of which `window` is
/// the latest, and delivers what there is to tell.
///
/// # Errors
/// When the store fails. A webhook that does is none, but what comes back.
pub async fn evaluate_alerts(
    context: &Context,
    job: &str,
    runs: &[RunLine],
    (samples, source): (&[CounterSnapshot], &HitRateSource),
    window: Option<&HitRateWindow>,
) -> Result<AlertEvaluation, StoreError> {
    let samples = CounterSnapshots::new(samples, job, source);
    let (now, newest) = (now_ms(), runs.iter().map(|line| line.run_id).max());
    let (book, before) = alerts::replace(&*context.history_store, job, |book| {
        let before = book.sequence;
        let conditions =
            conditions(&ConditionInput { runs, samples: &samples, window, active: &book.active });
        (evaluate(book, job, &conditions, newest, now), before)
    })
    .await?;
    for notice in book.outbox.iter().filter(|notice| notice.sequence > before) {
        let (word, alert) = (notice.change.as_str(), &notice.alert);
        tracing::warn!(job, alert = alert.alert, "alert {word}: {}", alert.sentence);
    }
    let mut judged = AlertEvaluation { active: book.active, problems: Vec::new() };
    for _ in 0..NOTICE_ROUNDS {
        match deliver(context, job).await? {
            Some(problems) => judged.problems.extend(problems),
            None => break,
        }
    }
    Ok(judged)
}

/// Delivers what waits in the alert stores of all jobs that this process knows, until `shutdown`, and tells in its metrics which
/// alerts of the jobs in `tells` hold.
///
/// # Errors
/// None: a store that fails is asked again.
pub async fn deliver_pending(
    context: &Context,
    tells: &[String],
    shutdown: &CancellationToken,
) -> Result<(), StoreError> {
    let mut books: BTreeMap<String, AlertStore> =
        tells.iter().map(|job| (job.clone(), AlertStore::default())).collect();
    let mut revision = 0;
    while !shutdown.is_cancelled() {
        let look = async {
            read_changed(context, &mut books, &mut revision).await?;
            for (job, book) in books.iter().filter(|(job, _)| tells.contains(job)) {
                context.telemetry.alerts(job, &NAMES, &book.active);
            }
            let waiting = books.iter().filter(|(job, book)| is_due(context, job, book));
            let delivered = join_bounded(waiting.map(|(job, _)| deliver(context, job)).collect()).await;
            delivered.into_iter().try_for_each(|delivered| delivered.map(drop))
        };
        if let Err(e) = look.await {
            tracing::warn!(error = %e, "failed to look for alerts that wait for their delivery");
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sleep(context.timing.notification_retry_delay / 2) => {}
        }
    }
    Ok(())
}

async fn read_changed(
    context: &Context,
    books: &mut BTreeMap<String, AlertStore>,
    revision: &mut u64,
) -> Result<(), StoreError> {
    while let Some((job, book, at)) = alerts::next_after(&*context.history_store, *revision).await? {
        books.insert(job, book);
        *revision = at;
    }
    Ok(())
}

fn is_due(context: &Context, job: &str, book: &AlertStore) -> bool {
    let mut after = book.clone();
    !outbox::claim(&mut after, &receivers(context, job), now_ms()).is_empty() || after != *book
}

/// Tries to deliver what may be tried now, side by side. What failed, for people; `None` if there was nothing to try.
async fn deliver(context: &Context, job: &str) -> Result<Option<Vec<String>>, StoreError> {
    let receivers = receivers(context, job);
    let (_, claims) = alerts::replace(&*context.history_store, job, |mut book| {
        let claims = outbox::claim(&mut book, &receivers, now_ms());
        (book, claims)
    })
    .await?;
    if claims.is_empty() {
        return Ok(None);
    }
    let hooks = hooks(context, job);
    let tries = claims.iter().map(async |claim| {
        let hook = hooks.get(&claim.receiver);
        let tried = timeout(NOTICE_TRY_TIMEOUT, post(context, hook, &claim.notice)).await;
        tried.unwrap_or_else(|_| {
            Err((DeliveryResult::Failed, format!("no end within {NOTICE_TRY_TIMEOUT:?}")))
        })
    });
    let tried = join_bounded(tries.collect()).await;
    let mut problems = Vec::new();
    for (claim, tried) in claims.iter().zip(&tried) {
        if let Err((tried, why)) = tried {
            log_notification(context, claim, *tried, why);
            problems.push(format!("An alert could not be delivered: {why}"));
        }
    }
    alerts::replace(&*context.history_store, job, |mut book| {
        for (claim, tried) in claims.iter().zip(&tried) {
            let tried = tried.as_ref().map_or_else(|(tried, _)| *tried, |()| DeliveryResult::Delivered);
            outbox::record_delivery(
                &mut book,
                claim,
                tried,
                now_ms(),
                context.timing.notification_retry_delay,
            );
        }
        // Those who have it all need no notice any more.
        outbox::tidy(&mut book, &receivers, now_ms());
        (book, ())
    })
    .await?;
    Ok(Some(problems))
}

/// Logs a try that failed. Errors of hooks name scheme and host only.
fn log_notification(context: &Context, claim: &Claim, tried: DeliveryResult, why: &str) {
    let (alert, change) = (&claim.notice.alert, claim.notice.change.as_str());
    let tries = claim.notice.deliveries.get(&claim.receiver).map_or(0, |way| way.tries) + 1;
    if tried == DeliveryResult::Refused {
        tracing::error!(job = alert.job, alert = alert.alert, change, tries, "an alert was refused: {why}");
        return;
    }
    let seconds = outbox::pause(tries, context.timing.notification_retry_delay).as_secs();
    tracing::warn!(
        job = alert.job,
        alert = alert.alert,
        change,
        tries,
        "an alert could not be delivered, the next try comes in {seconds} s: {why}"
    );
}

async fn post(
    context: &Context,
    hook: Option<&Webhook>,
    notice: &AlertNotification,
) -> Result<(), (DeliveryResult, String)> {
    let Some(hook) = hook else {
        let event = Event::about_alert(&notice.alert.job, notice);
        return events::emit(&*context.store, &event)
            .await
            .map_err(|e| (DeliveryResult::Failed, e.to_string()));
    };
    context.notify(hook, notice).await.map_err(|e| {
        let tried = if e.kind.may_pass() { DeliveryResult::Failed } else { DeliveryResult::Refused };
        (tried, e.to_string())
    })
}

/// The hooks of `job` that this process knows, by what they are called in the alert store: nothing secret. Several at one host
/// are numbered.
fn hooks(context: &Context, job: &str) -> BTreeMap<String, Webhook> {
    let mut hooks = BTreeMap::new();
    for hook in context.integrations.hooks(job) {
        let name = format!("{} {}", hook.as_str(), hook.place());
        let same = hooks.keys().filter(|other: &&String| other.starts_with(&name)).count();
        let name = if same == 0 { name } else { format!("{name} {}", same + 1) };
        hooks.insert(name, hook);
    }
    hooks
}

/// A process that knows no hook of a job does not know whether another one does. Without NATS there is no other.
fn receivers(context: &Context, job: &str) -> Receivers {
    let mut names: BTreeSet<String> = hooks(context, job).into_keys().collect();
    let all = !context.distributed || !names.is_empty();
    names.extend(context.distributed.then(|| SUBSCRIBERS.to_owned()));
    Receivers { names, all }
}

/// The job's runs, the oldest first.
///
/// # Errors
/// When the store fails.
pub async fn runs_of(context: &Context, job: &str) -> Result<Vec<RunLine>, StoreError> {
    let mut runs = history::read(&*context.history_store).await?;
    runs.retain(|line| line.job == job && line.status.is_some());
    Ok(runs)
}
