//! `keysweep stats`: state of queue, cache and Redis: from a service, or computed here if none runs.

use coordinator::exit;
use coordinator::options::Options;
use coordinator::serve::STATS_ENDPOINT;
use coordinator::state;
use coordinator::statistics::{CacheHealth, JobQueue, Statistics, cleanup_statistics, with_sample};
use keysweep_config::{Origin, Settings};
use keysweep_model::metrics::{HitRateWindow, RedisHealth};
use keysweep_model::selection::Selection;
use keysweep_model::wire;
use keysweep_nats::{ServiceReply, ask};
use reporter::printer::terminal;
use reporter::summary::Summary;
use reporter::view::{Block, Figure};
use reporter::{grouped, moment, span};
use serde_json::json;

use super::connections::{Connections, PATIENCE};
use super::error::CommandError;
use super::run::OutputMode;

/// `keysweep stats` over NATS, of the one job that the settings name, or of all.
///
/// # Errors
/// When NATS cannot be used.
pub async fn stats(connections: &Connections, show: OutputMode) -> Result<u8, CommandError> {
    let net = connections.connect("cli", Some(PATIENCE)).await?;
    let first = connections.jobs.first().ok_or_else(|| CommandError::Usage("there is no job".to_owned()))?;
    let (options, alias) = (Options::from_settings(first)?, &first.alias.value);
    let job = (connections.jobs.len() == 1).then_some(options.job.as_str());
    let request = json!({ "job": job, "redis": alias }).to_string().into_bytes();
    let answer = ask(&net.nats, STATS_ENDPOINT, request).await?;
    let statistics = if let ServiceReply::Given(answer) = &answer {
        wire::from_json(answer)
            .map_err(|e| CommandError::Usage(format!("the response of the service cannot be decoded: {e}")))?
    } else {
        if let ServiceReply::Refused(_, why) = &answer {
            tracing::warn!("the service refused ({why}); computed without it");
        } else {
            tracing::info!("no `keysweep serve` is running; computed without it");
        }
        let (source, selection) = (&options.application.hit_rate, named(first, &options));
        let selection = selection.as_ref().filter(|_| job.is_some());
        let found = cleanup_statistics(&net.context, alias, job, source, selection).await?;
        // A sample of keys is for one job.
        if job.is_some() { with_sample(found, &net.context, &options).await } else { found }
    };
    net.nats.close().await;
    shown(&statistics, show)
}

/// `keysweep stats` without NATS: from the history on this machine.
///
/// # Errors
/// When the history cannot be read, or the settings cannot be used.
pub async fn local_stats(settings: &Settings, show: OutputMode) -> Result<u8, CommandError> {
    let options = Options::from_settings(settings)?;
    // Fail without the history: the statistics would report that nothing has run.
    let env = state::context(&options).await?;
    let (job, source) = (Some(options.job.as_str()), &options.application.hit_rate);
    let selection = named(settings, &options);
    let found = cleanup_statistics(&env, &options.alias, job, source, selection.as_ref()).await?;
    shown(&with_sample(found, &env, &options).await, show)
}

/// The selection of keys that the figures are for, if the settings name patterns. `None`: the selection of the last
/// run.
fn named(settings: &Settings, options: &Options) -> Option<Selection> {
    (settings.patterns.origin != Origin::Default).then(|| options.selection())
}

fn shown(statistics: &Statistics, show: OutputMode) -> Result<u8, CommandError> {
    show.print(statistics, || page(statistics))?;
    Ok(exit::DONE)
}

/// The page as text: one line per subject, problems below it.
#[must_use]
pub fn page(statistics: &Statistics) -> String {
    let redis = &statistics.redis_health;
    let mut figures = vec![
        Figure::text("Jobs", queue(&statistics.job_queue)),
        Figure::text("Cache", cache(&statistics.cache_health)),
        Figure::text("24 h", window(statistics.last_day.as_ref())),
        Figure::text("7 days", week(&statistics.last_week)),
        Figure::text("Redis", servers(redis)),
    ];
    figures.extend(redis.problems.iter().map(|problem| Figure::text("", problem.as_str())));
    if statistics.alerts.is_empty() {
        figures.push(Figure::text("Alerts", "none"));
    }
    figures.extend(statistics.alerts.iter().map(|alert| {
        let since = moment(&alert.since);
        Figure::text("ALERT", format!("{}: {} (since {since})", alert.severity, alert.message))
    }));
    terminal::blocks(&[Block::Figures(figures)])
}

fn queue(queue: &JobQueue) -> String {
    format!(
        "{} waiting, {} active, {} completed, {} partial, {} failed, {} cancelled",
        queue.waiting, queue.active, queue.completed, queue.partial, queue.failed, queue.cancelled
    )
}

fn cache(cache: &CacheHealth) -> String {
    let Some(at) = &cache.at else {
        let sampled = |keys| format!("about {} keys, by a sample just now", grouped(keys));
        let known = cache.total_keys.map_or_else(|| "not known".to_owned(), sampled);
        return format!("{known}: no run has counted them");
    };
    let rate = match (cache.hit_rate, cache.hits.zip(cache.misses)) {
        (Some(rate), Some((hits, misses))) => {
            format!("hit rate {rate:.1}% ({} hits, {} misses)", grouped(hits), grouped(misses))
        }
        (None, Some((0, 0))) => "no traffic".to_owned(),
        _ => "hit rate unknown".to_owned(),
    };
    let about = if cache.approximate { "about " } else { "" };
    let keys = cache.total_keys.map_or_else(|| "?".to_owned(), |keys| format!("{about}{}", grouped(keys)));
    let ttl = cache.avg_ttl.map_or_else(String::new, |ttl| format!(", mean TTL {}", span(ttl)));
    let errors = cache.errors.map_or_else(String::new, |errors| format!(", {} errors", grouped(errors)));
    format!("{keys} keys{ttl}; {rate}{errors}; by the run of {}", moment(at))
}

fn window(window: Option<&HitRateWindow>) -> String {
    let Some(window) = window else { return "unknown: there are no samples of that time".to_owned() };
    match (window.hit_rate, window.lookups, &window.unknown_reason) {
        (Some(rate), Some(lookups), _) => format!("hit rate {rate:.1}% of {} lookups", grouped(lookups)),
        (None, Some(0), _) => "no traffic".to_owned(),
        (_, _, Some(why)) => format!("hit rate unknown: {why}"),
        _ => "hit rate unknown".to_owned(),
    }
}

fn week(week: &Summary) -> String {
    let rate = match (week.hit_rate, week.lookups) {
        (Some(rate), _) => format!("hit rate {rate:.1}%"),
        (None, Some(0)) => "no traffic".to_owned(),
        (None, _) => "hit rate unknown".to_owned(),
    };
    let before =
        week.hit_rate_before.map_or_else(String::new, |rate| format!(" ({rate:.1}% the week before)"));
    format!("{} runs, {} keys deleted, {rate}{before}", grouped(week.runs), grouped(week.cleaned_keys))
}

fn servers(redis: &RedisHealth) -> String {
    let latency = redis.latency.map_or_else(|| "no answer".to_owned(), |ms| format!("latency {ms:.2} ms"));
    let known = redis.latency.is_some() && redis.nodes.iter().all(|node| node.used_memory_bytes.is_some());
    let memory = match redis.memory_usage_percent {
        Some(percent) => format!("memory {percent:.1}% full"),
        None if known => "memory without limit".to_owned(),
        None => "memory unknown".to_owned(),
    };
    format!("{}, {latency}, {memory}", redis.status)
}
