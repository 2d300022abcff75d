//! `--metrics-file`: the metrics of a run for the textfile collector of node_exporter.

use coordinator::options::Options;
use coordinator::serve::JobHistory;
use coordinator::state;
use keysweep_files::publish;
use keysweep_storage::history;
use keysweep_telemetry::Telemetry;

/// Writes them, if the options name a file, when a run has ended or could not begin. An error never changes the outcome of the
/// run: it is logged, with the path.
pub(super) async fn write(options: &Options, telemetry: &Telemetry) {
    let Some(path) = options.metrics_file.clone() else { return };
    telemetry.knows_job(&options.job, &options.alias);
    let context = state::context_to_read(options).await;
    match history::read(&*context.history_store).await {
        Ok(lines) => {
            let mut runs = JobHistory::default();
            lines.iter().filter(|line| line.job == options.job).for_each(|line| runs.take(line));
            telemetry.job_runs(&options.job, &options.alias, runs.runs(options.dry_run), false);
        }
        Err(e) => tracing::warn!(error = %e, "the metrics file lacks the times of the last runs"),
    }
    let text = telemetry.textfile();
    match tokio::task::spawn_blocking(move || publish(&path, text.as_bytes())).await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => tracing::warn!("failed to write the metrics: {e}"),
        Err(e) => tracing::warn!(error = %e, "failed to write the metrics"),
    }
}
