//! The flags that say where things are: NATS and the job file for every command on workers, and Redis for those
//! that go there.

use clap::Args;
use shared::config::FlagLayer;

use super::{NatsArgs, REDIS, SELECTION, about};

/// Flags of commands that only need NATS.
#[derive(Args, Default)]
pub struct NatsConnectionArgs {
    /// The job file [default: ./keysweep.toml if there is one]
    #[arg(long, value_name = "FILE", help_heading = SELECTION)]
    pub config: Option<String>,
    /// Where NATS is.
    #[command(flatten)]
    pub nats: NatsArgs,
}

/// Flags that say how to speak TLS to Redis, named as those of redis-cli.
#[derive(Args, Default)]
pub struct TlsArgs {
    #[arg(long, value_name = "FILE", help = about("--cacert"), help_heading = REDIS)]
    pub cacert: Option<String>,
    #[arg(long, value_name = "FILE", help = about("--cert"), help_heading = REDIS)]
    pub cert: Option<String>,
    #[arg(long, value_name = "FILE", help = about("--key"), help_heading = REDIS)]
    pub key: Option<String>,
    #[arg(long, value_name = "NAME", help = about("--sni"), help_heading = REDIS)]
    pub sni: Option<String>,
    #[arg(long, help = about("--insecure"), help_heading = REDIS)]
    pub insecure: bool,
}

impl TlsArgs {
    fn add_to(&self, layer: &mut FlagLayer) {
        layer
            .value("--cacert", self.cacert.as_deref())
            .value("--cert", self.cert.as_deref())
            .value("--key", self.key.as_deref())
            .value("--sni", self.sni.as_deref())
            .switch("--insecure", self.insecure);
    }
}

/// Flags of commands that go to Redis as well.
#[derive(Args, Default)]
#[expect(missing_docs, reason = "each field is a flag of the settings table, which documents it")]
pub struct ConnectionArgs {
    #[arg(long, value_name = "URL", help = about("--redis"), help_heading = REDIS)]
    pub redis: Vec<String>,
    #[arg(long, value_name = "NAME", help = about("--user"), help_heading = REDIS)]
    pub user: Option<String>,
    #[arg(long, value_name = "FILE", help = about("--password-file"), help_heading = REDIS)]
    pub password_file: Option<String>,
    #[arg(long, value_name = "NAME", help = about("--sentinel-user"), help_heading = REDIS)]
    pub sentinel_user: Option<String>,
    #[arg(long, value_name = "FILE", help = about("--sentinel-password-file"), help_heading = REDIS)]
    pub sentinel_password_file: Option<String>,
    #[arg(long, value_name = "ANNOUNCED=REACHABLE", help = about("--address-map"), help_heading = REDIS)]
    pub address_map: Vec<String>,
    #[command(flatten)]
    pub tls: TlsArgs,
    #[command(flatten)]
    pub net: NatsConnectionArgs,
}

impl ConnectionArgs {
    /// Adds what was given to `layer`.
    pub fn add_to(&self, layer: &mut FlagLayer) {
        layer
            .values("--redis", &self.redis)
            .value("--user", self.user.as_deref())
            .value("--password-file", self.password_file.as_deref())
            .value("--sentinel-user", self.sentinel_user.as_deref())
            .value("--sentinel-password-file", self.sentinel_password_file.as_deref())
            .values("--address-map", &self.address_map);
        self.tls.add_to(layer);
        self.net.nats.add_to(layer);
    }
}
