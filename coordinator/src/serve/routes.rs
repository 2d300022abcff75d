//! The operations of the HTTP API: the one list that the router (`http.rs`) and its description (`openapi.rs`) are made
//! from.

use axum::routing::MethodFilter;
use strum::{IntoStaticStr, VariantArray};

/// What the path of each operation begins with, except those of [`Caller::Browser`].
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
    /// Returns the report of a run.
    ShowReport,
    /// Cancels a run.
    CancelRun,
    /// Searches the audit trail.
    SearchAudit,
    /// Follows the state of the service.
    FollowLive,
    /// Returns figures of a cache over time.
    Series,
    /// Returns the TTL advice of a job.
    TtlAdvice,
    /// Returns the description.
    OpenApi,
    /// Begins a session of a browser.
    LogIn,
    /// Ends it.
    LogOut,
}

/// Who may ask for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// A client with a token, or with a session.
    Client,
    /// Anyone.
    Anyone,
    /// The page in a browser, with or without a session.
    Browser,
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
            Self::ShowReport => "/runs/{id}/report",
            Self::CancelRun => "/runs/{id}/cancel",
            Self::SearchAudit => "/audit",
            Self::FollowLive => "/live",
            Self::Series => "/series",
            Self::TtlAdvice => "/ttl-advice",
            Self::OpenApi => "/openapi.json",
            Self::LogIn => "/login",
            Self::LogOut => "/logout",
        }
    }

    /// Its whole path.
    pub(super) fn full_path(self) -> String {
        let base = if self.caller() == Caller::Browser { "" } else { API };
        format!("{base}{}", self.path())
    }

    /// Its method: GET reads, POST changes something.
    pub(super) fn method(self) -> MethodFilter {
        match self {
            Self::StartRun | Self::CancelRun | Self::LogIn | Self::LogOut => MethodFilter::POST,
            Self::Stats
            | Self::ListRuns
            | Self::ShowRun
            | Self::ShowReport
            | Self::SearchAudit
            | Self::FollowLive
            | Self::Series
            | Self::TtlAdvice
            | Self::OpenApi => MethodFilter::GET,
        }
    }

    /// Who may ask for it.
    pub(super) fn caller(self) -> Caller {
        match self {
            Self::OpenApi => Caller::Anyone,
            Self::LogIn | Self::LogOut => Caller::Browser,
            _ => Caller::Client,
        }
    }
}
