//! Filters that cannot be obeyed: refused whole with their place; the last good topology stays, and nothing widens.

use serde_json::{Value, json};
use towpath_harness::manifest::{trigger, uri};
use towpath_harness::{Bed, Event, Spec, Subscriber, TestResult};

use crate::manifests::refused;

/// The file of the bad Trigger.
const FILE: &str = "bad.yaml";

/// Adds a Trigger with these fields, which must be refused with all of `parts`, and must never get an event.
async fn never_in_force(bed: &mut Bed, fields: &[(&str, Value)], parts: &[&str]) -> TestResult {
    let subscriber = Subscriber::start().await?;
    let mut object = trigger("bad", "in", uri(subscriber.url("/")));
    for (field, value) in fields {
        object = object.spec(field, value.clone());
    }
    let parts = [&[FILE, "demo/bad"], parts].concat();
    refused(bed, FILE, &object.to_string(), &parts).await?;
    assert_eq!(subscriber.count(), 0, "{fields:?}: nothing widens");
    Ok(())
}

async fn filters_are_refused(cases: &[(Value, &[&str])]) -> TestResult {
    let mut bed = Bed::broker().start().await?;
    for (filters, parts) in cases {
        never_in_force(&mut bed, &[("filters", filters.clone())], parts).await?;
    }
    Ok(())
}

/// `depth` filters in one another.
fn nested(depth: usize) -> Value {
    let innermost = json!({"exact": {"type": "t"}});
    (1..depth).fold(innermost, |inner, _| json!({"not": inner}))
}

fn any_of(count: usize) -> Value {
    let each = (0..count).map(|index| json!({"exact": {"type": format!("t{index}")}}));
    json!([{"any": each.collect::<Vec<_>>()}])
}

#[tokio::test]
async fn bad_cesql_is_refused_with_its_place() -> TestResult {
    filters_are_refused(&[
        (json!([{"cesql": "type ="}]), &["spec.filters[0].cesql"]),
        (
            json!([{"exact": {"type": "t"}}, {"cesql": "type LIKE 12"}]),
            &["spec.filters[1].cesql"],
        ),
        (
            json!([{"all": [{"any": [{"not": {"cesql": "'unclosed"}}]}]}]),
            &["spec.filters[0].all[0].any[0].not.cesql"],
        ),
        (json!([{"cesql": ""}]), &["spec.filters[0].cesql"]),
        (json!([{"cesql": "2147483648"}]), &["spec.filters[0].cesql"]),
    ])
    .await
}

/// No expression is so deep or long that it takes the process with it.
#[tokio::test]
async fn cesql_out_of_bounds_is_refused() -> TestResult {
    let deep = format!("{}TRUE{}", "(".repeat(5_000), ")".repeat(5_000));
    let negated = format!("{}TRUE", "NOT ".repeat(4_000));
    let chained = vec!["TRUE"; 2_000].join(" AND ");
    let long = format!("type = '{}'", "x".repeat(17 * 1024));
    let place = &["spec.filters[0].cesql"][..];
    filters_are_refused(&[
        (json!([{"cesql": deep}]), place),
        (json!([{"cesql": negated}]), place),
        (json!([{"cesql": chained}]), place),
        (json!([{"cesql": long}]), place),
    ])
    .await
}

#[tokio::test]
async fn empty_attributes_and_values_are_refused() -> TestResult {
    let place = |dialect: &str| format!("spec.filters[0].{dialect}");
    let mut bed = Bed::broker().start().await?;
    for dialect in ["exact", "prefix", "suffix"] {
        let place = place(dialect);
        for pairs in [json!({}), json!({"": "t"}), json!({"type": ""})] {
            let filters = json!([{dialect: pairs}]);
            never_in_force(&mut bed, &[("filters", filters)], &[&place]).await?;
        }
    }
    for dialect in ["all", "any"] {
        let place = place(dialect);
        let filters = json!([{dialect: []}]);
        never_in_force(&mut bed, &[("filters", filters)], &[&place]).await?;
    }
    Ok(())
}

