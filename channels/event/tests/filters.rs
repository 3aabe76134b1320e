//! Filters as Knative's Triggers have them, their explanations, and the index over them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use rstest::rstest;
use towpath_event::cesql::Environment;
use towpath_event::filter::InvalidFilter;
use towpath_event::http::read_structured;
use towpath_event::{Attributes, Filter, FilterIndex, SpecVersion};

fn event() -> Attributes {
    Attributes::new(SpecVersion::V10, "id-1", "/orders/eu", "com.example.order").unwrap()
}

fn with(list: &[(&str, &str)]) -> Attributes {
    let add = |attributes: Attributes, (name, value): &(&str, &str)| {
        attributes.with(name, *value).unwrap()
    };
    list.iter().fold(event(), add)
}

fn matches(filter: &Filter, attributes: &Attributes) -> bool {
    let environment = Environment::default();
    let matches = filter.matches(attributes, &environment);
    let explanation = filter.explain(attributes, &environment);
    assert_eq!(explanation.matches, matches, "{explanation}");
    assert!(!explanation.part.is_empty(), "{explanation}");
    let index = FilterIndex::new([(7, filter)]);
    let found: Vec<_> = index.candidates(attributes).collect();
    assert!(found == [7] || (found.is_empty() && !matches), "{filter:?}");
    matches
}

fn exact(name: &str, value: &str) -> Filter {
    Filter::exact([(name, value)]).unwrap()
}

fn prefix(name: &str, value: &str) -> Filter {
    Filter::prefix([(name, value)]).unwrap()
}

/// A filter, and an event that passes it and one that does not.
#[rstest]
#[case::exact(exact("type", "com.example.order"), &[], &[("type", "com.example")])]
#[case::exact_is_case_sensitive(exact("source", "/orders/eu"), &[], &[("source", "/Orders/eu")])]
#[case::prefix(prefix("type", "com.example"), &[], &[("type", "org.example")])]
#[case::suffix(Filter::suffix([("type", ".order")]).unwrap(), &[], &[("type", "com.order.example")])]
#[case::cesql(Filter::cesql("type LIKE '%.order' AND EXISTS extra").unwrap(), &[("extra", "x")], &[])]
#[case::cesql_error(Filter::cesql("extra = 'x' OR true").unwrap(), &[("extra", "x")], &[])]
#[case::all(Filter::all(vec![exact("type", "com.example.order"), prefix("source", "/orders")]).unwrap(), &[], &[("source", "/x")])]
#[case::any(Filter::any(vec![exact("type", "a"), exact("type", "b")]).unwrap(), &[("type", "b")], &[("type", "c")])]
#[case::any_of_one(Filter::any(vec![exact("type", "a")]).unwrap(), &[("type", "a")], &[("type", "c")])]
#[case::not(Filter::not(exact("type", "a")).unwrap(), &[], &[("type", "a")])]
#[case::not_not(Filter::not(Filter::not(exact("type", "a")).unwrap()).unwrap(), &[("type", "a")], &[])]
#[case::pairs_are_anded(Filter::exact([("type", "a"), ("extra", "x")]).unwrap(), &[("type", "a"), ("extra", "x")], &[("type", "a")])]
#[case::missing_attribute(exact("extra", "x"), &[("extra", "x")], &[])]
#[case::attributes(Filter::attributes([("type", "com.example.order"), ("extra", "")]).unwrap(), &[("extra", "x")], &[])]
#[case::attributes_differ(Filter::attributes([("type", "a"), ("id", "")]).unwrap(), &[("type", "a")], &[])]
#[case::attributes_empty_value(Filter::attributes([("extra", "")]).unwrap(), &[("extra", "x")], &[("extra", "")])]
#[case::media_type(exact("datamediatype", "text/plain"), &[("datacontenttype", "text/plain ; q=1")], &[("datacontenttype", "text/html")])]
#[case::schema(exact("schemaurl", "http://s/1"), &[("dataschema", "http://s/1")], &[("dataschema", "http://s/2")])]
#[case::time_in_utc(exact("time", "2018-04-05T17:31:00.5Z"), &[("time", "2018-04-05T18:31:00.500+01:00")], &[("time", "2018-04-05T17:31:00Z")])]
#[case::no_time(exact("time", "0001-01-01T00:00:00Z"), &[], &[("time", "2018-04-05T17:31:00Z")])]
#[case::time_present(Filter::attributes([("time", "")]).unwrap(), &[("time", "2018-04-05T17:31:00Z")], &[])]
fn b5_dialects(
    #[case] filter: Filter,
    #[case] passing: &[(&str, &str)],
    #[case] failing: &[(&str, &str)],
) {
    let change = |list: &[(&str, &str)]| {
        let mut attributes = event();
        for (name, value) in list {
            attributes.set(name, (*value).into()).unwrap();
        }
        attributes
    };
    assert!(matches(&filter, &change(passing)));
    assert!(!matches(&filter, &change(failing)));
}

