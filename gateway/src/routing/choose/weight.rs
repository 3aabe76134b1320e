//! The weight that a `HopPolicy` gives a replica by one of its names.

use std::net::SocketAddr;

use towpath_config::topology::{Replica, Weights};

/// What `weights` says of `replica`, which it may name by its pod's name or UID, or by its address; the first entry counts. 0 for
/// one that is not listed, and under [`Weights::Placement`], where it is not read. Looks through the list: ask once for each
/// snapshot, not for each hop.
#[must_use]
pub fn weight(weights: &Weights, replica: &Replica) -> u32 {
    let Weights::Replicas(listed) = weights else {
        return 0;
    };
    let is_it = |name: &str| {
        let pod = [&replica.pod_name, &replica.pod];
        pod.into_iter().flatten().any(|pod| **pod == *name)
            || name.parse::<SocketAddr>() == Ok(replica.address)
    };
    let found = listed.iter().find(|(name, _)| is_it(name));
    found.map_or(0, |(_, weight)| *weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_any_of_its_names() {
        let replica = Replica {
            address: ([10, 0, 0, 7], 8080).into(),
            pod: Some("uid-7".into()),
            pod_name: Some("step-7".into()),
            node: None,
            zone: None,
        };
        let listed = |name: &str| Weights::Replicas([(name.into(), 3)].into());
        for name in ["uid-7", "step-7", "10.0.0.7:8080"] {
            assert_eq!(weight(&listed(name), &replica), 3, "{name}");
        }
        for name in ["uid-8", "step", "10.0.0.7", "10.0.0.7:80", ""] {
            assert_eq!(weight(&listed(name), &replica), 0, "{name}");
        }
        let placement = Weights::Placement {
            local: 1,
            remote: 1,
        };
        assert_eq!(weight(&placement, &replica), 0);
    }
}
