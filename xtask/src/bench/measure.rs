//! The measurements: contenders in turn, each on the same keys; first for speed without other clients, then once more
//! with the foreground client. The remaining keys of every run are checked.

use std::time::Duration;

use anyhow::Result;

use super::contenders::Contender;
use super::contenders::launch::Launcher;
use super::data::Data;
use super::deployment::{Deployment, Place};
use super::figures::{Comparison, Outcome, Sample, figures};
use super::latency::{Foreground, Latency};
use super::machine::Machine;
use super::programs::Programs;

/// How long the foreground client measures idle servers.
const IDLE: Duration = Duration::from_secs(3);
/// A contender is measured until its runs add up to this time, but not more than [`WATCHED_RUNS_MAX`] runs: a 99th
/// percentile of few requests has little meaning.
const WATCHED_S: f64 = 2.5;
const WATCHED_RUNS_MAX: usize = 3;

/// What to measure.
pub(crate) struct Order {
    /// The number of keys.
    pub(crate) keys: u64,
    /// The number of runs of each contender.
    pub(crate) repeats: usize,
    /// The contenders.
    pub(crate) contenders: Vec<Contender>,
    /// Whether the foreground client's latency is measured.
    pub(crate) latency: bool,
    /// More arguments for keysweep.
    pub(crate) args: Vec<String>,
}

/// The servers and programs.
pub(crate) struct Bench {
    cluster: Deployment,
    standalone: Deployment,
    /// The paths of our binaries.
    pub(crate) programs: Programs,
}

impl Bench {
    /// Starts the servers.
    pub(crate) async fn start(programs: Programs) -> Result<Self> {
        let (cluster, standalone) =
            (Deployment::start(Place::Cluster).await?, Deployment::start(Place::Standalone).await?);
        Ok(Self { cluster, standalone, programs })
    }

    /// Runs all measurements; progress is written to stderr.
    pub(crate) async fn compare(&self, order: &Order) -> Result<Comparison> {
        let mut entries: Vec<Entry> =
            order.contenders.iter().map(|contender| Entry::new(*contender, self, order)).collect();
        // Only now, because some programs may just have been installed.
        let machine = Machine::look(&self.servers().await?, &self.programs);
        for turn in 1..=order.repeats {
            let mut entries: Vec<&mut Entry> = entries.iter_mut().collect();
            in_turn(&mut entries, turn);
            for entry in entries {
                eprintln!("xtask: {turn}/{}: {}", order.repeats, entry.contender.label());
                entry.measure(self, order.keys).await;
            }
        }
        let mut idle = None;
        if order.latency {
            idle = self.idle(order.keys).await?;
            for entry in entries.iter_mut().filter(|entry| entry.contender.disturbs()) {
                eprintln!("xtask: latency: {}", entry.contender.label());
                entry.watch(self, order.keys).await;
            }
        }
        let rows = entries.into_iter().map(Entry::outcome).collect();
        Ok(Comparison { keys: order.keys, repeats: order.repeats, machine, idle, rows })
    }

    /// Name and version of the servers.
    pub(crate) async fn servers(&self) -> Result<String> {
        self.cluster.version().await
    }

    /// One run of `launcher`'s contender on `keys` new keys.
    ///
    /// # Errors
    /// If it fails or leaves wrong keys.
    pub(crate) async fn once(&self, contender: Contender, launcher: &Launcher, keys: u64) -> Result<Sample> {
        let client = self.deployment(contender.place());
        let seeded = client.seed(contender.data(), keys).await?;
        let fleet = launcher.prepare(client.urls()).await?;
        let before = seeded.server_cpu().await?;
        let taken = launcher.run(client.urls(), fleet)?;
        let server_s = seeded.server_cpu().await? - before;
        seeded.check(contender.cleans()).await?;
        Ok(Sample {
            keys,
            wall_s: taken.usage.wall.as_secs_f64(),
            server_s,
            client_s: taken.usage.cpu.as_secs_f64(),
            peak_mb: taken.usage.peak_kb as f64 / 1024.0,
            roles: taken.roles,
        })
    }