#[test]
fn b5_4_numbers_and_booleans_compare_by_their_text() {
    let body = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","n":42,"b":true}"#;
    let attributes = read_structured(&body.into()).unwrap().attributes;
    for (name, value) in [("n", "42"), ("b", "true")] {
        assert!(matches(&exact(name, value), &attributes));
        assert!(matches(
            &Filter::attributes([(name, value)]).unwrap(),
            &attributes
        ));
        assert!(!matches(&exact(name, "x"), &attributes));
    }
}

#[test]
fn b5_7_what_is_no_boolean_does_not_pass() {
    let filter = Filter::cesql("extra").unwrap();
    assert!(!matches(&filter, &with(&[("extra", "true")])));
    assert!(matches(&exact("specversion", "1.0"), &event()));
}

#[test]
fn c3_10_text_is_compared_as_it_came() {
    let attributes = with(&[("subject", "a%2Fb")]);
    assert!(matches(&exact("subject", "a%2Fb"), &attributes));
    assert!(!matches(&exact("subject", "a/b"), &attributes));
}

/// Of filters that have no opinion only those beside them count (B5.6).
#[test]
fn b5_6_the_empty_filter_has_no_say() {
    let everything = Filter::everything;
    let (pass, fail) = (|| exact("id", "id-1"), || exact("id", "x"));
    let not = |filter| Filter::not(filter).unwrap();
    let all = |filters| Filter::all(filters).unwrap();
    let any = |filters| Filter::any(filters).unwrap();
    for (filter, expected) in [
        (everything(), true),
        (not(everything()), true),
        (all(vec![everything(), everything()]), true),
        (all(vec![everything(), fail()]), false),
        (all(vec![pass(), everything()]), true),
        (any(vec![everything()]), true),
        (any(vec![everything(), fail()]), false),
        (any(vec![fail(), everything()]), false),
        (any(vec![fail(), not(everything()), pass()]), true),
        (not(all(vec![everything(), pass()])), false),
        (not(any(vec![everything(), fail()])), true),
        (not(any(vec![everything()])), true),
    ] {
        assert_eq!(matches(&filter, &event()), expected, "{filter:?}");
    }
}

#[test]
fn b5_1_which_filter_of_a_trigger_applies() {
    let attributes = || [("type", "com.example.order")];
    let none: [(&str, &str); 0] = [];
    let of = |filters, attributes: &[(&'static str, &'static str)]| {
        Filter::of_trigger(filters, attributes.iter().copied()).unwrap()
    };
    let other = || vec![exact("type", "a")];
    assert!(
        !matches(&of(other(), &attributes()), &event()),
        "filters override"
    );
    assert!(matches(&of(Vec::new(), &attributes()), &event()));
    assert!(!matches(&of(Vec::new(), &[("type", "a")]), &event()));
    assert!(
        matches(&of(Vec::new(), &none), &event()),
        "neither: all events"
    );
    let both = vec![exact("type", "com.example.order"), exact("id", "x")];
    assert!(!matches(&of(both, &none), &event()), "a list is ANDed");
}

