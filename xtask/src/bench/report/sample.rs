//! A made-up comparison for tests.

use crate::bench::contenders::Contender;
use crate::bench::figures::{self, Comparison, Figures, Outcome, RoleFigures, Sample};
use crate::bench::latency::Latency;
use crate::bench::machine::Machine;

/// Figures of round numbers.
pub(crate) fn figures(keys_per_s: f64, server_us: f64) -> Figures {
    let latency = Latency { p50_ms: 0.25, p99_ms: 1.4, requests: 2_000 };
    let run = Sample {
        keys: 200_000,
        wall_s: 200_000.0 / keys_per_s,
        server_s: server_us * 0.2,
        client_s: 0.1,
        peak_mb: 20.0,
        roles: Vec::new(),
    };
    figures::figures(vec![run], Some(latency)).expect("there is a run")
}

/// Some contenders were measured, one could not run, one failed.
pub(crate) fn comparison() -> Comparison {
    let role = |name| RoleFigures { name, count: 3, us: 0.25, peak_mb: 18.0 };
    let over_nats = Figures { roles: vec![role("scanner"), role("nats-server")], ..figures(700_000.0, 2.5) };
    Comparison {
        keys: 200_000,
        repeats: 3,
        machine: Machine { processors: 2, versions: vec!["Redis 7.0.15".to_owned()] },
        idle: Some(Latency { p50_ms: 0.125, p99_ms: 0.5, requests: 6_000 }),
        rows: vec![
            (Contender::Keysweep, Outcome::Measured(figures(800_000.0, 2.5))),
            (Contender::Gentle, Outcome::Measured(figures(300_000.0, 2.5))),
            (Contender::Nats, Outcome::Measured(over_nats)),
            (Contender::Floor, Outcome::Measured(figures(1_000_000.0, 2.0))),
            (Contender::SingleCursor, Outcome::Measured(figures(500_000.0, 2.0))),
            (Contender::Document, Outcome::NotRun("`node` is missing".to_owned())),
            (Contender::RedisPy, Outcome::Failed("it left 7 keys".to_owned())),
        ],
    }
}
