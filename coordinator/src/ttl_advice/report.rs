//! The advice as programs read it, made from an estimate. Pure.

use keysweep_ttl_advice::{Advice, CurvePoint, Estimate, Method, Reason};
use schemars::JsonSchema;
use serde::Serialize;

/// What is known of other TTLs. Its field names are a contract.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TtlAdvice {
    /// Why nothing can be said about other TTLs; null if something can.
    pub refused: Option<String>,
    /// What is expected with a few TTLs, the shortest first; empty if refused. The current one is among them.
    pub curve: Vec<TtlPoint>,
    /// The TTL to choose; null if refused, or if no TTL of the curve reaches the target hit rate.
    pub recommended: Option<RecommendedTtl>,
    /// What the advice comes from.
    pub diagnostics: TtlDiagnostics,
}

/// What is expected with one TTL.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TtlPoint {
    /// The TTL, in seconds.
    pub ttl_seconds: f64,
    /// The share of requests that are hits, in percent.
    pub hit_rate: TtlEstimate,
    /// Misses relative to today: 1 is as many as now.
    pub misses: TtlEstimate,
    /// Live keys with a TTL.
    pub keys: TtlEstimate,
    /// Their memory in bytes; null if it could not be measured.
    pub bytes: Option<TtlEstimate>,
}

/// An estimate with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecommendedTtl {
    /// The TTL, in seconds: that of a point of the curve.
    pub ttl_seconds: f64,
    /// Why this one.
    pub reason: String,
}

/// What the advice comes from. Unknown figures are null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TtlDiagnostics {
    /// The TTL that the application sets, in seconds.
    pub current_ttl_seconds: Option<f64>,
    /// How that is known: `configured`, or `keys` (the sharp upper end of what remains of their TTLs).
    pub ttl_from: Option<&'static str>,
    /// What the curve comes from: `snapshot` (keys at one moment), or `panel` (keys that were followed until they expired,
    /// and after).
    pub method: Option<&'static str>,
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
    /// The share of entries that are not read again before they expire, in percent.
    pub never_read: Option<TtlEstimate>,
    /// The share of entries that are deleted before they expire, in percent; known of followed keys only.
    pub ended_early: Option<TtlEstimate>,
    /// The share of today's misses that an endless TTL would save, in percent, because of those.
    pub saved_at_most: Option<f64>,
    /// After how many seconds another call knows more.
    pub call_again_seconds: Option<f64>,
}

/// Milliseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "shown to a millisecond")]
pub(super) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

impl TtlEstimate {
    fn times(of: Estimate, factor: f64) -> Self {
        Self { estimate: of.estimate * factor, low: of.low * factor, high: of.high * factor }
    }

    fn percent(of: Estimate) -> Self {
        Self::times(of, 100.0)
    }
}

impl TtlPoint {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn of(point: &CurvePoint, live_keys: u64) -> Self {
        Self {
            ttl_seconds: seconds(point.ttl_ms),
            hit_rate: TtlEstimate::percent(point.hit_rate),
            misses: TtlEstimate::times(point.misses, 1.0),
            keys: TtlEstimate::times(point.keys, live_keys as f64),
            bytes: point.bytes.map(|bytes| TtlEstimate::times(bytes, 1.0)),
        }
    }
}

impl TtlAdvice {
    /// A refusal.
    pub(super) fn refused(why: impl Into<String>, diagnostics: TtlDiagnostics) -> Self {
        Self { refused: Some(why.into()), curve: Vec::new(), recommended: None, diagnostics }
    }

    /// The estimate with what is known besides; `live_keys` scales the curve.
    pub(super) fn of(advice: &Advice, live_keys: u64, diagnostics: TtlDiagnostics) -> Self {
        let diagnostics = TtlDiagnostics {
            sampled_keys: advice.keys as u64,
            never_read: advice.never_read.map(TtlEstimate::percent),
            ..diagnostics
        };
        let curve = match &advice.curve {
            Ok(curve) => curve,
            Err(refusal) => return Self::refused(refusal.to_string(), diagnostics),
        };
        Self {
            refused: None,
            curve: curve.points.iter().map(|point| TtlPoint::of(point, live_keys)).collect(),
            recommended: curve.recommended.map(|chosen| RecommendedTtl {
                ttl_seconds: seconds(chosen.ttl_ms),
                reason: sentence(chosen.reason).to_owned(),
            }),
            diagnostics: TtlDiagnostics {
                method: Some(match curve.method {
                    Method::Snapshot => "snapshot",
                    Method::Panel => "panel",
                }),
                ended_early: curve.early_ends.map(|ends| TtlEstimate::percent(ends.share)),
                saved_at_most: curve.early_ends.map(|ends| ends.saved_at_most * 100.0),
                ..diagnostics
            },
        }
    }
}

fn sentence(reason: Reason) -> &'static str {
    match reason {
        Reason::ReachesTarget => {
            "it is the shortest whose hit rate reaches the target with its whole interval"
        }
        Reason::Knee => {
            "doubling it once more may save less than 2 % of the misses per 10 % of additional keys"
        }
        Reason::LongestKnown => {
            "each doubling up to it saves at least 2 % of the misses per 10 % of additional keys; nothing is known of \
             longer ones"
        }
    }
}
