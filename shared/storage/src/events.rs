//! Events of runs for subscribers: JSON in the form of CloudEvents 1.0, one entry each under
//! `events/<job>/<kind>/<run>`. Over NATS, the subject contains job and kind, the stream can be replayed, and an event
//! that occurs once per run is published once.

mod data;

use jiff::Timestamp;
use keysweep_model::ids::{RunId, unique};
use keysweep_model::time::rfc3339;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strum::{Display, VariantArray};

use crate::alerts::{AlertNotification, AlertTransition};
use crate::store::{Store, StoreError};

pub use data::{
    AlertData, FailedAttemptData, IssueData, MissedData, ProgressData, StartedData, TakenOverData,
};

/// The key prefix of all events.
pub const EVENTS: &str = "events/";

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum EventKind {
    /// A run started.
    Started,
    /// The progress of a run.
    Progress,
    /// Another coordinator took over a run.
    TakenOver,
    /// A run found a problem.
    Issue,
    /// An alert was raised or resolved.
    Alert,
    /// The summary of a week.
    Summary,
    /// A run completed.
    Completed,
    /// A run ended with gaps.
    Partial,
    /// A run failed.
    Failed,
    /// A run was cancelled.
    Cancelled,
    /// Runs were due while no coordinator was running.
    Missed,
    /// It was decided when the next run of a job with `schedule = "auto"` starts.
    Decided,
    /// An experiment with a TTL started or ended.
    TtlExperiment,
    /// TTL advice from what a service looked at is another one than before.
    TtlAdvice,
}

impl EventKind {
    /// All kinds.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The types of the CloudEvents of this kind.
    #[must_use]
    pub fn event_types(self) -> Vec<String> {
        match self {
            Self::Alert => {
                let changes = AlertTransition::VARIANTS.iter().map(ToString::to_string);
                changes.map(|change| self.event_type(Some(&change))).collect()
            }
            _ => vec![self.event_type(None)],
        }
    }

    /// The type of the CloudEvent.
    fn event_type(self, which: Option<&str>) -> String {
        match (self, which) {
            (Self::Alert, Some(change)) => format!("dev.keysweep.alert.{change}.v1"),
            (Self::Alert | Self::Summary | Self::TtlExperiment | Self::TtlAdvice, _) => {
                format!("dev.keysweep.{self}.v1")
            }
            (Self::Decided, _) => format!("dev.keysweep.schedule.{self}.v1"),
            _ => format!("dev.keysweep.run.{self}.v1"),
        }
    }
}

/// An event as it is published: a CloudEvent 1.0 in structured JSON.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub struct CloudEvent<'a> {
    /// The version of the CloudEvents specification: `1.0`.
    specversion: &'static str,
    /// The same for every publication of the same event: use it to deduplicate.
    id: &'a str,
    /// The job: `/keysweep/jobs/<job>`.
    source: String,
    /// The kind, and the version of `data`. New fields can be added to a version; a new version is a new type.
    r#type: String,
    /// The run id; of an alert or an experiment its id, of a summary the Monday after its week, of a decision or an advice its
    /// time in milliseconds.
    subject: &'a str,
    /// RFC 3339, UTC.
    time: String,
    /// `application/json`.
    datacontenttype: &'static str,
    /// Depends on the type.
    data: &'a Value,
}

/// An event to be published.
#[derive(Clone, Debug)]
pub struct Event {
    /// The job.
    pub job: String,
    /// The run, or another subject.
    pub subject: String,
    /// The kind.
    pub kind: EventKind,
    /// Distinguishes events of one kind in a run, for kinds that may occur more than once.
    pub which: Option<String>,
    /// The time, in milliseconds since the epoch.
    pub time_ms: u64,
    /// The payload.
    pub data: Value,
}

impl Event {
    /// An event that occurs once per run.
    #[must_use]
    pub fn once(job: &str, run: RunId, kind: EventKind, time_ms: u64, data: Value) -> Self {
        Self { job: job.to_owned(), subject: run.to_string(), kind, which: None, time_ms, data }
    }

