//! Which HTTP clients a process serves, and with which certificate, by its settings. A service changes both at SIGHUP.

use std::net::SocketAddr;
use std::sync::Arc;

use coordinator::serve::{HttpAccess, HttpApi};
use keysweep_config::{SecretSource, Setting, Settings};
use keysweep_tls::ServerTls;
use tokio::sync::watch;

use super::error::CommandError;

/// The certificate of the admin address; `None` without TLS. A change applies to connections from then on.
pub(super) type AdminTls = watch::Receiver<Option<ServerTls>>;

/// The HTTP API and the page of a service, and its certificate.
pub(super) struct HttpService {
    pub(super) api: Arc<HttpApi>,
    tls: watch::Sender<Option<ServerTls>>,
}

/// What the settings and their files say about HTTP clients.
pub(super) struct HttpSettings {
    access: HttpAccess,
    tls: Option<ServerTls>,
}

impl HttpService {
    /// Begins with these settings.
    pub(super) fn new(settings: HttpSettings) -> Self {
        Self { api: HttpApi::new(settings.access), tls: watch::Sender::new(settings.tls) }
    }

    /// Serves by other settings from now on.
    pub(super) fn change(&self, settings: HttpSettings) {
        self.api.change(settings.access);
        self.tls.send_replace(settings.tls);
    }

    pub(super) fn tls(&self) -> AdminTls {
        self.tls.subscribe()
    }
}

impl HttpSettings {
    /// Reads the files that the settings of `jobs` name: tokens, certificate and key. The process listens where those
    /// say that it was started with. All jobs have the same.
    ///
    /// # Errors
    /// When a file cannot be used, or the settings contradict each other.
    pub(super) fn read(jobs: &[Settings], started_with: &[Settings]) -> Result<Self, CommandError> {
        let Some(settings) = jobs.first() else {
            return Ok(Self { access: HttpAccess::default(), tls: None });
        };
        let (tls, listens) =
            (tls(jobs, true)?, started_with.first().and_then(|first| first.admin_addr.value));
        Ok(Self { access: access(settings, listens, tls.is_some())?, tls })
    }
}

/// A setting of the admin address, as far as it is one of this process. `[serve]` of the job file is not about workers:
/// beside a coordinator with the same file, they would find its port in use.
pub(super) fn of_admin<T>(setting: &Setting<T>, is_coordinator: bool) -> Option<&Setting<T>> {
    (is_coordinator || setting.origin.is_above_file()).then_some(setting)
}

/// The certificate of the admin address, if the settings name one.
pub(super) fn tls(jobs: &[Settings], is_coordinator: bool) -> Result<Option<ServerTls>, CommandError> {
    let Some(settings) = jobs.first() else { return Ok(None) };
    let [cert, key] = [&settings.admin_cert, &settings.admin_key]
        .map(|setting| of_admin(setting, is_coordinator).and_then(|setting| setting.value.as_deref()));
    // The settings have both or none.
    let (Some(cert), Some(key)) = (cert, key) else { return Ok(None) };
    let tls = ServerTls::read(cert, key).map_err(|e| {
        CommandError::Usage(format!(
            "failed to set up TLS for the admin address: {e}; `--admin-cert` takes a PEM file with the certificate and \
             its chain, `--admin-key` one with its private key"
        ))
    });
    tls.map(Some)
}

fn access(settings: &Settings, listens: Option<SocketAddr>, tls: bool) -> Result<HttpAccess, CommandError> {
    let read =
        |token: &Setting<Option<SecretSource>>| token.value.as_ref().map(SecretSource::read).transpose();
    let (api_token, view_token) = (read(&settings.api_token)?, read(&settings.view_token)?);
    if api_token.is_some() && api_token == view_token {
        return Err(CommandError::Usage(
            "`api_token` and `view_token` are the same: use two tokens".to_owned(),
        ));
    }
    // A token that is set is needed on loopback, too.
    let open = settings.dashboard.value && api_token.is_none() && view_token.is_none();
    let public = listens.filter(|address| !address.ip().is_loopback());
    if let (true, Some(address)) = (open, public) {
        return Err(CommandError::Usage(format!(
            "`dashboard` shows the page without a token, and others can reach `{address}`: set `api_token_file` \
             or `view_token_file` under `[serve]`, or listen on `127.0.0.1`"
        )));
    }
    Ok(HttpAccess {
        api_token,
        view_token,
        open,
        hosts: settings.hosts.value.clone(),
        shows_keys: settings.dashboard_keys.value,
        tls,
    })
}
