//! `keysweep stats`: how queue, cache and Redis do, asked of a service, or found out here where none runs.

use serde_json::json;
use shared::nats::{Answer, ask};

use super::error::CommandError;
use super::run::{Show, print};
use super::site::{PATIENCE, Site};
use crate::exit;
use crate::serve::STATS_ENDPOINT;
use crate::statistics::{Statistics, cleanup_statistics};

/// `keysweep stats`, of the one job that the settings name, or of all.
///
/// # Errors
/// When NATS cannot be used.
pub async fn stats(site: &Site, show: Show) -> Result<u8, CommandError> {
    let net = site.connect("cli", Some(PATIENCE)).await?;
    let only = match site.jobs.as_slice() {
        [only] => Some(only),
        _ => None,
    };
    let alias = site.jobs.first().map(|job| job.alias.value.clone());
    let alias = alias.ok_or_else(|| CommandError::Usage("there is no job".to_owned()))?;
    let job = only.map(|job| job.job.value.as_str());
    let request = json!({ "job": job, "redis": alias }).to_string().into_bytes();
    let statistics = match ask(&net.nats, STATS_ENDPOINT, request).await? {
        Answer::Given(answer) => serde_json::from_slice(&answer)
            .map_err(|e| CommandError::Usage(format!("the service answers in another form: {e}")))?,
        Answer::Refused(_, why) => {
            tracing::warn!("the service refused ({why}); found out without it");
            cleanup_statistics(&net.env, &alias, job).await?
        }
        Answer::Nobody => {
            tracing::info!("no `keysweep serve` is running; found out without it");
            cleanup_statistics(&net.env, &alias, job).await?
        }
    };
    net.nats.close().await;
    let text = serde_json::to_string_pretty(&statistics).map_err(std::io::Error::other)?;
    print(&if show.json { text + "\n" } else { page(&statistics) })?;
    Ok(exit::DONE)
}

fn page(statistics: &Statistics) -> String {
    let Statistics { job_queue: queue, cache_health: cache, redis_health: redis, .. } = statistics;
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
    let count = |n: Option<u64>| or_none(n.map(reporter::grouped));
    let status = redis.status.word();
    let mut page = format!(
        "jobs   waiting {}, active {}, completed {}, partial {}, failed {}, cancelled {}\n\
         cache  hit rate {}, keys {}, hits {}, misses {} (by the last run)\n\
         redis  {status}, latency {}, memory {}\n",
        queue.waiting,
        queue.active,
        queue.completed,
        queue.partial,
        queue.failed,
        queue.cancelled,
        or_none(cache.hit_rate.map(|rate| format!("{rate:.1} %"))),
        count(cache.total_keys),
        count(cache.hits),
        count(cache.misses),
        or_none(redis.latency.map(|ms| format!("{ms:.2} ms"))),
        redis
            .memory_usage_percent
            .map_or_else(|| "without limit".to_owned(), |percent| format!("{percent:.1} %")),
    );
    for problem in &redis.problems {
        page.push_str(&format!("       {problem}\n"));
    }
    page
}
