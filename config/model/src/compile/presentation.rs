//! How each subscription's subscriber gets payloads that were set aside: who said it, by precedence (DESIGN section 5).

use std::collections::BTreeMap;

use super::CompileOptions;
use super::annotations::Annotations;
use super::plan::{Findings, Site, Wanted, name_of, namespace_of};
use super::resolve::Resolver;
use crate::objects::ObjectMeta;
use crate::read::Objects;
use crate::topology::{Destination, Presentation};

/// What Services say about those that they stand for.
#[derive(Debug, Default)]
pub(super) struct Services<'a>(BTreeMap<(&'a str, &'a str), Presentation>);

impl<'a> Services<'a> {
    /// Reads the annotation of every Service, subscriber or not: a wrong one is a problem before it is needed.
    pub(super) fn read(
        objects: &'a Objects,
        options: &'a CompileOptions,
        findings: &mut Findings,
    ) -> Self {
        let services = objects.services.iter().filter_map(|object| {
            let meta: &ObjectMeta = &object.value.metadata;
            let site = Site::new(&object.origin, "Service", meta, options);
            let presentation = Annotations::new(&meta.annotations, &site).presentation(findings)?;
            Some(((namespace_of(meta, options), name_of(meta)), presentation))
        });
        Self(services.collect())
    }
}

/// What decides for a subscription: its own object or the Sequence or Parallel that it is of, else the Service of its
/// subscriber. Neither a reply nor a dead letter sink is a subscriber.
pub(super) fn of(
    wanted: &Wanted<'_>,
    subscriber: Option<&Destination>,
    services: &Services<'_>,
    resolver: &Resolver<'_>,
) -> Option<Presentation> {
    let of_service = || {
        let service = resolver.service_of(subscriber?)?;
        services.0.get(&service).copied()
    };
    wanted.presentation.or_else(of_service)
}
