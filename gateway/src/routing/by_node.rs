//! The replicas of a node, for the load feeds between gateways.

use std::net::SocketAddr;
use std::sync::Arc;

use towpath_config::topology::ServicePort;

use super::Router;
use super::load::Load;
use crate::peer::Replicas;

impl Replicas for Router {
    fn services_on(&self, node: &str) -> Vec<ServicePort> {
        let table = self.table();
        let is_there = |port: &&ServicePort| {
            let candidates = table.get(port).map(|candidates| &candidates.ready);
            candidates.is_some_and(|ready| {
                let mut nodes = ready.iter().map(|candidate| &candidate.replica.node);
                nodes.any(|of| of.as_deref() == Some(node))
            })
        };
        let mut services: Vec<_> = table.used().filter(is_there).cloned().collect();
        services.sort_unstable();
        services
    }

    fn loads_on(&self, node: &str, services: &[ServicePort]) -> Vec<(SocketAddr, Arc<Load>)> {
        let table = self.table();
        let ready = services
            .iter()
            .filter_map(|port| table.get(port))
            .flat_map(|candidates| &candidates.ready);
        ready
            .filter(|candidate| candidate.replica.node.as_deref() == Some(node))
            .map(|candidate| (candidate.replica.address, Arc::clone(&candidate.slot.load)))
            .collect()
    }
}
