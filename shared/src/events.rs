//! What subscribers are told as a run goes: JSON in the form of CloudEvents 1.0, one entry each below
//! `events/<job>/<kind>/<run>`, so that over NATS the subject says what it is about, the stream replays it, and
//! what happens once in a run is told once.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::alerts::AlertNotification;
use crate::ids::RunId;
use crate::store::{Store, StoreError};
use crate::time::rfc3339;

/// The beginning of the keys of all events.
pub const EVENTS: &str = "events/";

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A run has begun.
    Started,
    /// A run goes on.
    Progress,
    /// Another coordinator goes on with a run.
    TakenOver,
    /// A run found a problem.
    Issue,
    /// An alert was raised or resolved.
    Alert,
    /// What happened in the last week.
    Summary,
    /// A run has done everything.
    Completed,
    /// A run has ended and missed something.
    Partial,
    /// A run has failed.
    Failed,
    /// A run was stopped.
    Cancelled,
    /// Runs that were due while no coordinator was there.
    Missed,
}

impl EventKind {
    /// The word for it in subjects and types.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Progress => "progress",
            Self::TakenOver => "taken_over",
            Self::Issue => "issue",
            Self::Alert => "alert",
            Self::Summary => "summary",
            Self::Completed => "completed",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Missed => "missed",
        }
    }
}

impl EventKind {
    /// The type of the CloudEvent.
    fn event_type(self, which: Option<&str>) -> String {
        match (self, which) {
            (Self::Alert, Some(change)) => format!("dev.keysweep.alert.{change}.v1"),
            (Self::Alert | Self::Summary, _) => format!("dev.keysweep.{}.v1", self.as_str()),
            _ => format!("dev.keysweep.run.{}.v1", self.as_str()),
        }
    }
}

/// An event that is to be told.
#[derive(Clone, Debug)]
pub struct Event {
    /// The job.
    pub job: String,
    /// The run, or what else it is about.
    pub subject: String,
    /// What happened.
    pub kind: EventKind,
    /// Which one of its kind in the run, for those that may happen more than once.
    pub which: Option<String>,
    /// When, in milliseconds since the epoch.
    pub time_ms: u64,
    /// What there is to say about it.
    pub data: Value,
}

impl Event {
    /// Something that happens once in a run.
    #[must_use]
    pub fn once(job: &str, run: RunId, kind: EventKind, time_ms: u64, data: Value) -> Self {
        Self { job: job.to_owned(), subject: run.to_string(), kind, which: None, time_ms, data }
    }

    /// An alert was raised or resolved; both are told once.
    #[must_use]
    pub fn about_alert(job: &str, notice: &AlertNotification) -> Self {
        Self {
            job: job.to_owned(),
            subject: notice.alert.id.to_string(),
            kind: EventKind::Alert,
            which: Some(notice.change.as_str().to_owned()),
            time_ms: notice.at_ms,
            data: notice.data(),
        }
    }

    /// What happened to a job in the week that ended on the day `monday`.
    #[must_use]
    pub fn summary(job: &str, monday: &str, time_ms: u64, data: Value) -> Self {
        Self {
            job: job.to_owned(),
            subject: monday.to_owned(),
            kind: EventKind::Summary,
            which: None,
            time_ms,
            data,
        }
    }

    /// One of several of a kind, told apart by `which`.
    #[must_use]
    pub fn one_of(self, which: impl Into<String>) -> Self {
        Self { which: Some(which.into()), ..self }
    }

    /// One of many of a kind.
    #[must_use]
    pub fn one_of_many(self) -> Self {
        self.one_of(Uuid::now_v7().to_string())
    }

    fn key(&self) -> String {
        let base = format!("{EVENTS}{}/{}/{}", self.job, self.kind.as_str(), self.subject);
        self.which.as_ref().map_or(base.clone(), |which| format!("{base}/{which}"))
    }

    /// The event as a CloudEvent.
    #[must_use]
    pub fn cloud_event(&self) -> Value {
        let id = self.key();
        json!({
            "specversion": "1.0",
            "id": id.strip_prefix(EVENTS).unwrap_or(&id),
            "source": format!("/keysweep/jobs/{}", self.job),
            "type": self.kind.event_type(self.which.as_deref()),
            "subject": self.subject,
            "time": rfc3339(self.time_ms),
            "datacontenttype": "application/json",
            "data": self.data,
        })
    }
}

/// Tells an event. What was told before is not told again.
///
/// # Errors
/// When the store does not take it.
pub async fn emit(store: &dyn Store, event: &Event) -> Result<(), StoreError> {
    let text = event.cloud_event().to_string();
    store.create(&event.key(), text.into_bytes()).await.map(drop)
}

/// The moment that an event's `time` says, if it is a CloudEvent.
#[must_use]
pub fn time_of(event: &Value) -> Option<Timestamp> {
    event["time"].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[tokio::test]
    async fn what_happens_once_is_told_once() {
        let (store, run) = (MemoryStore::default(), RunId::new());
        let event = |data| Event::once("nightly", run, EventKind::Completed, 0, data);
        emit(&store, &event(json!(1))).await.unwrap();
        emit(&store, &event(json!(2))).await.unwrap();
        emit(&store, &event(json!(3)).one_of_many()).await.unwrap();
        let first = store.next_after(EVENTS, 0).await.unwrap().unwrap();
        assert_eq!(first.key, format!("events/nightly/completed/{run}"));
        let told: Value = serde_json::from_slice(&first.value).unwrap();
        assert_eq!((&told["data"], &told["type"]), (&json!(1), &json!("dev.keysweep.run.completed.v1")));
        assert_eq!((&told["specversion"], &told["time"]), (&json!("1.0"), &json!("1970-01-01T00:00:00Z")));
        let second = store.next_after(EVENTS, first.revision).await.unwrap().unwrap();
        assert!(second.key.starts_with(&format!("events/nightly/completed/{run}/")), "{}", second.key);
        assert_eq!(store.next_after(EVENTS, second.revision).await.unwrap(), None);
    }
}
