//! Texts in, objects out: every document of every file, each with its places, and all problems at once.

mod kinds;
mod path;
pub(crate) mod tree;
mod typed;

use std::sync::Arc;

use serde::de::DeserializeOwned;

pub(crate) use kinds::{
    EVENTING, FLOWS, MESSAGING, TOWPATH, group_of, is_implementation, is_native,
};
pub use path::Places;
pub(crate) use typed::{Unknown, typed};

use self::kinds::Family;
use self::tree::{Node, Value};
use crate::objects::{
    Broker, Channel, ChannelImplementation, ConfigMap, EndpointSlice, HopPolicy, Parallel, Secret,
    Sequence, Service, Status, Subscription, Trigger,
};
use crate::problem::{Place, Problem, Problems};

/// A file of manifests: YAML (any number of documents) or JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Name for messages, as the user would write it.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// An object with where it was read.
#[derive(Debug, Clone)]
pub struct Object<T> {
    /// The object.
    pub value: T,
    /// Where it was read.
    pub origin: Origin,
}

/// Where an object was read. The default is "nowhere": an object that did not come from a file.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// Name of the file.
    pub file: Arc<str>,
    /// Places of the fields.
    pub places: Places,
}

/// Everything that was read, by kind, in the order of the files.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// `Channel` of messaging.knative.dev.
    pub channels: Vec<Object<Channel>>,
    /// `InMemoryChannel`, `TowpathChannel` and other vendors' channels.
    pub implementations: Vec<Object<ChannelImplementation>>,
    /// `Subscription` of messaging.knative.dev.
    pub subscriptions: Vec<Object<Subscription>>,
    /// `Sequence` of flows.knative.dev.
    pub sequences: Vec<Object<Sequence>>,
    /// `Parallel` of flows.knative.dev.
    pub parallels: Vec<Object<Parallel>>,
    /// `Broker` of eventing.knative.dev.
    pub brokers: Vec<Object<Broker>>,
    /// `Trigger` of eventing.knative.dev.
    pub triggers: Vec<Object<Trigger>>,
    /// `Service` of v1.
    pub services: Vec<Object<Service>>,
    /// `EndpointSlice` of discovery.k8s.io.
    pub endpoint_slices: Vec<Object<EndpointSlice>>,
    /// `ConfigMap` of v1.
    pub config_maps: Vec<Object<ConfigMap>>,
    /// `Secret` of v1.
    pub secrets: Vec<Object<Secret>>,
    /// `HopPolicy` of towpath.dev.
    pub hop_policies: Vec<Object<HopPolicy>>,
    /// All others, with what makes them addressable.
    pub skipped: Vec<Skipped>,
}

/// An object that was read and does not run here. It can still be referred to, if it has an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Name of the file.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace, if it has one.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// What makes it addressable.
    pub status: Option<Status>,
}

/// Reads every object of every file: YAML with several documents, JSON, `kind: List` and `kind: <Kind>List`; empty
/// documents are ignored.
///
/// # Errors
/// Every document that is not YAML, every object without `apiVersion`, `kind` or `metadata.name`, every field with
/// the wrong type and every unknown field (A4.4), over all files.
pub fn read(files: &[SourceFile]) -> Result<Objects, Problems> {
    let Reading {
        objects, problems, ..
    } = read_all(files);
    Problems::or(problems, objects)
}

/// Reads what can be read, and says what cannot.
pub(crate) fn read_all(files: &[SourceFile]) -> Reading {
    tree::with_stack(|| Reading::of(files)).unwrap_or_else(|error| {
        let mut reading = Reading::default();
        let message = format!(
            "there is no thread to read the files with: {error}; raise the limit of threads, then read them again"
        );
        reading.unread("", Place::default(), None, "", message);
        reading
    })
}

/// What was read so far.
pub(crate) struct Reading {
    pub(crate) objects: Objects,
    pub(crate) problems: Vec<Problem>,
    /// Whether it is known which objects there are, if only by kind and name.
    pub(crate) is_complete: bool,
    /// Kind and name of the objects that could not be read.
    pub(crate) lost: Vec<(String, String)>,
}

/// What the items of a typed list are, if they do not say.
#[derive(Clone, Copy)]
struct Inherited<'a> {
    api_version: &'a str,
    kind: &'a str,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            objects: Objects::default(),
            problems: Vec::new(),
            is_complete: true,
            lost: Vec::new(),
        }
    }
}

impl Reading {
    fn of(files: &[SourceFile]) -> Self {
        let mut reading = Self::default();
        for file in files {
            let name: Arc<str> = file.name.as_str().into();
            for document in tree::parse(&file.text, tree::DEEP) {
                match document {
                    Ok(node) => reading.document(&name, &node, None),
                    Err(error) => reading.unread(&name, error.place, None, "", error.message),
                }
            }
        }
        reading
    }

    fn problem(
        &mut self,
        file: &str,
        place: Place,
        object: Option<&str>,
        path: &str,
        message: impl Into<String>,
    ) {
        self.problems.push(Problem {
            file: file.to_owned(),
            line: place.line,
            column: place.column,
            object: object.map(str::to_owned),
            path: path.to_owned(),
            message: message.into(),
        });
    }

    /// A problem because of which a document is no object at all.
    fn unread(
        &mut self,
        file: &str,
        place: Place,
        object: Option<&str>,
        path: &str,
        message: impl Into<String>,
    ) {
        self.is_complete = false;
        self.problem(file, place, object, path, message);
    }

