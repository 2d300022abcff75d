//! What another TTL would do to a cache, as programs read it: `keysweep ttl advise --json`, the service, results and events.
//! Its field names are a contract. The estimate itself is made elsewhere.

use std::iter;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Names of refusals that are compared, here and in other crates. Their texts are a contract.
pub mod refusal {
    /// It is the first look, after which a second one tells more.
    pub const FIRST_LOOK: &str = "firstLook";

    /// Lookups of a run are among those that were counted.
    pub const NOT_COMPARABLE: &str = "notComparable";

    /// The keys are written with several TTLs.
    pub const SEVERAL_TTLS: &str = "severalTtls";

    /// Keys are evicted before they expire.
    pub const CAPACITY_BOUND: &str = "capacityBound";

    /// Entries are deleted before they expire.
    pub const DELETED_EARLY: &str = "deletedEarly";
}

/// What is known of other TTLs. Its field names are a contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TtlAdvice {
    /// Why nothing can be said about other TTLs; null if something can. Its wording can change between versions.
    pub refused: Option<String>,
    /// The name of that reason, such as `tooFewKeys`; null if nothing is refused.
    pub refusal: Option<String>,
    /// What is expected with a few TTLs, the shortest first; empty if refused. The current one is among them.
    pub curve: Vec<TtlPoint>,
    /// The TTL to choose; null if refused, or if no TTL of the curve reaches the target hit rate.
    pub recommended: Option<RecommendedTtl>,
    /// What the advice comes from.
    pub diagnostics: TtlDiagnostics,
    /// If the keys are written with several TTLs: the advice about those of each rule or namespace, the largest first. Absent
    /// otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<TtlGroup>,
}

/// Keys that are looked at apart from others, because all keys together have several TTLs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TtlGroup {
    /// The patterns of the rule, or the template of the namespace, such as `session:{id}`.
    pub keys: String,
    /// What it is: `rule` or `namespace`.
    pub by: String,
    /// The advice about them, if their TTL alone changes. Its hit rates are those of all requests that were counted.
    #[serde(flatten)]
    pub advice: TtlAdvice,
}

/// Advice that was made at a certain time, from what a service looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SampledTtlAdvice {
    /// The time, RFC 3339, UTC.
    pub at: String,
    /// The advice.
    #[serde(flatten)]
    pub advice: TtlAdvice,
}

impl TtlAdvice {
    /// The advice itself, and that about each of its groups.
    pub fn with_groups(&self) -> impl Iterator<Item = &Self> {
        iter::once(self).chain(self.groups.iter().map(|group| &group.advice))
    }

    /// Whether it is refused for the reason of this name.
    #[must_use]
    pub fn is_refused_as(&self, refusal: &str) -> bool {
        self.refusal.as_deref() == Some(refusal)
    }

    /// Whether `other` recommends the same, or refuses for the same reason, apart from figures that change with every look.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let said = |of: &Self| {
            let chosen = of.recommended.as_ref().map(|chosen| chosen.ttl_seconds);
            (of.refusal.clone(), of.diagnostics.current_ttl_seconds, chosen)
        };
        // Groups of nearly equal size change places.
        let has_same = |group: &TtlGroup| {
            let found = other.groups.iter().find(|other| other.keys == group.keys);
            found.is_some_and(|found| found.advice.is_same(&group.advice))
        };
        let (groups, others) = (self.groups.len(), other.groups.len());
        said(self) == said(other) && groups == others && self.groups.iter().all(has_same)
    }

    /// Whether a point of the curve is that of `today`, and the `recommended` one.
    #[must_use]
    pub fn marks(&self, point: &TtlPoint) -> Vec<&'static str> {
        let is = |ttl: Option<f64>| ttl.is_some_and(|ttl| (ttl - point.ttl_seconds).abs() < 1e-6);
        let today = is(self.diagnostics.current_ttl_seconds).then_some("today");
        let chosen = is(self.recommended.as_ref().map(|chosen| chosen.ttl_seconds)).then_some("recommended");
        today.into_iter().chain(chosen).collect()
    }
}

