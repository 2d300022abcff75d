//! The measurements: contenders in turn, each on the same keys, first for speed with nobody else at the servers,
//! then once more with the foreground client. Every run is checked by what it left.

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

/// How long the foreground client watches servers that nobody cleans.
const IDLE: Duration = Duration::from_secs(3);
/// A contender is watched until it has worked for so long, over as many runs as that takes, but not more than
/// [`WATCHED_RUNS_MAX`]: 99 in 100 of few requests say little.
const WATCHED_S: f64 = 2.5;
const WATCHED_RUNS_MAX: usize = 3;

/// What to measure.
pub(crate) struct Order {
    /// How many keys.
    pub(crate) keys: u64,
    /// How many runs of each contender.
    pub(crate) repeats: usize,
    /// Who.
    pub(crate) contenders: Vec<Contender>,
    /// Whether the foreground client's latency is measured.
    pub(crate) latency: bool,
    /// More arguments for keysweep.
    pub(crate) args: Vec<String>,
}

/// The servers and whoever is to clean them.
pub(crate) struct Bench {
    cluster: Deployment,
    standalone: Deployment,
    /// Where our binaries are.
    pub(crate) programs: Programs,
}

impl Bench {
    /// Starts the servers.
    pub(crate) async fn start(programs: Programs) -> Result<Self> {
        let (cluster, standalone) =
            (Deployment::start(Place::Cluster).await?, Deployment::start(Place::Standalone).await?);
        Ok(Self { cluster, standalone, programs })
    }

    /// All measurements; progress goes to stderr.
    pub(crate) async fn compare(&self, order: &Order) -> Result<Comparison> {
        let mut entries: Vec<Entry> =
            order.contenders.iter().map(|contender| Entry::new(*contender, self, order)).collect();
        // Only now, since some may just have been installed.
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
    /// If it fails, or leaves something else than it has to.
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
        eprintln!("xtask: latency: nobody cleans");
        self.cluster.seed(Data::Tenth, keys).await?;
        let foreground = Foreground::start(&self.programs.xtask, self.cluster.urls())?;
        tokio::time::sleep(IDLE).await;
        Ok(Latency::of(foreground.stop()?))
    }

    /// The latencies of one run, and how long it was.
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

/// Every other turn goes backwards, so that nobody always finds the memory of the servers as the same one left it.
pub(crate) fn in_turn<T>(order: &mut [T], turn: usize) {
    if turn.is_multiple_of(2) {
        order.reverse();
    }
}

/// A contender and what is known of it so far.
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
                    self.spoilt = Some(Outcome::Failed(format!("beside the foreground client: {error:#}")));
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
        let nothing = || Outcome::NotRun("no run was asked for".to_owned());
        let measured = || figures(self.samples, self.latency).map_or_else(nothing, Outcome::Measured);
        (self.contender, self.spoilt.unwrap_or_else(measured))
    }
}
