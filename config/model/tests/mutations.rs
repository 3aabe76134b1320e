//! No input panics: the sample and its like, with random damage, are read and compiled or refused with a place.

mod support;

use proptest::prelude::*;
use support::{broker_object, config_map, file, imc, subscription, try_compile};
use towpath_config::{CompileOptions, Settings, load};

/// Pieces that are likely to hit something: indicators of YAML, values of other types, names of the API.
const PIECES: &[&str] = &[
    "---\n",
    "- ",
    ": ",
    "\n",
    "  ",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "|\n",
    "&a ",
    "*a",
    "<<: ",
    "null",
    "-1",
    "1e999",
    "true",
    "\t",
    "é",
    "\u{0}",
    "%",
    "#",
    "!!binary ",
    "kind: List\nitems:\n",
    "apiVersion: v1\n",
    "kind: Service\n",
    "spec:\n",
    "metadata:\n",
    "name: ",
    "uri: http://[::1",
    "uri: bad://x:99999/",
    "ref: {}",
    "99999999999999999999",
    "PT",
    "P1Y",
    "namespace: \"\"",
    "? x\n",
    "exact: {type: a}\n",
    "not: ",
    "all: [",
    "targetRef: {}",
    "step: ",
    "weights: {replicas: [",
    "kind: HopPolicy\n",
    "cesql: \"",
    "brokerRef: ",
    ".nan",
];

#[derive(Debug, Clone)]
enum Damage {
    Cut(usize, usize),
    Insert(usize, usize),
    DropLine(usize),
    RepeatLine(usize),
    Indent(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<usize>;
    prop_oneof![
        (at(), 1_usize..20).prop_map(|(start, len)| Damage::Cut(start, len)),
        (at(), at()).prop_map(|(place, piece)| Damage::Insert(place, piece)),
        at().prop_map(Damage::DropLine),
        at().prop_map(Damage::RepeatLine),
        at().prop_map(Damage::Indent),
    ]
}

fn apply(text: &str, damage: &Damage) -> String {
    let chars: Vec<char> = text.chars().collect();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let line = |index: usize| index % lines.len().max(1);
    let each_line = |change: &dyn Fn(usize, &str) -> String| {
        lines
            .iter()
            .enumerate()
            .map(|(n, text)| change(n, text))
            .collect()
    };
    match damage {
        Damage::Cut(start, len) => {
            let start = start % chars.len().max(1);
            chars
                .iter()
                .take(start)
                .chain(chars.iter().skip(start + len))
                .collect()
        }
        Damage::Insert(place, piece) => {
            let place = place % (chars.len() + 1);
            let piece = PIECES[piece % PIECES.len()];
            chars
                .iter()
                .take(place)
                .copied()
                .chain(piece.chars())
                .chain(chars.iter().skip(place).copied())
                .collect()
        }
        Damage::DropLine(index) => each_line(&|n, text| {
            if n == line(*index) {
                String::new()
            } else {
                text.to_owned()
            }
        }),
        Damage::RepeatLine(index) => each_line(&|n, text| {
            if n == line(*index) {
                text.repeat(2)
            } else {
                text.to_owned()
            }
        }),
        Damage::Indent(index) => each_line(&|n, text| {
            if n == line(*index) {
                format!("  {text}")
            } else {
                text.to_owned()
            }
        }),
    }
}

fn originals() -> Vec<String> {
    let sample = concat!(
        include_str!("../../samples/sequence/sequence.yaml"),
        "---\n",
        include_str!("../../samples/sequence/endpoints.yaml")
    );
    let channel = imc(
        "delivery: {retry: 2, backoffPolicy: linear, backoffDelay: PT1S}\nsubscribers: [{uid: u, subscriberUri: 'http://x'}]",
    ) + &subscription(
        "subscriber:\n  uri: http://example.com/x\ndelivery:\n  timeout: PT5S\n  deadLetterSink: {uri: 'http://d'}",
    );
    let broker = concat!(
        include_str!("../../samples/broker/broker.yaml"),
        "---\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: keys, namespace: knative-eventing}\ndata: {a: b2s=}\n"
    )
    .replace(
        "cesql: type",
        "cesql: KN_VERIFY_CORRELATION_ID(id, \"a\", \"b\", \"keys\", 0, 1) OR type",
    ) + &broker_object("delivery: {retry: 1}")
        + &config_map(
            "config-br-defaults",
            "default-br-config",
            "clusterDefault: {brokerClass: X, delivery: {retry: 2}}\nnamespaceDefaults: {demo: {brokerClasses: {X: {delivery: {}}}}}",
        );
    let parallel = include_str!("../../samples/parallel/parallel.yaml");
    let policies = include_str!("../../samples/hop-policy/hop-policy.yaml");
    vec![
        sample.to_owned(),
        channel,
        broker,
        parallel.to_owned(),
        policies.to_owned(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_manifests(which in 0_usize..5, damages in prop::collection::vec(damage(), 1..6)) {
        let originals = originals();
        let text = damages.iter().fold(originals[which].clone(), |text, damage| apply(&text, damage));
        if let Err(problems) = load(&file(&text), &CompileOptions::default()) {
            prop_assert!(!problems.0.is_empty());
            let lines = u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
            for problem in &problems.0 {
                prop_assert!(problem.line >= 1 && problem.line <= lines + 1, "{problem} of {lines} lines");
                prop_assert!(!problem.message.is_empty());
            }
        }
    }

    #[test]
    fn damaged_settings(damages in prop::collection::vec(damage(), 1..6)) {
        let original = "listen: 127.0.0.1:1\nlimits:\n  maxEventBytes: 1Mi\n  hops: 3\naddresses:\n  host: http://x\nnode: n\npeers:\n- {node: a, url: http://b:1}\nlog: {format: json}\n";
        let text = damages.iter().fold(original.to_owned(), |text, damage| apply(&text, damage));
        let _ = Settings::parse(&text);
    }

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        let _ = try_compile(&text, &CompileOptions::default());
        let _ = Settings::parse(&text);
    }
}
