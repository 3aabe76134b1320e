//! The model: gateways that decide, replicas with slots and a queue, pulls, and the load feed; in virtual time.

use super::cells::{Arrival, Cell};
use super::strategy::{Decider, Way};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use towpath_config::topology::Outlier;
use towpath_gateway::routing::load::{Detail, Feed, Link, Load, Outcome, Ticket};

/// One way from gateway to gateway.
const NETWORK_NANOS: u64 = 200_000;

/// What deciders know of each other's hops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Knowledge {
    /// Only what each sent itself.
    Own,
    /// Owners look for changes once in so many nanoseconds, and tell them.
    Feed { every_nanos: u64 },
}

/// Something that happens; of those at one moment the older first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Arrives(usize),
    Reaches(usize),
    Pulled(usize),
    Served(usize),
    Answered(usize),
    /// The owner of this replica tells the others.
    Tells(usize),
    /// What the owner told reaches the deciders.
    Told(usize),
}

struct Hop {
    arrival: Arrival,
    replica: usize,
    pull_nanos: u64,
    at_decider: Option<Ticket>,
    at_owner: Option<Ticket>,
    done_nanos: u64,
}

#[derive(Default)]
struct Replica {
    busy: usize,
    queue: VecDeque<usize>,
    /// In flight there, by decider.
    of: Vec<u32>,
    telling: bool,
    /// On its way to the deciders.
    said: VecDeque<(Vec<Feed>, Detail)>,
}

/// One run of one cell with one way to decide.
pub(super) struct Engine<'a> {
    cell: &'a Cell,
    knowledge: Knowledge,
    now: u64,
    number: u64,
    next: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    hops: Vec<Hop>,
    replicas: Vec<Replica>,
    /// By replica: what its owner counts.
    owners: Vec<Load>,
    /// By decider and replica: what deciders count that are not the owner.
    loads: Vec<Vec<Load>>,
    links: Vec<Vec<Link>>,
    deciders: Vec<Decider>,
    outlier: Outlier,
}

impl<'a> Engine<'a> {
    pub(super) fn new(cell: &'a Cell, knowledge: Knowledge, way: Way, seed: u64) -> Self {
        let loads = || (0..cell.replicas).map(|_| Load::new(None)).collect();
        let links = || (0..cell.replicas).map(|_| Link::default()).collect();
        let replica = || Replica {
            of: vec![0; cell.deciders],
            ..Replica::default()
        };
        Self {
            cell,
            knowledge,
            now: 0,
            number: 0,
            next: BinaryHeap::new(),
            hops: Vec::new(),
            replicas: (0..cell.replicas).map(|_| replica()).collect(),
            owners: loads(),
            loads: (0..cell.deciders).map(|_| loads()).collect(),
            links: (0..cell.deciders).map(|_| links()).collect(),
            deciders: (0..cell.deciders)
                .map(|number| Decider::new(way, seed.wrapping_add(number as u64)))
                .collect(),
            outlier: Outlier::default(),
        }
    }

    /// Nanoseconds from its arrival until each event was served.
    pub(super) fn run(mut self, arrivals: &[Arrival]) -> Vec<u64> {
        self.hops = arrivals
            .iter()
            .map(|arrival| Hop {
                arrival: *arrival,
                replica: 0,
                pull_nanos: 0,
                at_decider: None,
                at_owner: None,
                done_nanos: 0,
            })
            .collect();
        for (index, arrival) in arrivals.iter().enumerate() {
            self.at(arrival.at_nanos, Happening::Arrives(index));
        }
        while let Some(Reverse((at, _, happening))) = self.next.pop() {
            self.now = at;
            match happening {
                Happening::Arrives(hop) => self.arrives(hop),
                Happening::Reaches(hop) => self.reaches(hop),
                Happening::Pulled(hop) => self.pulled(hop),
                Happening::Served(hop) => self.served(hop),
                Happening::Answered(hop) => self.answered(hop),
                Happening::Tells(replica) => self.tells(replica),
                Happening::Told(replica) => self.told(replica),
            }
        }
        let hops = self.hops.iter();
        hops.map(|hop| hop.done_nanos - hop.arrival.at_nanos)
            .collect()
    }

    fn at(&mut self, nanos: u64, happening: Happening) {
        self.number += 1;
        self.next.push(Reverse((nanos, self.number, happening)));
    }

    /// A decider that owns the replica counts with the owner; one alone owns all.
    fn is_owner(&self, decider: usize, replica: usize) -> bool {
        self.cell.deciders == 1 || (self.knowledge != Knowledge::Own && decider == replica)
    }

