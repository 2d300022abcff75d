//! Judges the alerts of a job and tells those who want to know of them: subscribers, webhooks. What cannot be
//! delivered waits in the book, and is tried again by each process that stays ([`attend`]), or at the next run.

use std::collections::{BTreeMap, BTreeSet};

use shared::alerts::{self, Book, Notice};
use shared::at_once::at_once;
use shared::env::Env;
use shared::events::{self, Event};
use shared::history::{self, RunLine};
use shared::limits::{NOTICE_ROUNDS, NOTICE_TRY_TIMEOUT};
use shared::messages::HitRateSource;
use shared::metrics::{Alert, Window};
use shared::samples::Sample;
use shared::store::StoreError;
use shared::time::now_ms;
use shared::web::Hook;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::alerts::outbox::{self, Claim, Receivers, Tried};
use crate::alerts::{NAMES, View, conditions, judge};
use crate::hit_rate::Samples;

/// The receiver that stands for the subscribers of events.
const SUBSCRIBERS: &str = "events";

/// What was judged.
#[derive(Clone, Debug, Default)]
pub struct Judged {
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
pub async fn judge_alerts(
    env: &Env,
    job: &str,
    runs: &[RunLine],
    (samples, source): (&[Sample], &HitRateSource),
    window: Option<&Window>,
) -> Result<Judged, StoreError> {
    let samples = Samples::new(samples, job, source);
    let (now, newest) = (now_ms(), runs.iter().map(|line| line.run_id).max());
    let (book, before) = alerts::replace(&*env.past, job, |book| {
        let before = book.sequence;
        let conditions = conditions(&View { runs, samples: &samples, window, active: &book.active });
        (judge(book, job, &conditions, newest, now), before)
    })
    .await?;
    for notice in book.outbox.iter().filter(|notice| notice.sequence > before) {
        let (word, alert) = (notice.change.word(), &notice.alert);
        tracing::warn!(job, alert = alert.alert, "alert {word}: {}", alert.sentence);
    }
    let mut judged = Judged { active: book.active, problems: Vec::new() };
    for _ in 0..NOTICE_ROUNDS {
        match deliver(env, job).await? {
            Some(problems) => judged.problems.extend(problems),
            None => break,
        }
    }
    Ok(judged)
}

/// Delivers what waits in the books of all jobs that this process knows, until `shutdown`, and tells in its metrics which
/// alerts of the jobs in `tells` hold.
///
/// # Errors
/// None: a store that fails is asked again.
pub async fn attend(env: &Env, tells: &[String], shutdown: &CancellationToken) -> Result<(), StoreError> {
    let mut books: BTreeMap<String, Book> = tells.iter().map(|job| (job.clone(), Book::default())).collect();
    let mut revision = 0;
    while !shutdown.is_cancelled() {
        let look = async {
            read_changed(env, &mut books, &mut revision).await?;
            for (job, book) in books.iter().filter(|(job, _)| tells.contains(job)) {
                env.telemetry.alerts(job, &NAMES, &book.active);
            }
            let waiting = books.iter().filter(|(job, book)| is_due(env, job, book));
            let delivered = at_once(waiting.map(|(job, _)| deliver(env, job)).collect()).await;
            delivered.into_iter().try_for_each(|delivered| delivered.map(drop))
        };
        if let Err(e) = look.await {
            tracing::warn!(error = %e, "failed to look for alerts that wait for their delivery");
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sleep(env.timing.notice_pause / 2) => {}
        }
    }
    Ok(())
}

async fn read_changed(
    env: &Env,
    books: &mut BTreeMap<String, Book>,
    revision: &mut u64,
) -> Result<(), StoreError> {
    while let Some((job, book, at)) = alerts::next_after(&*env.past, *revision).await? {
        books.insert(job, book);
        *revision = at;
    }
    Ok(())
}

fn is_due(env: &Env, job: &str, book: &Book) -> bool {
    let mut after = book.clone();
    !outbox::claim(&mut after, &receivers(env, job), now_ms()).is_empty() || after != *book
}

/// Tries to deliver what may be tried now, side by side. What failed, for people; `None` if there was nothing to try.
async fn deliver(env: &Env, job: &str) -> Result<Option<Vec<String>>, StoreError> {
    let receivers = receivers(env, job);
    let (_, claims) = alerts::replace(&*env.past, job, |mut book| {
        let claims = outbox::claim(&mut book, &receivers, now_ms());
        (book, claims)
    })
    .await?;
    if claims.is_empty() {
        return Ok(None);
    }
    let hooks = hooks(env, job);
    let tries = claims.iter().map(async |claim| {
        let hook = hooks.get(&claim.receiver);
        let tried = timeout(NOTICE_TRY_TIMEOUT, post(env, hook, &claim.notice)).await;
        tried.unwrap_or_else(|_| Err((Tried::Failed, format!("no end within {NOTICE_TRY_TIMEOUT:?}"))))
    });
    let tried = at_once(tries.collect()).await;
    let mut problems = Vec::new();
    for (claim, tried) in claims.iter().zip(&tried) {
        if let Err((tried, why)) = tried {
            say(env, claim, *tried, why);
            problems.push(format!("An alert could not be delivered: {why}"));
        }
    }
    alerts::replace(&*env.past, job, |mut book| {
        for (claim, tried) in claims.iter().zip(&tried) {
            let tried = tried.as_ref().map_or_else(|(tried, _)| *tried, |()| Tried::Delivered);
            outbox::settle(&mut book, claim, tried, now_ms(), env.timing.notice_pause);
        }
        // Those who have it all need no notice any more.
        outbox::tidy(&mut book, &receivers, now_ms());
        (book, ())
    })
    .await?;
    Ok(Some(problems))
}

/// Logs a try that failed. Errors of hooks name scheme and host only.
fn say(env: &Env, claim: &Claim, tried: Tried, why: &str) {
    let (alert, change) = (&claim.notice.alert, claim.notice.change.word());
    let tries = claim.notice.deliveries.get(&claim.receiver).map_or(0, |way| way.tries) + 1;
    if tried == Tried::Refused {
        tracing::error!(job = alert.job, alert = alert.alert, change, tries, "an alert was refused: {why}");
        return;
    }
    let seconds = outbox::pause(tries, env.timing.notice_pause).as_secs();
    tracing::warn!(
        job = alert.job,
        alert = alert.alert,
        change,
        tries,
        "an alert could not be delivered, the next try comes in {seconds} s: {why}"
    );
}

async fn post(env: &Env, hook: Option<&Hook>, notice: &Notice) -> Result<(), (Tried, String)> {
    let Some(hook) = hook else {
        let event = Event::about_alert(&notice.alert.job, notice);
        return events::tell(&*env.store, &event).await.map_err(|e| (Tried::Failed, e.to_string()));
    };
    env.post(hook, notice).await.map_err(|e| {
        let tried = if e.kind.may_pass() { Tried::Failed } else { Tried::Refused };
        (tried, e.to_string())
    })
}

/// The hooks of `job` that this process knows, by what they are called in the book: nothing secret. Several at one host
/// are numbered.
fn hooks(env: &Env, job: &str) -> BTreeMap<String, Hook> {
    let mut hooks = BTreeMap::new();
    for hook in env.outside.hooks(job) {
        let name = format!("{} {}", hook.word(), hook.place());
        let same = hooks.keys().filter(|other: &&String| other.starts_with(&name)).count();
        let name = if same == 0 { name } else { format!("{name} {}", same + 1) };
        hooks.insert(name, hook);
    }
    hooks
}

/// A process that knows no hook of a job does not know whether another one does. Without NATS there is no other.
fn receivers(env: &Env, job: &str) -> Receivers {
    let mut names: BTreeSet<String> = hooks(env, job).into_keys().collect();
    let all = !env.kept || !names.is_empty();
    names.extend(env.kept.then(|| SUBSCRIBERS.to_owned()));
    Receivers { names, all }
}

/// The job's runs, the oldest first.
///
/// # Errors
/// When the store fails.
pub async fn runs_of(env: &Env, job: &str) -> Result<Vec<RunLine>, StoreError> {
    let mut runs = history::read(&*env.past).await?;
    runs.retain(|line| line.job == job && line.status.is_some());
    Ok(runs)
}
