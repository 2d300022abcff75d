//! One row of the settings table: everything that is known about a setting, stated once.

use keysweep_model::size;

use super::group::{Group, Scope};
use super::setting_kind::{LIST_ITEMS_MAX, SettingKind};

/// One setting: its names in every layer, its default and the values it takes.
#[derive(Clone, Copy, Debug)]
pub struct SettingDef {
    /// The name in `config show`, unique in the table: the key in the job file, for `[nats]` and `[serve]` with the
    /// table's name before it, as in `nats.password`.
    pub name: &'static str,
    /// Another accepted spelling of the key in the job file.
    pub alias: Option<&'static str>,
    /// The table of the job file that has the key.
    pub section: Section,
    /// The group in the documentation and in `--help`.
    pub group: Group,
    /// The flag with its dashes. Secrets have none, because process lists show command lines.
    pub flag: Option<&'static str>,
    /// The heading of the flag in `--help`, if it is not the group's.
    pub heading: Option<&'static str>,
    /// The placeholder of the flag's value, if it is not that of the kind.
    pub value_name: Option<&'static str>,
    /// Scopes that have the flag, besides that of the section.
    pub also: &'static [Scope],
    /// The `KEYSWEEP_…` variable.
    pub env: &'static str,
    /// A second variable, common with Redis, NATS or the job that keysweep generalizes; `env` wins over it.
    pub other_env: Option<&'static str>,
    /// The field of a request that starts a run over HTTP or NATS.
    pub json: Option<JsonField>,
    /// The value if no layer has one.
    pub default: DefaultValue,
    /// A value for a generated job file, if there is no default and that of the kind does not fit.
    pub example: Option<&'static str>,
    /// The values it takes.
    pub kind: SettingKind,
    /// Whether the values of all layers count together, instead of those of the highest: a guard is never lost because
    /// another one is added.
    pub adds_up: bool,
    /// Whether `config show` leaves it out: the file of a secret shows as the origin of the secret.
    pub is_secret_file: bool,
    /// One line of help in Markdown, without a full stop.
    pub help: &'static str,
}

/// A table of the job file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// `[[job]]`
    Job,
    /// `[redis.<alias>]`
    Redis,
    /// `[nats]`
    Nats,
    /// `[serve]`
    Serve,
}

/// A field of a request that starts a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonField {
    /// Its name.
    pub name: &'static str,
    /// Whether the job's `allow_override` may list it: a value can mean more deletions, or more load.
    pub may_exceed: bool,
}

/// A default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// This text, parsed like the text of any layer.
    Text(&'static str),
    /// Derived from something else, described in Markdown.
    Derived(&'static str),
    /// None at all.
    Absent,
}

impl Section {
    /// The header of its table in the job file.
    #[must_use]
    pub const fn header(self) -> &'static str {
        match self {
            Self::Job => "[[job]]",
            Self::Redis => "[redis.<alias>]",
            Self::Nats => "[nats]",
            Self::Serve => "[serve]",
        }
    }
}

/// Builders of rows.
impl SettingDef {
    /// A setting of `[[job]]`, without a flag or a default.
    pub(super) const fn job(name: &'static str, env: &'static str, kind: SettingKind) -> Self {
        Self {
            name,
            alias: None,
            section: Section::Job,
            group: Group::Selection,
            flag: None,
            heading: None,
            value_name: None,
            also: &[],
            env,
            other_env: None,
            json: None,
            default: DefaultValue::Absent,
            example: None,
            kind,
            adds_up: false,
            is_secret_file: false,
            help: "",
        }
    }

    /// A setting of `[redis.<alias>]`.
    pub(super) const fn redis(name: &'static str, env: &'static str, kind: SettingKind) -> Self {
        Self { section: Section::Redis, ..Self::job(name, env, kind) }
    }

    /// A setting of `[nats]`; its name begins with `nats.`.
    pub(super) const fn nats(name: &'static str, env: &'static str, kind: SettingKind) -> Self {
        Self { section: Section::Nats, ..Self::job(name, env, kind) }
    }

