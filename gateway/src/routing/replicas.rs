//! The replicas behind each port of each Service, each with its load, which outlives snapshots.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::uri::Authority;
use towpath_config::topology::{Replica, Replicas, ServicePort, ServiceReplicas};
use towpath_event::Origin;

use super::load::{Link, Load};
use super::reroute::Reroutes;
use super::seat::Slot;

/// What is known of a replica that is gone is kept this long: endpoints flap.
const REMEMBERED: Duration = Duration::from_mins(5);

/// A snapshot of the replicas. Replaced whole when endpoints change.
#[derive(Debug, Default)]
pub(crate) struct ReplicaTable {
    by_port: HashMap<ServicePort, Candidates>,
    slots: HashMap<ReplicaKey, Known>,
    links: HashMap<Arc<str>, Arc<Link>>,
    used: HashSet<ServicePort>,
}

/// The replicas of one port.
#[derive(Debug)]
pub(crate) struct Candidates {
    /// HTTP/2 with prior knowledge.
    pub(crate) h2c: bool,
    pub(crate) ready: Vec<Candidate>,
    /// What outlives a snapshot.
    pub(crate) service: Arc<Service>,
}

/// What hops to one port share.
#[derive(Debug, Default)]
pub(crate) struct Service {
    turn: AtomicUsize,
    pub(crate) reroutes: Reroutes,
}

/// A replica, with what is said of it over and over made once.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) replica: Replica,
    pub(crate) origin: Origin,
    pub(crate) slot: Arc<Slot>,
    /// The way to its node, if that is known.
    pub(crate) link: Option<Arc<Link>>,
}

/// What a load is known by: the pod, or where none is named its address, and the port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum ReplicaKey {
    Pod(Arc<str>, u16),
    Address(IpAddr, u16),
    /// Known by its name only.
    Name(Authority),
}

#[derive(Debug, Clone)]
struct Known {
    slot: Arc<Slot>,
    /// Nanoseconds; `None` while it is there.
    gone_since: Option<u64>,
}

impl ReplicaTable {
    /// The table for `replicas`, which follows `before` at `now`. `named` are destinations that are known by name only.
    pub(crate) fn following(
        before: &Self,
        replicas: &Replicas,
        named: impl IntoIterator<Item = Authority>,
        now: u64,
    ) -> Self {
        let is_first = before.slots.is_empty();
        let mut slots = before.slots.clone();
        for known in slots.values_mut() {
            known.gone_since.get_or_insert(now);
        }
        let mut links = before.links.clone();
        let mut slot = |key: ReplicaKey| {
            let known = slots.entry(key).or_insert_with(|| Known {
                slot: Arc::new(Slot::new(Load::new((!is_first).then_some(now)))),
                gone_since: None,
            });
            known.gone_since = None;
            Arc::clone(&known.slot)
        };
        let mut candidate = |replica: &Replica| Candidate {
            origin: origin(replica),
            slot: slot(key(replica)),
            link: replica
                .node
                .as_ref()
                .map(|node| Arc::clone(links.entry(Arc::clone(node)).or_default())),
            replica: replica.clone(),
        };
        let mut by_port = HashMap::with_capacity(replicas.by_port.len());
        for (port, ServiceReplicas { h2c, ready }) in &replicas.by_port {
            let service = before
                .by_port
                .get(port)
                .map(|old| Arc::clone(&old.service))
                .unwrap_or_default();
            let candidates = Candidates {
                h2c: *h2c,
                ready: ready.iter().map(&mut candidate).collect(),
                service,
            };
            by_port.insert(port.clone(), candidates);
        }
        for authority in named {
            slot(ReplicaKey::Name(authority));
        }
        let remembered = REMEMBERED.as_nanos() as u64;
        slots.retain(|_, known| {
            known
                .gone_since
                .is_none_or(|since| now.saturating_sub(since) < remembered)
        });
        Self {
            by_port,
            slots,
            links,
            used: HashSet::new(),
        }
    }

    /// With the ports that events are sent to: what other gateways tell the load of.
    pub(crate) fn using(self, used: HashSet<ServicePort>) -> Self {
        Self { used, ..self }
    }

    pub(crate) fn used(&self) -> impl Iterator<Item = &ServicePort> {
        self.used.iter()
    }

