//! From a destination and what is to be sent there to one replica, or to the name where no replica is known.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::uri::Authority;
use smallvec::SmallVec;
use tokio::sync::watch;
use towpath_config::Settings;
use towpath_config::topology::{
    Destination, Policy, Replicas, ServicePort, Strategy, Target, Weights,
};
use towpath_event::Origin;

use super::choose::{self, Candidate as View, Choice, NoChoice, Reason, Request};
use super::load::assumed;
use super::replicas::{Candidate, Candidates, ReplicaTable, Service};
use super::seat::{Clock, Seat, Slot};
use super::{Place, Placement};
use crate::send::{Endpoint, SendError};

/// Candidates that are looked at without room on the heap.
const FEW: usize = 16;

/// Routes the hops of one gateway.
#[derive(Debug)]
pub(crate) struct Router {
    table: ArcSwap<ReplicaTable>,
    here: Here,
    clock: Clock,
    /// Grows with each change.
    changes: watch::Sender<u64>,
}

/// Where the gateway runs, as far as the settings say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Here {
    pub(crate) node: Option<Arc<str>>,
    pub(crate) zone: Option<Arc<str>>,
}

/// What decides where a hop goes, besides the destination.
#[derive(Debug, Clone)]
pub(crate) struct Ask<'a> {
    /// The replica whose reply the event is.
    pub(crate) origin: Option<&'a Origin>,
    pub(crate) data_at: DataAt,
    pub(crate) size: u64,
    /// The subscriber gets a reference.
    pub(crate) by_reference: bool,
}

/// Where the event's data is.
#[derive(Debug, Clone)]
pub(crate) enum DataAt {
    /// In the event, which was with its origin last.
    Event,
    /// In a store of this gateway.
    Here,
    /// With the gateway of this node.
    Node(Arc<str>),
    /// As far from everywhere.
    Remote,
}

/// Where an attempt goes.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) endpoint: Endpoint,
    /// The replica; `None` when only a name is known.
    pub(crate) replica: Option<Chosen>,
    pub(crate) placement: Placement,
    pub(crate) reason: Reason,
    slot: Option<Arc<Slot>>,
    service: Option<Arc<Service>>,
    pull_nanos: u64,
}

/// The replica of a route.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) address: SocketAddr,
    /// What a reply from there has as its origin.
    pub(crate) origin: Origin,
}

/// Replicas that were tried in this attempt.
pub(crate) type Tried = SmallVec<[SocketAddr; 3]>;

impl Here {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            node: settings.node.as_deref().map(Into::into),
            zone: settings.zone.as_deref().map(Into::into),
        }
    }
}

impl Router {
    pub(crate) fn new(here: Here) -> Self {
        Self {
            table: ArcSwap::default(),
            here,
            clock: Clock::start(),
            changes: watch::Sender::new(0),
        }
    }

