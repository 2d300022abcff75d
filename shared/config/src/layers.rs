//! The layers of configuration: flags over environment over job file over defaults; for a list that adds up, all of them
//! together. A layer returns raw texts with their origins. They are parsed in one place, so every bad value gives the
//! same kind of message.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use super::environment::Environment;
use super::error::ConfigError;
use super::nats::NatsUrl;
use super::origin::{Origin, Setting};
use super::parse::{self, Parsed};
use super::raw::{RawEntry, RawTable};
use super::setting_def::{DefaultValue, Section, SettingDef};
use super::setting_kind::SettingKind;
use super::table;

/// The unchecked texts from the command line, by flag.
#[derive(Clone, Default)]
pub struct FlagLayer {
    values: BTreeMap<&'static str, Vec<String>>,
}

impl FlagLayer {
    /// Sets a flag (with its dashes) that takes one value, if there is a value.
    pub fn value(&mut self, flag: &'static str, text: Option<&str>) -> &mut Self {
        self.values.extend(text.map(|text| (flag, vec![text.to_owned()])));
        self
    }

    /// The flags whose settings `keep` selects, as arguments of another process.
    #[must_use]
    pub fn to_args(&self, keep: impl Fn(&SettingDef) -> bool) -> Vec<String> {
        let rows = self.values.iter().filter_map(|(flag, texts)| Some((table::by_flag(flag)?, *flag, texts)));
        let kept = rows.filter(|(row, ..)| keep(row));
        // `--flag=value`, because a value may begin with a dash.
        let arg = |row: &SettingDef, flag: &str, text: &str| match row.kind {
            SettingKind::Switch => flag.to_owned(),
            _ => format!("{flag}={text}"),
        };
        kept.flat_map(|(row, flag, texts)| texts.iter().map(move |text| arg(row, flag, text))).collect()
    }

    /// Sets a repeatable flag, if there are values.
    pub fn values(&mut self, flag: &'static str, texts: &[String]) -> &mut Self {
        self.values.extend((!texts.is_empty()).then(|| (flag, texts.to_vec())));
        self
    }

    /// Sets a flag without a value if `on`. Otherwise a lower layer may have `true`.
    pub fn switch(&mut self, flag: &'static str, on: bool) -> &mut Self {
        self.value(flag, on.then_some("true"))
    }
}

/// Shows only names of flags: a URL may contain a password.
impl fmt::Debug for FlagLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

/// All layers, with the tables of the job file that apply.
#[derive(Clone, Copy)]
pub(super) struct Layers<'a> {
    pub(super) flags: &'a FlagLayer,
    pub(super) env: &'a Environment,
    pub(super) job: Option<&'a RawTable>,
    pub(super) redis: Option<&'a RawTable>,
    pub(super) nats: Option<&'a RawTable>,
    pub(super) serve: Option<&'a RawTable>,
    /// Collects problems; without it, the first problem ends the resolution.
    pub(super) problems: Option<&'a Problems>,
}

/// Problems of a resolution that continues after each.
pub(super) type Problems = RefCell<Vec<ConfigError>>;

/// A setting's texts from the highest layer that has it. A list may span lines, so each text has its own origin.
struct RawValue {
    texts: Vec<(String, Origin)>,
    origin: Origin,
}

impl<'a> Layers<'a> {
    /// The layers without tables of a job file.
    pub(super) fn new(flags: &'a FlagLayer, env: &'a Environment) -> Self {
        Self { flags, env, job: None, redis: None, nats: None, serve: None, problems: None }
    }
}

