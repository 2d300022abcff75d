//! Which HTTP clients a service admits, by its settings.

use std::sync::Arc;

use coordinator::serve::{HttpAccess, HttpApi};
use keysweep_config::{SecretSource, Settings};
use keysweep_model::secret::Secret;

use super::error::CommandError;

/// The HTTP API and the page. All jobs have the same settings for it.
pub(super) fn http_api(jobs: &[Settings]) -> Result<Arc<HttpApi>, CommandError> {
    let Some(settings) = jobs.first() else { return Ok(HttpApi::new(HttpAccess::default())) };
    let api_token = read(settings.api_token.value.as_ref())?;
    let view_token = read(settings.view_token.value.as_ref())?;
    if api_token.is_some() && api_token == view_token {
        return Err(CommandError::Usage(
            "`api_token` and `view_token` are the same: use two tokens".to_owned(),
        ));
    }
    // A token that is set is needed on loopback, too.
    let open = settings.dashboard.value && api_token.is_none() && view_token.is_none();
    let public = settings.admin_addr.value.filter(|address| !address.ip().is_loopback());
    if let (true, Some(address)) = (open, public) {
        return Err(CommandError::Usage(format!(
            "`dashboard` shows the page without a token, and others can reach `{address}`: set `api_token_file` \
             or `view_token_file` under `[serve]`, or listen on `127.0.0.1`"
        )));
    }
    Ok(HttpApi::new(HttpAccess {
        api_token,
        view_token,
        open,
        hosts: settings.hosts.value.clone(),
        shows_keys: settings.dashboard_keys.value,
    }))
}

fn read(token: Option<&SecretSource>) -> Result<Option<Secret>, CommandError> {
    token.map(SecretSource::read).transpose().map_err(|e| CommandError::Usage(e.to_string()))
}