#[test]
fn invalid_filters_are_refused() {
    let text = |filter: Result<Filter, InvalidFilter>| filter.unwrap_err().to_string();
    for (error, parts) in [
        (
            text(Filter::exact([("", "x")])),
            ["exact: the name", "\"x\""],
        ),
        (
            text(Filter::attributes([("", "x")])),
            ["attributes: the name", "\"x\""],
        ),
        (
            text(Filter::exact([("type", "a"), ("id", "")])),
            ["exact: attribute \"id\"", "empty value"],
        ),
        (
            text(Filter::prefix([("type", "")])),
            ["prefix: attribute \"type\"", "empty value"],
        ),
        (
            text(Filter::suffix([("type", "")])),
            ["suffix: attribute \"type\"", "empty value"],
        ),
        (
            text(Filter::exact::<&str, &str>([])),
            ["exact: it is empty", "leave the filter out"],
        ),
        (
            text(Filter::all(Vec::new())),
            ["all: it is empty", "at least one"],
        ),
        (
            text(Filter::any(Vec::new())),
            ["any: it is empty", "at least one"],
        ),
        (
            text(Filter::cesql("type =")),
            ["cesql: CESQL at byte 6", "found the end"],
        ),
    ] {
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
}

#[test]
fn filters_are_bounded() {
    let mut filter = exact("type", "a");
    for _ in 1..Filter::MAX_DEPTH {
        filter = Filter::not(filter).unwrap();
    }
    assert!(matches(&filter, &event()), "31 times turned around");
    let refused = Filter::not(filter.clone()).unwrap_err();
    assert!(refused.to_string().contains("33 deep, and 32"), "{refused}");
    assert_eq!(
        Filter::any(vec![filter]),
        Err(InvalidFilter::TooDeep { depth: 33 })
    );

    let many = |count: usize| Filter::any(vec![exact("type", "a"); count]);
    assert!(many(1023).is_ok());
    let refused = many(1024).unwrap_err();
    assert!(refused.to_string().contains("1025 filters"), "{refused}");
    let pairs = (0..1025).map(|i| (format!("a{i}"), "x"));
    assert_eq!(
        Filter::exact(pairs),
        Err(InvalidFilter::TooMany { nodes: 1025 })
    );
}

#[rstest]
#[case(Filter::everything(), "matches: {}: it takes every event")]
#[case(
    exact("type", "a"),
    "does not match: exact.type: wants \"a\"; the event has \"com.example.order\""
)]
#[case(Filter::exact([("id", "id-1"), ("extra", "x")]).unwrap(), "does not match: exact.extra: wants \"x\"; the event has none")]
#[case(Filter::exact([("id", "id-1"), ("specversion", "1.0")]).unwrap(), "matches: exact: all its 2 attributes match")]
#[case(Filter::attributes([("extra", "")]).unwrap(), "does not match: attributes.extra: wants any value; the event has none")]
#[case(Filter::suffix([("time", "x")]).unwrap(), "does not match: suffix.time: wants a value that ends with \"x\"; the event has none, which counts as \"0001-01-01T00:00:00Z\"")]
#[case(Filter::cesql("id = 'x'").unwrap(), "does not match: cesql: id = 'x' is false")]
#[case(Filter::cesql("id").unwrap(), "does not match: cesql: id is \"id-1\"")]
#[case(Filter::cesql("extra = 'x'").unwrap(), "does not match: cesql: extra = 'x' has no value: the event has no attribute \"extra\"; test for it with EXISTS extra")]
#[case(
    Filter::all(vec![exact("id", "id-1"), Filter::not(prefix("type", "com.")).unwrap(), exact("id", "x")]).unwrap(),
    "does not match: all[1].not.prefix.type: wants a value that begins with \"com.\"; the event has \"com.example.order\""
)]
#[case(
    Filter::any(vec![exact("id", "x"), Filter::all(vec![exact("id", "id-1"), prefix("type", "com.")]).unwrap()]).unwrap(),
    "matches: any[1].all: none of its 2 filters fails"
)]
#[case(
    Filter::any(vec![exact("id", "x"), exact("id", "y")]).unwrap(),
    "does not match: any: none of its 2 filters passes"
)]
#[case(
    Filter::not(Filter::all(vec![Filter::everything(), exact("id", "id-1")]).unwrap()).unwrap(),
    "does not match: not.all[1].exact.id: wants \"id-1\"; the event has \"id-1\""
)]
fn explains_what_decided(#[case] filter: Filter, #[case] text: &str) {
    let explanation = filter.explain(&event(), &Environment::default());
    assert_eq!(explanation.to_string(), text);
}