impl Layers<'_> {
    /// A setting with one value; `None` if no layer has it and there is no default text.
    pub(super) fn one<T>(
        &self,
        name: &'static str,
        read: impl Fn(SettingKind, &str) -> Parsed<T>,
    ) -> Result<Option<Setting<T>>, ConfigError> {
        let spec = row(name)?;
        let read_raw = |RawValue { texts, origin }: RawValue| {
            let [(text, place)] = texts.as_slice() else {
                return Err(bad_count(spec, &origin, texts.len()));
            };
            let value = read(spec.kind, text).map_err(|right| bad(spec, place, text, right))?;
            Ok(Some(Setting { value, origin }))
        };
        let Some(raw) = self.raw(spec) else { return Ok(None) };
        let given = read_raw(raw);
        if given.is_ok() || self.problems.is_none() {
            return given;
        }
        self.tolerate(given, default_of(spec).map_or(Ok(None), read_raw)?)
    }

    /// The value of `result`. If problems are collected, an error is added to them and replaced with `otherwise`.
    pub(super) fn tolerate<T>(&self, result: Result<T, ConfigError>, otherwise: T) -> Result<T, ConfigError> {
        match (result, self.problems) {
            (Err(problem), Some(problems)) => {
                problems.borrow_mut().push(problem);
                Ok(otherwise)
            }
            (result, _) => result,
        }
    }

    /// A setting that always has a value, because the table has a default.
    pub(super) fn must<T>(
        &self,
        name: &'static str,
        read: impl Fn(SettingKind, &str) -> Parsed<T>,
    ) -> Result<Setting<T>, ConfigError> {
        self.one(name, read)?.ok_or(ConfigError::Undefined(name))
    }

    /// A setting that may be absent.
    pub(super) fn optional<T>(
        &self,
        name: &'static str,
        read: impl Fn(SettingKind, &str) -> Parsed<T>,
    ) -> Result<Setting<Option<T>>, ConfigError> {
        Ok(self.one(name, read)?.map_or(Setting::none(), |setting| setting.map(Some)))
    }

    /// A setting with several values; an empty list by default.
    pub(super) fn list<T>(
        &self,
        name: &'static str,
        read: impl Fn(SettingKind, &str) -> Parsed<T>,
    ) -> Result<Setting<Vec<T>>, ConfigError> {
        let spec = row(name)?;
        let none = Setting { value: Vec::new(), origin: Origin::Default };
        let Some(RawValue { texts, origin }) = self.raw(spec) else { return Ok(none) };
        if !spec.takes(texts.len()) {
            return self.tolerate(Err(bad_count(spec, &origin, texts.len())), none);
        }
        let read_one = |(text, place): &(String, Origin)| {
            read(spec.kind, text).map_err(|right| bad(spec, place, text, right))
        };
        let value = texts.iter().map(read_one).collect::<Result<_, _>>();
        self.tolerate(value.map(|value| Setting { value, origin }), none)
    }

    fn raw(&self, spec: &'static SettingDef) -> Option<RawValue> {
        let layers = [Self::in_flags, Self::in_environment, Self::in_file];
        let mut given = layers.into_iter().filter_map(|layer| layer(self, spec));
        let highest = given.next();
        if spec.adds_up { given.fold(highest, RawValue::and) } else { highest }.or_else(|| default_of(spec))
    }

    /// The flag or variable that sets it, if one does.
    pub(super) fn origin_above_file(&self, spec: &'static SettingDef) -> Option<Origin> {
        self.in_flags(spec).or_else(|| self.in_environment(spec)).map(|raw| raw.origin)
    }

    fn in_flags(&self, spec: &'static SettingDef) -> Option<RawValue> {
        let flag = spec.flag?;
        let texts = self.flags.values.get(flag)?;
        let origin = Origin::Flag(flag);
        let texts = texts.iter().map(|text| (text.clone(), origin.clone()));
        Some(RawValue { texts: apart(spec.kind, texts), origin })
    }

    fn in_environment(&self, spec: &'static SettingDef) -> Option<RawValue> {
        let names = [Some(spec.env), spec.other_env];
        let (name, text) = names.into_iter().flatten().find_map(|name| Some((name, self.env.get(name)?)))?;
        Some(RawValue::same_origin(spec, text, Origin::Env(name)))
    }

    fn in_file(&self, spec: &'static SettingDef) -> Option<RawValue> {
        let table = match spec.section {
            Section::Job => self.job?,
            Section::Redis => self.redis?,
            Section::Nats => self.nats?,
            Section::Serve => self.serve?,
        };
        let RawEntry { texts, line } = table.entries.get(spec.key())?;
        let texts = texts.iter().map(|(text, line)| (text.clone(), table.origin(*line)));
        Some(RawValue { texts: apart(spec.kind, texts), origin: table.origin(*line) })
    }
}

impl RawValue {
    /// The texts of this layer, and of a lower one; the origin is that of the higher.
    fn and(higher: Option<Self>, lower: Self) -> Option<Self> {
        let Some(mut both) = higher else { return Some(lower) };
        both.texts.extend(lower.texts);
        Some(both)
    }

    /// The value of a layer without arrays: a list is separated by commas.
    fn same_origin(spec: &SettingDef, text: &str, origin: Origin) -> Self {
        let texts = match spec.kind {
            SettingKind::Patterns
            | SettingKind::Addresses
            | SettingKind::Overrides
            | SettingKind::PublicKeys => text.split(',').map(|part| part.trim().to_owned()).collect(),
            kind => split(kind, text),
        };
        Self { texts: texts.into_iter().map(|text| (text, origin.clone())).collect(), origin }
    }
}