    fn document(&mut self, file: &Arc<str>, node: &Node, inherited: Option<Inherited<'_>>) {
        let start = path::start(node);
        if !matches!(node.value, Value::Mapping(_)) {
            let message = format!(
                "expected an object with apiVersion, kind and metadata, found {}",
                node.value.kind()
            );
            return self.unread(file, start, None, "", message);
        }
        let api_version = text(node, "apiVersion").or(inherited.map(|list| list.api_version));
        let kind = text(node, "kind").or(inherited.map(|list| list.kind));
        if let Some((item_kind, items)) = kind
            .and_then(|kind| kind.strip_suffix("List"))
            .zip(node.get("items"))
        {
            return self.list(file, items, api_version.unwrap_or_default(), item_kind);
        }
        let meta = node.get("metadata");
        let name = meta.and_then(|meta| text(meta, "name"));
        let namespace = meta.and_then(|meta| text(meta, "namespace"));
        let label = label(
            kind.unwrap_or("object"),
            namespace,
            name.unwrap_or("without a name"),
        );
        for (path, value) in [
            ("apiVersion", api_version),
            ("kind", kind),
            ("metadata.name", name),
        ] {
            if value.is_none() {
                let message =
                    "missing; every object needs apiVersion, kind and metadata.name, all strings";
                self.unread(file, start, Some(&label), path, message);
            }
        }
        let (Some(api_version), Some(kind), Some(name)) = (api_version, kind, name) else {
            return;
        };
        match kinds::classify(api_version, kind) {
            Ok(family) => {
                let document = Document {
                    file,
                    node,
                    label: &label,
                    family: &family,
                };
                self.object(&document, Inherited { api_version, kind }, namespace, name);
            }
            Err(message) => {
                let path = if message.starts_with("unknown kind") {
                    "kind"
                } else {
                    "apiVersion"
                };
                let place = node.get(path).map_or(start, |node| node.place);
                self.lost.push((kind.to_owned(), name.to_owned()));
                self.problem(file, place, Some(&label), path, message);
            }
        }
    }

    fn list(&mut self, file: &Arc<str>, items: &Node, api_version: &str, kind: &str) {
        let Value::Sequence(items) = &items.value else {
            let message = format!("expected a list of objects, found {}", items.value.kind());
            return self.unread(file, items.place, None, "items", message);
        };
        // `kind: List` says nothing about its items.
        let inherited = (!kind.is_empty()).then_some(Inherited { api_version, kind });
        for item in items {
            self.document(file, item, inherited);
        }
    }

    fn object(
        &mut self,
        document: &Document<'_>,
        kind: Inherited<'_>,
        namespace: Option<&str>,
        name: &str,
    ) {
        match document.family {
            Family::Implementation => {
                if let Some(mut object) = self.typed::<ChannelImplementation>(document) {
                    // Items of a typed list may leave these out.
                    object.value.api_version = kind.api_version.to_owned();
                    object.value.kind = kind.kind.to_owned();
                    self.objects.implementations.push(object);
                }
            }
            Family::Channel => self.keep(document, |objects| &mut objects.channels),
            Family::Subscription => self.keep(document, |objects| &mut objects.subscriptions),
            Family::Sequence => self.keep(document, |objects| &mut objects.sequences),
            Family::Parallel => self.keep(document, |objects| &mut objects.parallels),
            Family::Broker => self.keep(document, |objects| &mut objects.brokers),
            Family::Trigger => self.keep(document, |objects| &mut objects.triggers),
            Family::Service => self.keep(document, |objects| &mut objects.services),
            Family::EndpointSlice => self.keep(document, |objects| &mut objects.endpoint_slices),
            Family::ConfigMap => self.keep(document, |objects| &mut objects.config_maps),
            Family::Secret => self.keep(document, |objects| &mut objects.secrets),
            Family::HopPolicy => self.keep(document, |objects| &mut objects.hop_policies),
            Family::Other => {
                let status = document.node.get("status").and_then(|status| {
                    // Another kind's status may have any shape; only an address is looked for.
                    typed::typed(status, &|_| typed::Unknown::Ignore, &mut Vec::new())
                });
                self.objects.skipped.push(Skipped {
                    file: document.file.to_string(),
                    line: path::start(document.node).line,
                    api_version: kind.api_version.to_owned(),
                    kind: kind.kind.to_owned(),
                    namespace: namespace.map(str::to_owned),
                    name: name.to_owned(),
                    status,
                });
            }
        }
    }

    fn keep<T: DeserializeOwned>(
        &mut self,
        document: &Document<'_>,
        list: fn(&mut Objects) -> &mut Vec<Object<T>>,
    ) {
        if let Some(object) = self.typed(document) {
            list(&mut self.objects).push(object);
        }
    }

    fn typed<T: DeserializeOwned>(&mut self, document: &Document<'_>) -> Option<Object<T>> {
        let mut faults = Vec::new();
        let unknown = |path: &str| kinds::unknown_fields(document.family, document.node, path);
        let value = typed::typed(document.node, &unknown, &mut faults);
        for fault in faults {
            self.problem(
                document.file,
                fault.place,
                Some(document.label),
                &fault.path,
                fault.message,
            );
        }
        if value.is_none() {
            // Label: kind, then namespace and name.
            let (kind, name) = document.label.split_once(' ').unwrap_or_default();
            let name = name.rsplit('/').next().unwrap_or(name);
            self.lost.push((kind.to_owned(), name.to_owned()));
        }
        let origin = Origin {
            file: Arc::clone(document.file),
            places: Places::of(document.node),
        };
        value.map(|value| Object { value, origin })
    }
}

/// A document whose kind is known.
struct Document<'a> {
    file: &'a Arc<str>,
    node: &'a Node,
    label: &'a str,
    family: &'a Family,
}

fn text<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    node.get(key)
        .and_then(Node::as_str)
        .filter(|text| !text.is_empty())
}

/// An object as it is called in messages: `Subscription default/foo`.
pub(crate) fn label(kind: &str, namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}
