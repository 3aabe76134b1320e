//! The replicas behind each port of each Service, and whose turn it is.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use towpath_config::topology::{Replica, Replicas, ServicePort, ServiceReplicas};
use towpath_event::Origin;

/// A snapshot of the replicas. Replaced whole when endpoints change; turns go on where they were.
#[derive(Debug, Default)]
pub(crate) struct ReplicaTable {
    by_port: HashMap<ServicePort, Candidates>,
}

/// The replicas of one port.
#[derive(Debug)]
pub(crate) struct Candidates {
    /// HTTP/2 with prior knowledge.
    pub(crate) h2c: bool,
    ready: Vec<Candidate>,
    turn: Arc<AtomicUsize>,
}

/// A replica, with what is said of it over and over made once.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) replica: Replica,
    pub(crate) origin: Origin,
}

impl ReplicaTable {
    /// The table for `replicas`, which follows `before`.
    pub(crate) fn following(before: &Self, replicas: &Replicas) -> Self {
        let candidates = |(port, found): (&ServicePort, &ServiceReplicas)| {
            let turn = before
                .by_port
                .get(port)
                .map(|old| Arc::clone(&old.turn))
                .unwrap_or_default();
            let ready = found.ready.iter().cloned().map(Candidate::from).collect();
            (
                port.clone(),
                Candidates {
                    h2c: found.h2c,
                    ready,
                    turn,
                },
            )
        };
        Self {
            by_port: replicas.by_port.iter().map(candidates).collect(),
        }
    }

    pub(crate) fn get(&self, port: &ServicePort) -> Option<&Candidates> {
        self.by_port.get(port)
    }

    /// Every port with its ready replicas, for people.
    pub(crate) fn iter(
        &self,
    ) -> impl Iterator<Item = (&ServicePort, impl Iterator<Item = &Replica>)> {
        self.by_port
            .iter()
            .map(|(port, candidates)| (port, candidates.ready.iter().map(|ready| &ready.replica)))
    }
}

impl Candidates {
    /// The next replica in turn; `None` when none is ready.
    pub(crate) fn in_turn(&self) -> Option<&Candidate> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.ready.get(turn.checked_rem(self.ready.len())?)
    }
}

impl From<Replica> for Candidate {
    fn from(replica: Replica) -> Self {
        let name = replica.address.to_string().into();
        let origin = Origin {
            replica: name,
            node: replica.node.clone(),
            zone: replica.zone.clone(),
        };
        Self { replica, origin }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(before: &ReplicaTable, ports: &[u16]) -> ReplicaTable {
        let replica = |port: &u16| Replica {
            address: ([127, 0, 0, 1], *port).into(),
            pod: None,
            pod_name: None,
            node: None,
            zone: None,
        };
        let ready = ports.iter().map(replica).collect();
        let by_port = HashMap::from([(service(), ServiceReplicas { h2c: false, ready })]);
        ReplicaTable::following(before, &Replicas { by_port })
    }

    fn service() -> ServicePort {
        ServicePort {
            namespace: "demo".into(),
            service: "step".into(),
            port: 80,
        }
    }

    fn turns(table: &ReplicaTable, n: usize) -> Vec<u16> {
        let candidates = table.get(&service()).unwrap();
        (0..n)
            .filter_map(|_| candidates.in_turn())
            .map(|c| c.replica.address.port())
            .collect()
    }

    #[test]
    fn every_replica_has_its_turn_and_changes_keep_it() {
        let first = table(&ReplicaTable::default(), &[1, 2, 3]);
        assert_eq!(turns(&first, 4), [1, 2, 3, 1]);
        let second = table(&first, &[1, 2, 3]);
        assert_eq!(turns(&second, 2), [2, 3]);
        let none = table(&second, &[]);
        assert_eq!(turns(&none, 2), [0; 0]);
    }
}
