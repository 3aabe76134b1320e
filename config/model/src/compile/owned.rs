//! Objects of a dump from a cluster that Knative's controllers made: which Sequence or Parallel each belongs to, what backs
//! a `Channel`, what carries a Broker of class MTChannelBasedBroker, and which of them are replaced here.

use std::collections::{HashMap, HashSet};

use super::CompileOptions;
use super::plan::{Flow, name_of, namespace_of};
use crate::objects::ObjectMeta;
use crate::read::{EVENTING, FLOWS, MESSAGING, Objects, group_of};

/// Namespace and name.
type Place<'a> = (&'a str, &'a str);

/// An object that the controller of a Sequence or Parallel made.
#[derive(Debug, Clone, Copy)]
enum Made<'a> {
    Channel { name: &'a str, kind: &'a str },
    Subscription { name: &'a str },
}

/// Who made what.
#[derive(Debug, Default)]
pub(super) struct Owned<'a> {
    by_flow: HashMap<Flow, Vec<(&'a str, Made<'a>)>>,
    /// Kind of the object that backs a `Channel`.
    backing: HashMap<Place<'a>, &'a str>,
    channels: HashSet<(&'a str, &'a str, &'a str)>,
    subscriptions: HashSet<Place<'a>>,
}

impl<'a> Owned<'a> {
    pub(super) fn new(objects: &'a Objects, options: &'a CompileOptions) -> Self {
        let mut owned = Self::default();
        for object in &objects.implementations {
            let (meta, kind) = (&object.value.metadata, object.value.kind.as_str());
            let name = name_of(meta);
            owned.made(meta, options, Made::Channel { name, kind });
            let backs = |owner: &str| owner == name;
            if owners(meta, MESSAGING, "Channel").any(backs) {
                owned
                    .backing
                    .insert((namespace_of(meta, options), name), kind);
            }
        }
        for object in &objects.channels {
            let meta = &object.value.metadata;
            let (name, kind) = (name_of(meta), "Channel");
            owned.made(meta, options, Made::Channel { name, kind });
        }
        for object in &objects.subscriptions {
            let meta = &object.value.metadata;
            let name = name_of(meta);
            owned.made(meta, options, Made::Subscription { name });
        }
        owned.carriers(objects, options);
        owned
    }

    fn made(&mut self, meta: &'a ObjectMeta, options: &'a CompileOptions, made: Made<'a>) {
        let namespace = namespace_of(meta, options);
        for kind in Flow::KINDS {
            for owner in owners(meta, FLOWS, kind) {
                let flow = Flow::new(kind, namespace, owner);
                self.by_flow
                    .entry(flow)
                    .or_default()
                    .push((namespace, made));
            }
        }
    }

    /// The channel and Subscriptions by which class MTChannelBasedBroker carries a Broker of the files (B3.1, B3.3):
    /// here a broker needs none.
    fn carriers(&mut self, objects: &'a Objects, options: &'a CompileOptions) {
        let brokers: HashSet<Place<'a>> = objects
            .brokers
            .iter()
            .map(|object| place(&object.value.metadata, options))
            .collect();
        let triggers: HashSet<Place<'a>> = objects
            .triggers
            .iter()
            .map(|object| place(&object.value.metadata, options))
            .collect();
        let implementations = objects
            .implementations
            .iter()
            .map(|object| (&object.value.metadata, object.value.kind.as_str()));
        let channels = objects
            .channels
            .iter()
            .map(|object| (&object.value.metadata, "Channel"));
        for (meta, kind) in implementations.chain(channels) {
            let (namespace, name) = place(meta, options);
            let mut owners = owners(meta, EVENTING, "Broker");
            if owners.any(|owner| brokers.contains(&(namespace, owner))) {
                self.replace_channel(namespace, name, kind);
            }
        }
        for object in &objects.subscriptions {
            let meta = &object.value.metadata;
            let (namespace, name) = place(meta, options);
            let mut owners = owners(meta, EVENTING, "Trigger");
            if owners.any(|owner| triggers.contains(&(namespace, owner))) {
                self.subscriptions.insert((namespace, name));
            }
        }
    }

    /// Notes that an expansion makes again what its controller made under these names.
    pub(super) fn take_over(&mut self, flow: &Flow, names: &HashSet<String>) {
        for (namespace, made) in self.by_flow.remove(flow).unwrap_or_default() {
            match made {
                Made::Channel { name, kind } if names.contains(name) => {
                    self.replace_channel(namespace, name, kind);
                }
                Made::Subscription { name } if names.contains(name) => {
                    self.subscriptions.insert((namespace, name));
                }
                // Left over from a Sequence that had more steps, or a Parallel that had more branches.
                Made::Channel { .. } | Made::Subscription { .. } => {}
            }
        }
    }

    /// With a `Channel`, what backs it goes as well.
    fn replace_channel(&mut self, namespace: &'a str, name: &'a str, kind: &'a str) {
        self.channels.insert((namespace, name, kind));
        let backing = self.backing.get(&(namespace, name)).copied();
        if let Some(backing) = backing.filter(|_| kind == "Channel") {
            self.channels.insert((namespace, name, backing));
        }
    }

    /// Whether an expansion replaces this channel.
    pub(super) fn replaces_channel(&self, namespace: &str, name: &str, kind: &str) -> bool {
        self.channels.contains(&(namespace, name, kind))
    }

    /// Whether an expansion replaces this Subscription.
    pub(super) fn replaces_subscription(&self, namespace: &str, name: &str) -> bool {
        self.subscriptions.contains(&(namespace, name))
    }

    /// Kind of the object that backs a `Channel`.
    pub(super) fn backing(&self, namespace: &str, name: &str) -> Option<&'a str> {
        self.backing.get(&(namespace, name)).copied()
    }
}

fn place<'a>(meta: &'a ObjectMeta, options: &'a CompileOptions) -> Place<'a> {
    (namespace_of(meta, options), name_of(meta))
}

/// Names of the owners of a kind; they are in the object's namespace.
fn owners<'m>(
    meta: &'m ObjectMeta,
    group: &'m str,
    kind: &'m str,
) -> impl Iterator<Item = &'m str> {
    meta.owner_references
        .iter()
        .filter(move |owner| group_of(&owner.api_version) == group && owner.kind == kind)
        .map(|owner| owner.name.as_str())
}
