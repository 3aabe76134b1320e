//! Filters of Triggers (B5): which one counts, what passes, what is refused, how the report shows it; Secrets (B5.8).

mod support;

use rstest::rstest;
use support::{
    broker, broker_object, compiled, document, lines, notes, only_trigger, problems, trigger,
};
use towpath_config::{CompileOptions, load};
use towpath_event::{Attributes, SpecVersion};

/// An event of type `t`, source `/s`, subject `sub`.
fn event() -> Attributes {
    let attributes = Attributes::new(SpecVersion::V10, "1", "/s", "t")
        .and_then(|attributes| attributes.with("subject", "sub"));
    match attributes {
        Ok(attributes) => attributes,
        Err(invalid) => panic!("{invalid}"),
    }
}

fn passes(spec: &str) -> bool {
    let compiled = compiled(&(broker_object("") + &trigger(spec)));
    let environment = compiled.topology.environment();
    only_trigger(&compiled)
        .filter
        .matches(&event(), &environment)
}

#[rstest]
// B5.1: neither, older form, newer form; an empty list keeps the older form; the newer overrides.
#[case("", true)]
#[case("filter: {}", true)]
#[case("filter: {attributes: {}}", true)]
#[case("filter: {attributes: {type: t}}", true)]
#[case("filter: {attributes: {type: u}}", false)]
#[case("filter: {attributes: {type: u}}\nfilters: []", false)]
#[case("filter: {attributes: {type: u}}\nfilters: [{exact: {type: t}}]", true)]
#[case(
    "filter: {attributes: {type: t}}\nfilters: [{exact: {type: u}}]",
    false
)]
// B5.2: an empty value is any value.
#[case("filter: {attributes: {subject: ''}}", true)]
#[case("filter: {attributes: {missing: ''}}", false)]
// B5.5: every dialect; the list is ANDed.
#[case("filters: [{}]", true)]
#[case("filters: [{exact: {type: t, source: /s}}]", true)]
#[case("filters: [{exact: {type: t, source: /x}}]", false)]
#[case("filters: [{prefix: {subject: su}}, {suffix: {subject: ub}}]", true)]
#[case("filters: [{prefix: {subject: su}}, {suffix: {subject: x}}]", false)]
#[case(
    "filters: [{all: [{exact: {type: t}}, {not: {exact: {source: /x}}}]}]",
    true
)]
#[case(
    "filters: [{any: [{exact: {type: u}}, {cesql: \"type = 't'\"}]}]",
    true
)]
#[case(
    "filters: [{any: [{exact: {type: u}}, {cesql: \"type = 'u'\"}]}]",
    false
)]
#[case("filters: [{not: {prefix: {type: t}}}]", false)]
fn b5_1_b5_5_what_passes(#[case] spec: &str, #[case] expected: bool) {
    assert_eq!(passes(spec), expected);
}

#[rstest]
// B4.11: names, and one dialect for each filter; also in a filter that does not count.
#[case(
    "filter: {attributes: {Type: t}}\nfilters: [{}]",
    "filter.attributes.Type: `Type` is not the name of an attribute; use lower-case letters and digits, beginning with a letter"
)]
#[case(
    "filters: [{exact: {1st: t}}]",
    "filters[0].exact.1st: `1st` is not the name of an attribute; use lower-case letters and digits, beginning with a letter"
)]
#[case(
    "filters: [{all: [{not: {suffix: {a_b: t}}}]}]",
    "filters[0].all[0].not.suffix.a_b: `a_b` is not the name of an attribute; use lower-case letters and digits, beginning with a letter"
)]
#[case(
    "filters: [{exact: {'': t}}]",
    "filters[0].exact.: `` is not the name of an attribute; use lower-case letters and digits, beginning with a letter"
)]
#[case(
    "filters: [{exact: {type: t}, cesql: 'TRUE'}]",
    "filters[0]: has several dialects (exact, cesql); give each a filter of its own, in `all` if all must match"
)]
// B5.6: Knative skips what it cannot build; here nothing is skipped.
#[case(
    "filters: [{exact: {type: ''}}]",
    "filters[0].exact.type: empty; give a value, or test for presence with `cesql: EXISTS <attribute>`"
)]
#[case(
    "filters: [{prefix: {}}]",
    "filters[0].prefix: empty; give it at least one entry, or leave the filter out to take every event"
)]
#[case(
    "filters: [{any: []}]",
    "filters[0].any: empty; give it at least one entry, or leave the filter out to take every event"
)]
#[case(
    "filters: [{sql: 'TRUE'}]",
    "filters[0].sql: unknown field `sql`; known here: exact, prefix, suffix, all, any, not, cesql"
)]
#[case(
    "filters: [{exact: {type: 5}}]",
    "filters[0].exact.type: invalid type: integer `5`, expected a string"
)]
fn b4_11_b5_6_what_is_refused(#[case] spec: &str, #[case] expected: &str) {
    let text = broker_object("") + &trigger(spec);
    let found = lines(load(&support::file(&text), &CompileOptions::default()).err());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].ends_with(&format!(": spec.{expected}")),
        "{}",
        found[0]
    );
}

