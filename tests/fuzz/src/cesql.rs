//! CESQL expressions, parsed and evaluated on a few events.

use std::sync::LazyLock;

use towpath_event::cesql::{Environment, Expression, Value};
use towpath_event::{Attributes, Filter, SpecVersion};

/// An event with much in it, one with text that patterns are slow on, an old one, and one with nothing.
static EVENTS: LazyLock<[Attributes; 4]> = LazyLock::new(|| {
    let event = |version, more: &[(&str, &str)]| {
        let mut event = Attributes::new(version, "id-1", "/orders?a=%41", "com.example.created")
            .expect("it is valid");
        for (name, value) in more {
            event.set(name, (*value).into()).expect("it is valid");
        }
        event
    };
    [
        event(
            SpecVersion::V10,
            &[
                ("subject", "order 7 \u{e9}"),
                ("time", "2026-01-02T03:04:05.678+02:00"),
                ("datacontenttype", "application/json; charset=utf-8"),
                ("hop", "5"),
                ("ttl", "-2147483648"),
                ("truth", "TRUE"),
                ("empty", ""),
                ("replyid", "ZXZlbnQ=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA:1"),
            ],
        ),
        event(
            SpecVersion::V10,
            &[("hop", &"a".repeat(2000)), ("ttl", &"ab%_".repeat(500))],
        ),
        event(
            SpecVersion::V03,
            &[("schemaurl", "/schema"), ("hop", "2147483647")],
        ),
        event(SpecVersion::V10, &[]),
    ]
});

static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(|| {
    Environment::default().with_secret("keys", [("ns.name.1", [7; 16]), ("ns.name.2", [8; 16])])
});

/// An expression that is parsed gives a value for every event, and as a filter it passes what gives `true` (F1.12).
pub fn cesql(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let filter = Filter::cesql(text);
    let expression = match Expression::parse(text) {
        Ok(expression) => expression,
        Err(error) => {
            drop(error.to_string());
            assert!(filter.is_err(), "a filter of what is no expression");
            return;
        }
    };
    let filter = filter.expect("an expression is a filter");
    for event in EVENTS.iter() {
        let evaluated = expression.evaluate(event, &ENVIRONMENT);
        drop(evaluated.value.to_string());
        let is_true = evaluated.value == Value::Boolean(true) && evaluated.error.is_none();
        drop(evaluated.error.map(|error| error.to_string()));
        let explanation = filter.explain(event, &ENVIRONMENT);
        drop(explanation.to_string());
        assert_eq!(expression.matches(event, &ENVIRONMENT), is_true);
        assert_eq!(filter.matches(event, &ENVIRONMENT), is_true);
        assert_eq!(explanation.matches, is_true);
    }
}
