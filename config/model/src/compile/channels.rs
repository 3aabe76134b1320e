//! Channels: `Channel` with its template (A9.1, A9.5), implementations, and the settings that their annotations carry.

use std::borrow::Cow;

use super::CompileOptions;
use super::annotations::Annotations;
use super::defaults::Defaults;
use super::owned::Owned;
use super::plan::{Findings, Plan, PlannedChannel, Site, channel_key, name_of, namespace_of};
use crate::objects::{
    Channel, ChannelImplementation, ChannelTemplate, DeliverySpec, ImplementationSpec,
};
use crate::read::{MESSAGING, Object, Objects, TOWPATH, group_of, is_implementation, is_native};
use crate::topology::{Backend, ChannelKey, ChannelKind, Memory, OnFull};

/// Suffix of the Service that gives a channel its host (A6.1).
pub(super) const SERVICE_SUFFIX: &str = "-kn-channel";
/// Answers 202 before delivery (A3.3).
const ASYNC_HANDLER: &str = "messaging.knative.dev/async-handler";
/// `cluster` or `namespace` (A3.4).
const SCOPE: &str = "eventing.knative.dev/scope";
/// What an async channel does when a backlog is full.
const ON_FULL: &str = "towpath.dev/on-full";
/// Whether payloads are delivered while they are still being written (DESIGN section 12). Brokers carry it too.
pub(super) const CUT_THROUGH: &str = "towpath.dev/cut-through";

/// Plans every channel that files name; those of Sequences and Parallels are planned already.
pub(super) fn plan<'a>(
    objects: &'a Objects,
    options: &'a CompileOptions,
    defaults: &'a Defaults<'a>,
    owned: &Owned<'a>,
    plan: &mut Plan<'a>,
    findings: &mut Findings,
) {
    for object in &objects.implementations {
        let (namespace, name) = (
            namespace_of(&object.value.metadata, options),
            name_of(&object.value.metadata),
        );
        if !owned.replaces_channel(namespace, name, &object.value.kind) {
            let planned = implementation(object, options, findings);
            insert(plan, channel_key(namespace, name), planned, findings);
        }
    }
    for object in &objects.channels {
        let (namespace, name) = (
            namespace_of(&object.value.metadata, options),
            name_of(&object.value.metadata),
        );
        if owned.replaces_channel(namespace, name, "Channel") {
            continue;
        }
        let site = Site::new(&object.origin, "Channel", &object.value.metadata, options);
        check_generic(&object.value, &site, findings);
        let key = channel_key(namespace, name);
        // One channel: the backing object has the specification that counts (A9.1), the user wrote the `Channel`.
        let backing = owned.backing(namespace, name);
        let is_backing =
            |planned: &&mut PlannedChannel<'a>| Some(planned.object_kind.as_str()) == backing;
        if let Some(planned) = plan.channels.get_mut(&key).filter(is_backing) {
            planned.object_kind = "Channel".to_owned();
            planned
                .known_as
                .push((MESSAGING.to_owned(), "Channel".to_owned()));
            continue;
        }
        let planned = generic(object, site, defaults, findings);
        insert(plan, key, planned, findings);
    }
}

/// Adds a channel, or says that its address is taken.
pub(super) fn insert<'a>(
    plan: &mut Plan<'a>,
    key: ChannelKey,
    planned: PlannedChannel<'a>,
    findings: &mut Findings,
) {
    match plan.channels.get(&key) {
        // The same kind twice is reported with all other kinds.
        Some(other)
            if other.object_kind == planned.object_kind
                && other.site.object == planned.site.object => {}
        Some(other) => {
            let message = format!(
                "{} at {} has the same namespace and name, so both would have the address of {key}; rename one",
                other.site.object,
                other.site.shown()
            );
            findings.problem(&planned.site.field("metadata.name"), message);
        }
        None => {
            if key.kind == ChannelKind::Channel && key.name.contains('.') {
                findings.problem(
                    &planned.site.field("metadata.name"),
                    format!("`{}`: a channel's name may not hold a dot, since it becomes part of a host", key.name),
                );
            }
            plan.channels.insert(key, planned);
        }
    }
}