#[test]
fn b4_11_cesql_must_parse() {
    let found = problems(&(broker_object("") + &trigger("filters: [{not: {cesql: \"type = \"}}]")));
    assert_eq!(found.len(), 1, "{found:?}");
    let start = "a.yaml:12: Trigger default/t: spec.filters[0].not.cesql: CESQL at byte ";
    assert!(found[0].starts_with(start), "{}", found[0]);
}

#[test]
fn every_invalid_filter_at_once_and_none_is_skipped() {
    let spec = "filters:\n- any:\n  - exact: {A: x}\n  - cesql: '('\n  - exact: {type: t}\n- prefix: {type: ''}";
    assert_eq!(problems(&(broker_object("") + &trigger(spec))).len(), 3);
}

fn nested(depth: usize) -> String {
    format!(
        "filters: [{}{{exact: {{type: u}}}}{}]",
        "{not: ".repeat(depth),
        "}".repeat(depth)
    )
}

#[test]
fn filters_nest_to_a_bound() {
    // The list is one level, the innermost another.
    assert!(passes(&nested(29)));
    let found = problems(&(broker_object("") + &trigger(&nested(32))));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].ends_with("filters nest 33 deep, and 32 is the limit; nest them less deep"),
        "{}",
        found[0]
    );
    // A document may nest deeper than a filter, and not so deep that anybody runs out of stack.
    let deep = problems(&(broker_object("") + &trigger(&nested(115))));
    assert!(
        deep[0].ends_with("32 is the limit; nest them less deep"),
        "{deep:?}"
    );
    for depth in [150, 1000, 100_000] {
        assert_eq!(
            problems(&(broker_object("") + &trigger(&nested(depth)))),
            ["a.yaml:12: nests deeper than 128 levels, which is the limit; nest it less deep"]
        );
    }
}

#[test]
fn filters_have_a_bound_in_all() {
    let one = "{exact: {type: t}}";
    let spec = format!("filters: [{}]", vec![one; 1024].join(", "));
    let found = problems(&(broker_object("") + &trigger(&spec)));
    assert!(
        found[0].contains("spec.filters: the filter has 1025 filters"),
        "{found:?}"
    );
}

#[test]
fn the_index_holds_every_trigger_by_its_position() {
    let mut text = broker_object("");
    for (name, kind) in [("c", "t"), ("a", "u"), ("b", "t")] {
        let spec = format!(
            "broker: b\nsubscriber: {{uri: 'http://x'}}\nfilters: [{{exact: {{type: {kind}}}}}]"
        );
        text += &document("eventing.knative.dev/v1", "Trigger", name, &spec);
    }
    let broker = broker(&compiled(&text));
    let found: Vec<_> = broker
        .index
        .candidates(&event())
        .map(|position| broker.subscriptions[position].name.to_string())
        .collect();
    assert_eq!(found, ["b", "c"]);
}

#[rstest]
#[case("", None)]
#[case("filters: [{}]", Some("everything"))]
#[case(
    "filter: {attributes: {type: t, subject: ''}}",
    Some("attributes subject=(any) type=t")
)]
#[case(
    "filters: [{exact: {type: t}}, {any: [{prefix: {source: /a}}, {not: {suffix: {source: /b}}}]}]",
    Some("exact type=t and any(prefix source=/a, not(suffix source=/b))")
)]
#[case(
    "filters:\n- cesql: |\n    type = 't'\n      AND source = '/s'",
    Some("cesql type = 't' AND source = '/s'")
)]
fn the_report_shows_filters(#[case] spec: &str, #[case] expected: Option<&str>) {
    let compiled = compiled(&(broker_object("") + &trigger(spec)));
    assert_eq!(
        compiled.report.hosted[0].receivers[0].filter.as_deref(),
        expected
    );
    let line = expected
        .map(|filter| format!("\n    filter {filter}\n"))
        .unwrap_or_default();
    assert!(compiled.report.to_string().contains(&line));
}

