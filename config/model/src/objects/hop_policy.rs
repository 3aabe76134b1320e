//! `HopPolicy` of towpath.dev/v1alpha1: how hops to a target choose their replica, and how they are made.

use serde::Deserialize;

use super::{ObjectMeta, Unread};

/// What hops to one target obey, or those of a whole namespace (DESIGN section 6).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HopPolicy {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Specification.
    pub spec: HopPolicySpec,
    /// Not used.
    pub status: Unread,
}

/// `spec` of a [`HopPolicy`]. What is absent is left to the next wider policy, and at last to the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HopPolicySpec {
    /// Whose hops; absent for all of the namespace.
    pub target_ref: Option<PolicyTarget>,
    /// `Adaptive`, `LocalFirst`, `Weighted`, `LeastRequest` or `RoundRobin`.
    pub strategy: Option<String>,
    /// Of strategy `Weighted`, which needs them.
    pub weights: Option<PolicyWeights>,
    /// Active health check.
    pub health_check: Option<PolicyHealthCheck>,
    /// Passive outlier detection.
    pub outlier: Option<PolicyOutlier>,
    /// How long a new replica takes to get its full share, as `PT30S`; at most a year.
    pub slow_start: Option<String>,
    /// Most hops at once to one replica, from 1 to 100,000.
    pub replica_concurrency: Option<i64>,
    /// Most hops that wait for one replica that is full, from 0 to 1,000,000.
    pub replica_queue: Option<i64>,
    /// `Inline`, `Reference` or `File`. Wins over annotation `towpath.dev/payload`.
    pub presentation: Option<String>,
    /// Whether a payload that still comes may be sent already. Wins over annotation `towpath.dev/cut-through`.
    pub cut_through: Option<bool>,
    /// Longest wait between two attempts, as `PT10M`; over zero, at most a year. Wins over setting
    /// `delivery.backoffMax`.
    pub backoff_max: Option<String>,
    /// `None` or `Key`.
    pub order: Option<String>,
}

/// `spec.targetRef` of a [`HopPolicy`]: an object of the policy's namespace, or a part of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyTarget {
    /// `Service`, `Subscription`, `Trigger`, `Sequence` or `Parallel`; required. A Knative Service is a `Service` too.
    pub kind: Option<String>,
    /// Name; required.
    pub name: Option<String>,
    /// Of a `Sequence`: which step, from 0; absent for all.
    pub step: Option<i64>,
    /// Of a `Parallel`: which branch, from 0; absent for all.
    pub branch: Option<i64>,
    /// Of a `Parallel`: `filter` or `subscriber`; absent for both.
    pub part: Option<String>,
}

/// `spec.weights` of a [`HopPolicy`]: `local` and `remote`, or `replicas`. A weight is from 0 to 1,000,000.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyWeights {
    /// Of the nearest replicas together.
    pub local: Option<i64>,
    /// Of all others together.
    pub remote: Option<i64>,
    /// Of each replica; one that is not listed gets nothing.
    pub replicas: Option<Vec<PolicyReplica>>,
}

/// Entry of `spec.weights.replicas` of a [`HopPolicy`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyReplica {
    /// The pod's name or UID, or IP and port; required.
    pub name: Option<String>,
    /// Its weight; required.
    pub weight: Option<i64>,
}

/// `spec.healthCheck` of a [`HopPolicy`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyHealthCheck {
    /// Path and query to `GET`; required.
    pub path: Option<String>,
    /// Time between two checks, `PT5S` by default; over zero, at most a year.
    pub interval: Option<String>,
    /// Bound of one check, `PT1S` by default; over zero, at most the interval.
    pub timeout: Option<String>,
    /// Checks in a row that must succeed before a replica is used again, from 1 to 100; 1 by default.
    pub healthy_threshold: Option<i64>,
    /// Checks in a row that must fail before a replica is left out, from 1 to 100; 3 by default.
    pub unhealthy_threshold: Option<i64>,
}

/// `spec.outlier` of a [`HopPolicy`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyOutlier {
    /// Failed attempts in a row that eject a replica, from 0 (never) to 1000; 5 by default.
    pub consecutive_failures: Option<i64>,
    /// How long it is ejected the first time, `PT10S` by default; over zero, at most a year.
    pub base_ejection: Option<String>,
    /// The longest, `PT5M` by default; at least `baseEjection`, at most a year.
    pub max_ejection: Option<String>,
}
