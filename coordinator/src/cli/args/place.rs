//! The flags that say where things are: NATS and the job file for every command on workers, and Redis for those
//! that go there.

use clap::Args;
use shared::config::FlagLayer;

use super::{NatsArgs, REDIS, SELECTION, about};

/// Flags of commands that only need NATS.
#[derive(Args, Default)]
pub struct NetArgs {
    /// The job file [default: ./keysweep.toml if there is one]
    #[arg(long, value_name = "FILE", help_heading = SELECTION)]
    pub config: Option<String>,
    /// Where NATS is.
    #[command(flatten)]
    pub nats: NatsArgs,
}

/// Flags of commands that go to Redis as well.
#[derive(Args, Default)]
#[expect(missing_docs, reason = "each field is a flag of the settings table, which documents it")]
pub struct PlaceArgs {
    #[arg(long, value_name = "URL", help = about("--redis"), help_heading = REDIS)]
    pub redis: Vec<String>,
    #[arg(long, value_name = "NAME", help = about("--user"), help_heading = REDIS)]
    pub user: Option<String>,
    #[arg(long, value_name = "FILE", help = about("--password-file"), help_heading = REDIS)]
    pub password_file: Option<String>,
    #[command(flatten)]
    pub net: NetArgs,
}

impl PlaceArgs {
    /// Adds what was given to `layer`.
    pub fn add_to(&self, layer: &mut FlagLayer) {
        layer
            .values("--redis", &self.redis)
            .value("--user", self.user.as_deref())
            .value("--password-file", self.password_file.as_deref());
        self.net.nats.add_to(layer);
    }
}
