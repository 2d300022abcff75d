//! Actions: what a run does with stale keys. What differs between actions is in their rows ([`ActionRow`]); the Redis
//! commands of each are in the two delete backends.

use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;

/// What to do with a stale key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Delete it.
    Delete,
    /// Give it a TTL: `ttl_ms` plus up to `jitter_ms` at random.
    Expire {
        /// The TTL in milliseconds.
        ttl_ms: u64,
        /// The largest addition to it in milliseconds.
        jitter_ms: u64,
    },
    /// Shorten its TTL to this, if it is longer. Only rules do this.
    Clamp {
        /// The TTL in milliseconds.
        ttl_ms: u64,
    },
    /// Only report it.
    Report,
}

/// The facts about an action.
#[derive(Debug)]
pub struct ActionRow {
    /// Its name in settings, logs and results.
    pub name: &'static str,
    /// What it does with a key; `None` if it changes nothing.
    pub effect: Option<ActionEffect>,
    /// The action as a request. `{keys}` and `{ttl}` stand for the keys and the TTL.
    pub request: &'static str,
    /// The action as a prediction, in the same form.
    pub prediction: &'static str,
    /// The participle that describes its keys afterwards.
    pub done: &'static str,
    /// The action with the TTL and the jitter of the settings, in milliseconds.
    configured: fn(ttl_ms: u64, jitter_ms: u64) -> Action,
}

/// What an action does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionEffect {
    /// The mode of the guard script that does it.
    pub script_mode: &'static str,
    /// The outcome of a key that was changed.
    pub outcome: Outcome,
}

const DELETE: ActionRow = ActionRow {
    name: "delete",
    effect: Some(ActionEffect { script_mode: "delete", outcome: Outcome::Deleted }),
    request: "Delete {keys}",
    prediction: "{keys} would be deleted",
    done: "deleted",
    configured: |_, _| Action::Delete,
};

const EXPIRE: ActionRow = ActionRow {
    name: "expire",
    effect: Some(ActionEffect { script_mode: "expire", outcome: Outcome::Expired }),
    request: "Give {keys} a TTL of {ttl}",
    prediction: "{keys} would be given a TTL of {ttl}",
    done: "given a TTL",
    configured: |ttl_ms, jitter_ms| Action::Expire { ttl_ms: ttl_ms.max(1), jitter_ms },
};

/// Its keys have a TTL, so that no setting makes it.
const CLAMP: ActionRow = ActionRow {
    name: "clamp",
    effect: Some(ActionEffect { script_mode: "clamp", outcome: Outcome::Clamped }),
    request: "Shorten the TTL of {keys} to {ttl}",
    prediction: "the TTL of {keys} would be shortened to {ttl}",
    done: "given a shorter TTL",
    configured: |ttl_ms, _| Action::Clamp { ttl_ms: ttl_ms.max(1) },
};

const REPORT: ActionRow = ActionRow {
    name: "report",
    effect: None,
    request: "Report {keys}",
    prediction: "{keys} would be reported",
    done: "reported",
    configured: |_, _| Action::Report,
};

/// The rows of the actions that a setting may name.
const ACTIONS: [&ActionRow; 3] = [&DELETE, &EXPIRE, &REPORT];

/// The rows of the actions that change keys.
pub const EFFECTS: [&ActionRow; 3] = [&DELETE, &EXPIRE, &CLAMP];

impl ActionRow {
    /// The row of the action `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        ACTIONS.into_iter().find(|row| row.name == name)
    }
}

impl Action {
    /// The names of the actions that a setting may name.
    pub const NAMES: [&str; ACTIONS.len()] = [DELETE.name, EXPIRE.name, REPORT.name];

    /// The action `name` with the TTL and the jitter of the settings; `None` if there is no such action.
    #[must_use]
    pub fn configured(name: &str, ttl_ms: u64, jitter_ms: u64) -> Option<Self> {
        ActionRow::named(name).map(|row| (row.configured)(ttl_ms, jitter_ms))
    }

    /// The facts about it.
    #[must_use]
    pub const fn row(self) -> &'static ActionRow {
        match self {
            Self::Delete => &DELETE,
            Self::Expire { .. } => &EXPIRE,
            Self::Clamp { .. } => &CLAMP,
            Self::Report => &REPORT,
        }
    }

    /// Its name in settings, logs and results.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The outcome of a key that it changed; `None` if it changes nothing.
    #[must_use]
    pub fn outcome(self) -> Option<Outcome> {
        self.row().effect.map(|effect| effect.outcome)
    }

    /// Whether it writes to Redis.
    #[must_use]
    pub fn writes(self) -> bool {
        self.outcome().is_some()
    }

    /// Whether it deletes stale keys.
    #[must_use]
    pub fn deletes(self) -> bool {
        self.outcome() == Some(Outcome::Deleted)
    }

    /// The TTL that it sets, in milliseconds.
    #[must_use]
    pub fn ttl_ms(self) -> Option<u64> {
        match self {
            Self::Expire { ttl_ms, .. } | Self::Clamp { ttl_ms } => Some(ttl_ms),
            Self::Delete | Self::Report => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_the_row_of_its_action() {
        for (row, name) in ACTIONS.into_iter().zip(Action::NAMES) {
            let action = Action::configured(row.name, 0, 0).unwrap();
            assert_eq!((action.name(), action.row().name), (name, row.name));
            assert_eq!(row.request.contains("{ttl}"), action.ttl_ms().is_some(), "{name}");
        }
        assert_eq!(Action::configured("expire", 0, 0), Some(Action::Expire { ttl_ms: 1, jitter_ms: 0 }));
        assert_eq!(Action::configured("drop", 0, 0), None);
    }
}