    /// An alert was raised or resolved; each transition is published once.
    #[must_use]
    pub fn about_alert(job: &str, notice: &AlertNotification) -> Self {
        Self {
            job: job.to_owned(),
            subject: notice.alert.id.to_string(),
            kind: EventKind::Alert,
            which: Some(notice.change.to_string()),
            time_ms: notice.at_ms,
            data: notice.data(),
        }
    }

    /// The summary of a job for the week that ended on the day `monday`.
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

    /// A decision about when the next run of a job starts, made at `time_ms`.
    #[must_use]
    pub fn decided(job: &str, time_ms: u64, data: Value) -> Self {
        Self {
            job: job.to_owned(),
            subject: time_ms.to_string(),
            kind: EventKind::Decided,
            which: None,
            time_ms,
            data,
        }
    }

    /// Advice about the TTLs of a job, made at `time_ms`.
    #[must_use]
    pub fn ttl_advice(job: &str, time_ms: u64, data: Value) -> Self {
        Self { kind: EventKind::TtlAdvice, ..Self::decided(job, time_ms, data) }
    }

    /// One of several events of a kind, distinguished by `which`.
    #[must_use]
    pub fn one_of(self, which: impl Into<String>) -> Self {
        Self { which: Some(which.into()), ..self }
    }

    /// One of many events of a kind.
    #[must_use]
    pub fn one_of_many(self) -> Self {
        self.one_of(unique().to_string())
    }

    fn key(&self) -> String {
        let base = format!("{EVENTS}{}/{}/{}", self.job, self.kind, self.subject);
        self.which.as_ref().map_or(base.clone(), |which| format!("{base}/{which}"))
    }

    /// The event as a CloudEvent.
    #[must_use]
    pub fn cloud_event(&self) -> Value {
        let id = self.key();
        json!(CloudEvent {
            specversion: "1.0",
            id: id.strip_prefix(EVENTS).unwrap_or(&id),
            source: format!("/keysweep/jobs/{}", self.job),
            r#type: self.kind.event_type(self.which.as_deref()),
            subject: &self.subject,
            time: rfc3339(self.time_ms),
            datacontenttype: "application/json",
            data: &self.data,
        })
    }
}

/// Publishes an event. Idempotent: an event that was published before is not repeated.
///
/// # Errors
/// If the store rejects it.
pub async fn emit(store: &dyn Store, event: &Event) -> Result<(), StoreError> {
    let text = event.cloud_event().to_string();
    store.create(&event.key(), text.into_bytes()).await.map(drop)
}

/// The `time` of an event, if it is a CloudEvent.
#[must_use]
pub fn time_of(event: &Value) -> Option<Timestamp> {
    event["time"].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[tokio::test]
    async fn event_that_occurs_once_is_published_once() {
        let (store, run) = (MemoryStore::default(), RunId::new());
        let event = |data| Event::once("nightly", run, EventKind::Completed, 0, data);
        emit(&store, &event(json!(1))).await.unwrap();
        emit(&store, &event(json!(2))).await.unwrap();
        emit(&store, &event(json!(3)).one_of_many()).await.unwrap();
        let first = store.next_after(EVENTS, 0).await.unwrap().unwrap();
        assert_eq!(first.key, format!("events/nightly/completed/{run}"));
        let event_json: Value = serde_json::from_slice(&first.value).unwrap();
        assert_eq!(
            (&event_json["data"], &event_json["type"]),
            (&json!(1), &json!("dev.keysweep.run.completed.v1"))
        );
        assert_eq!(
            (&event_json["specversion"], &event_json["time"]),
            (&json!("1.0"), &json!("1970-01-01T00:00:00Z"))
        );
        let second = store.next_after(EVENTS, first.revision).await.unwrap().unwrap();
        assert!(second.key.starts_with(&format!("events/nightly/completed/{run}/")), "{}", second.key);
        assert_eq!(store.next_after(EVENTS, second.revision).await.unwrap(), None);
    }
}
