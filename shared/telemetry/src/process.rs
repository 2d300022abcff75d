//! What the system says of this process, with the names that all Prometheus clients use. Nothing on systems
//! other than Linux.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Their names, kinds and meanings.
pub(super) const DOCS: [(&str, &str, &str); 7] = [
    ("process_cpu_seconds_total", "counter", "processor time of the process"),
    ("process_resident_memory_bytes", "gauge", "its resident memory"),
    ("process_virtual_memory_bytes", "gauge", "its virtual memory"),
    ("process_threads", "gauge", "its threads"),
    ("process_open_fds", "gauge", "its open file descriptors"),
    ("process_max_fds", "gauge", "its limit of open file descriptors; absent without one"),
    ("process_start_time_seconds", "gauge", "when it started, in Unix time"),
];

/// Reads them when metrics are asked for.
#[derive(Debug)]
pub(super) struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let values = values();
        for ((name, kind, meaning), value) in DOCS.iter().zip(values) {
            let Some(value) = value else { continue };
            if *kind == "counter" {
                let (metric, name) = (ConstCounter::new(value), name.trim_end_matches("_total"));
                metric.encode(encoder.encode_descriptor(name, meaning, None, metric.metric_type())?)?;
            } else {
                let metric = ConstGauge::new(value);
                metric.encode(encoder.encode_descriptor(name, meaning, None, metric.metric_type())?)?;
            }
        }
        Ok(())
    }
}

/// The values in the order of [`DOCS`]; `None` where the system does not say.
#[cfg(target_os = "linux")]
#[expect(clippy::cast_precision_loss, reason = "bytes and ticks of a process are far below 2^53")]
fn values() -> [Option<f64>; DOCS.len()] {
    use procfs::process::{LimitValue, Process};
    let Ok(process) = Process::myself() else { return [None; DOCS.len()] };
    let ticks = procfs::ticks_per_second() as f64;
    let stat = process.stat().ok();
    let stat = stat.as_ref();
    let limit = process.limits().ok().and_then(|limits| match limits.max_open_files.soft_limit {
        LimitValue::Value(files) => Some(files as f64),
        LimitValue::Unlimited => None,
    });
    let booted = procfs::boot_time_secs().ok();
    [
        stat.map(|stat| (stat.utime + stat.stime) as f64 / ticks),
        stat.map(|stat| (stat.rss * procfs::page_size()) as f64),
        stat.map(|stat| stat.vsize as f64),
        stat.map(|stat| stat.num_threads as f64),
        process.fd_count().ok().map(|files| files as f64),
        limit,
        stat.zip(booted).map(|(stat, booted)| booted as f64 + stat.starttime as f64 / ticks),
    ]
}

#[cfg(not(target_os = "linux"))]
fn values() -> [Option<f64>; DOCS.len()] {
    [None; DOCS.len()]
}
