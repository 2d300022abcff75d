//! `keysweep ttl advise`: what another TTL would do to a cache. Nothing is written to it.

use coordinator::exit;
use coordinator::options::Options;
use coordinator::state;
use coordinator::ttl_advice::{TtlRequest, ttl_advice};
use keysweep_config::Settings;
use keysweep_model::ttl_advice::refusal::FIRST_LOOK;
use reporter::printer::terminal;
use reporter::view;

use crate::args::TtlAdviseArgs;
use crate::error::CommandError;
use crate::run::OutputMode;
use crate::signals::Signals;

/// `keysweep ttl advise`. A refusal is an answer.
///
/// # Errors
/// When servers cannot be used, or a signal arrives.
pub async fn advise(settings: &Settings, args: &TtlAdviseArgs, show: OutputMode) -> Result<u8, CommandError> {
    let options = Options::from_settings(settings)?;
    let of_job = TtlRequest::of(settings);
    let request = TtlRequest {
        target_hit_rate: args.target_hit_rate.map(|percent| percent / 100.0).or(of_job.target_hit_rate),
        look_for: args.look_for.unwrap_or_default(),
        ..of_job
    };
    let mut signals = Signals::catch()?;
    let context = state::context_to_read(&options).await;
    let advice = signals.or_stop(Box::pin(ttl_advice(&context, &options, &request))).await??;
    show.print(&advice, || terminal::blocks(&view::ttl_advice(&advice)))?;
    let again = advice.diagnostics.call_again_seconds.filter(|_| advice.is_refused_as(FIRST_LOOK));
    if let Some(seconds) = again {
        tracing::info!("one call can look twice: `--for {seconds:.0}s`");
    }
    Ok(exit::DONE)
}