fn check_generic<'a>(channel: &'a Channel, site: &Site<'a>, findings: &mut Findings) {
    if !channel.spec.subscribers.is_empty() {
        let message = "must be empty on a Channel; write a Subscription instead";
        findings.problem(&site.field("spec.subscribers"), message);
    }
    let annotations = Annotations::new(&channel.metadata.annotations, site);
    annotations.note_unread(
        ASYNC_HANDLER,
        "has no effect on a Channel, in Knative as here; put it on the channelTemplate's metadata",
        findings,
    );
    annotations.note_unread(
        CUT_THROUGH,
        "has no effect on a Channel; put it on the channelTemplate's metadata",
        findings,
    );
    annotations.note_presentation("channel's Subscriptions", findings);
}

fn implementation<'a>(
    object: &'a Object<ChannelImplementation>,
    options: &'a CompileOptions,
    findings: &mut Findings,
) -> PlannedChannel<'a> {
    let channel = &object.value;
    let site = Site::new(&object.origin, &channel.kind, &channel.metadata, options);
    let group = group_of(&channel.api_version);
    let annotations = Annotations::new(&channel.metadata.annotations, &site);
    annotations.note_presentation("channel's Subscriptions", findings);
    let backend = backend(
        &channel.kind,
        &site.field("kind"),
        &annotations,
        &channel.spec,
        &site.field("spec"),
        findings,
    );
    PlannedChannel {
        object_kind: channel.kind.clone(),
        known_as: vec![(group.to_owned(), channel.kind.clone())],
        backend,
        delivery: channel
            .spec
            .delivery
            .as_ref()
            .map(|delivery| (Cow::Borrowed(delivery), site.field("spec.delivery"))),
        status: channel.status.as_ref(),
        site,
    }
}

fn generic<'a>(
    object: &'a Object<Channel>,
    site: Site<'a>,
    defaults: &'a Defaults<'a>,
    findings: &mut Findings,
) -> PlannedChannel<'a> {
    let channel = &object.value;
    let (template, template_site) = match &channel.spec.channel_template {
        Some(template) => (template, site.field("spec.channelTemplate")),
        None => defaults.of(&site),
    };
    let own = channel
        .spec
        .delivery
        .as_ref()
        .map(|delivery| (Cow::Borrowed(delivery), site.field("spec.delivery")));
    if template.kind.as_deref() == Some("Channel") {
        findings.problem(
            &template_site.field("kind"),
            "a Channel cannot back a Channel; use `InMemoryChannel`",
        );
    }
    let made = from_template(template, &template_site, findings);
    PlannedChannel {
        object_kind: "Channel".to_owned(),
        known_as: vec![(MESSAGING.to_owned(), "Channel".to_owned()), made.kind],
        backend: made.backend,
        // Keys of the template's specification win (A9.1).
        delivery: made.delivery.or(own),
        status: channel.status.as_ref(),
        site,
    }
}

/// What a template says about the channels made from it.
pub(super) struct Made<'a> {
    /// Group and kind.
    pub(super) kind: (String, String),
    pub(super) backend: Backend,
    pub(super) delivery: Option<(Cow<'a, DeliverySpec>, Site<'a>)>,
}

