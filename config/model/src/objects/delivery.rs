//! `delivery` as users write it (A2.2, C8).

use serde::Deserialize;

use super::Destination;

/// How events are delivered; each field as written, checked by the rules of C8.7 when compiled.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeliverySpec {
    /// Who gets an event whose delivery failed.
    pub dead_letter_sink: Option<Destination>,
    /// Further attempts after the first; at least 0. 0 counts as set (C8.9).
    pub retry: Option<i32>,
    /// Bound of one attempt: an ISO-8601 period over 0 (C8.5).
    pub timeout: Option<String>,
    /// `linear` or `exponential`.
    pub backoff_policy: Option<String>,
    /// Base of the wait between attempts: an ISO-8601 period (C8.3).
    pub backoff_delay: Option<String>,
    /// Upper bound of an obeyed `Retry-After`: an ISO-8601 period (C8.6).
    pub retry_after_max: Option<String>,
    /// `json` or `binary` (C3.9).
    pub format: Option<String>,
}
