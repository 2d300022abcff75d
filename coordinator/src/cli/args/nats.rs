//! The flags of the NATS connection.

use clap::Args;
use shared::config::FlagLayer;

use super::about;

/// The heading of these flags in `--help`.
pub(super) const HEADING: &str = "NATS";

/// Flags that settle how to reach NATS; without them, everything happens in this process.
#[derive(Args, Default)]
#[command(next_help_heading = HEADING)]
#[expect(missing_docs, reason = "each field is a flag of the settings table, which documents it")]
pub struct NatsArgs {
    #[arg(long, value_name = "URL", help = about("--nats"))]
    pub nats: Vec<String>,
    #[arg(long, value_name = "NAME", help = about("--nats-context"))]
    pub nats_context: Option<String>,
    #[arg(long, value_name = "FILE", help = about("--nats-creds"))]
    pub nats_creds: Option<String>,
    #[arg(long, value_name = "FILE", help = about("--nats-nkey"))]
    pub nats_nkey: Option<String>,
    #[arg(long, value_name = "NAME", help = about("--nats-user"))]
    pub nats_user: Option<String>,
    #[arg(long, value_name = "FILE", help = about("--nats-password-file"))]
    pub nats_password_file: Option<String>,
    #[arg(long, value_name = "FILE", help = about("--nats-token-file"))]
    pub nats_token_file: Option<String>,
    #[arg(long, value_name = "FILE", help = about("--nats-ca"))]
    pub nats_ca: Option<String>,
    #[arg(long, value_name = "FILE", help = about("--nats-cert"))]
    pub nats_cert: Option<String>,
    #[arg(long, value_name = "FILE", help = about("--nats-key"))]
    pub nats_key: Option<String>,
    #[arg(long, value_name = "NAME", help = about("--nats-prefix"))]
    pub nats_prefix: Option<String>,
    #[arg(long, value_name = "NAME", help = about("--nats-domain"))]
    pub nats_domain: Option<String>,
}

impl NatsArgs {
    /// Adds what was given to `layer`.
    pub fn add_to(&self, layer: &mut FlagLayer) {
        layer
            .values("--nats", &self.nats)
            .value("--nats-context", self.nats_context.as_deref())
            .value("--nats-creds", self.nats_creds.as_deref())
            .value("--nats-nkey", self.nats_nkey.as_deref())
            .value("--nats-user", self.nats_user.as_deref())
            .value("--nats-password-file", self.nats_password_file.as_deref())
            .value("--nats-token-file", self.nats_token_file.as_deref())
            .value("--nats-ca", self.nats_ca.as_deref())
            .value("--nats-cert", self.nats_cert.as_deref())
            .value("--nats-key", self.nats_key.as_deref())
            .value("--nats-prefix", self.nats_prefix.as_deref())
            .value("--nats-domain", self.nats_domain.as_deref());
    }
}
