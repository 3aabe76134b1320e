//! Why a replica was chosen, or why none.

/// Why a replica was chosen: the label `reason` of metrics, and what `explain` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// There is no other.
    Only,
    /// None is nearer, and none would finish sooner.
    Nearest,
    /// It will finish sooner than the nearer ones, although the data has to get there.
    SoonerElsewhere,
    /// The nearer ones cannot take hops.
    FallBack,
    /// By weight.
    Weighted,
    /// No replica with a weight is there: of all, the one with fewer in flight.
    Unlisted,
    /// The one with fewer in flight of two.
    Fewest,
    /// Its turn.
    Turn,
    /// Another replica was tried before, in the same attempt.
    RetryElsewhere,
    /// All that could serve refuse: it is asked all the same.
    AllBusy,
    /// So many are left out that some of them are used.
    Panic,
    /// All that could serve have as many hops as they may: the hop waits.
    AllFull,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::Only,
        Self::Nearest,
        Self::SoonerElsewhere,
        Self::FallBack,
        Self::Weighted,
        Self::Unlisted,
        Self::Fewest,
        Self::Turn,
        Self::RetryElsewhere,
        Self::AllBusy,
        Self::Panic,
        Self::AllFull,
    ];

    /// The same as half a sentence, for people.
    #[must_use]
    pub const fn explain(self) -> &'static str {
        match self {
            Self::Only => "there is no other",
            Self::Nearest => "none is nearer, and none would finish sooner",
            Self::SoonerElsewhere => "it will finish sooner than the nearer ones",
            Self::FallBack => "the nearer ones cannot take hops",
            Self::Weighted => "its weight was drawn",
            Self::Unlisted => "no replica with a weight is there",
            Self::Fewest => "it has the fewer hops in flight of two",
            Self::Turn => "it is its turn",
            Self::RetryElsewhere => "another was tried before",
            Self::AllBusy => "all of them refuse",
            Self::Panic => "too many are left out",
            Self::AllFull => "all of them are full",
        }
    }

    /// Its name as a label of metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Only => "only",
            Self::Nearest => "nearest",
            Self::SoonerElsewhere => "sooner_elsewhere",
            Self::FallBack => "fall_back",
            Self::Weighted => "weighted",
            Self::Unlisted => "unlisted",
            Self::Fewest => "fewest",
            Self::Turn => "turn",
            Self::RetryElsewhere => "retry_elsewhere",
            Self::AllBusy => "all_busy",
            Self::Panic => "panic",
            Self::AllFull => "all_full",
        }
    }
}

/// Why no replica was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoChoice {
    /// There is no candidate.
    #[error("no replica is ready: look at the endpoints of the Service")]
    NoCandidate,
    /// Every candidate was tried in this attempt.
    #[error("every replica was tried in this attempt")]
    AllTried,
    /// Every candidate that is left has `replica_concurrency` hops in flight and `replica_queue` waiting.
    #[error(
        "{waiting} hops wait for every replica, as many as replicaQueue {most} of the HopPolicy admits: raise it or \
         replicaConcurrency, or add replicas"
    )]
    QueueFull {
        /// Hops that wait for the replica with the shortest queue.
        waiting: u32,
        /// The bound.
        most: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::Reason;
    use std::collections::HashSet;

    #[test]
    fn names_differ() {
        let names: HashSet<_> = Reason::ALL.into_iter().map(Reason::as_str).collect();
        assert_eq!(names.len(), Reason::ALL.len());
    }
}
