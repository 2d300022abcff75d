//! The tables of settings in `docs/configuration.md`.

use std::fmt::Write;

use strum::VariantArray;

use super::group::Group;
use super::rules;
use super::setting_def::{DefaultValue, SettingDef};
use super::table::SETTINGS;

/// What comes after this line of the page is generated.
const MARKER: &str = "<!-- Generated from the table of settings by `cargo xtask docs --configuration`. -->";

/// `page` with its generated part up to date; `None` if it has no line where that part begins.
#[must_use]
pub fn update_reference(page: &str) -> Option<String> {
    let (written, _) = page.split_once(MARKER)?;
    Some(format!("{written}{MARKER}\n{}", reference()))
}

fn reference() -> String {
    Group::VARIANTS.iter().copied().map(section).chain([rules::reference()]).collect()
}

fn section(group: Group) -> String {
    let rows: Vec<&SettingDef> = SETTINGS.iter().filter(|row| row.group == group).collect();
    let mut text = String::new();
    let table = rows.first().map_or("", |row| row.section.header());
    let subject = if group.subject().is_empty() { String::new() } else { format!(": {}", group.subject()) };
    // Writing into a `String` cannot fail.
    let _ = write!(text, "\n## `{table}`{subject}\n\n");
    if !group.pages().is_empty() {
        let _ = write!(text, "See {}.\n\n", group.pages());
    }
    text.push_str("| key | flag | variable | default | takes | meaning |\n|---|---|---|---|---|---|\n");
    text.extend(rows.into_iter().map(line));
    text
}

fn line(row: &SettingDef) -> String {
    let code = |text: &str| format!("`{text}`");
    let flag = row.flag.map_or(String::new(), code);
    let variables: Vec<String> = [Some(row.env), row.other_env].into_iter().flatten().map(code).collect();
    let default = match row.default {
        DefaultValue::Derived(text) => text.to_owned(),
        _ => row.default_value().as_deref().map_or(String::new(), code),
    };
    let json = row.json.map_or(String::new(), |json| format!(" (`{}` in requests)", json.name));
    format!(
        "| `{}` | {flag} | {} | {default} | {} | {}{json} |\n",
        row.key(),
        variables.join(", "),
        row.kind.summary(),
        row.help
    )
}
