//! A look at all keys: a dry run over every key that also counts them by namespace, in one database after the other.

use keysweep_model::messages::{Action, Rules, Verify};
use keysweep_redis::{RedisClient, RedisError, node};

use crate::discover::discover;
use crate::options::{Options, OptionsError};
use crate::preflight::{PreflightError, no_database};
use crate::state::StatePlace;

impl Options {
    /// The options of a look at all keys, with the connection and the pace of these. Nothing is selected, changed or
    /// kept. If `measures_all`, the memory of every key is measured.
    ///
    /// # Errors
    /// None in practice: the pattern is a constant.
    pub fn inspecting(self, measures_all: bool) -> Result<Self, OptionsError> {
        let rules = Rules::deleting(&["*"], &[])
            .map_err(|source| OptionsError::Pattern { pattern: "*".to_owned(), source })?;
        Ok(Self {
            display_name: "Inspect".to_owned(),
            rules: Rules {
                action: Action::Report,
                scan_batch_keys: self.rules.scan_batch_keys,
                verify: Verify::default(),
                ..rules
            },
            aggressive: false,
            inactive: None,
            dry_run: true,
            full_scan: true,
            namespaces: true,
            measures_all,
            state: StatePlace::default(),
            report_dir: None,
            backup: None,
            ..self
        })
    }

    /// The same in another database.
    #[must_use]
    pub fn of_database(mut self, db: u32) -> Self {
        self.access.db = db;
        self
    }
}

/// The databases of a standalone server that have keys, in order. The configured one if none has, of a cluster, and if the
/// server does not list them: the preflight says why.
///
/// # Errors
/// When no server can be reached.
pub async fn databases(options: &Options) -> Result<Vec<u32>, PreflightError> {
    let client = discover(options).await.map_err(|fault| no_database(options.access.db, false, fault))?;
    match with_keys(&client).await {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Ok(vec![options.access.db]),
    }
}

async fn with_keys(client: &RedisClient) -> Result<Vec<u32>, RedisError> {
    let topology = client.topology();
    match topology.primaries.first() {
        Some(primary) if !topology.cluster => node::databases(&client.conn(&primary.node).await?).await,
        _ => Ok(Vec::new()),
    }
}
