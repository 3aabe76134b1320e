//! What the topology will be made of, before references are resolved: channels and wanted subscriptions, each with the
//! place in the files that it comes from.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use towpath_event::Filter;

use super::CompileOptions;
use crate::objects::{DeliverySpec, Destination, ObjectMeta, Status};
use crate::problem::Problem;
use crate::read::{Origin, label};
use crate::topology::{Backend, ChannelKey, ChannelKind, Presentation};

/// A field of an object: where to point when something is wrong with it.
#[derive(Debug, Clone)]
pub(super) struct Site<'a> {
    pub(super) origin: &'a Origin,
    pub(super) object: Arc<str>,
    pub(super) path: String,
    /// Namespace of the object: what its references mean by default.
    pub(super) namespace: &'a str,
}

impl<'a> Site<'a> {
    /// The object as a whole.
    pub(super) fn new(
        origin: &'a Origin,
        kind: &str,
        meta: &'a ObjectMeta,
        options: &'a CompileOptions,
    ) -> Self {
        let namespace = namespace_of(meta, options);
        let object = label(kind, Some(namespace), name_of(meta)).into();
        Self {
            origin,
            object,
            path: String::new(),
            namespace,
        }
    }

    /// A field inside this one; `name` may be a path.
    pub(super) fn field(&self, name: &str) -> Self {
        let path = match (self.path.is_empty(), name.starts_with('[')) {
            (true, _) => name.to_owned(),
            (false, true) => format!("{}{name}", self.path),
            (false, false) => format!("{}.{name}", self.path),
        };
        Self {
            path,
            ..self.clone()
        }
    }

    /// A field inside this one whose name the user chose: it may hold dots and slashes.
    pub(super) fn key(&self, name: &str) -> Self {
        if name.contains(['.', '/']) {
            self.field(&format!("[{name}]"))
        } else {
            self.field(name)
        }
    }

    /// `file:line` for messages that name a second place.
    pub(super) fn shown(&self) -> String {
        let line = self.origin.places.get(&self.path).line;
        format!("{}:{line}", self.origin.file)
    }

    fn finding(&self, message: String) -> Problem {
        let place = self.origin.places.get(&self.path);
        Problem {
            file: self.origin.file.to_string(),
            line: place.line,
            column: place.column,
            object: Some(self.object.to_string()),
            path: self.path.clone(),
            message,
        }
    }
}

/// Problems, which refuse the objects as a whole, and notes, which do not.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) problems: Vec<Problem>,
    pub(super) notes: Vec<Problem>,
    /// Entries of `addresses` that something referred to.
    pub(super) used_addresses: HashSet<String>,
}

impl Findings {
    pub(super) fn problem(&mut self, site: &Site<'_>, message: impl Into<String>) {
        self.problems.push(site.finding(message.into()));
    }

    pub(super) fn note(&mut self, site: &Site<'_>, message: impl Into<String>) {
        self.notes.push(site.finding(message.into()));
    }
}

/// Everything that will be hosted.
#[derive(Debug, Default)]
pub(super) struct Plan<'a> {
    pub(super) channels: BTreeMap<ChannelKey, PlannedChannel<'a>>,
    pub(super) subscriptions: Vec<Wanted<'a>>,
    /// Where events enter each Sequence and Parallel.
    pub(super) flows: BTreeMap<Flow, ChannelKey>,
    /// Address of each broker, and those that a dump says it has elsewhere, as host and path without a slash at
    /// its end.
    pub(super) broker_addresses: HashMap<(String, String), ChannelKey>,
    /// The class of each broker that another than Towpath runs in a cluster.
    pub(super) foreign_classes: HashMap<ChannelKey, String>,
}

