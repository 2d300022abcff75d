//! Live data for the page: one task makes snapshots, and every viewer gets the newest one as a server-sent event. The
//! number of viewers changes nothing about what is asked of the store.
//!
//! Without viewers the task sleeps. It reads only entries that have changed since it last looked, and for runs in
//! progress what their processes say of it, never their records.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream::unfold;
use jiff::Timestamp;
use keysweep_model::ids::RunId;
use keysweep_model::time::now;
use keysweep_storage::history::{HISTORY, RunLine};
use keysweep_storage::records::RecordError;
use keysweep_storage::{alerts, store::StoreError};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::snapshot::{Board, ProgressRow, Snapshot, as_of};
use crate::limits::{SNAPSHOT_EVERY, SNAPSHOT_RETRY, VIEWER_COMMENT_EVERY, VIEWERS_MAX};
use crate::serve::ServiceState;
use crate::serve::handlers::{ApiResult, refused};
use crate::serve::http::{SharedApi, answered};
use crate::serve::reload::Current;
use crate::shared_run;

/// How long a browser waits before it connects again.
const RECONNECT: Duration = Duration::from_secs(1);

/// Rounds between two looks at the progress of runs, which changes once a second.
const PROGRESS_ROUNDS: u64 = 2;

/// What viewers see, and how many there are.
#[derive(Default)]
pub(in crate::serve) struct Live {
    viewers: watch::Sender<usize>,
    newest: watch::Sender<Option<Arc<LiveSnapshot>>>,
}

/// A numbered snapshot.
pub(in crate::serve) struct LiveSnapshot {
    id: u64,
    pub(in crate::serve) page: Snapshot,
    /// The same as JSON.
    json: String,
}

/// One viewer. Dropping it makes room for another.
struct Viewer {
    live: Arc<Live>,
    newest: watch::Receiver<Option<Arc<LiveSnapshot>>>,
}

impl Live {
    /// Lets another viewer in; `None` if there are too many.
    fn enter(self: &Arc<Self>) -> Option<Viewer> {
        let entered = self.viewers.send_if_modified(|viewers| {
            let room = *viewers < VIEWERS_MAX;
            *viewers += usize::from(room);
            room
        });
        entered.then(|| Viewer { live: Arc::clone(self), newest: self.newest.subscribe() })
    }

    /// The newest snapshot, if there is one within `limit`.
    pub(super) async fn current(self: &Arc<Self>, limit: Duration) -> Option<Arc<LiveSnapshot>> {
        let mut viewer = self.enter()?;
        timeout(limit, viewer.next()).await.ok().flatten()
    }

    fn publish(&self, page: Snapshot) {
        self.newest.send_if_modified(|newest| {
            if newest.as_ref().is_some_and(|newest| newest.page == page) {
                return false;
            }
            // Plain values: this cannot fail.
            let json = serde_json::to_string(&page).unwrap_or_default();
            let id = Timestamp::now().as_millisecond().unsigned_abs();
            // The clock may have been set back.
            let id = newest.as_ref().map_or(id, |newest| id.max(newest.id + 1));
            *newest = Some(Arc::new(LiveSnapshot { id, page, json }));
            true
        });
    }
}

impl Viewer {
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
    unfold((viewer, service, true), |(mut viewer, service, first)| async move {
        let snapshot = tokio::select! {
            snapshot = seen(&mut viewer, first) => snapshot?,
            () = service.shutdown.cancelled() => return None,
        };
        let event = Event::default()
            .retry(RECONNECT)
            .event("snapshot")
            .id(snapshot.id.to_string())
            .data(&snapshot.json);
        Some((Ok(event), (viewer, service, false)))
    })
}

async fn seen(viewer: &mut Viewer, first: bool) -> Option<Arc<LiveSnapshot>> {
    if !first {
        viewer.newest.changed().await.ok()?;
    }
    viewer.next().await
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
            watch.board.change_jobs();
        }
        let looked = tokio::select! {
            () = shared.shutdown.cancelled() => return Ok(()),
            looked = watch.look(&shared) => looked,
        };
        let mut page = watch.board.snapshot(&shared.jobs, now());
        if let Err(e) = &looked {
            page.problem = Some(e.to_string());
            if !failing {
                tracing::warn!(error = %e, "the page shows old figures, will retry");
            }
        }
        failing = looked.is_err();
        live.publish(page);
        tokio::select! {
            () = shared.shutdown.cancelled() => return Ok(()),
            () = sleep(if failing { SNAPSHOT_RETRY } else { SNAPSHOT_EVERY }) => {}
        }
        before = shared;
    }
}

/// How far the entries of the store are read.
#[derive(Default)]
struct Watch {
    board: Board,
    history: u64,
    alerts: u64,
    /// Keys by the plans of runs in progress.
    planned: BTreeMap<RunId, Option<u64>>,
    rounds: u64,
}

impl Watch {
    /// Reads what has changed since the last call.
    async fn look(&mut self, shared: &ServiceState) -> Result<(), StoreError> {
        let store = &*shared.context.history_store;
        while let Some(entry) = store.next_after(HISTORY, self.history).await? {
            self.history = entry.revision;
            if let Some(line) = RunLine::read(&entry) {
                self.board.take_run(&line);
            }
        }
        while let Some((job, stored, revision)) = alerts::next_after(store, self.alerts).await? {
            self.alerts = revision;
            self.board.take_alerts(job, &stored.active);
        }
        let running = self.board.in_progress();
        self.planned.retain(|run, _| running.contains(run));
        for run in running {
            if self.rounds.is_multiple_of(PROGRESS_ROUNDS) || self.board.progress(run).is_none() {
                let progress = match shared.here {
                    Some(_) => shared_progress(shared, run).await?,
                    None => self.workers_progress(shared, run).await,
                };
                self.board.take_progress(run, progress.unwrap_or_default());
            }
        }
        self.rounds += 1;
        Ok(())
    }

    /// The progress of a run on workers. A record that cannot be read says nothing.
    async fn workers_progress(&mut self, shared: &ServiceState, run: RunId) -> Option<ProgressRow> {
        let records = shared.context.records(run);
        let known = |read: Result<_, RecordError>| read.ok().flatten();
        let keys = match self.planned.get(&run) {
            Some(keys) => *keys,
            None => {
                let keys = known(records.spec().await).map(|spec| spec.keys());
                self.planned.insert(run, keys);
                keys
            }
        };
        let read = records.so_far().await.ok().flatten();
        Some(ProgressRow {
            keys,
            listed_keys: read.map(|read| read.listed),
            stale_so_far: read.map(|read| read.stale),
            ..ProgressRow::default()
        })
    }
}

/// The progress of a run that a process of this machine shares.
async fn shared_progress(shared: &ServiceState, run: RunId) -> Result<Option<ProgressRow>, StoreError> {
    let Some(said) = shared_run::read(&shared.context, run).await? else { return Ok(None) };
    let progress = said.progress;
    Ok(Some(ProgressRow {
        state: Some(progress.phase.into()),
        keys: Some(progress.keys),
        listed_keys: Some(progress.read.listed),
        stale_so_far: Some(progress.read.stale),
        deleted_so_far: Some(progress.totals.accounting.deleted),
        as_of: as_of(said.at_ms),
    }))
}
