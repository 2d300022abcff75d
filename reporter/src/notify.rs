//! Judges the alerts of a job and tells those who want to know of them: subscribers, webhooks. What cannot be
//! delivered waits in the book, and is tried again by whoever judges next.

use std::time::Duration;

use shared::alerts::{self, Notice};
use shared::env::Env;
use shared::events::{self, Event};
use shared::history::{self, RunLine};
use shared::messages::HitRateSource;
use shared::metrics::{Alert, Window};
use shared::samples::Sample;
use shared::store::StoreError;
use shared::time::now_ms;

use crate::alerts::{View, conditions, judge};
use crate::hit_rate::Samples;

/// How often a notice is tried.
const TRIES_MAX: u32 = 10;

/// How long a notice is ours once we try to deliver it, and how long it then waits: longer than a try takes.
const AGAIN: Duration = Duration::from_secs(60);

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
    let conditions = conditions(&View { runs, samples: &samples, window });
    let now = now_ms();
    let (book, due) = alerts::replace(&*env.past, job, |book| {
        let mut book = judge(book, job, &conditions, now);
        let mut due = Vec::new();
        for notice in book.outbox.iter_mut().filter(|notice| notice.again_at_ms <= now) {
            // It is ours for a while.
            notice.tries += 1;
            notice.again_at_ms = now + u64::try_from(AGAIN.as_millis()).unwrap_or(u64::MAX / 2);
            due.push(notice.clone());
        }
        (book, due)
    })
    .await?;
    let mut judged = Judged { active: book.active, problems: Vec::new() };
    for alert in &judged.active {
        env.telemetry.alert(alert, true);
    }
    for notice in due {
        env.telemetry.noticed(&notice);
        let delivered = deliver(env, job, &notice).await;
        judged.problems.extend(delivered.as_ref().err().cloned());
        if delivered.is_ok() || notice.tries >= TRIES_MAX {
            let id = notice.id();
            alerts::replace(&*env.past, job, |mut book| {
                book.outbox.retain(|other| other.id() != id);
                (book, ())
            })
            .await?;
        }
    }
    Ok(judged)
}

/// Tells one notice to all who want it.
async fn deliver(env: &Env, job: &str, notice: &Notice) -> Result<(), String> {
    let (word, sentence) = (notice.change.word(), &notice.alert.sentence);
    tracing::warn!(job, alert = notice.alert.alert, "alert {word}: {sentence}");
    if env.kept {
        let event = Event::about_alert(job, notice);
        events::tell(&*env.store, &event).await.map_err(|e| format!("failed to tell of an alert: {e}"))?;
    }
    // Whoever got it gets it once more if another one did not; its id says that it is the same.
    env.post(notice).await.map_err(|e| format!("An alert could not be delivered: {e}"))
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
