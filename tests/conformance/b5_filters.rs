//! B5: which filter of a Trigger applies, and what the older `filter.attributes` means.

use serde_json::json;
use towpath_harness::{Event, Spec, TestResult};

use crate::selection::{Selection, only, typed};

#[tokio::test]
async fn b5_1_filters_override_filter_and_empty_ones_do_not() -> TestResult {
    let attributes = json!({"attributes": {"type": "old"}});
    let mut selection = Selection::of([
        ("neither", json!({})),
        ("empty-filter", json!({"filter": {}})),
        ("filter", json!({"filter": attributes})),
        (
            "empty-filters",
            json!({"filters": [], "filter": attributes}),
        ),
        (
            "both",
            json!({"filters": [{"exact": {"type": "new"}}], "filter": attributes}),
        ),
        (
            "two",
            json!({"filters": [{"exact": {"type": "new"}}, {"exact": {"subject": "s"}}]}),
        ),
    ])
    .await?;
    let all = ["neither", "empty-filter"];
    selection
        .expect(
            &typed("old"),
            &[&all[..], &["filter", "empty-filters"]].concat(),
        )
        .await?;
    selection
        .expect(&typed("new"), &[&all[..], &["both"]].concat())
        .await?;
    selection
        .expect(
            &typed("new").with("subject", "s"),
            &[&all[..], &["both", "two"]].concat(),
        )
        .await?;
    selection
        .expect(&typed("neither").with("subject", "s"), &all)
        .await
}

#[tokio::test]
async fn b5_2_every_attribute_must_match_and_nothing_means_any_value() -> TestResult {
    let of = |pairs: serde_json::Value| json!({"filter": {"attributes": pairs}});
    let mut selection = Selection::of([
        ("exact", of(json!({"type": "t"}))),
        ("two", of(json!({"type": "t", "subject": "s"}))),
        ("any-subject", of(json!({"subject": ""}))),
        (
            "t-with-any-subject",
            of(json!({"type": "t", "subject": ""})),
        ),
        ("any-time", of(json!({"time": ""}))),
        ("any-extension", of(json!({"exa": ""}))),
    ])
    .await?;
    selection.expect(&typed("t"), &["exact"]).await?;
    for other in ["T", "tt", "t.t"] {
        selection.expect(&typed(other), &[]).await?;
    }
    selection
        .expect(
            &typed("t").with("subject", "s"),
            &["exact", "two", "any-subject", "t-with-any-subject"],
        )
        .await?;
    selection
        .expect(
            &typed("u").with("subject", "other").with("exa", "x"),
            &["any-subject", "any-extension"],
        )
        .await?;
    selection
        .expect(
            &typed("u").with("time", "2020-03-21T12:34:56.78Z"),
            &["any-time"],
        )
        .await
}

/// Every name of B5.3, in both families of filters.
#[tokio::test]
async fn b5_3_names_of_attributes() -> TestResult {
    let pairs = [
        ("specversion", "1.0"),
        ("type", "com.example.FullEvent"),
        ("source", "http://example.com/source"),
        ("subject", "topic"),
        ("id", "full-event"),
        ("time", "2020-03-21T12:34:56.78Z"),
        ("dataschema", "http://example.com/schema"),
        ("schemaurl", "http://example.com/schema"),
        ("datacontenttype", "text/json; charset=utf-8"),
        ("datamediatype", "text/json"),
        ("exstring", "exstring"),
    ];
    let named: Vec<_> = pairs
        .iter()
        .flat_map(|(name, value)| {
            [
                (
                    format!("old-{name}"),
                    json!({"filter": {"attributes": {*name: value}}}),
                ),
                (
                    format!("new-{name}"),
                    only(json!({"exact": {*name: value}})),
                ),
            ]
        })
        .collect();
    let names: Vec<_> = named.iter().map(|(name, _)| name.as_str()).collect();
    let mut selection = Selection::of(
        named
            .iter()
            .map(|(name, spec)| (name.as_str(), spec.clone())),
    )
    .await?;
    let full = Event::full(Spec::V10).with("datacontenttype", "text/json; charset=utf-8");
    selection.expect(&full, &names).await?;
    // In 0.3 the schema has its other name, and is found under both.
    let old = Event::full(Spec::V03).with("datacontenttype", "text/json; charset=utf-8");
    let same: Vec<_> = names
        .iter()
        .copied()
        .filter(|name| !name.ends_with("specversion"))
        .collect();
    selection.expect(&old, &same).await
}

#[tokio::test]
async fn b5_3_attributes_that_are_missing() -> TestResult {
    let mut selection = Selection::of([
        ("exact", only(json!({"exact": {"exa": "x"}}))),
        ("prefix", only(json!({"prefix": {"exa": "x"}}))),
        ("suffix", only(json!({"suffix": {"exa": "x"}}))),
        ("not-exact", only(json!({"not": {"exact": {"exa": "x"}}}))),
        ("old", json!({"filter": {"attributes": {"exa": "x"}}})),
        ("old-any", json!({"filter": {"attributes": {"exa": ""}}})),
        ("cesql", only(json!({"cesql": "exa = 'x'"}))),
        ("not-cesql", only(json!({"cesql": "exa <> 'x'"}))),
        ("exists", only(json!({"cesql": "EXISTS exa"}))),
        (
            "no-time",
            only(json!({"prefix": {"time": "0001-01-01T00:00:00"}})),
        ),
    ])
    .await?;
    // CESQL gives an error for a missing attribute, which is no match, whatever it is compared with (F1.8, B5.7).
    selection
        .expect(&typed("t"), &["not-exact", "no-time"])
        .await?;
    let with = typed("t")
        .with("exa", "x")
        .with("time", "2020-03-21T12:34:56Z");
    selection
        .expect(
            &with,
            &[
                "exact", "prefix", "suffix", "old", "old-any", "cesql", "exists",
            ],
        )
        .await
}

/// Numbers and booleans are compared by their text, in whichever mode they came (B5.4, I12).
#[tokio::test]
async fn b5_4_numbers_and_booleans_are_compared_as_text() -> TestResult {
    let mut selection = Selection::of([
        (
            "old-int",
            json!({"filter": {"attributes": {"exint": "42"}}}),
        ),
        (
            "old-bool",
            json!({"filter": {"attributes": {"exbool": "true"}}}),
        ),
        ("int", only(json!({"exact": {"exint": "42"}}))),
        ("bool", only(json!({"exact": {"exbool": "true"}}))),
        ("prefix", only(json!({"prefix": {"exint": "4"}}))),
        ("binary", only(json!({"exact": {"exbinary": "AAECAw=="}}))),
        ("other", only(json!({"exact": {"exint": "042"}}))),
    ])
    .await?;
    selection
        .expect(
            &Event::full(Spec::V10),
            &["old-int", "old-bool", "int", "bool", "prefix", "binary"],
        )
        .await
}

/// Filters see the text of headers as it came, never decoded (C3.10).
#[tokio::test]
async fn b5_2_header_text_is_compared_as_it_came() -> TestResult {
    let mut selection = Selection::of([
        ("raw", only(json!({"exact": {"subject": "a%2Fb"}}))),
        ("decoded", only(json!({"exact": {"subject": "a/b"}}))),
    ])
    .await?;
    selection
        .expect(&typed("t").with("subject", "a%2Fb"), &["raw"])
        .await
}
