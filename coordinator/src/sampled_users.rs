//! The users of the sampled keys, and the check that ids in keys are written like those in the activity source: if no
//! sampled key has an active user, inactive users cannot be distinguished from active ones. Pure.

use std::collections::HashSet;

use keysweep_model::key::Key;
use keysweep_model::key_template::KeyTemplate;
use keysweep_model::messages::{Reason, SampledUsers};
use keysweep_redis::{KeyState, Ttl};
use keysweep_runtime::activity::ActiveUsers;
use keysweep_runtime::limits::SAMPLED_IDS;
use scanner::sample::KeySample;
use scanner::{Classification, Classifier, KeepReason};

/// Bytes of a key or an id that a message shows.
const SHOWN_BYTES: usize = 80;

/// Separators around an id.
const SEPARATORS: &[u8] = b":{}/|.-_#";

/// The users of sampled keys with a TTL.
#[derive(Default)]
pub(crate) struct SampledUserIds {
    keys: u64,
    active_keys: u64,
    users: HashSet<u64>,
    active_users: HashSet<u64>,
    /// Some of the keys.
    some: Vec<Key>,
}

impl SampledUserIds {
    /// The users of a node's sample.
    pub(crate) fn of(sampled: &KeySample, selector: &Classifier<'_>) -> Self {
        let mut met = Self::default();
        for (key, seen) in &sampled.looks {
            let Some(active) = is_active(key.as_bytes(), seen, selector) else { continue };
            let Some(user) = selector.user_number(key.as_bytes()) else { continue };
            met.keys += 1;
            met.users.insert(user);
            if active {
                met.active_keys += 1;
                met.active_users.insert(user);
            }
            if met.some.len() < SAMPLED_IDS {
                met.some.push(key.clone());
            }
        }
        met
    }

    /// Adds the users of another node.
    pub(crate) fn add(&mut self, other: Self) {
        self.keys += other.keys;
        self.active_keys += other.active_keys;
        self.users.extend(other.users);
        self.active_users.extend(other.active_users);
        let room = SAMPLED_IDS.saturating_sub(self.some.len());
        self.some.extend(other.some.into_iter().take(room));
    }

    /// How many there are.
    pub(crate) fn counts(&self) -> SampledUsers {
        SampledUsers {
            keys: self.keys,
            active_keys: self.active_keys,
            users: self.users.len() as u64,
            active_users: self.active_users.len() as u64,
        }
    }

    /// Why inactive users are not looked for, if none of the sampled users is active. `example` is an active id.
    pub(crate) fn refusal(&self, template: &str, users: &ActiveUsers, example: &Key) -> Option<String> {
        let key = self.some.first().filter(|_| self.active_keys == 0)?;
        let id = KeyTemplate::parse(template).ok().and_then(|template| {
            let mut id = None;
            template.user(key.as_bytes(), |reading| {
                id = Some(Key::new(reading));
                true
            });
            id
        })?;
        let fits = self.some.iter().find_map(|key| fitting(key.as_bytes(), users));
        let fits = match fits {
            Some(fits) => format!("the template `{fits}` would fit"),
            None => "no part of a sampled key is an active id".to_owned(),
        };
        Some(format!(
            "none of {} sampled keys with a user is of an active one: the id in `{}` is `{}`, and an active id is `{}`; {fits}. \
             `--allow-no-active` (`allow_no_active`) removes inactive users' keys all the same",
            self.keys,
            key.shortened(SHOWN_BYTES),
            id.shortened(SHOWN_BYTES),
            example.shortened(SHOWN_BYTES),
        ))
    }
}

/// Whether the user of a key is active; `None` if that does not matter, or is not known.
fn is_active(key: &[u8], seen: &KeyState, selector: &Classifier<'_>) -> Option<bool> {
    if selector.rule_set().is_some() {
        let there = !matches!(seen.ttl, Ttl::Gone | Ttl::Moved);
        let asks = selector.rule_of(key).is_some_and(|rule| selector.asks_users(rule));
        return selector.user_active(key).filter(|_| there && asks);
    }
    match selector.classify(key, seen) {
        Classification::Keep(KeepReason::Active) => Some(true),
        Classification::Keep(KeepReason::NearExpiry) | Classification::Candidate(Reason::Inactive, _) => {
            Some(false)
        }
        _ => None,
    }
}

/// A template by which `key` has an active user, if there is one.
fn fitting(key: &[u8], users: &ActiveUsers) -> Option<String> {
    let text = std::str::from_utf8(key).ok()?;
    let ends: Vec<usize> = (0..key.len()).filter(|at| SEPARATORS.contains(&key[*at])).collect();
    let starts = std::iter::once(0).chain(ends.iter().map(|at| at + 1));
    for start in starts {
        for end in ends.iter().copied().filter(|end| *end > start).chain([key.len()]) {
            if end > start && users.has(&key[start..end]) {
                let literal =
                    text[..start].split_inclusive(|c: char| c.is_ascii() && SEPARATORS.contains(&(c as u8)));
                // The first word is kept, and others may differ from key to key.
                let before: String = literal
                    .enumerate()
                    .map(|(n, word)| match word.char_indices().last() {
                        Some((at, last)) if n > 0 && at > 0 => format!("*{last}"),
                        _ => word.to_owned(),
                    })
                    .collect();
                let after = match text[end..].chars().next() {
                    None => String::new(),
                    Some(first) if end + 1 == key.len() => first.to_string(),
                    Some(first) => format!("{first}*"),
                };
                let template = format!("{before}{{user}}{after}");
                let reads = KeyTemplate::parse(&template).is_ok_and(|template| {
                    let mut met = false;
                    template.user(key, |id| {
                        met |= users.has(id);
                        met
                    });
                    met
                });
                if reads {
                    return Some(template);
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_that_fits_is_found() {
        let mut users = ActiveUsers::gather();
        (700..800).for_each(|n| users.add(format!("user:{n}").as_bytes()));
        let users = users.finish();
        let check = |key: &str, expected: Option<&str>| {
            assert_eq!(fitting(key.as_bytes(), &users).as_deref(), expected, "{key}");
        };
        check("permissions:eu:707:docs:x", Some("permissions:*:{user}:*"));
        // Braces are no part of an id's normal form.
        check("permissions:{707}:x", Some("permissions:{user}:*"));
        check("permissions:docs:707", Some("permissions:*:{user}"));
        check("707:docs", Some("{user}:*"));
        check("permissions:docs:907", None);
    }
}