/// What is expected with one TTL.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TtlPoint {
    /// The TTL, in seconds.
    pub ttl_seconds: f64,
    /// The share of the counted requests that are hits, in percent.
    pub hit_rate: TtlEstimate,
    /// Misses relative to today: 1 is as many as now.
    pub misses: TtlEstimate,
    /// Live keys with a TTL.
    pub keys: TtlEstimate,
    /// Their memory in bytes; null if it could not be measured.
    pub bytes: Option<TtlEstimate>,
}

/// An estimate with its 95 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TtlEstimate {
    /// The most likely value.
    pub estimate: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// A TTL to choose.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecommendedTtl {
    /// The TTL, in seconds: that of a point of the curve.
    pub ttl_seconds: f64,
    /// Why this one.
    pub reason: String,
}

/// What the advice comes from. Unknown figures are null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TtlDiagnostics {
    /// The TTL that the application sets, in seconds.
    pub current_ttl_seconds: Option<f64>,
    /// How that is known: `configured`, or `keys` (the sharp upper end of what remains of their TTLs).
    pub ttl_from: Option<String>,
    /// What the curve comes from: `snapshot` (keys at one moment), or `panel` (keys that were followed until they expired,
    /// and after).
    pub method: Option<String>,
    /// Keys that the estimate uses.
    pub sampled_keys: u64,
    /// Those of them that were followed beyond their expiry.
    pub followed_keys: u64,
    /// Live keys with a TTL, about.
    pub live_keys: Option<u64>,
    /// The mean memory of a sampled key, in bytes.
    pub key_bytes: Option<f64>,
    /// When counting began, in RFC 3339.
    pub counted_since: Option<String>,
    /// For how long hits and misses were counted, in seconds.
    pub window_seconds: Option<f64>,
    /// Requests of the application in that time.
    pub requests: Option<u64>,
    /// Those of them that were misses.
    pub misses: Option<u64>,
    /// The measured hit rate in that time, in percent.
    pub hit_rate: Option<f64>,
    /// Keys that expired in that time, by the counters of the servers.
    pub expired: Option<u64>,
    /// Keys that were evicted in that time.
    pub evicted: Option<u64>,
    /// The share of the counted misses that are of these keys, in percent; null if only theirs were counted.
    pub share_of_misses: Option<TtlEstimate>,
    /// The share of entries that are not read again before they expire, in percent.
    pub never_read: Option<TtlEstimate>,
    /// The share of entries that are deleted before they expire, in percent; known of followed keys only.
    pub ended_early: Option<TtlEstimate>,
    /// The share of today's misses that an endless TTL would save, in percent, because of those.
    pub saved_at_most: Option<f64>,
    /// After how many seconds another call knows more.
    pub call_again_seconds: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_alone_do_not_make_another_advice() {
        let advice = |ttl_seconds, requests| TtlAdvice {
            recommended: Some(RecommendedTtl { ttl_seconds, reason: String::new() }),
            diagnostics: TtlDiagnostics { requests: Some(requests), ..TtlDiagnostics::default() },
            ..TtlAdvice::default()
        };
        assert!(advice(60.0, 1).is_same(&advice(60.0, 2)));
        assert!(!advice(60.0, 1).is_same(&advice(120.0, 1)));
        let refused = |refusal: &str, refused: &str| TtlAdvice {
            refused: Some(refused.to_owned()),
            refusal: Some(refusal.to_owned()),
            ..TtlAdvice::default()
        };
        assert!(refused("tooFewKeys", "3 keys").is_same(&refused("tooFewKeys", "4 keys")));
        assert!(!refused("tooFewKeys", "3 keys").is_same(&refused("unevenAges", "3 keys")));
        assert!(!refused("tooFewKeys", "3 keys").is_same(&advice(60.0, 1)));
        let group = |keys: &str, ttl_seconds| TtlGroup {
            keys: keys.to_owned(),
            advice: advice(ttl_seconds, 1),
            ..TtlGroup::default()
        };
        let of_groups = |groups: Vec<TtlGroup>| TtlAdvice { groups, ..TtlAdvice::default() };
        let both = of_groups(vec![group("a", 60.0), group("b", 90.0)]);
        assert!(both.is_same(&of_groups(vec![group("b", 90.0), group("a", 60.0)])));
        assert!(!both.is_same(&of_groups(vec![group("b", 90.0), group("a", 90.0)])));
        assert!(!both.is_same(&of_groups(vec![group("a", 60.0)])));
    }
}
