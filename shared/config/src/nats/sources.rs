//! The sources of the connection's settings, and their order: the layers, the logins in their URLs, and the context
//! that a layer names.

use std::path::PathBuf;

use super::context::NatsContext;
use super::url::NatsUrl;
use crate::error::ConfigError;
use crate::layers::{Layers, bad, row, split_nats_urls};
use crate::login::{self, SecretValue};
use crate::origin::Setting;
use crate::parse::{self, Parsed};
use crate::setting_def::SettingDef;
use crate::setting_kind::SettingKind;

/// The order of sources within one layer; the later wins.
#[derive(Clone, Copy)]
pub(super) enum Nearness {
    ContextUrl,
    Context,
    Url,
    Own,
}

/// The value of one source. The highest level wins; no two are equal.
#[derive(Clone)]
pub(super) struct Offer<T> {
    pub(super) level: u8,
    pub(super) setting: Setting<T>,
}

impl<T> Offer<T> {
    /// Another value from the same source.
    pub(super) fn with<U>(&self, value: U) -> Offer<U> {
        Offer { level: self.level, setting: self.setting.derive(value) }
    }

    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Offer<U> {
        Offer { level: self.level, setting: self.setting.map(change) }
    }
}

/// The level of a source: the layer counts first.
fn level(rank: u8, nearness: Nearness) -> u8 {
    rank * 4 + nearness as u8
}

/// The value with the highest level, or none.
pub(super) fn best<T>(offers: Vec<Offer<T>>) -> Setting<Option<T>> {
    let best = offers.into_iter().max_by_key(|offer| offer.level);
    best.map_or(Setting::none(), |offer| offer.setting.map(Some))
}

/// The layers, and the context if one is used.
pub(crate) struct Sources<'a> {
    layers: Layers<'a>,
    pub(super) context: Option<NatsContext>,
}

impl<'a> Sources<'a> {
    /// Reads the named context.
    pub(super) fn new(layers: Layers<'a>, named: Option<&Setting<String>>) -> Result<Self, ConfigError> {
        let context = named.map(|named| NatsContext::read(named, layers.env)).transpose()?;
        Ok(Self { layers, context })
    }

    /// The values of the layers and the context for a setting without a default.
    pub(super) fn offers<T>(
        &self,
        name: &'static str,
        read: impl Fn(SettingKind, &str) -> Parsed<T>,
    ) -> Result<Vec<Offer<T>>, ConfigError> {
        let mut offers = self.own(name, &read)?;
        let spec = row(name)?;
        if let Some(context) = &self.context
            && let Some(text) = context.text(context_key(spec))
        {
            let value = read(spec.kind, text).map_err(|right| bad(spec, &context.origin, text, right))?;
            offers.push(in_context(context, value));
        }
        Ok(offers)
    }

    /// The same for a path. A relative path in the job file starts in that file's directory.
    pub(super) fn paths(&self, name: &'static str) -> Result<Vec<Offer<PathBuf>>, ConfigError> {
        let own = self.own(name, &parse::path)?.into_iter();
        let own = own.map(|offer| Offer { level: offer.level, setting: login::located(offer.setting) });
        let context = self.context.as_ref();
        let theirs = context.and_then(|context| Some((context, context.path(row(name).ok()?.key())?)));
        Ok(own.chain(theirs.map(|(context, path)| in_context(context, path))).collect())
    }

    /// The same for a secret that may be in a file, which is not read yet.
    pub(super) fn secrets(
        &self,
        name: &'static str,
        file_name: &'static str,
    ) -> Result<Vec<Offer<SecretValue>>, ConfigError> {
        let own = login::secret_value(&self.layers, name, file_name)?.map(own_offer);
        let context = self.context.as_ref();
        let theirs = context.and_then(|context| Some((context, context.text(row(name).ok()?.key())?)));
        let theirs = theirs.map(|(context, text)| in_context(context, SecretValue::known(text)));
        Ok(own.into_iter().chain(theirs).collect())
    }

    /// The URLs of the layers, if there are any, and those of the context.
    pub(super) fn urls(&self, own: Setting<Vec<NatsUrl>>) -> Result<Vec<Offer<Vec<NatsUrl>>>, ConfigError> {
        let mut offers = Vec::new();
        if !own.value.is_empty() {
            let level = level(own.origin.rank(), Nearness::Url);
            offers.push(Offer { level, setting: own });
        }
        if let Some(context) = &self.context
            && let Some(text) = context.text("url")
        {
            let spec = row("nats.url")?;
            let read = |text: String| {
                let url = parse::nats_url(spec.kind, &text);
                url.map_err(|right| bad(spec, &context.origin, &text, right))
            };
            let value = split_nats_urls(text).into_iter().map(read).collect::<Result<_, _>>()?;
            let setting = Setting { value, origin: context.origin.clone() };
            offers.push(Offer { level: level(context.rank, Nearness::ContextUrl), setting });
        }
        Ok(offers)
    }

    fn own<T>(
        &self,
        name: &'static str,
        read: &impl Fn(SettingKind, &str) -> Parsed<T>,
    ) -> Result<Vec<Offer<T>>, ConfigError> {
        Ok(self.layers.one(name, read)?.map(own_offer).into_iter().collect())
    }
}

fn own_offer<T>(setting: Setting<T>) -> Offer<T> {
    Offer { level: level(setting.origin.rank(), Nearness::Own), setting }
}

fn in_context<T>(context: &NatsContext, value: T) -> Offer<T> {
    let setting = Setting { value, origin: context.origin.clone() };
    Offer { level: level(context.rank, Nearness::Context), setting }
}

/// The key of a context, which is that of the job file with one exception.
fn context_key(spec: &'static SettingDef) -> &'static str {
    match spec.key() {
        "domain" => "jetstream_domain",
        key => key,
    }
}
