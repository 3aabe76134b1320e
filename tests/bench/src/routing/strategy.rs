//! Ways to decide: the gateway's own rule, and the fixed strategies that it is held against.

use super::cells::Cell;
use fastrand::Rng;
use serde::Serialize;
use towpath_config::topology::Policy;
use towpath_gateway::routing::Placement;
use towpath_gateway::routing::choose::{Candidate, Request, choose};
use towpath_gateway::routing::load::{Facts, Link};

/// How a decider chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    /// The gateway's `choose` with its default policy.
    Adaptive,
    /// Where the data is.
    AlwaysLocal,
    /// Fewest in flight of all, as far as the decider knows.
    LeastRequest,
    /// One after the other.
    RoundRobin,
    /// Half where the data is, half at random elsewhere.
    HalfLocal,
    /// Where the data is while a slot is free there, else fewest in flight. It knows the slots.
    LocalUntilFull,
}

impl Way {
    /// What the rule is held against.
    pub(super) const FIXED: [Self; 5] = [
        Self::AlwaysLocal,
        Self::LeastRequest,
        Self::RoundRobin,
        Self::HalfLocal,
        Self::LocalUntilFull,
    ];

    /// Its name in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Adaptive => "Adaptive",
            Self::AlwaysLocal => "always local",
            Self::LeastRequest => "least request",
            Self::RoundRobin => "round robin",
            Self::HalfLocal => "weighted 50/50",
            Self::LocalUntilFull => "local until full",
        }
    }
}

/// One gateway that decides.
pub(super) struct Decider {
    way: Way,
    rng: Rng,
    turn: usize,
    policy: Policy,
}

/// Where a hop goes, and how long the decider thinks that the pull takes.
pub(super) struct Chosen {
    pub(super) replica: usize,
    pub(super) pull_nanos: u64,
}

impl Decider {
    pub(super) fn new(way: Way, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        Self {
            way,
            turn: rng.usize(0..1024),
            rng,
            policy: Policy::default(),
        }
    }

    pub(super) fn decide(
        &mut self,
        cell: &Cell,
        facts: &[Facts],
        links: &[Link],
        data_at: usize,
    ) -> Chosen {
        let replica = match self.way {
            Way::Adaptive => return self.adaptive(cell, facts, links, data_at),
            Way::AlwaysLocal => data_at,
            Way::LeastRequest => self.least(facts),
            Way::RoundRobin => {
                self.turn += 1;
                self.turn % facts.len()
            }
            Way::HalfLocal => {
                if self.rng.bool() {
                    data_at
                } else {
                    (data_at + self.rng.usize(1..facts.len())) % facts.len()
                }
            }
            Way::LocalUntilFull => {
                if (facts[data_at].in_flight as usize) < cell.slots {
                    data_at
                } else {
                    self.least(facts)
                }
            }
        };
        Chosen {
            replica,
            pull_nanos: 0,
        }
    }

    fn adaptive(&mut self, cell: &Cell, facts: &[Facts], links: &[Link], data_at: usize) -> Chosen {
        let candidates: Vec<_> = facts
            .iter()
            .zip(links)
            .enumerate()
            .map(|(replica, (facts, link))| {
                let placement = match cell.gigabits {
                    _ if replica == data_at => Placement::SameNode,
                    10 => Placement::SameZone,
                    _ => Placement::Elsewhere,
                };
                Candidate {
                    facts: *facts,
                    placement,
                    has_data: replica == data_at,
                    bytes_per_second: link.bytes_per_second(placement),
                    weight: 0,
                    excluded: false,
                }
            })
            .collect();
        self.turn += 1;
        let request = Request {
            size_bytes: cell.size_bytes,
            by_reference: false,
            turn: self.turn,
        };
        match choose(&candidates, &request, &self.policy, &mut self.rng) {
            Ok(choice) => Chosen {
                replica: choice.index,
                pull_nanos: choice.pull_nanos,
            },
            // nothing bounds the replicas of the model
            Err(_) => Chosen {
                replica: data_at,
                pull_nanos: 0,
            },
        }
    }

    /// Of those with the fewest one at random.
    fn least(&mut self, facts: &[Facts]) -> usize {
        let fewest = facts.iter().map(|facts| facts.in_flight).min();
        let those = || {
            let all = facts.iter().enumerate();
            all.filter(|(_, facts)| Some(facts.in_flight) == fewest)
        };
        let place = self.rng.usize(0..those().count().max(1));
        those().nth(place).map_or(0, |(replica, _)| replica)
    }
}
