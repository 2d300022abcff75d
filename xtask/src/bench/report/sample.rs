//! Made-up measurements for tests.

use std::time::Duration;

use crate::bench::case::Case;
use crate::bench::contenders::Contender;
use crate::bench::contenders::fleet::WorkerRole;
use crate::bench::figures::{Comparison, Figures, Outcome, Sample};
use crate::bench::growth::Size;
use crate::bench::latency::Latency;
use crate::bench::machine::Machine;

fn run(keys: u64, keys_per_s: f64, server_us: f64) -> Sample {
    Sample {
        keys,
        wall_s: keys as f64 / keys_per_s,
        server_s: server_us * keys as f64 / 1e6,
        client_s: keys as f64 * 0.5 / 1e6,
        peak_mb: 20.0,
        roles: Vec::new(),
        latency: Some(Latency { p50_ms: 0.25, p99_ms: 1.375, requests: 2_000 }),
    }
}

/// Three turns of round numbers, all alike.
pub(crate) fn figures(keys_per_s: f64, server_us: f64) -> Figures {
    Figures { runs: vec![run(200_000, keys_per_s, server_us); 3] }
}

/// Three turns; the rates of the second and third are half and twice that of the first.
pub(crate) fn spread_out(keys_per_s: f64, server_us: f64) -> Figures {
    let runs = [1.0, 0.5, 2.0].map(|share| run(200_000, keys_per_s * share, server_us / share));
    Figures { runs: runs.into() }
}

/// Three turns that were not watched.
fn unwatched(keys_per_s: f64, server_us: f64, client_us: f64) -> Figures {
    let mut figures = figures(keys_per_s, server_us);
    for run in &mut figures.runs {
        run.latency = None;
        run.client_s = client_us * run.keys as f64 / 1e6;
    }
    figures
}

/// Three turns with two roles, whose memory differs.
fn over_nats() -> Figures {
    let mut figures = figures(700_000.0, 2.5);
    for (run, peak_mb) in figures.runs.iter_mut().zip([18, 17, 19]) {
        let role =
            |name| WorkerRole { name, count: 3, cpu: Duration::from_millis(50), peak_kb: peak_mb * 1_024 };
        run.roles = vec![role("scanner"), role("nats-server")];
    }
    figures
}

/// A size whose single process needs `peak_mb`.
pub(crate) fn size(keys: u64, peak_mb: f64) -> Size {
    let mut embedded = figures(800_000.0, 2.5);
    embedded.runs.iter_mut().for_each(|run| run.peak_mb = peak_mb);
    Size { keys, embedded, floor: figures(1_000_000.0, 2.0), over_nats: over_nats() }
}

/// Some contenders were measured, one could not run, one failed.
pub(crate) fn comparison() -> Comparison {
    use Contender::{Document, Floor, FloorLooks, Gentle, Keysweep, Looks, Nats, RedisPy, SingleCursor};
    let measured =
        |contender, percent, figures| (Case::new(contender, percent, 200_000), Outcome::Measured(figures));
    let unmeasured = |contender, outcome| (Case::new(contender, 10, 200_000), outcome);
    Comparison {
        repeats: 3,
        machine: Machine { processors: 2, versions: vec!["Redis 7.0.15".to_owned()] },
        idle: vec![Latency { p50_ms: 0.125, p99_ms: 0.5, requests: 6_000 }; 3],
        rows: vec![
            measured(Keysweep, 1, figures(800_000.0, 2.5)),
            measured(Floor, 1, figures(1_000_000.0, 2.0)),
            measured(Keysweep, 10, figures(800_000.0, 2.25)),
            measured(Floor, 10, figures(1_000_000.0, 2.0)),
            measured(Nats, 10, over_nats()),
            measured(Gentle, 10, figures(300_000.0, 2.5)),
            measured(SingleCursor, 10, spread_out(500_000.0, 2.0)),
            unmeasured(Document, Outcome::NotRun("`node` is missing".to_owned())),
            unmeasured(RedisPy, Outcome::Failed("it left 7 keys".to_owned())),
            measured(Looks, 10, unwatched(600_000.0, 1.5, 0.5)),
            measured(FloorLooks, 10, unwatched(1_200_000.0, 1.5, 0.25)),
        ],
    }
}