/// B4.11: names of attributes are those of Knative's admission.
#[tokio::test]
async fn names_that_are_no_attributes_are_refused() -> TestResult {
    let mut bed = Bed::broker().start().await?;
    for name in [
        "Type",
        "my attr",
        "my_attr",
        "my-attr",
        "123",
        "1a",
        "caf\u{e9}",
        "a!b",
    ] {
        let new = json!([{"exact": {name: "x"}}]);
        never_in_force(&mut bed, &[("filters", new)], &[name, "spec.filters[0]"]).await?;
        let old = json!({name: "x"});
        let fields = [("filter.attributes", old)];
        never_in_force(&mut bed, &fields, &[name, "spec.filter.attributes"]).await?;
    }
    // What they admit is taken, and kept apart from its neighbours.
    let names = [
        "source",
        "id",
        "specversion",
        "type",
        "subject",
        "time",
        "datacontenttype",
        "dataschema",
        "aaa",
        "c1d2e3",
        "abcdefghijklmnopqrst",
    ];
    let subscriber = Subscriber::start().await?;
    let of_all: serde_json::Map<_, _> = names
        .iter()
        .map(|name| ((*name).to_owned(), json!("nobody has this")))
        .collect();
    let good = trigger("good", "in", uri(subscriber.url("/")))
        .spec("filter.attributes", Value::Object(of_all));
    bed.gateway.write("good.yaml", &good.to_string())?;
    towpath_harness::poll::until("the good one", towpath_harness::poll::SOON, async || {
        let topology = bed.gateway.topology().await?.to_string();
        Ok(topology.contains("good").then_some(()))
    })
    .await?;
    assert_eq!(bed.gateway.problems().await?, "");
    Ok(())
}

#[tokio::test]
async fn unknown_and_several_dialects_are_refused() -> TestResult {
    let t = json!({"type": "t"});
    filters_are_refused(&[
        (json!([{"regex": t}]), &["regex"]),
        (json!([{"sql": "TRUE"}]), &["sql", "cesql"]),
        (json!([{"all": [{"exatc": t}]}]), &["exatc", "exact"]),
        (
            json!([{"exact": t, "prefix": t}]),
            &["spec.filters[0]", "exact", "prefix"],
        ),
        (
            json!([{"all": [{"cesql": "TRUE", "not": {"exact": t}}]}]),
            &["spec.filters[0].all[0]", "not", "cesql"],
        ),
        (json!([{"exact": ["type"]}]), &["exact"]),
        (json!([{"any": {"exact": t}}]), &["any"]),
        (json!([{"cesql": 7}]), &["cesql"]),
        (json!({"exact": t}), &["filters"]),
        (json!([{"exact": {"type": {"a": 1}}}]), &["type"]),
    ])
    .await
}

#[tokio::test]
async fn filters_too_deep_or_too_many_are_refused() -> TestResult {
    filters_are_refused(&[
        (json!([nested(40)]), &["spec.filters[0]", "32"]),
        (any_of(2_000), &["spec.filters[0].any", "1024"]),
    ])
    .await
}

/// Deeper than any document may nest: written as text, since no value of ours goes so deep.
#[tokio::test]
async fn filters_deeper_than_documents_are_refused() -> TestResult {
    let mut bed = Bed::broker().start().await?;
    let object = trigger("bad", "in", uri("http://127.0.0.1:1/")).spec("filters", json!(["HERE"]));
    for depth in [150, 100_000] {
        let (open, close) = ("{\"not\":".repeat(depth), "}".repeat(depth));
        let text = object.to_string();
        let text = text.replace("\"HERE\"", &format!("{open}{{}}{close}"));
        refused(&mut bed, FILE, &text, &[FILE, "deep"]).await?;
    }
    Ok(())
}

/// At the bounds they are obeyed.
#[tokio::test]
async fn filters_at_the_bounds_are_obeyed() -> TestResult {
    // `filters` is a list of which all must match: it counts as one filter around them.
    let bed = Bed::broker()
        .field("filters", json!([nested(31)]))
        .and(trigger("many", "in", uri("http://127.0.0.1:1/")).spec("filters", any_of(1_000)))
        .start()
        .await?;
    let mut event = Event::min(Spec::V10).with("type", "t");
    assert_eq!(bed.event(&event).await?.code(), 202);
    assert_eq!(bed.subscriber.count(), 1, "thirty times not");
    event = event.with("type", "t999");
    assert_eq!(bed.event(&event).await?.code(), 500, "only `many` wants it");
    assert_eq!(bed.subscriber.count(), 1);
    Ok(())
}

/// A filter is checked also where it would not count, and every bad one is told at once.
#[tokio::test]
async fn all_bad_filters_are_told_at_once() -> TestResult {
    let mut bed = Bed::broker().start().await?;
    let filters = json!([{"cesql": "("}, {"exact": {"type": ""}}, {"exact": {"type": "fine"}}]);
    let fields = [
        ("filters", filters),
        ("filter.attributes", json!({"Upper": "x"})),
    ];
    let parts = [
        "spec.filters[0].cesql",
        "spec.filters[1].exact",
        "spec.filter.attributes",
    ];
    never_in_force(&mut bed, &fields, &parts).await
}
