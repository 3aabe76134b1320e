//! Filters of Triggers: from what users write to what is asked for every event (B5). What is invalid is a problem, which
//! refuses the files as a whole; it is never skipped, since then more would match.

use std::collections::BTreeMap;

use towpath_event::Filter;
use towpath_event::filter::InvalidFilter;

use super::plan::{Findings, Site};
use crate::objects::{SubscriptionsApiFilter, TriggerSpec};

/// The function of CESQL that looks up Secrets (B5.8); its name may be written in any case.
const VERIFY: &str = "KN_VERIFY_CORRELATION_ID";

/// Attributes with what their values are compared with.
type Pairs<'a> = Vec<(&'a str, &'a str)>;

/// Compiles filters of one Trigger.
pub(super) struct Compiler<'f, 'a> {
    pub(super) findings: &'f mut Findings,
    /// Expressions that look up Secrets.
    pub(super) verifying: &'f mut Vec<(&'a str, Site<'a>)>,
}

impl<'a> Compiler<'_, 'a> {
    /// The filter of a Trigger (B5.1): `filters` if there are any, else `filter.attributes`. Both are checked.
    pub(super) fn of_trigger(&mut self, spec: &'a TriggerSpec, site: &Site<'a>) -> Option<Filter> {
        let list_site = site.field("spec.filters");
        let filters = self.list(&spec.filters, &list_site);
        let site = site.field("spec.filter.attributes");
        let attributes = spec.filter.as_ref().map(|filter| &filter.attributes);
        if let Some(pairs) = attributes {
            self.names(pairs, &site);
        }
        let pairs = attributes.into_iter().flatten();
        let pairs = pairs.map(|(name, value)| (name.as_str(), value.as_str()));
        let built = Filter::of_trigger(filters?, pairs);
        let counts = if spec.filters.is_empty() {
            site
        } else {
            list_site
        };
        self.built(built, &counts)
    }

    /// All of a list, or nothing if one is invalid; the others are checked all the same.
    fn list(
        &mut self,
        filters: &'a [SubscriptionsApiFilter],
        site: &Site<'a>,
    ) -> Option<Vec<Filter>> {
        let compiled: Vec<_> = filters
            .iter()
            .enumerate()
            .map(|(index, filter)| self.one(filter, &site.field(&format!("[{index}]"))))
            .collect();
        compiled.into_iter().collect()
    }

    /// One filter object: at most one dialect (B4.11); without any it takes everything (B5.5). It calls itself as deep
    /// as a document may nest.
    fn one(&mut self, filter: &'a SubscriptionsApiFilter, site: &Site<'a>) -> Option<Filter> {
        let SubscriptionsApiFilter {
            exact,
            prefix,
            suffix,
            all,
            any,
            not,
            cesql,
        } = filter;
        let dialects: Vec<_> = [
            ("exact", exact.is_some()),
            ("prefix", prefix.is_some()),
            ("suffix", suffix.is_some()),
            ("all", all.is_some()),
            ("any", any.is_some()),
            ("not", not.is_some()),
            ("cesql", cesql.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect();
        if dialects.len() > 1 {
            let message = format!(
                "has several dialects ({}); give each a filter of its own, in `all` if all must match",
                dialects.join(", ")
            );
            self.findings.problem(site, message);
        }
        let mut compiled = vec![];
        if let Some(pairs) = exact {
            compiled.push(self.pairs(pairs, &site.field("exact"), Filter::exact));
        }
        if let Some(pairs) = prefix {
            compiled.push(self.pairs(pairs, &site.field("prefix"), Filter::prefix));
        }
        if let Some(pairs) = suffix {
            compiled.push(self.pairs(pairs, &site.field("suffix"), Filter::suffix));
        }
        if let Some(filters) = all {
            compiled.push(self.nested(filters, &site.field("all"), Filter::all));
        }
        if let Some(filters) = any {
            compiled.push(self.nested(filters, &site.field("any"), Filter::any));
        }
        if let Some(filter) = not {
            let site = site.field("not");
            let inner = self.one(filter, &site);
            compiled.push(inner.and_then(|inner| self.built(Filter::not(inner), &site)));
        }
        if let Some(expression) = cesql {
            let site = site.field("cesql");
            if verifies(expression) {
                self.verifying.push((expression, site.clone()));
            }
            compiled.push(self.built(Filter::cesql(expression), &site));
        }
        // Several are a problem already, so it does not matter which is taken.
        compiled.pop().unwrap_or_else(|| Some(Filter::everything()))
    }

    fn nested(
        &mut self,
        filters: &'a [SubscriptionsApiFilter],
        site: &Site<'a>,
        build: fn(Vec<Filter>) -> Result<Filter, InvalidFilter>,
    ) -> Option<Filter> {
        let filters = self.list(filters, site)?;
        self.built(build(filters), site)
    }

    fn pairs(
        &mut self,
        pairs: &'a BTreeMap<String, String>,
        site: &Site<'a>,
        build: fn(Pairs<'a>) -> Result<Filter, InvalidFilter>,
    ) -> Option<Filter> {
        self.names(pairs, site);
        let pairs = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        self.built(build(pairs.collect()), site)
    }

    /// Names as Knative's admission has them: no digit first, though CloudEvents allows that (B4.11).
    fn names(&mut self, pairs: &BTreeMap<String, String>, site: &Site<'_>) {
        let is_name = |name: &str| {
            name.starts_with(|first: char| first.is_ascii_lowercase())
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        for name in pairs.keys().filter(|name| !is_name(name)) {
            let message = format!(
                "`{name}` is not the name of an attribute; use lower-case letters and digits, beginning with a letter"
            );
            self.findings.problem(&site.key(name), message);
        }
    }

    fn built(&mut self, result: Result<Filter, InvalidFilter>, site: &Site<'_>) -> Option<Filter> {
        match result {
            Ok(filter) => Some(filter),
            // Said of the name already.
            Err(InvalidFilter::EmptyAttribute { .. }) => None,
            Err(InvalidFilter::EmptyValue { attribute, .. }) => {
                let message =
                    "empty; give a value, or test for presence with `cesql: EXISTS <attribute>`";
                self.findings.problem(&site.key(&attribute), message);
                None
            }
            Err(InvalidFilter::Empty { .. }) => {
                let message = "empty; give it at least one entry, or leave the filter out to take every event";
                self.findings.problem(site, message);
                None
            }
            Err(InvalidFilter::Cesql(error)) => {
                self.findings.problem(site, error.to_string());
                None
            }
            Err(error @ (InvalidFilter::TooDeep { .. } | InvalidFilter::TooMany { .. })) => {
                self.findings.problem(site, error.to_string());
                None
            }
        }
    }
}

fn verifies(expression: &str) -> bool {
    expression
        .as_bytes()
        .windows(VERIFY.len())
        .any(|window| window.eq_ignore_ascii_case(VERIFY.as_bytes()))
}