    /// Follows a change of the replicas. `named` are destinations that are known by name only, `used` the ports that events
    /// are sent to.
    pub(crate) fn follow(
        &self,
        replicas: &Replicas,
        named: &[Authority],
        used: HashSet<ServicePort>,
    ) {
        let (now, before) = (self.clock.now(), self.table.load_full());
        let named = named.iter().cloned();
        let table = ReplicaTable::following(&before, replicas, named, now).using(used);
        self.table.store(Arc::new(table));
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Tells of each change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A transfer from or to `node` took so long.
    pub(crate) fn observe(&self, node: &str, bytes: u64, nanos: u64) {
        if let Some(link) = self.table.load().link(node) {
            link.observe(bytes, nanos);
        }
    }

    pub(crate) fn table(&self) -> Arc<ReplicaTable> {
        self.table.load_full()
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn here(&self) -> &Here {
        &self.here
    }

    /// Decides where the next try of an attempt goes.
    ///
    /// # Errors
    /// [`SendError::NoReplica`] when there is none, or none that was not tried and has room.
    pub(crate) fn route(
        &self,
        to: &Destination,
        ask: &Ask<'_>,
        tried: &Tried,
    ) -> Result<Route, SendError> {
        let authority = to.uri.authority();
        let authority = authority.ok_or(SendError::NoReplica(NoChoice::NoCandidate))?;
        let table = self.table.load();
        let candidates = match &to.target {
            Target::Service(port) => table.get(port),
            Target::Uri | Target::Hosted(_) => None,
        };
        let Some(candidates) = candidates else {
            return by_name(&table, to, authority, tried);
        };
        let choice = self.choose(candidates, to, ask, tried)?;
        let chosen = candidates.ready.get(choice.index);
        let chosen = chosen.ok_or(SendError::NoReplica(NoChoice::NoCandidate))?;
        Ok(Route {
            placement: choice.placement,
            reason: choice.reason,
            service: Some(Arc::clone(&candidates.service)),
            ..Route::to_replica(to, authority, candidates, chosen, choice.pull_nanos)
        })
    }

    /// The route to one replica that another gateway chose; `None` if it is no candidate on this node.
    pub(crate) fn route_to(
        &self,
        to: &Destination,
        address: SocketAddr,
        pull_nanos: u64,
    ) -> Option<Route> {
        let Target::Service(port) = &to.target else {
            return None;
        };
        let (authority, table) = (to.uri.authority()?, self.table.load());
        let candidates = table.get(port)?;
        let chosen = candidates.at(address)?;
        if chosen.replica.node.is_none() || chosen.replica.node != self.here.node {
            return None;
        }
        Some(Route::to_replica(
            to, authority, candidates, chosen, pull_nanos,
        ))
    }

    fn choose(
        &self,
        candidates: &Candidates,
        to: &Destination,
        ask: &Ask<'_>,
        tried: &Tried,
    ) -> Result<Choice, SendError> {
        let (now, policy) = (self.clock.now(), &*to.policy);
        let (origin, data) = self.places(ask);
        let view = |candidate: &Candidate| {
            let replica = &candidate.replica;
            let from_data = Placement::of(replica, data);
            let link = candidate.link.as_ref();
            View {
                facts: candidate.slot.load.facts(now),
                placement: Placement::of(replica, origin),
                has_data: from_data.is_on_node(),
                bytes_per_second: link.map_or_else(
                    || assumed(from_data),
                    |link| link.bytes_per_second(from_data),
                ),
                weight: match &policy.strategy {
                    Strategy::Weighted(weights @ Weights::Replicas(_)) => {
                        choose::weight(weights, replica)
                    }
                    _ => 0,
                },
                excluded: tried.contains(&replica.address),
            }
        };
        let views: SmallVec<[View; FEW]> = candidates.ready.iter().map(view).collect();
        let request = Request {
            size_bytes: ask.size,
            by_reference: ask.by_reference,
            turn: candidates.service.turn(),
        };
        choose::choose(&views, &request, policy, &mut fastrand::Rng::new())
            .map_err(SendError::NoReplica)
    }

    /// Where the event was made, and where its data is.
    fn places<'a>(&'a self, ask: &'a Ask<'_>) -> (Place<'a>, Place<'a>) {
        let here = Place {
            pod: None,
            node: self.here.node.as_ref(),
            zone: self.here.zone.as_ref(),
        };
        let origin = ask.origin.map_or(here, |origin| Place {
            pod: Some(&origin.replica),
            node: origin.node.as_ref(),
            zone: origin.zone.as_ref(),
        });
        let data = match &ask.data_at {
            DataAt::Event => origin,
            DataAt::Here => here,
            DataAt::Node(node) => Place {
                node: Some(node),
                ..Place::default()
            },
            DataAt::Remote => Place::default(),
        };
        (origin, data)
    }
}

impl Route {
    /// To this replica, which nobody had to choose.
    fn to_replica(
        to: &Destination,
        authority: &Authority,
        candidates: &Candidates,
        chosen: &Candidate,
        pull_nanos: u64,
    ) -> Self {
        let address = chosen.replica.address;
        Self {
            endpoint: Endpoint::of(to, authority, Some(address), candidates.h2c),
            replica: Some(Chosen {
                address,
                origin: chosen.origin.clone(),
            }),
            placement: Placement::SameNode,
            reason: Reason::Only,
            slot: Some(Arc::clone(&chosen.slot)),
            service: None,
            pull_nanos,
        }
    }

    /// Waits for a place there; `None` if nothing is counted for it.
    ///
    /// # Errors
    /// [`SendError::NoReplica`]: too many wait already.
    pub(crate) async fn sit(
        &self,
        policy: &Arc<Policy>,
        clock: Clock,
    ) -> Result<Option<Seat>, SendError> {
        let Some(slot) = &self.slot else {
            return Ok(None);
        };
        let seat = slot.sit(policy, self.pull_nanos, clock).await;
        seat.map(Some).map_err(SendError::NoReplica)
    }

    /// Counts an attempt that begins here.
    pub(crate) fn count_attempt(&self, clock: Clock) {
        if let Some(service) = &self.service {
            service.reroutes.attempt(clock.now());
        }
    }

    /// Whether the attempt may move on to another replica; counted if so.
    pub(crate) fn may_move_on(&self, clock: Clock) -> bool {
        let service = self.service.as_ref();
        service.is_some_and(|service| service.reroutes.may_move_on(clock.now()))
    }

    /// How long the data takes to get there, in nanoseconds.
    pub(crate) fn pull_nanos(&self) -> u64 {
        self.pull_nanos
    }
}

/// Where no replica is known. It is one candidate, which is tried once in an attempt.
fn by_name(
    table: &ReplicaTable,
    to: &Destination,
    authority: &Authority,
    tried: &Tried,
) -> Result<Route, SendError> {
    if !tried.is_empty() {
        return Err(SendError::NoReplica(NoChoice::AllTried));
    }
    // Its load matters only where it is bounded.
    let is_bounded = to.policy.replica_concurrency.is_some();
    let slot = table.named(authority).filter(|_| is_bounded);
    Ok(Route {
        endpoint: Endpoint::of(to, authority, None, false),
        replica: None,
        placement: Placement::Elsewhere,
        reason: Reason::Only,
        slot: slot.cloned(),
        service: None,
        pull_nanos: 0,
    })
}
