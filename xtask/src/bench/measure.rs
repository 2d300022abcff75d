//! The measurements: in each turn all contenders, each on the same keys; first for speed without other clients, then
//! once more with the foreground client. The remaining keys of every run are checked.

use std::time::Duration;

use anyhow::Result;

use super::case::{Case, USUAL_PERCENT};
use super::contenders::launch::Launcher;
use super::data::Data;
use super::deployment::{Deployment, Place};
use super::figures::{Comparison, Figures, Outcome, Sample};
use super::latency::{Foreground, Latency};
use super::machine::Machine;
use super::programs::Programs;

/// How long the foreground client measures idle servers.
const IDLE: Duration = Duration::from_secs(3);

/// What to measure.
pub(crate) struct MeasureRequest {
    /// Contenders with their data.
    pub(crate) cases: Vec<Case>,
    /// The number of turns.
    pub(crate) repeats: usize,
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
    pub(crate) async fn compare(&self, request: &MeasureRequest) -> Result<Comparison> {
        let mut entries: Vec<Entry> =
            request.cases.iter().map(|case| Entry::new(*case, self, &request.args)).collect();
        // Only now, because some programs may just have been installed.
        let machine = Machine::query(&self.cluster.version().await?, &self.programs);
        let keys = request.cases.iter().map(|case| case.keys).fold(0, u64::max);
        let mut idle = Vec::new();
        for turn in 1..=request.repeats {
            let progress = format!("xtask: {turn}/{}", request.repeats);
            let mut entries: Vec<&mut Entry> = entries.iter_mut().collect();
            // Every other turn is reversed, so that a contender does not always follow the same one.
            if turn.is_multiple_of(2) {
                entries.reverse();
            }
            for entry in &mut entries {
                eprintln!("{progress}: {}, {} keys", entry.case.label(), entry.case.keys);
                entry.measure(self, false).await;
            }
            if request.latency {
                eprintln!("{progress}: latency: idle servers");
                idle.push(self.idle(keys).await?);
                for entry in entries.into_iter().filter(|entry| entry.case.contender.disturbs()) {
                    eprintln!("{progress}: latency: {}", entry.case.label());
                    entry.measure(self, true).await;
                }
            }
        }
        let rows = entries.into_iter().map(Entry::outcome).collect();
        Ok(Comparison { repeats: request.repeats, machine, idle, rows })
    }

    /// One run of `launcher` on new keys, and with the foreground client if `watched`.
    ///
    /// # Errors
    /// If it fails or leaves wrong keys.
    async fn once(&self, case: &Case, launcher: &Launcher, watched: bool) -> Result<Sample> {
        let client = self.deployment(case.contender.place());
        let seeded = client.seed(case.data(), case.keys).await?;
        let fleet = launcher.prepare(client.urls()).await?;
        let foreground =
            watched.then(|| Foreground::start(&self.programs.xtask, client.urls())).transpose()?;
        let before = seeded.server_cpu().await?;
        let used = launcher.run(client.urls(), fleet)?;
        let server_s = seeded.server_cpu().await? - before;
        let latency = foreground.map(Foreground::stop).transpose()?;
        seeded.check(case.contender.cleans()).await?;
        Ok(Sample {
            keys: case.keys,
            wall_s: used.usage.wall.as_secs_f64(),
            server_s,
            client_s: used.usage.cpu.as_secs_f64(),
            peak_mb: used.usage.peak_kb as f64 / 1024.0,
            roles: used.roles,
            latency,
        })
    }

    async fn idle(&self, keys: u64) -> Result<Latency> {
        self.cluster.seed(Data::Stale { percent: USUAL_PERCENT }, keys).await?;
        let foreground = Foreground::start(&self.programs.xtask, self.cluster.urls())?;
        tokio::time::sleep(IDLE).await;
        foreground.stop()
    }

    fn deployment(&self, place: Place) -> &Deployment {
        match place {
            Place::Cluster => &self.cluster,
            Place::Standalone => &self.standalone,
        }
    }
}

/// A case and its measurements so far.
struct Entry {
    case: Case,
    launcher: Option<Launcher>,
    samples: Vec<Sample>,
    /// Why there will be no figures.
    spoilt: Option<Outcome>,
}

impl Entry {
    fn new(case: Case, bench: &Bench, args: &[String]) -> Self {
        let (launcher, spoilt) = match Launcher::find(case.contender, &bench.programs, args) {
            Ok(launcher) => (Some(launcher), None),
            Err(error) => (None, Some(Outcome::NotRun(format!("{error:#}")))),
        };
        Self { case, launcher, samples: Vec::new(), spoilt }
    }

    /// One more run: the sample of a turn, or with `watched` the latency of that turn.
    async fn measure(&mut self, bench: &Bench, watched: bool) {
        let Some(launcher) = self.launcher.as_ref().filter(|_| self.spoilt.is_none()) else { return };
        match (bench.once(&self.case, launcher, watched).await, self.samples.last_mut()) {
            (Ok(run), Some(sample)) if watched => sample.latency = run.latency,
            (Ok(run), _) => self.samples.push(run),
            (Err(error), _) => {
                let circumstances = if watched { "with the foreground client: " } else { "" };
                self.spoilt = Some(Outcome::Failed(format!("{circumstances}{error:#}")));
            }
        }
    }

    fn outcome(self) -> (Case, Outcome) {
        (self.case, self.spoilt.unwrap_or(Outcome::Measured(Figures { runs: self.samples })))
    }
}