    /// A setting of `[serve]`; its name begins with `serve.`.
    pub(super) const fn serve(name: &'static str, env: &'static str, kind: SettingKind) -> Self {
        Self { section: Section::Serve, ..Self::job(name, env, kind) }
    }

    pub(super) const fn flag(self, flag: &'static str) -> Self {
        Self { flag: Some(flag), ..self }
    }

    pub(super) const fn adds_up(self) -> Self {
        Self { adds_up: true, ..self }
    }

    pub(super) const fn heading(self, heading: &'static str) -> Self {
        Self { heading: Some(heading), ..self }
    }

    pub(super) const fn value_name(self, name: &'static str) -> Self {
        Self { value_name: Some(name), ..self }
    }

    pub(super) const fn also(self, scopes: &'static [Scope]) -> Self {
        Self { also: scopes, ..self }
    }

    pub(super) const fn alias(self, key: &'static str) -> Self {
        Self { alias: Some(key), ..self }
    }

    pub(super) const fn other_env(self, name: &'static str) -> Self {
        Self { other_env: Some(name), ..self }
    }

    /// A field of requests that `allow_override` may list.
    pub(super) const fn json(self, name: &'static str) -> Self {
        Self { json: Some(JsonField { name, may_exceed: true }), ..self }
    }

    /// A field of requests that changes neither deletions nor load.
    pub(super) const fn neutral_json(self, name: &'static str) -> Self {
        Self { json: Some(JsonField { name, may_exceed: false }), ..self }
    }

    pub(super) const fn default(self, text: &'static str) -> Self {
        Self { default: DefaultValue::Text(text), ..self }
    }

    pub(super) const fn derived(self, from: &'static str) -> Self {
        Self { default: DefaultValue::Derived(from), ..self }
    }

    pub(super) const fn example(self, text: &'static str) -> Self {
        Self { example: Some(text), ..self }
    }

    pub(super) const fn secret_file(self) -> Self {
        Self { is_secret_file: true, ..self }
    }

    pub(super) const fn described(self, group: Group, help: &'static str) -> Self {
        Self { group, help: help.trim_ascii(), ..self }
    }
}

impl SettingDef {
    /// The key in its table of the job file.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self.section {
            Section::Nats => self.name.strip_prefix("nats.").unwrap_or(self.name),
            Section::Serve => self.name.strip_prefix("serve.").unwrap_or(self.name),
            Section::Job | Section::Redis => self.name,
        }
    }

    /// Whether `key` is this setting's key, or its other spelling.
    pub(super) fn is_called(&self, key: &str) -> bool {
        self.key() == key || self.alias == Some(key)
    }

    /// Whether the commands with `scope` have its flag.
    #[must_use]
    pub fn is_in(&self, scope: Scope) -> bool {
        Scope::of(self.section) == scope || self.also.contains(&scope)
    }

    /// The placeholder of its flag's value.
    #[must_use]
    pub fn placeholder(&self) -> &'static str {
        self.value_name.unwrap_or(self.kind.placeholder())
    }

    /// Whether `count` values are right: exactly one, or for a list not too many, and at least one if there is a
    /// default, because an empty list would leave nothing to do.
    pub(super) fn takes(&self, count: usize) -> bool {
        let must_not_be_empty = matches!(self.default, DefaultValue::Text(_));
        match self.kind.is_list() {
            true => count <= LIST_ITEMS_MAX && (count > 0 || !must_not_be_empty),
            false => count == 1,
        }
    }

    /// The default text, with a unit if it is a number of bytes.
    pub(super) fn default_value(&self) -> Option<String> {
        match (self.default, self.kind) {
            (DefaultValue::Text(text), SettingKind::Bytes { .. }) => {
                Some(size::parse(text).map_or(text.to_owned(), size::show))
            }
            (DefaultValue::Text(text), _) => Some(text.to_owned()),
            _ => None,
        }
    }

    /// The help of its flag, with the default.
    #[must_use]
    pub fn flag_help(&self) -> String {
        let default = match self.default {
            DefaultValue::Derived(text) => Some(text.to_owned()),
            _ => self.default_value().filter(|text| text != "false"),
        };
        default.map_or(self.help.to_owned(), |default| format!("{} [default: {default}]", self.help))
    }
}