fn default_of(spec: &'static SettingDef) -> Option<RawValue> {
    match spec.default {
        DefaultValue::Text(text) => Some(RawValue::same_origin(spec, text, Origin::Default)),
        DefaultValue::Derived(_) | DefaultValue::Absent => None,
    }
}

/// Splits texts that contain several URLs, as every layer may.
fn apart(kind: SettingKind, texts: impl Iterator<Item = (String, Origin)>) -> Vec<(String, Origin)> {
    let parts = |(text, origin): (String, Origin)| {
        split(kind, &text).into_iter().map(move |part| (part, origin.clone())).collect::<Vec<_>>()
    };
    texts.flat_map(parts).collect()
}

/// The URLs of a text that may contain several; other texts unchanged.
pub(super) fn split(kind: SettingKind, text: &str) -> Vec<String> {
    match kind {
        SettingKind::NatsUrls => split_nats_urls(text),
        SettingKind::Urls | SettingKind::SecretUrls => split_urls(text),
        _ => vec![text.to_owned()],
    }
}

/// Splits as [`split_urls`], and also at commas before a host without a scheme, like other NATS clients. Before the
/// last `@`, a comma may be part of a password.
pub(super) fn split_nats_urls(text: &str) -> Vec<String> {
    let hosts = |url: String| {
        let login_end = url.rfind('@').unwrap_or(0);
        let Some(comma) = url[login_end..].find(',').map(|at| login_end + at) else { return vec![url] };
        let parts: Vec<&str> = [&url[..comma]].into_iter().chain(url[comma + 1..].split(',')).collect();
        match parts.iter().all(|part| NatsUrl::parse(part).is_some()) {
            true => parts.into_iter().map(|part| part.trim().to_owned()).collect(),
            false => vec![url],
        }
    };
    split_urls(text).into_iter().flat_map(hosts).collect()
}

/// Splits at commas before a URL. A password may contain commas, and a part of it must not appear in a message as a
/// URL.
fn split_urls(text: &str) -> Vec<String> {
    let mut urls: Vec<String> = Vec::new();
    for part in text.split(',') {
        match urls.last_mut() {
            Some(url) if !part.contains("://") => {
                url.push(',');
                url.push_str(part);
            }
            _ => urls.push(part.to_owned()),
        }
    }
    urls
}

pub(super) fn row(name: &'static str) -> Result<&'static SettingDef, ConfigError> {
    table::by_name(name).ok_or(ConfigError::Undefined(name))
}

/// A setting that a flag or a variable gives.
pub struct Given {
    /// Its row.
    pub row: &'static SettingDef,
    /// The flag or variable.
    pub origin: Origin,
    /// Its texts, which are not checked. They may be secrets.
    pub texts: Vec<String>,
}

/// The settings that flags and environment give, in the order of the table.
#[must_use]
pub fn given(flags: &FlagLayer, env: &Environment) -> Vec<Given> {
    let layers = Layers::new(flags, env);
    let given = |row: &'static SettingDef| {
        let RawValue { texts, origin } = layers.in_flags(row).or_else(|| layers.in_environment(row))?;
        Some(Given { row, origin, texts: texts.into_iter().map(|(text, _)| text).collect() })
    };
    table::SETTINGS.iter().filter_map(given).collect()
}

/// Checks a value of the setting `name` from a request; `field` is its name there.
///
/// # Errors
/// What is wrong, and what would be right.
pub fn check(name: &'static str, field: &str, text: &str) -> Result<(), String> {
    let spec = row(name).map_err(|e| e.to_string())?;
    let shown = || parse::shown(spec.kind, text);
    parse::check(spec.kind, text).map_err(|right| format!("`{field}` is `{}`; it takes {right}", shown()))
}

/// The error of a bad value.
pub(super) fn bad(spec: &'static SettingDef, origin: &Origin, text: &str, expected: String) -> ConfigError {
    let shown = parse::shown(spec.kind, text);
    ConfigError::BadValue { origin: origin.clone(), name: spec.name, shown, expected }
}

/// The error of too many or too few values.
pub(super) fn bad_count(spec: &'static SettingDef, origin: &Origin, count: usize) -> ConfigError {
    let (origin, name) = (origin.clone(), spec.name);
    let shown = format!("a list of {count}");
    ConfigError::BadValue { origin, name, shown, expected: spec.kind.expected() }
}