/// A Sequence or Parallel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Flow {
    pub(super) kind: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Flow {
    pub(super) const KINDS: [&'static str; 2] = ["Sequence", "Parallel"];

    pub(super) fn sequence(namespace: &str, name: &str) -> Self {
        Self::new("Sequence", namespace, name)
    }

    pub(super) fn parallel(namespace: &str, name: &str) -> Self {
        Self::new("Parallel", namespace, name)
    }

    pub(super) fn new(kind: &'static str, namespace: &str, name: &str) -> Self {
        Self {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// A channel that will be hosted.
#[derive(Debug)]
pub(super) struct PlannedChannel<'a> {
    /// What the user wrote, or the expansion made.
    pub(super) object_kind: String,
    /// Groups and kinds by which it may be referred to.
    pub(super) known_as: Vec<(String, String)>,
    pub(super) site: Site<'a>,
    pub(super) backend: Backend,
    pub(super) delivery: Option<(Cow<'a, DeliverySpec>, Site<'a>)>,
    pub(super) status: Option<&'a Status>,
}

/// A subscription whose references are still to be resolved.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) key: String,
    pub(super) name: String,
    pub(super) uid: Option<&'a str>,
    pub(super) channel: ChannelKey,
    /// Which events, and how a report shows that; nothing for all.
    pub(super) filter: Option<(Filter, String)>,
    pub(super) site: Site<'a>,
    pub(super) subscriber: Option<To<'a>>,
    pub(super) reply: Option<To<'a>>,
    pub(super) delivery: Option<(Cow<'a, DeliverySpec>, Site<'a>)>,
    pub(super) kind: WantedKind,
    /// What its own object says, or the Sequence or Parallel that it is of.
    pub(super) presentation: Option<Presentation>,
    /// Where it stands in a Sequence or Parallel.
    pub(super) place: Option<Place<'a>>,
}

/// A place in a Sequence or Parallel, which is in the namespace of the subscription. Numbers count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'a> {
    Step {
        sequence: &'a str,
        step: usize,
    },
    Branch {
        parallel: &'a str,
        branch: usize,
        part: Part,
    },
}

/// The two that get events in a branch of a Parallel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Filter,
    Subscriber,
}

impl Part {
    pub(super) const fn shown(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Subscriber => "subscriber",
        }
    }
}

impl<'a> Wanted<'a> {
    /// A Subscription that an expansion makes, with nobody in it yet.
    pub(super) fn of_flow(name: String, channel: ChannelKey, site: Site<'a>) -> Self {
        Self {
            key: format!("Subscription/{}/{name}", site.namespace),
            name,
            uid: None,
            channel,
            filter: None,
            site,
            subscriber: None,
            reply: None,
            delivery: None,
            kind: WantedKind::Subscription,
            presentation: None,
            place: None,
        }
    }
}

/// Who wrote a subscription, which decides what it inherits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WantedKind {
    /// A Subscription, written or made by an expansion: inherits from its channel (A7.5, A7.6).
    Subscription,
    /// An entry of `spec.subscribers`: Knative's controller has applied inheritance (A7.6).
    Entry,
    /// A Trigger: inherits from its broker (B4.13).
    Trigger,
}

/// A destination as written, or a channel known from an expansion.
#[derive(Debug, Clone)]
pub(super) enum To<'a> {
    Written(Cow<'a, Destination>, Site<'a>),
    /// A URL that stands in a field of its own, with its certificates and audience.
    Url(Destination, Site<'a>),
    Channel(ChannelKey),
}

pub(super) fn channel_key(namespace: &str, name: &str) -> ChannelKey {
    ChannelKey {
        kind: ChannelKind::Channel,
        namespace: namespace.into(),
        name: name.into(),
    }
}

pub(super) fn broker_key(namespace: &str, name: &str) -> ChannelKey {
    ChannelKey {
        kind: ChannelKind::Broker,
        ..channel_key(namespace, name)
    }
}

/// Namespace of an object.
pub(super) fn namespace_of<'a>(meta: &'a ObjectMeta, options: &'a CompileOptions) -> &'a str {
    meta.namespace
        .as_deref()
        .filter(|namespace| !namespace.is_empty())
        .unwrap_or(&options.default_namespace)
}

/// Name of an object; objects without one are refused when they are read.
pub(super) fn name_of(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}
