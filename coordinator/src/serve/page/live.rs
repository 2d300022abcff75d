//! Live data for the page: one task makes snapshots. Every viewer first gets the newest one as a server-sent event, and
//! then of each further one the sections that have changed since. The number of viewers changes nothing about what is asked
//! of the store.
//!
//! Without viewers the task sleeps. It reads only entries that have changed since it last looked, and for runs in
//! progress what their processes say of it, never their records.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream::unfold;
use jiff::Timestamp;
use keysweep_tasks::pause::pause;
use tokio::sync::watch;
use tokio::time::timeout;

use super::sections::Sections;
use super::snapshot::{PATCH, SNAPSHOT, Snapshot};
use super::watch::Watch;
use super::workers::WorkerNotes;
use crate::limits::{SNAPSHOT_EVERY, SNAPSHOT_RETRY, VIEWER_COMMENT_EVERY, VIEWERS_MAX};
use crate::serve::ServiceState;
use crate::serve::handlers::{ApiResult, refused};
use crate::serve::http::{SharedApi, answered};
use crate::serve::reload::Current;

/// How long a browser waits before it connects again.
const RECONNECT: Duration = Duration::from_secs(1);

/// What viewers see, and how many there are.
#[derive(Default)]
pub(in crate::serve) struct Live {
    viewers: watch::Sender<usize>,
    newest: watch::Sender<Option<Arc<LiveSnapshot>>>,
    pub(in crate::serve) workers: Arc<WorkerNotes>,
}

/// A numbered snapshot.
pub(in crate::serve) struct LiveSnapshot {
    id: u64,
    pub(in crate::serve) page: Snapshot,
    sections: Sections,
}

/// One viewer. Dropping it makes room for another.
struct Viewer {
    live: Arc<Live>,
    newest: watch::Receiver<Option<Arc<LiveSnapshot>>>,
    /// The number of the last snapshot that it has got.
    seen: Option<u64>,
}

impl Live {
    /// Lets another viewer in; `None` if there are too many.
    fn enter(self: &Arc<Self>) -> Option<Viewer> {
        let entered = self.viewers.send_if_modified(|viewers| {
            let room = *viewers < VIEWERS_MAX;
            *viewers += usize::from(room);
            room
        });
        entered.then(|| Viewer { live: Arc::clone(self), newest: self.newest.subscribe(), seen: None })
    }

    /// The newest snapshot, if there is one within `limit`.
    pub(super) async fn current(self: &Arc<Self>, limit: Duration) -> Option<Arc<LiveSnapshot>> {
        let mut viewer = self.enter()?;
        timeout(limit, viewer.next()).await.ok().flatten()
    }

    fn publish(&self, page: Snapshot) {
        self.newest.send_if_modified(|newest| {
            let id = Timestamp::now().as_millisecond().unsigned_abs();
            // The clock may have been set back.
            let id = newest.as_ref().map_or(id, |newest| id.max(newest.id + 1));
            let sections = Sections::of(&page, id, newest.as_ref().map(|newest| &newest.sections));
            let is_new = sections.changed_after(newest.as_ref().map(|newest| newest.id));
            if is_new {
                *newest = Some(Arc::new(LiveSnapshot { id, page, sections }));
            }
            is_new
        });
    }
}

impl Viewer {
    /// What is new for it, once there is something.
    async fn event(&mut self) -> Option<Event> {
        if self.seen.is_some() {
            self.newest.changed().await.ok()?;
        }
        let snapshot = self.next().await?;
        let (name, seen) = (if self.seen.is_some() { PATCH } else { SNAPSHOT }, self.seen);
        self.seen = Some(snapshot.id);
        let event = Event::default().retry(RECONNECT).event(name).id(snapshot.id.to_string());
        Some(event.data(snapshot.sections.since(seen)))
    }

    /// The next snapshot that it has not seen. A slow viewer misses those in between.
    async fn next(&mut self) -> Option<Arc<LiveSnapshot>> {
        loop {
            if let Some(newest) = self.newest.borrow_and_update().as_ref() {
                return Some(Arc::clone(newest));
            }
            self.newest.changed().await.ok()?;
        }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.live.viewers.send_modify(|viewers| *viewers -= 1);
    }
}

/// `GET /api/live`
pub(in crate::serve) async fn events(State(api): SharedApi) -> Response {
    let entered = || -> ApiResult<_> {
        let service = api.service()?;
        match api.live.enter() {
            Some(viewer) => Ok((viewer, service)),
            None => refused(503, format!("{VIEWERS_MAX} browsers watch already; try again later")),
        }
    };
    match entered() {
        Ok((viewer, service)) => {
            let comments = KeepAlive::new().interval(VIEWER_COMMENT_EVERY);
            Sse::new(stream(viewer, service)).keep_alive(comments).into_response()
        }
        Err(refusal) => answered::<()>(503, Err(refusal)),
    }
}

/// The events of one viewer, until the service stops.
fn stream(viewer: Viewer, service: Arc<ServiceState>) -> impl Stream<Item = Result<Event, Infallible>> {
    unfold((viewer, service), |(mut viewer, service)| async move {
        let event = tokio::select! {
            event = viewer.event() => event?,
            () = service.shutdown.cancelled() => return None,
        };
        Some((Ok(event), (viewer, service)))
    })
}

/// Makes snapshots while there are viewers, until the shutdown. A store that fails is no reason to end the service.
pub(in crate::serve) async fn run(current: &Current, live: &Live) -> Result<(), Infallible> {
    let mut viewers = live.viewers.subscribe();
    let (mut watch, mut failing) = (Watch::default(), false);
    let mut before = Arc::clone(&current.borrow());
    loop {
        if *viewers.borrow() == 0 {
            // What is there will be old when the next one comes.
            live.newest.send_replace(None);
        }
        tokio::select! {
            () = before.shutdown.cancelled() => return Ok(()),
            // The sender is in `live`.
            _ = viewers.wait_for(|viewers| *viewers > 0) => {}
        }
        let shared = Arc::clone(&current.borrow());
        if !Arc::ptr_eq(&before, &shared) {
            watch.change_jobs();
        }
        let looked = tokio::select! {
            () = shared.shutdown.cancelled() => return Ok(()),
            looked = watch.look(&shared, &live.workers) => looked,
        };
        let mut page = watch.snapshot(&shared);
        if let Err(e) = &looked {
            page.problem = Some(e.to_string());
            if !failing {
                tracing::warn!(error = %e, "the page shows old figures, will retry");
            }
        }
        failing = looked.is_err();
        live.publish(page);
        if !pause(if failing { SNAPSHOT_RETRY } else { SNAPSHOT_EVERY }, &shared.shutdown).await {
            return Ok(());
        }
        before = shared;
    }
}
