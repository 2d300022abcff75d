//! A look at all keys: a dry run over every key that also counts them by namespace.

use keysweep_model::messages::{Action, Rules, Verify};

use crate::options::{Options, OptionsError};
use crate::state::StatePlace;

impl Options {
    /// The options of a look at all keys, with the connection and the pace of these. Nothing is selected, changed or
    /// kept.
    ///
    /// # Errors
    /// None in practice: the pattern is a constant.
    pub fn inspecting(self) -> Result<Self, OptionsError> {
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
            state: StatePlace::default(),
            report_dir: None,
            backup: None,
            ..self
        })
    }
}
