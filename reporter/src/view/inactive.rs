//! The caches of inactive users.

use keysweep_model::metrics::InactiveCaches;
use keysweep_model::result::CleanupResult;

use super::Section;
use super::blocks::{Block, Figure};
use super::known::known;
use crate::format::{NONE, grouped};

pub(super) fn section(result: &CleanupResult) -> Section<'_> {
    let inactive = &result.inactive;
    let sampled = sampled_active(inactive);
    let (summary, details) = if let Some(cause) = &inactive.refused {
        let problem = format!("Aggressive cleanup was requested but refused: {cause}{sampled}");
        (vec![Block::Problem(problem)], Vec::new())
    } else if inactive.searched {
        let source = inactive.source.as_deref().unwrap_or(NONE);
        let sentence = format!("Source of active users: {source}{sampled}.");
        (
            vec![Block::Text(sentence), Block::Figures(figures(inactive, result.inactive_user_caches))],
            Vec::new(),
        )
    } else {
        (Vec::new(), vec![Block::Text("Not searched: aggressive cleanup is off.".to_owned())])
    };
    Section { id: "inactive", title: "Inactive users’ caches", summary, details }
}

/// The share of active users' keys in the plan's sample, as a further sentence; empty if the sample has no key with a
/// user.
fn sampled_active(inactive: &InactiveCaches) -> String {
    let sampled = inactive.sampled_user_keys.zip(inactive.sampled_active_percent);
    sampled.map_or_else(String::new, |(keys, percent)| {
        let keys = grouped(keys);
        format!(". {percent:.1}% of the {keys} keys with a user in the plan's sample belong to active users")
    })
}

fn figures(inactive: &InactiveCaches, deleted: u64) -> Vec<Figure> {
    let active = inactive.active_users.map_or("not counted by the source".to_owned(), grouped);
    Figure::numbers([
        ("Active users", active),
        ("Keys of active users", known(inactive.active_user)),
        ("Keys of inactive users", known(inactive.found)),
        ("Deleted", grouped(deleted)),
        ("Kept, expiring soon", known(inactive.near_expiry)),
        ("Kept, user unknown", known(inactive.unknown_user)),
        ("Kept, no active user found", known(inactive.no_active_user)),
    ])
}