#[test]
fn the_index_names_only_those_that_can_match() {
    let types = (0..1000).map(|i| exact("type", &format!("type-{i}")));
    let mut filters: Vec<Filter> = types.collect();
    filters[500] = prefix("type", "type-");
    filters[501] = Filter::any(vec![exact("source", "/a"), exact("type", "type-7")]).unwrap();
    filters[502] = Filter::all(vec![exact("extra", "x"), exact("type", "type-7")]).unwrap();
    filters[503] = Filter::attributes([("type", "type-7"), ("id", "")]).unwrap();
    filters[504] = Filter::any(vec![exact("type", "type-7"), Filter::everything()]).unwrap();
    filters[505] = Filter::any(vec![
        exact("type", "type-7"),
        exact("type", "type-7"),
        exact("source", "/orders/eu"),
    ])
    .unwrap();
    // Positions are the caller's, in any order.
    let index = FilterIndex::new(
        filters
            .iter()
            .enumerate()
            .rev()
            .map(|(i, filter)| (i * 2, filter)),
    );
    let mut attributes = event();
    attributes.set("type", "type-7".into()).unwrap();
    let found: Vec<_> = index.candidates(&attributes).collect();
    assert_eq!(found, [14, 1000, 1002, 1004, 1006, 1008, 1010]);
    attributes.set("type", "none".into()).unwrap();
    let found: Vec<_> = index.candidates(&attributes).collect();
    assert_eq!(found, [1000, 1008, 1010]);
    assert_eq!(FilterIndex::default().candidates(&attributes).count(), 0);
}

const NAMES: [&str; 8] = [
    "type",
    "source",
    "subject",
    "extra",
    "time",
    "dataschema",
    "schemaurl",
    "datamediatype",
];

/// Few values, so that filters and events meet.
fn value() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&["a", "b", "a:b", "0001-01-01T00:00:00Z"][..])
}

fn pairs() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let pairs = btree_map(proptest::sample::select(&NAMES[..]), value(), 1..3);
    pairs.prop_map(|pairs| pairs.into_iter().collect())
}

fn filter() -> impl Strategy<Value = Filter> {
    let leaf = prop_oneof![
        4 => pairs().prop_map(|pairs| Filter::exact(pairs).unwrap()),
        1 => pairs().prop_map(|pairs| Filter::prefix(pairs).unwrap()),
        1 => pairs().prop_map(|pairs| Filter::suffix(pairs).unwrap()),
        2 => (pairs(), any::<bool>()).prop_map(|(mut pairs, empty)| {
            if empty {
                pairs[0].1 = "";
            }
            Filter::attributes(pairs).unwrap()
        }),
        1 => Just(Filter::everything()),
        1 => Just(Filter::cesql("type = 'a'").unwrap()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..4).prop_map(|filters| Filter::all(filters).unwrap()),
            vec(inner.clone(), 1..4).prop_map(|filters| Filter::any(filters).unwrap()),
            inner.prop_map(|filter| Filter::not(filter).unwrap()),
        ]
    })
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let some = btree_map(proptest::sample::select(&NAMES[..]), value(), 0..5);
    some.prop_map(|some| {
        let mut attributes = event();
        for (name, value) in some {
            // Not every value is one for every attribute.
            let _ = attributes.set(name, value.into());
        }
        attributes
    })
}

proptest! {
    #[test]
    fn the_index_finds_all_that_match(filters in vec(filter(), 0..12), attributes in attributes()) {
        let environment = Environment::default();
        let asked = |position: &usize| filters[*position].matches(&attributes, &environment);
        let expected: Vec<usize> = (0..filters.len()).filter(asked).collect();
        let index = FilterIndex::new(filters.iter().enumerate());
        let candidates: Vec<usize> = index.candidates(&attributes).collect();
        prop_assert!(candidates.is_sorted_by(|a, b| a < b));
        prop_assert_eq!(candidates.into_iter().filter(asked).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_explanation_says_the_same_as_the_filter(filter in filter(), attributes in attributes()) {
        matches(&filter, &attributes);
    }
}
