//! B5.5 to B5.9: the dialects of `filters`, each with events that match and events that do not.

use serde_json::json;
use towpath_harness::{Event, Spec, TestResult};

use crate::selection::{Selection, only, typed};

#[tokio::test]
async fn b5_5_exact_prefix_suffix_want_all_pairs() -> TestResult {
    let mut selection = Selection::of([
        (
            "exact",
            only(json!({"exact": {"type": "com.example.order"}})),
        ),
        ("prefix", only(json!({"prefix": {"type": "com."}}))),
        ("suffix", only(json!({"suffix": {"type": ".order"}}))),
        (
            "exact-two",
            only(json!({"exact": {"type": "com.example.order", "subject": "s1"}})),
        ),
        (
            "prefix-two",
            only(json!({"prefix": {"type": "com.", "subject": "s"}})),
        ),
        (
            "suffix-two",
            only(json!({"suffix": {"type": ".order", "subject": "1"}})),
        ),
    ])
    .await?;
    let order = typed("com.example.order");
    selection
        .expect(&order, &["exact", "prefix", "suffix"])
        .await?;
    selection
        .expect(
            &order.clone().with("subject", "s1"),
            &[
                "exact",
                "prefix",
                "suffix",
                "exact-two",
                "prefix-two",
                "suffix-two",
            ],
        )
        .await?;
    selection
        .expect(
            &order.with("subject", "s2"),
            &["exact", "prefix", "suffix", "prefix-two"],
        )
        .await?;
    selection
        .expect(&typed("com.example.other"), &["prefix"])
        .await?;
    selection.expect(&typed("org.order"), &["suffix"]).await?;
    for neither in ["COM.EXAMPLE.ORDER", "x.com.order.x", "co", "order"] {
        selection.expect(&typed(neither), &[]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn b5_5_all_any_not_and_their_nesting() -> TestResult {
    let (a, b) = (
        json!({"exact": {"type": "a"}}),
        json!({"exact": {"type": "b"}}),
    );
    let s = json!({"prefix": {"subject": "s"}});
    let nested = json!({"all": [
        {"any": [a, {"all": [b, {"not": {"suffix": {"subject": "x"}}}]}]},
        {"not": {"not": s}},
        {"not": {"cesql": "exa = 'no'"}},
    ]});
    let mut selection = Selection::of([
        ("all", only(json!({"all": [a, s]}))),
        ("any", only(json!({"any": [a, b]}))),
        ("not", only(json!({"not": a}))),
        ("not-any", only(json!({"not": {"any": [a, b]}}))),
        ("not-all", only(json!({"not": {"all": [a, s]}}))),
        ("not-not", only(json!({"not": {"not": a}}))),
        ("nested", only(nested)),
    ])
    .await?;
    let event = |kind: &str, subject: &str| typed(kind).with("subject", subject);
    let cases = [
        (event("a", "s1"), &["all", "any", "not-not", "nested"][..]),
        (event("a", "x"), &["any", "not-all", "not-not"]),
        (event("b", "s1"), &["any", "not", "not-all", "nested"]),
        (event("b", "sx"), &["any", "not", "not-all"]),
        (event("c", "s1"), &["not", "not-any", "not-all"]),
        (
            event("a", "s1").with("exa", "no"),
            &["all", "any", "not-not"],
        ),
    ];
    for (event, expected) in cases {
        selection.expect(&event, expected).await?;
    }
    Ok(())
}

/// The empty filter has no say: it passes where it stands alone, also turned around, and leaves a list to the others.
#[tokio::test]
async fn b5_6_the_empty_filter_takes_everything() -> TestResult {
    let a = json!({"exact": {"type": "a"}});
    let mut selection = Selection::of([
        ("empty", only(json!({}))),
        ("not-empty", only(json!({"not": {}}))),
        ("all-empty", only(json!({"all": [{}, {}]}))),
        ("any-empty", only(json!({"any": [{}]}))),
        ("with-other", only(json!({"all": [{}, a]}))),
        ("beside-other", json!({"filters": [{}, a]})),
    ])
    .await?;
    let always = ["empty", "not-empty", "all-empty", "any-empty"];
    selection
        .expect(
            &typed("a"),
            &[&always[..], &["with-other", "beside-other"]].concat(),
        )
        .await?;
    selection.expect(&typed("b"), &always).await
}

#[tokio::test]
async fn b5_7_cesql_errors_and_other_values_do_not_match() -> TestResult {
    let cesql = |expression: &str| only(json!({"cesql": expression}));
    let mut selection = Selection::of([
        ("equal", cesql("type = 'order' AND subject = \"s1\"")),
        (
            "like",
            cesql("type LIKE 'ord%' AND NOT (subject LIKE '_2')"),
        ),
        ("in", cesql("subject IN ('s1', 's3')")),
        ("number", cesql("exint > 41 AND exint % 2 = 0")),
        ("function", cesql("LENGTH(CONCAT(type, subject)) = 7")),
        ("true", cesql("TRUE")),
        ("not-boolean", cesql("LENGTH(type)")),
        ("text-true", cesql("'true'")),
        ("cast-error", cesql("INT(subject) = 0")),
        ("divided-by-zero", cesql("1 / 0 = 0")),
        ("unknown-function", cesql("NO_SUCH_FUNCTION(type) OR TRUE")),
        ("missing", cesql("nothere = '' OR TRUE")),
        ("short-cut", cesql("TRUE OR nothere = ''")),
        (
            "turned-error",
            only(json!({"not": {"cesql": "nothere = 'x'"}})),
        ),
    ])
    .await?;
    let order = typed("order").with("subject", "s1").with("exint", 42);
    selection
        .expect(
            &order,
            &[
                "equal",
                "like",
                "in",
                "number",
                "function",
                "true",
                "short-cut",
                "turned-error",
            ],
        )
        .await?;
    selection
        .expect(
            &typed("other").with("subject", "s2").with("exint", 41),
            &["function", "true", "short-cut", "turned-error"],
        )
        .await
}

/// B5.9: several Triggers each with a filter of its own, any of several exacts, several filters at once.
#[tokio::test]
async fn b5_9_each_trigger_gets_what_its_own_filter_wants() -> TestResult {
    let any = json!({"any": [
        {"exact": {"type": "a"}}, {"exact": {"type": "b"}}, {"exact": {"source": "/c"}},
    ]});
    let mut selection = Selection::of([
        ("a", only(json!({"exact": {"type": "a"}}))),
        ("b", only(json!({"exact": {"type": "b"}}))),
        ("any", only(any)),
        (
            "several",
            json!({"filters": [
                {"exact": {"type": "a"}}, {"prefix": {"source": "/"}}, {"cesql": "EXISTS subject"},
            ]}),
        ),
    ])
    .await?;
    let event = |kind: &str, source: &str| {
        Event::min(Spec::V10)
            .with("type", kind)
            .with("source", source)
    };
    selection.expect(&event("a", "/x"), &["a", "any"]).await?;
    selection
        .expect(
            &event("a", "/x").with("subject", "s"),
            &["a", "any", "several"],
        )
        .await?;
    selection.expect(&event("b", "/x"), &["b", "any"]).await?;
    selection.expect(&event("d", "/c"), &["any"]).await?;
    selection.expect(&event("d", "/d"), &[]).await
}
