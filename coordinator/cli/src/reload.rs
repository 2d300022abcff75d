//! SIGHUP of `serve`: the settings are read again, with the job file and the files of tokens and certificates, and checked
//! as at the start. If anything is wrong, nothing changes.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::pending;

use coordinator::serve::{ServeError, ServedJob};
use keysweep_config::Settings;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::error::CommandError;
use super::http_access::{HttpService, HttpSettings};

/// Reads the settings of all jobs.
pub type ReadSettings<'a> = &'a dyn Fn() -> Result<Vec<Settings>, CommandError>;

/// The jobs of settings, if this process can serve them.
type Accept<'a> = &'a dyn Fn(&[Settings]) -> Result<Vec<ServedJob>, CommandError>;

/// The jobs of a service and its HTTP clients, which change at SIGHUP.
pub(super) struct Reloader<'a> {
    started_with: &'a [Settings],
    read: ReadSettings<'a>,
    accept: Accept<'a>,
    http: &'a HttpService,
    jobs: watch::Sender<Vec<ServedJob>>,
    hangup: Signal,
}

impl<'a> Reloader<'a> {
    /// Begins with the jobs of `settings`. From now on, SIGHUP does not end the process.
    ///
    /// # Errors
    /// When these jobs cannot be served.
    pub(super) fn new(
        settings: &'a [Settings],
        read: ReadSettings<'a>,
        accept: Accept<'a>,
        http: &'a HttpService,
    ) -> Result<Self, CommandError> {
        let (jobs, hangup) = (watch::Sender::new(accept(settings)?), signal(SignalKind::hangup())?);
        Ok(Self { started_with: settings, read, accept, http, jobs, hangup })
    }

    /// The jobs to serve.
    pub(super) fn jobs(&self) -> watch::Receiver<Vec<ServedJob>> {
        self.jobs.subscribe()
    }

    /// Changes the jobs at each SIGHUP, until `serving` ends.
    pub(super) async fn during(
        self,
        serving: impl Future<Output = Result<(), ServeError>>,
    ) -> Result<(), CommandError> {
        tokio::select! {
            served = serving => Ok(served?),
            never = self.follow() => match never {},
        }
    }

    async fn follow(mut self) -> Infallible {
        loop {
            if self.hangup.recv().await.is_none() {
                return pending().await;
            }
            if let Err(e) = self.read_again() {
                tracing::error!("SIGHUP: nothing has changed, because the settings cannot be used: {e}");
            }
        }
    }

    fn read_again(&self) -> Result<(), CommandError> {
        let settings = (self.read)()?;
        let jobs = (self.accept)(&settings)?;
        let http = HttpSettings::read(&settings, self.started_with)?;
        let names: Vec<String> = jobs.iter().map(|job| job.options.job.clone()).collect();
        self.http.change(http);
        self.jobs.send_replace(jobs);
        tracing::info!("SIGHUP: the settings were read again; the jobs are `{}`", names.join("`, `"));
        let left = of_the_process(self.started_with, &settings);
        if !left.is_empty() {
            let left = Vec::from_iter(left).join("`, `");
            tracing::warn!("`{left}` changed, which only a restart applies");
        }
        Ok(())
    }
}

/// The names of changed settings that belong to the process, and not to a job.
fn of_the_process(before: &[Settings], now: &[Settings]) -> BTreeSet<&'static str> {
    // All jobs have the same.
    let (Some(before), Some(now)) = (before.first(), now.first()) else { return BTreeSet::new() };
    let rows = |settings: &Settings| {
        let rows = settings.rows().into_iter();
        let rows = rows.filter(|row| row.name.starts_with("nats.") || row.name == "serve.admin_addr");
        rows.map(|row| (row.name, row.value)).collect::<BTreeMap<_, _>>()
    };
    let (shown_before, shown_now) = (rows(before), rows(now));
    let names = shown_before.keys().chain(shown_now.keys()).copied();
    let mut changed: BTreeSet<_> =
        names.filter(|name| shown_before.get(name) != shown_now.get(name)).collect();
    // Rows show no secrets.
    let nats = |settings: &Settings| {
        let nats = settings.nats.as_ref();
        nats.map(|nats| [nats.password.value.clone(), nats.token.value.clone()]).unwrap_or_default()
    };
    let ([password, token], [new_password, new_token]) = (nats(before), nats(now));
    let secrets = [("nats.password", password == new_password), ("nats.token", token == new_token)];
    changed.extend(secrets.into_iter().filter(|(_, same)| !same).map(|(name, _)| name));
    changed
}