    pub(crate) fn get(&self, port: &ServicePort) -> Option<&Candidates> {
        self.by_port.get(port)
    }

    /// The load of what is known by its name only.
    pub(crate) fn named(&self, authority: &Authority) -> Option<&Arc<Slot>> {
        let known = self.slots.get(&ReplicaKey::Name(authority.clone()));
        known.map(|known| &known.slot)
    }

    /// The way to a node.
    pub(crate) fn link(&self, node: &str) -> Option<&Arc<Link>> {
        self.links.get(node)
    }

    /// Every port with its candidates.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ServicePort, &Candidates)> {
        self.by_port.iter()
    }
}

impl Candidates {
    /// The candidate that listens there.
    pub(crate) fn at(&self, address: SocketAddr) -> Option<&Candidate> {
        let mut ready = self.ready.iter();
        ready.find(|candidate| candidate.replica.address == address)
    }
}

impl Service {
    /// A number that grows by one with each hop.
    pub(crate) fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }
}

fn key(replica: &Replica) -> ReplicaKey {
    let port = replica.address.port();
    match &replica.pod {
        Some(pod) => ReplicaKey::Pod(Arc::clone(pod), port),
        None => ReplicaKey::Address(replica.address.ip(), port),
    }
}

fn origin(replica: &Replica) -> Origin {
    let name = || replica.address.to_string().into();
    Origin {
        replica: replica.pod.clone().unwrap_or_else(name),
        node: replica.node.clone(),
        zone: replica.zone.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn replica(port: u16, pod: Option<&str>) -> Replica {
        Replica {
            address: ([127, 0, 0, 1], port).into(),
            pod: pod.map(Into::into),
            pod_name: None,
            node: Some("n".into()),
            zone: None,
        }
    }

    fn table(before: &ReplicaTable, ready: &[Replica], now: u64) -> ReplicaTable {
        let ready = ready.into();
        let by_port = HashMap::from([(service(), ServiceReplicas { h2c: false, ready })]);
        ReplicaTable::following(before, &Replicas { by_port }, [], now)
    }

    fn service() -> ServicePort {
        ServicePort {
            namespace: "demo".into(),
            service: "step".into(),
            port: 80,
        }
    }

    fn slots(table: &ReplicaTable) -> Vec<Arc<Slot>> {
        let ready = &table.get(&service()).unwrap().ready;
        ready.iter().map(|c| Arc::clone(&c.slot)).collect()
    }

    #[test]
    fn a_load_outlives_snapshots_and_a_short_absence() {
        let (one, two) = (replica(1, Some("p")), replica(2, None));
        let first = table(&ReplicaTable::default(), &[one.clone(), two.clone()], 0);
        let known = slots(&first);
        assert!(
            known
                .iter()
                .all(|slot| slot.load.facts(9).age_nanos.is_none())
        );
        let without = table(&first, std::slice::from_ref(&two), SECOND);
        assert!(Arc::ptr_eq(&slots(&without)[0], &known[1]));
        let again = table(&without, &[one.clone(), two.clone()], 2 * SECOND);
        assert!(Arc::ptr_eq(&slots(&again)[0], &known[0]));
        let without = table(&again, std::slice::from_ref(&two), 3 * SECOND);
        let late = table(&without, std::slice::from_ref(&two), 400 * SECOND);
        let anew = table(&late, &[one, two], 401 * SECOND);
        assert!(!Arc::ptr_eq(&slots(&anew)[0], &known[0]));
        let age = slots(&anew)[0].load.facts(402 * SECOND).age_nanos;
        assert_eq!(age, Some(SECOND), "it begins slowly");
        assert!(Arc::ptr_eq(&slots(&anew)[1], &known[1]));
    }

    #[test]
    fn a_pod_that_gets_another_address_stays_the_same_replica() {
        let moved = Replica {
            address: ([127, 0, 0, 2], 1).into(),
            ..replica(1, Some("p"))
        };
        let first = table(&ReplicaTable::default(), &[replica(1, Some("p"))], 0);
        let second = table(&first, &[moved], SECOND);
        assert!(Arc::ptr_eq(&slots(&first)[0], &slots(&second)[0]));
        let turns = [&first, &second].map(|table| table.get(&service()).unwrap().service.turn());
        assert_eq!(turns, [0, 1]);
    }
}