/// Reads a template, of a user or the default one; `site` is where to point.
pub(super) fn from_template<'a>(
    template: &'a ChannelTemplate,
    site: &Site<'a>,
    findings: &mut Findings,
) -> Made<'a> {
    for (field, value) in [
        ("apiVersion", &template.api_version),
        ("kind", &template.kind),
    ] {
        if value.as_deref().is_none_or(str::is_empty) {
            let message = "missing; a channel template needs apiVersion and kind, as `messaging.knative.dev/v1` and `InMemoryChannel`";
            findings.problem(&site.field(field), message);
        }
    }
    let group = group_of(template.api_version.as_deref().unwrap_or_default());
    let kind = template.kind.as_deref().unwrap_or_default();
    let is_channel = is_implementation(group, kind) || (group == MESSAGING && kind == "Channel");
    if !kind.is_empty() && template.api_version.is_some() && !is_channel {
        let message = format!(
            "there is no channel kind `{kind}` in `{group}`; use a channel such as `InMemoryChannel` of `messaging.knative.dev/v1`"
        );
        findings.problem(&site.field("kind"), message);
    }
    static NOTHING: ImplementationSpec = ImplementationSpec {
        backend: None,
        delivery: None,
        subscribers: Vec::new(),
    };
    let spec = template.spec.as_ref().unwrap_or(&NOTHING);
    if !spec.subscribers.is_empty() {
        findings.problem(
            &site.field("spec.subscribers"),
            "must be empty in a template; write Subscriptions instead",
        );
    }
    let annotations = Annotations::new(&template.metadata.annotations, site);
    let backend = backend(
        kind,
        &site.field("kind"),
        &annotations,
        spec,
        &site.field("spec"),
        findings,
    );
    Made {
        kind: (group.to_owned(), kind.to_owned()),
        backend,
        delivery: spec
            .delivery
            .as_ref()
            .map(|delivery| (Cow::Borrowed(delivery), site.field("spec.delivery"))),
    }
}

/// Where the channel's events rest, and how it answers.
fn backend(
    kind: &str,
    kind_site: &Site<'_>,
    annotations: &Annotations<'_, '_>,
    spec: &ImplementationSpec,
    spec_site: &Site<'_>,
    findings: &mut Findings,
) -> Backend {
    if let Some(backend) = spec.backend.as_deref() {
        let site = spec_site.field("backend");
        if kind == "InMemoryChannel" {
            findings.problem(
                &site,
                "an InMemoryChannel has no backend; use a TowpathChannel of `towpath.dev/v1alpha1`",
            );
        } else if kind == "TowpathChannel" {
            check_backend(backend, &site, findings);
        }
    }
    if !kind.is_empty() && kind != "Channel" && !is_native(kind) {
        let message = format!(
            "runs as a memory channel here: Towpath stands in for {kind}, and keeps events in its process"
        );
        findings.note(kind_site, message);
    }
    let wrong_scope = |(value, _): &(&str, Site<'_>)| {
        kind == "InMemoryChannel" && !matches!(*value, "cluster" | "namespace")
    };
    if let Some((value, site)) = annotations.get(SCOPE).filter(wrong_scope) {
        findings.problem(
            &site,
            format!("`{value}` is not one of: cluster, namespace"),
        );
    }
    let async_handler = annotations.flag(ASYNC_HANDLER, false, findings);
    let on_full = match annotations.get(ON_FULL) {
        None | Some(("Reject", _)) => OnFull::Reject,
        Some(("DeadLetter", _)) => OnFull::DeadLetter,
        Some((value, site)) => {
            findings.problem(
                &site,
                format!("`{value}` is not one of: Reject, DeadLetter"),
            );
            OnFull::Reject
        }
    };
    Backend::Memory(Memory {
        async_handler,
        on_full,
        cut_through: annotations.flag(CUT_THROUGH, true, findings),
    })
}

fn check_backend(backend: &str, site: &Site<'_>, findings: &mut Findings) {
    match backend {
        "memory" => {}
        "jetstream" | "kafka" => {
            findings.problem(
                site,
                format!("`{backend}`: this build has no such backend yet; use `memory`"),
            );
        }
        _ => findings.problem(
            site,
            format!("`{backend}` is not one of: memory, jetstream, kafka"),
        ),
    }
}

/// The group and kind of [`TOWPATH`] and [`MESSAGING`] channels, for messages about references.
pub(super) fn is_channel_kind(group: &str, kind: &str) -> bool {
    is_implementation(group, kind) || (matches!(group, MESSAGING | TOWPATH) && kind == "Channel")
}