    fn arrives(&mut self, index: usize) {
        let Arrival {
            decider, data_at, ..
        } = self.hops[index].arrival;
        let facts: Vec<_> = (0..self.cell.replicas)
            .map(|replica| {
                let load = if self.is_owner(decider, replica) {
                    &self.owners[replica]
                } else {
                    &self.loads[decider][replica]
                };
                load.facts(self.now)
            })
            .collect();
        let links = &self.links[decider];
        let chosen = self.deciders[decider].decide(self.cell, &facts, links, data_at);
        let hop = &mut self.hops[index];
        hop.replica = chosen.replica;
        hop.pull_nanos = if chosen.replica == data_at {
            0
        } else {
            self.cell.pull_nanos()
        };
        if self.is_owner(decider, chosen.replica) {
            // what it estimates, not what it will turn out to be
            let ticket = self.owners[chosen.replica].begin(chosen.pull_nanos, self.now);
            self.hops[index].at_owner = Some(ticket);
            self.reaches(index);
        } else {
            let ticket = self.loads[decider][chosen.replica].begin(chosen.pull_nanos, self.now);
            self.hops[index].at_decider = Some(ticket);
            self.at(self.now + NETWORK_NANOS, Happening::Reaches(index));
        }
    }

    fn reaches(&mut self, index: usize) {
        let hop = &mut self.hops[index];
        let replica = hop.replica;
        if hop.at_owner.is_none() {
            hop.at_owner = Some(self.owners[replica].begin(hop.pull_nanos, self.now));
        }
        let decider = hop.arrival.decider;
        self.replicas[replica].of[decider] += 1;
        self.replicas[replica].queue.push_back(index);
        self.start(replica);
        self.changed(replica);
    }

    fn start(&mut self, replica: usize) {
        while self.replicas[replica].busy < self.cell.slots {
            let Some(index) = self.replicas[replica].queue.pop_front() else {
                return;
            };
            self.replicas[replica].busy += 1;
            let pulled = self.now + self.hops[index].pull_nanos;
            self.at(pulled, Happening::Pulled(index));
        }
    }

    fn pulled(&mut self, index: usize) {
        let hop = &mut self.hops[index];
        let (replica, decider) = (hop.replica, hop.arrival.decider);
        if hop.pull_nanos > 0 {
            self.links[decider][replica].observe(self.cell.size_bytes, hop.pull_nanos);
        }
        if let Some(ticket) = &mut hop.at_owner {
            self.owners[replica].pulled(ticket);
        }
        if let Some(ticket) = &mut hop.at_decider {
            self.loads[decider][replica].pulled(ticket);
        }
        let served = self.now + hop.arrival.service_nanos;
        self.at(served, Happening::Served(index));
    }

    fn served(&mut self, index: usize) {
        let hop = &mut self.hops[index];
        hop.done_nanos = self.now;
        let (replica, decider) = (hop.replica, hop.arrival.decider);
        if let Some(ticket) = hop.at_owner.take() {
            self.owners[replica].end(ticket, Outcome::Served, &self.outlier, self.now);
        }
        if hop.at_decider.is_some() {
            self.at(self.now + NETWORK_NANOS, Happening::Answered(index));
        }
        self.replicas[replica].of[decider] -= 1;
        self.replicas[replica].busy -= 1;
        self.start(replica);
        self.changed(replica);
    }

    fn answered(&mut self, index: usize) {
        let hop = &mut self.hops[index];
        let (replica, decider) = (hop.replica, hop.arrival.decider);
        if let Some(ticket) = hop.at_decider.take() {
            self.loads[decider][replica].end(ticket, Outcome::Served, &self.outlier, self.now);
        }
    }

    /// The owner tells when it looks next; owners do so at different moments.
    fn changed(&mut self, index: usize) {
        let Knowledge::Feed { every_nanos } = self.knowledge else {
            return;
        };
        let replica = &mut self.replicas[index];
        if self.cell.deciders == 1 || replica.telling {
            return;
        }
        replica.telling = true;
        let shift = every_nanos * (index as u64 % 16) / 16;
        let looks = (self.now + shift) / every_nanos + 1;
        self.at(looks * every_nanos - shift, Happening::Tells(index));
    }

    fn tells(&mut self, index: usize) {
        let facts = self.owners[index].facts(self.now);
        let replica = &mut self.replicas[index];
        replica.telling = false;
        let feed = |yours: &u32| Feed {
            in_flight: facts.in_flight,
            yours: *yours,
            others_pulling_nanos: facts.pulling_nanos
                * u64::from(facts.in_flight.saturating_sub(*yours))
                / u64::from(facts.in_flight.max(1)),
            service_nanos: facts.service_nanos.unwrap_or_default() as u64,
            slots: facts.slots,
        };
        let said = replica.of.iter().map(feed).collect();
        let detail = self.owners[index].detail(self.now);
        replica.said.push_back((said, detail));
        self.at(self.now + NETWORK_NANOS, Happening::Told(index));
    }

    fn told(&mut self, index: usize) {
        let Some((said, detail)) = self.replicas[index].said.pop_front() else {
            return;
        };
        for (loads, feed) in self.loads.iter().zip(&said) {
            loads[index].feed(feed, self.now);
            loads[index].feed_detail(&detail);
        }
    }
}
