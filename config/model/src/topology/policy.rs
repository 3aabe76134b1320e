//! How hops choose among the replicas of a destination: a `HopPolicy`, validated, with everything that it leaves open filled in.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// How hops to one destination choose a replica (DESIGN section 6). Every field holds what the nearest `HopPolicy` says that
/// sets it, else the default.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Policy {
    /// How a replica is chosen.
    pub strategy: Strategy,
    /// Asks replicas whether they can serve; `None` only watches what attempts say.
    pub health_check: Option<HealthCheck>,
    /// When a replica that keeps failing is left out.
    pub outlier: Outlier,
    /// How long a new replica takes to get its full share; zero for at once.
    pub slow_start: Duration,
    /// The most hops at once to one replica; `None` is no bound.
    pub replica_concurrency: Option<NonZeroU32>,
    /// The most hops that wait for one replica when `replica_concurrency` is reached; one more is refused.
    pub replica_queue: u32,
}

/// How a replica is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Strategy {
    /// Where the data is, until another replica would finish sooner although the data has to get there.
    #[default]
    Adaptive,
    /// The nearest replicas that can take hops, whatever their load.
    LocalFirst,
    /// At random, by weight.
    Weighted(Weights),
    /// Of two at random the one with fewer hops in flight.
    LeastRequest,
    /// One after the other.
    RoundRobin,
}

/// The weights of [`Strategy::Weighted`]. At least one is over 0.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Weights {
    /// Between the nearest replicas and all others. A side without replicas leaves its share to the other.
    Placement {
        /// Replicas in the pod or on the node where the data is; in its zone if there is none.
        local: u32,
        /// All others.
        remote: u32,
    },
    /// By replica. One that is not listed gets nothing.
    Replicas(Arc<[(ReplicaName, u32)]>),
}

/// What a `HopPolicy` names a replica by: its pod's name or UID, or its address (`10.0.0.7:8080`).
pub type ReplicaName = Box<str>;

/// Active health check: `GET` of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HealthCheck {
    /// Path and query; begins with `/`.
    pub path: Box<str>,
    /// Time between two checks. Over 0.
    pub interval: Duration,
    /// Bound of one check. Over 0.
    pub timeout: Duration,
    /// Checks in a row that must succeed before a replica is used again. 503 counts as alive, but busy.
    pub healthy_threshold: NonZeroU32,
    /// Checks in a row that must fail before a replica is left out.
    pub unhealthy_threshold: NonZeroU32,
}

/// Passive outlier detection. At most half of the replicas are ever left out, whatever it says (panic threshold).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Outlier {
    /// Failed attempts in a row (5xx, time-out, broken connection) that eject a replica; 0 for never.
    pub consecutive_failures: u32,
    /// How long it is ejected the first time; each time in a row it is as much longer.
    pub base_ejection: Duration,
    /// The longest.
    pub max_ejection: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            health_check: None,
            outlier: Outlier::default(),
            slow_start: Duration::ZERO,
            replica_concurrency: None,
            replica_queue: 1000,
        }
    }
}

impl Default for Outlier {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            base_ejection: Duration::from_secs(10),
            max_ejection: Duration::from_mins(5),
        }
    }
}
