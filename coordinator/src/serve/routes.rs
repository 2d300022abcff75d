//! The operations of the HTTP API: the one list that the router (`http.rs`) and its description (`openapi.rs`) are made
//! from.

use axum::routing::MethodFilter;
use strum::{IntoStaticStr, VariantArray};

/// What the path of each operation begins with.
pub(super) const API: &str = "/api";

/// An operation. Its name as text is the `operationId` of the description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "camelCase")]
pub(super) enum Operation {
    /// Returns statistics.
    Stats,
    /// Lists runs.
    ListRuns,
    /// Starts a run.
    StartRun,
    /// Shows one run.
    ShowRun,
    /// Cancels a run.
    CancelRun,
    /// Returns the description.
    OpenApi,
}

impl Operation {
    /// All operations.
    pub(super) const ALL: &'static [Self] = Self::VARIANTS;

    /// Its path below [`API`].
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Stats => "/stats",
            Self::ListRuns | Self::StartRun => "/runs",
            Self::ShowRun => "/runs/{id}",
            Self::CancelRun => "/runs/{id}/cancel",
            Self::OpenApi => "/openapi.json",
        }
    }

    /// Its method: GET reads, POST changes something.
    pub(super) fn method(self) -> MethodFilter {
        match self {
            Self::StartRun | Self::CancelRun => MethodFilter::POST,
            Self::Stats | Self::ListRuns | Self::ShowRun | Self::OpenApi => MethodFilter::GET,
        }
    }

    /// Whether clients must send the token.
    pub(super) fn needs_token(self) -> bool {
        self != Self::OpenApi
    }
}
