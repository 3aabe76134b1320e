//! How near a replica is to where an event was made, or to where its data rests.

use std::sync::Arc;

use towpath_config::topology::Replica;

/// Where a replica is, seen from an event or its data. Nearer is less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Placement {
    /// In the same pod: one workflow replica.
    SamePod,
    /// On the same node.
    SameNode,
    /// On another node of the same zone, or on one that is not known.
    SameZone,
    /// In another zone, or nothing is known.
    Elsewhere,
}

/// A place: of the replica that made an event, of the gateway that holds its data. What is not known is `None`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place<'a> {
    /// Pod, as [`Replica::pod`] names it.
    pub pod: Option<&'a Arc<str>>,
    /// Node.
    pub node: Option<&'a Arc<str>>,
    /// Zone.
    pub zone: Option<&'a Arc<str>>,
}

impl Placement {
    /// Every placement, nearest first.
    pub const ALL: [Self; 4] = [
        Self::SamePod,
        Self::SameNode,
        Self::SameZone,
        Self::Elsewhere,
    ];

    /// Where `replica` is, seen from `place`. [`Placement::Elsewhere`] where nothing is known.
    #[must_use]
    pub fn of(replica: &Replica, place: Place<'_>) -> Self {
        if same(place.pod, replica.pod.as_ref()) {
            Self::SamePod
        } else if same(place.node, replica.node.as_ref()) {
            Self::SameNode
        } else if same(place.zone, replica.zone.as_ref()) {
            Self::SameZone
        } else {
            Self::Elsewhere
        }
    }

    /// Its name as a label of metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SamePod => "same_pod",
            Self::SameNode => "same_node",
            Self::SameZone => "same_zone",
            Self::Elsewhere => "elsewhere",
        }
    }

    /// Whether data that rests there needs no network: same pod or same node.
    #[must_use]
    pub const fn is_on_node(self) -> bool {
        match self {
            Self::SamePod | Self::SameNode => true,
            Self::SameZone | Self::Elsewhere => false,
        }
    }
}

impl<'a> Place<'a> {
    /// Where a replica is.
    #[must_use]
    pub fn of(replica: &'a Replica) -> Self {
        Self {
            pod: replica.pod.as_ref(),
            node: replica.node.as_ref(),
            zone: replica.zone.as_ref(),
        }
    }
}

/// Both are known and equal. Names are shared most of the time: then no byte of them is read.
fn same(one: Option<&Arc<str>>, other: Option<&Arc<str>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one == other,
        (None, _) | (_, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(pod: Option<&str>, node: Option<&str>, zone: Option<&str>) -> Replica {
        Replica {
            address: ([10, 0, 0, 7], 8080).into(),
            pod: pod.map(Into::into),
            pod_name: None,
            node: node.map(Into::into),
            zone: zone.map(Into::into),
        }
    }

    #[test]
    fn the_nearest_thing_in_common_counts() {
        let here = replica(Some("p"), Some("n"), Some("z"));
        let cases = [
            (Some("p"), Some("n"), Some("z"), Placement::SamePod),
            (Some("q"), Some("n"), Some("z"), Placement::SameNode),
            // a node is in one zone, whatever the slices say
            (None, Some("n"), None, Placement::SameNode),
            (Some("q"), Some("m"), Some("z"), Placement::SameZone),
            (None, None, Some("z"), Placement::SameZone),
            (Some("q"), Some("m"), Some("y"), Placement::Elsewhere),
            (None, None, None, Placement::Elsewhere),
        ];
        for (pod, node, zone, expected) in cases {
            let other = replica(pod, node, zone);
            assert_eq!(Placement::of(&other, Place::of(&here)), expected);
            assert_eq!(Placement::of(&here, Place::of(&other)), expected);
        }
    }

    #[test]
    fn unknown_is_not_equal_to_unknown() {
        let unknown = replica(None, None, None);
        let placement = Placement::of(&unknown, Place::of(&unknown));
        assert_eq!(placement, Placement::Elsewhere);
        let known = replica(Some("p"), Some("n"), Some("z"));
        let placement = Placement::of(&known, Place::default());
        assert_eq!(placement, Placement::Elsewhere);
    }

    #[test]
    fn nearer_is_less_and_names_differ() {
        assert!(Placement::ALL.is_sorted());
        let names = Placement::ALL.map(Placement::as_str);
        assert_eq!(names, ["same_pod", "same_node", "same_zone", "elsewhere"]);
        assert_eq!(
            Placement::ALL.map(Placement::is_on_node),
            [true, true, false, false]
        );
    }
}