    async fn idle(&self, keys: u64) -> Result<Option<Latency>> {
        eprintln!("xtask: latency: idle servers");
        self.cluster.seed(Data::Tenth, keys).await?;
        let foreground = Foreground::start(&self.programs.xtask, self.cluster.urls())?;
        tokio::time::sleep(IDLE).await;
        Ok(Latency::of(foreground.stop()?))
    }

    /// The latencies of one run, and its duration.
    async fn disturbed(
        &self,
        contender: Contender,
        launcher: &Launcher,
        keys: u64,
    ) -> Result<(Vec<Duration>, f64)> {
        let client = self.deployment(contender.place());
        let seeded = client.seed(contender.data(), keys).await?;
        let fleet = launcher.prepare(client.urls()).await?;
        let foreground = Foreground::start(&self.programs.xtask, client.urls())?;
        let taken = launcher.run(client.urls(), fleet)?;
        let latencies = foreground.stop()?;
        seeded.check(contender.cleans()).await?;
        Ok((latencies, taken.usage.wall.as_secs_f64()))
    }

    fn deployment(&self, place: Place) -> &Deployment {
        match place {
            Place::Cluster => &self.cluster,
            Place::Standalone => &self.standalone,
        }
    }
}

/// Every other turn is reversed, so that a contender does not always follow the same one.
pub(crate) fn in_turn<T>(order: &mut [T], turn: usize) {
    if turn.is_multiple_of(2) {
        order.reverse();
    }
}

/// A contender and its measurements so far.
struct Entry {
    contender: Contender,
    launcher: Option<Launcher>,
    samples: Vec<Sample>,
    latency: Option<Latency>,
    /// Why there will be no figures.
    spoilt: Option<Outcome>,
}

impl Entry {
    fn new(contender: Contender, bench: &Bench, order: &Order) -> Self {
        let (launcher, spoilt) = match Launcher::find(contender, &bench.programs, &order.args) {
            Ok(launcher) => (Some(launcher), None),
            Err(error) => (None, Some(Outcome::NotRun(format!("{error:#}")))),
        };
        Self { contender, launcher, samples: Vec::new(), latency: None, spoilt }
    }

    async fn measure(&mut self, bench: &Bench, keys: u64) {
        let Some(launcher) = self.launcher.as_ref().filter(|_| self.spoilt.is_none()) else { return };
        match bench.once(self.contender, launcher, self.contender.keys(keys)).await {
            Ok(sample) => self.samples.push(sample),
            Err(error) => self.spoilt = Some(Outcome::Failed(format!("{error:#}"))),
        }
    }

    async fn watch(&mut self, bench: &Bench, keys: u64) {
        let Some(launcher) = self.launcher.as_ref().filter(|_| self.spoilt.is_none()) else { return };
        let (mut all, mut watched_s) = (Vec::new(), 0.0);
        for _ in 0..WATCHED_RUNS_MAX {
            match bench.disturbed(self.contender, launcher, self.contender.keys(keys)).await {
                Ok((latencies, wall_s)) => {
                    all.extend(latencies);
                    watched_s += wall_s;
                }
                Err(error) => {
                    self.spoilt = Some(Outcome::Failed(format!("with the foreground client: {error:#}")));
                    return;
                }
            }
            if watched_s >= WATCHED_S {
                break;
            }
        }
        self.latency = Latency::of(all);
    }

    fn outcome(self) -> (Contender, Outcome) {
        let nothing = || Outcome::NotRun("no run was requested".to_owned());
        let measured = || figures(self.samples, self.latency).map_or_else(nothing, Outcome::Measured);
        (self.contender, self.spoilt.unwrap_or_else(measured))
    }
}