#[test]
fn the_report_cuts_long_filters() {
    let spec = format!("filters: [{{exact: {{type: {}}}}}]", "é".repeat(500));
    let compiled = compiled(&(broker_object("") + &trigger(&spec)));
    let shown = compiled.report.hosted[0].receivers[0]
        .filter
        .clone()
        .unwrap_or_default();
    assert_eq!(shown.chars().count(), 123);
    assert!(shown.ends_with("..."));
}

const VERIFY: &str = "filters: [{cesql: 'Kn_Verify_Correlation_Id(replyid, \"rr\", \"default\", \"rr-keys\", 0, 1)'}]";

fn secret(name: &str, namespace: &str, data: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\ntype: Opaque\n{data}"
    )
}

#[test]
fn b5_8_secrets_that_filters_name() {
    let data =
        "data: {default.rr.key-0: \"c2Vj\\n cmV0\"}\nstringData: {default.rr.key-1: other}\n";
    let text = broker_object("")
        + &trigger(VERIFY)
        + &secret("rr-keys", "knative-eventing", data)
        + &secret(
            "unnamed",
            "knative-eventing",
            "data: {a: '<to be filled in>'}\n",
        )
        + &secret("rr-keys", "default", "data: {a: b2s=}\n");
    let compiled = compiled(&text);
    let secrets = &compiled.topology.secrets;
    assert_eq!(secrets.len(), 1);
    let keys: Vec<_> = secrets["rr-keys"]
        .0
        .iter()
        .map(|(name, bytes)| (&**name, &**bytes))
        .collect();
    assert_eq!(
        keys,
        [
            ("default.rr.key-0", b"secret".as_slice()),
            ("default.rr.key-1", b"other".as_slice())
        ]
    );
    // B5.8: no value shows up anywhere.
    let shown = format!("{:?} {}", compiled, compiled.report);
    assert!(shown.contains("default.rr.key-0"));
    for value in ["c2Vj", "secret\"", "other", "115, 101", "[111"] {
        assert!(!shown.contains(value), "{value}");
    }
    let objects = towpath_config::read(&support::file(&text)).unwrap();
    let shown = format!("{objects:?}");
    assert!(
        !shown.contains("c2Vj") && !shown.contains("other"),
        "{shown}"
    );
}

#[test]
fn b5_8_a_secret_that_is_not_there_is_said() {
    let compiled = compiled(&(broker_object("") + &trigger(VERIFY)));
    assert_eq!(
        notes(&compiled),
        [
            "a.yaml:12: Trigger default/t: spec.filters[0].cesql: names no Secret of namespace knative-eventing that is in the files, so that \
             no correlation id is valid here"
        ]
    );
}

#[test]
fn problems_of_secrets_hold_no_value() {
    let data = "data: {a: '%swordfish%', b: 12345}\nstringData: {c: true, d: 1.5, e: -7}\nstringDate: {}\n";
    let text = broker_object("") + &trigger(VERIFY) + &secret("rr-keys", "knative-eventing", data);
    let found = lines(load(&support::file(&text), &CompileOptions::default()).err());
    assert_eq!(
        found,
        [
            "a.yaml:18: Secret knative-eventing/rr-keys: data.a: is not base64; encode it, or put it under `stringData`",
            "a.yaml:18: Secret knative-eventing/rr-keys: data.b: invalid type: integer, expected a string",
            "a.yaml:19: Secret knative-eventing/rr-keys: stringData.c: invalid type: boolean, expected a string",
            "a.yaml:19: Secret knative-eventing/rr-keys: stringData.d: invalid type: floating point number, expected a string",
            "a.yaml:19: Secret knative-eventing/rr-keys: stringData.e: invalid type: integer, expected a string",
            "a.yaml:20: Secret knative-eventing/rr-keys: stringDate: unknown field `stringDate`; did you mean `stringData`?",
        ]
    );
}
