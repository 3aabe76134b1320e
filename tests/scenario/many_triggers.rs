//! 5,000 Triggers of one broker: each event reaches its own, and a changed file is in force within a second.

use std::cell::Cell;
use std::env;
use std::time::Duration;

use serde_json::json;
use towpath_harness::manifest::{broker, file, trigger, uri};
use towpath_harness::poll::until;
use towpath_harness::{Event, Gateway, Spec, Subscriber, TestResult};

const FILES: usize = 50;
const TRIGGERS_PER_FILE: usize = 100;

/// A second is for a release binary, which `TOWPATH_BIN` names or the tests' own profile builds. An unoptimised one reads
/// YAML many times slower, and its bound only keeps it from being quadratic.
fn bound() -> Duration {
    if env::var_os("TOWPATH_BIN").is_some() || !cfg!(debug_assertions) {
        Duration::from_secs(1)
    } else {
        Duration::from_secs(5)
    }
}

/// One file: Triggers for the types `<prefix>-<number>`.
fn triggers(number: usize, prefix: &str, subscriber: &Subscriber) -> String {
    file((0..TRIGGERS_PER_FILE).map(|index| {
        let id = number * TRIGGERS_PER_FILE + index;
        trigger(
            &format!("t{id}"),
            "in",
            uri(subscriber.url(&format!("/{id}"))),
        )
        .spec(
            "filters",
            json!([{"exact": {"type": format!("{prefix}-{id}")}}]),
        )
    }))
}

fn typed(kind: String) -> Event {
    Event::min(Spec::V10).with("type", kind)
}

#[tokio::test]
async fn a_changed_file_among_5000_triggers_is_in_force_soon() -> TestResult {
    let (steady, routed) = (Subscriber::start().await?, Subscriber::start().await?);
    let all = trigger("steady", "in", uri(steady.url("/"))).spec(
        "filters",
        json!([{"exact": {"type": "com.example.MinEvent"}}]),
    );
    let first = file([broker("in"), all]);
    let files = (0..FILES).map(|number| triggers(number, "old", &routed));
    let manifests: String = [first].into_iter().chain(files.clone().skip(1)).collect();
    let gateway = Gateway::with_text(manifests).start().await?;
    gateway.write("changing.yaml", &triggers(0, "old", &routed))?;
    // With each look goes an event for the Trigger that nobody edits; a full load would only measure the machine.
    let sent = Cell::new(0);
    let reaches = async |kind: &str, path: &str| {
        let other = Event::numbered(sent.get()).binary();
        assert_eq!(gateway.publish("in", &other).await?.code(), 202);
        sent.set(sent.get() + 1);
        let before = routed.count();
        let response = gateway
            .publish("in", &typed(kind.to_owned()).binary())
            .await?;
        assert_eq!(response.code(), 202, "{kind}");
        let requests = routed.requests();
        let new: Vec<_> = requests[before..]
            .iter()
            .map(|request| request.path.as_str())
            .collect();
        anyhow::Ok(new == [path])
    };
    until("the last file of 5,000 Triggers", bound() * 3, async || {
        Ok(reaches("old-7", "/7").await?.then_some(()))
    })
    .await?;
    for id in [0, 99, 100, 2_500, 4_999] {
        assert!(
            reaches(&format!("old-{id}"), &format!("/{id}")).await?,
            "{id}"
        );
    }

    for prefix in ["new", "newer"] {
        gateway.write("changing.yaml", &triggers(0, prefix, &routed))?;
        until("the changed file to be in force", bound(), async || {
            let kind = format!("{prefix}-42");
            Ok(reaches(&kind, "/42").await?.then_some(()))
        })
        .await?;
        assert!(reaches("old-4999", "/4999").await?, "the others stay");
        assert!(!reaches("old-42", "/42").await?, "the old one is gone");
    }
    let mut ids: Vec<_> = steady
        .requests()
        .iter()
        .map(|request| request.header("ce-id"))
        .collect();
    assert_eq!(ids.len(), sent.get(), "each came");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), sent.get(), "and came once");
    assert_eq!(gateway.problems().await?, "");
    Ok(())
}
