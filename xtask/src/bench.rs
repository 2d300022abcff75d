//! `cargo xtask bench`: keysweep, in one process and on workers over NATS, beside the simple client of
//! `baseline.rs`, on the same servers and data, in the same sitting. The comparison with other tools is not here.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use shared::cluster::Reply;
use shared::servers::{ClusterServers, Seeder, Server};

use crate::fleet::Fleet;
use crate::sweep::sweep;
use crate::{baseline, cargo, install};

/// How often each measurement is repeated; the medians are printed.
const REPEATS: usize = 3;
/// How many keys the simple client looks at: it would take minutes for all, at an unchanging rate.
const SAMPLE_KEYS_MAX: u64 = 50_000;

/// The arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many keys, a tenth of them without TTL.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1000..))]
    keys: u64,
    /// Print one JSON document instead of a table.
    #[arg(long)]
    json: bool,
    /// More arguments for `keysweep run`.
    #[arg(last = true)]
    args: Vec<String>,
}

/// One repetition on one deployment.
struct Sample {
    simple_rate: f64,
    wall_rate: f64,
    own_rate: f64,
    wall_s: f64,
    rss_mb: f64,
    /// Over NATS: as `wall_rate`, and the memory of the command alone.
    nats_rate: f64,
}

/// Builds keysweep, measures, and prints.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    install::ensure(&[install::REDIS, install::NATS])?;
    let keysweep = cargo::build_keysweep(true)?;
    let runtime = tokio::runtime::Runtime::new().context("failed to start the runtime")?;
    let rows = runtime.block_on(async {
        let mut rows = Vec::new();
        let server = Server::start(&[]).await?;
        rows.push(("standalone", measure(&keysweep, &[server.url()], options).await?));
        drop(server);
        let cluster = ClusterServers::start(3, 0).await?;
        rows.push(("3 primaries", measure(&keysweep, &cluster.urls(), options).await?));
        anyhow::Ok(rows)
    })?;
    if options.json {
        print_json(options, &rows);
    } else {
        print_table(options, &rows);
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(keysweep: &Path, urls: &[String], options: &Options) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for _ in 0..REPEATS {
        let seeder = seed(urls, options.keys).await?;
        let nodes: Vec<_> = seeder.conns().cloned().collect();
        let looked = baseline::run(&nodes, SAMPLE_KEYS_MAX.min(options.keys)).await?;
        let seeder = seed(urls, options.keys).await?;
        let run = sweep(keysweep, urls, &options.args)?;
        check(&seeder, options.keys).await?;
        let seeder = seed(urls, options.keys).await?;
        let fleet = Fleet::start(keysweep, urls).await?;
        let args = [options.args.clone(), vec!["--nats".to_owned(), fleet.nats_url()]].concat();
        let on_workers = sweep(keysweep, urls, &args)?;
        check(&seeder, options.keys).await?;
        let keys = options.keys as f64;
        samples.push(Sample {
            simple_rate: looked.keys as f64 / looked.took.as_secs_f64(),
            wall_rate: keys / run.wall.as_secs_f64(),
            own_rate: run.duration_ms.map_or(f64::NAN, |ms| keys * 1000.0 / ms),
            wall_s: run.wall.as_secs_f64(),
            rss_mb: run.rss_peak_kb as f64 / 1024.0,
            nats_rate: keys / on_workers.wall.as_secs_f64(),
        });
    }
    Ok(samples)
}

/// The figures of a wrong run mean nothing. Ledgers of a run on workers stay for a while, and count as keys.
async fn check(seeder: &Seeder, keys: u64) -> Result<()> {
    let mut ours = 0;
    for node in seeder.conns() {
        if let Reply::Array(keys) = node.words("KEYS keysweep:*").await? {
            ours += keys.len() as u64;
        }
    }
    let (left, expected) = (seeder.keys().await? - ours, keys - keys.div_ceil(10));
    if left != expected {
        bail!("keysweep left {left} keys where {expected} have a TTL");
    }
    Ok(())
}

/// Empties the servers and writes `keys` keys, every tenth without TTL.
async fn seed(urls: &[String], keys: u64) -> Result<Seeder> {
    let mut seeder = Seeder::connect(urls).await?;
    for node in seeder.conns() {
        node.words("FLUSHALL").await?;
    }
    for number in 0..keys {
        let key = format!("permissions:{}:documents", 1_000_000 + number);
        let ttl_ms = (number % 10 != 0).then_some(900_000);
        seeder.set(key.as_bytes(), b"read,write,share", ttl_ms).await?;
    }
    seeder.finish().await?;
    Ok(seeder)
}

fn median(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn print_table(options: &Options, rows: &[(&str, Vec<Sample>)]) {
    println!("{} keys, a tenth without TTL; medians of {REPEATS} runs", options.keys);
    println!("wall: whole process from start to exit, grace included; own: durationMs of the result\n");
    println!(
        "{:<12} {:>13} {:>12} {:>7} {:>12} {:>7} {:>7} {:>8} {:>12} {:>9}",
        "",
        "simple keys/s",
        "wall keys/s",
        "ratio",
        "own keys/s",
        "ratio",
        "wall s",
        "peak MB",
        "NATS keys/s",
        "NATS/wall"
    );
    for (name, samples) in rows {
        let of = |field: fn(&Sample) -> f64| median(samples, field);
        let (simple, wall, own) = (of(|s| s.simple_rate), of(|s| s.wall_rate), of(|s| s.own_rate));
        println!(
            "{name:<12} {simple:>13.0} {wall:>12.0} {:>6.1}x {own:>12.0} {:>6.1}x {:>7.2} {:>8.1} {:>12.0} {:>8.2}x",
            wall / simple,
            own / simple,
            of(|s| s.wall_s),
            of(|s| s.rss_mb),
            of(|s| s.nats_rate),
            of(|s| s.nats_rate) / wall
        );
    }
}

fn print_json(options: &Options, rows: &[(&str, Vec<Sample>)]) {
    let row = |(name, samples): &(&str, Vec<Sample>)| {
        let of = |field: fn(&Sample) -> f64| median(samples, field);
        json!({
            "servers": name,
            "simpleKeysPerSecond": of(|s| s.simple_rate),
            "wallKeysPerSecond": of(|s| s.wall_rate),
            "ownKeysPerSecond": of(|s| s.own_rate),
            "wallRatio": of(|s| s.wall_rate) / of(|s| s.simple_rate),
            "ownRatio": of(|s| s.own_rate) / of(|s| s.simple_rate),
            "wallSeconds": of(|s| s.wall_s),
            "peakMemoryMb": of(|s| s.rss_mb),
            "natsKeysPerSecond": of(|s| s.nats_rate),
            "natsRatio": of(|s| s.nats_rate) / of(|s| s.wall_rate),
        })
    };
    let rows: Vec<Value> = rows.iter().map(row).collect();
    println!("{}", json!({ "keys": options.keys, "repeats": REPEATS, "rows": rows }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_simple_client_deletes_what_the_bench_seeds_without_ttl() {
        let server = Server::start(&[]).await.unwrap();
        let seeder = seed(&[server.url()], 2000).await.unwrap();
        let nodes: Vec<_> = seeder.conns().cloned().collect();
        let looked = baseline::run(&nodes, 2000).await.unwrap();
        assert_eq!((looked.keys, looked.deleted, seeder.keys().await.unwrap()), (2000, 200, 1800));
    }
}
