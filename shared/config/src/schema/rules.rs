//! The shape of `[[job.rule]]`.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::SchemaReader;
use crate::rules::{RULE_KEYS, RawRule, SHORT_FORM};
use crate::setting_def::Section;
use crate::table;

/// The key of the rules in a job.
pub(super) const RULES_KEY: &str = "rule";

impl SchemaReader<'_> {
    /// The rules of a job.
    pub(super) fn rules(&mut self, job: &DeTable<'_>) -> Vec<RawRule> {
        let Some((key, value)) = job.iter().find(|(key, _)| key.get_ref() == RULES_KEY) else {
            return Vec::new();
        };
        let DeValue::Array(rules) = value.get_ref() else {
            self.shape(key, "rules are a list: write `[[job.rule]]` with two brackets");
            return Vec::new();
        };
        for (key, _) in job.iter().filter(|(key, _)| SHORT_FORM.contains(&key.get_ref().as_ref())) {
            let message = format!(
                "a job has either rules or `{}`, which is the short form of one: put it into a `[[job.rule]]`, or \
                 remove the rules",
                key.get_ref()
            );
            self.shape(key, &message);
        }
        rules.iter().filter_map(|rule| self.rule(rule)).collect()
    }

    fn rule(&mut self, rule: &Spanned<DeValue<'_>>) -> Option<RawRule> {
        let DeValue::Table(content) = rule.get_ref() else {
            self.shape(rule, "rules are tables: write `[[job.rule]]`");
            return None;
        };
        let mut entries = BTreeMap::new();
        for (key, value) in content.iter() {
            let name = key.get_ref().as_ref();
            let Some(field) = RULE_KEYS.iter().find(|field| field.key == name) else {
                let of_job = table::by_key(Section::Job, name).is_some() && !SHORT_FORM.contains(&name);
                let known = RULE_KEYS.each_ref().map(|field| field.key);
                self.unknown(key, &known, if of_job { "`[[job]]`" } else { "" });
                continue;
            };
            if let Some(entry) = self.entry(key, value) {
                entries.insert(field.key, entry);
            }
        }
        Some(RawRule { line: self.lines.line(rule.span().start), entries })
    }
}
