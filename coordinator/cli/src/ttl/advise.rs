//! `keysweep ttl advise`: what another TTL would do to a cache. Nothing is written to it.

use coordinator::exit;
use coordinator::options::Options;
use coordinator::state;
use coordinator::ttl_advice::{TtlRequest, ttl_advice};
use keysweep_config::Settings;
use keysweep_model::ttl_advice::TtlAdvice;
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
    if let Some(seconds) = second_look(&advice) {
        tracing::info!("one call can look twice: `--for {seconds:.0}s`");
    }
    Ok(exit::DONE)
}

/// After how many seconds a second look tells more of all keys that were looked at for the first time; `None` if none were.
fn second_look(advice: &TtlAdvice) -> Option<f64> {
    let first = advice.with_groups().filter(|advice| advice.is_refused_as(FIRST_LOOK));
    first.filter_map(|advice| advice.diagnostics.call_again_seconds).reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use keysweep_model::ttl_advice::refusal::SEVERAL_TTLS;
    use keysweep_model::ttl_advice::{TtlDiagnostics, TtlGroup};

    use super::*;

    #[test]
    fn a_second_look_is_due_when_all_groups_can_tell_more() {
        let refused = |refusal: &str, again| TtlAdvice {
            refusal: Some(refusal.to_owned()),
            diagnostics: TtlDiagnostics { call_again_seconds: again, ..TtlDiagnostics::default() },
            ..TtlAdvice::default()
        };
        let several = |groups: Vec<TtlAdvice>| {
            let groups = groups.into_iter().map(|advice| TtlGroup { advice, ..TtlGroup::default() });
            TtlAdvice { groups: groups.collect(), ..refused(SEVERAL_TTLS, None) }
        };
        let first = |again| refused(FIRST_LOOK, Some(again));
        let other = || refused("tooFewRequests", Some(90.0));
        for (advice, expected) in [
            (first(30.0), Some(30.0)),
            (other(), None),
            (several(vec![first(30.0), first(60.0), other()]), Some(60.0)),
            (several(vec![other()]), None),
        ] {
            assert_eq!(second_look(&advice), expected, "{advice:#?}");
        }
    }
}
