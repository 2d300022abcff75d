//! A snapshot in sections, so that viewers get only those that have changed. Pure.

use serde::Serialize;
use serde_json::json;

use super::snapshot::Snapshot;

/// The fields of a snapshot, as JSON.
pub(super) struct Sections(Vec<Section>);

struct Section {
    /// The name of the field.
    name: &'static str,
    /// The number of the snapshot in which it changed last.
    changed: u64,
    json: String,
}

impl Sections {
    /// The sections of snapshot `id`, which follows the one with the sections `before`.
    pub(super) fn of(page: &Snapshot, id: u64, before: Option<&Self>) -> Self {
        let Snapshot { jobs, running, details, runs, alerts, resolved, workers, problem } = page;
        let now = [
            ("jobs", text(jobs)),
            ("running", text(running)),
            ("details", text(details)),
            ("runs", text(runs)),
            ("alerts", text(alerts)),
            ("resolved", text(resolved)),
            ("workers", text(workers)),
            ("problem", text(problem)),
        ];
        let sections = now.into_iter().enumerate().map(|(at, (name, json))| {
            let same = before.and_then(|before| before.0.get(at)).filter(|section| section.json == json);
            Section { name, changed: same.map_or(id, |section| section.changed), json }
        });
        Self(sections.collect())
    }

    /// Whether one of them has changed after snapshot `seen`, or there was none.
    pub(super) fn changed_after(&self, seen: Option<u64>) -> bool {
        self.newer(seen).next().is_some()
    }

    /// A JSON object with those that have changed after snapshot `seen`; all, if there was none.
    pub(super) fn since(&self, seen: Option<u64>) -> String {
        let fields = self.newer(seen).map(|section| format!("{}:{}", json!(section.name), section.json));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    }

    fn newer(&self, seen: Option<u64>) -> impl Iterator<Item = &Section> {
        self.0.iter().filter(move |section| seen.is_none_or(|seen| section.changed > seen))
    }
}

fn text(value: &impl Serialize) -> String {
    // Plain values: this cannot fail.
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_patch_has_what_has_changed() {
        let mut page = Snapshot::default();
        let first = Sections::of(&page, 10, None);
        assert_eq!(serde_json::from_str::<Value>(&first.since(None)).unwrap(), json!(page));
        assert!(first.changed_after(None) && !first.changed_after(Some(10)));
        assert!(!Sections::of(&page, 11, Some(&first)).changed_after(Some(10)));
        page.problem = Some("no store".to_owned());
        let second = Sections::of(&page, 11, Some(&first));
        assert_eq!(second.since(Some(10)), r#"{"problem":"no store"}"#);
        page.problem = None;
        let third = Sections::of(&page, 12, Some(&second));
        // A viewer that has missed the second snapshot gets the same.
        for seen in [10, 11] {
            assert_eq!(third.since(Some(seen)), r#"{"problem":null}"#);
        }
        assert_eq!(serde_json::from_str::<Value>(&third.since(None)).unwrap(), json!(page));
    }
}
