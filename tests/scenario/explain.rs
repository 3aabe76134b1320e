//! `towpath explain` on the samples: which subscriptions match and why, where the event would go; nothing is sent.

use std::fs;

use towpath_harness::command::{self, Finished};
use towpath_harness::{Event, Spec, TestResult};

use crate::samples::Sample;

/// Explains on a sample whose endpoints are ours, and fails if one of them is called.
async fn explain(sample: &str, arguments: &[&str]) -> anyhow::Result<Finished> {
    let sample = Sample::read(sample).await?;
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("all.yaml"), &sample.manifests)?;
    let path = folder.path().to_string_lossy().into_owned();
    let finished = command::run(["explain", &path].iter().chain(arguments)).await?;
    for (name, party) in &sample.parties {
        assert_eq!(party.count(), 0, "{name} was called");
    }
    Ok(finished)
}

/// The lines of one subscription: its verdict, and what would be done.
fn told<'t>(text: &'t str, subscription: &str) -> Vec<&'t str> {
    let mut lines = text
        .lines()
        .skip_while(|line| !line.starts_with(&format!("  {subscription} ")));
    let first = lines.next();
    first
        .into_iter()
        .chain(lines.take_while(|line| line.starts_with("    ")))
        .collect()
}

/// Fails unless the lines of a subscription hold all of `parts`.
#[track_caller]
fn says(finished: &Finished, subscription: &str, parts: &[&str]) {
    let told = told(&finished.stdout, subscription).join("\n");
    for part in parts {
        assert!(
            told.contains(part),
            "{subscription}: no {part:?} in {told:?} of {} {}",
            finished.stdout,
            finished.stderr
        );
    }
}

#[tokio::test]
async fn explain_says_which_triggers_match_and_why() -> TestResult {
    let arguments = [
        "/demo/orders",
        "--type",
        "order.created",
        "--attribute",
        "region=eu",
        "--attribute",
        "amount=12",
    ];
    let finished = explain("broker", &arguments).await?;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    says(
        &finished,
        "bill",
        &[
            "bill matches",
            "exact.type",
            "order.created",
            "http://billing.demo.svc.cluster.local",
            "4 attempts",
            "reply to",
            "demo/orders",
            "dead letters to http://dead-letters.demo.svc.cluster.local",
        ],
    );
    says(&finished, "ship-eu", &["ship-eu matches", "6 attempts"]);
    says(
        &finished,
        "large",
        &["large does not match", "cesql", "amount > 1000"],
    );
    says(
        &finished,
        "audit",
        &["audit does not match", "attributes.subject"],
    );
    assert!(finished.stdout.contains("2 of 4"), "{}", finished.stdout);
    assert_eq!(
        told(&finished.stdout, "large").len(),
        1,
        "what does not match goes nowhere"
    );
    Ok(())
}

#[tokio::test]
async fn explain_names_the_part_that_decides() -> TestResult {
    let cases = [
        (
            &["--type", "order.x", "--attribute", "region=us"][..],
            "all[1].any",
        ),
        (
            &[
                "--type",
                "order.x",
                "--attribute",
                "region=uk",
                "--attribute",
                "subject=1/draft",
            ],
            "suffix.subject",
        ),
        (&["--type", "bill.x"], "prefix.type"),
    ];
    for (event, part) in cases {
        let arguments = [&["/demo/orders"][..], event].concat();
        let finished = explain("broker", &arguments).await?;
        says(&finished, "ship-eu", &["ship-eu does not match", part]);
    }
    Ok(())
}

/// Every form of address that an event may be sent to: paths, URLs of brokers and channels.
#[tokio::test]
async fn explain_takes_paths_and_urls() -> TestResult {
    for (sample, address, subscription) in [
        ("broker", "/brokers/demo/orders", "bill"),
        (
            "broker",
            "http://broker-ingress.knative-eventing.svc.cluster.local/demo/orders",
            "bill",
        ),
        ("fan-out", "/channels/demo/readings", "forward"),
        (
            "fan-out",
            "http://readings-kn-channel.demo.svc.cluster.local/",
            "forward",
        ),
        (
            "parallel",
            "/demo/triage-kn-parallel",
            "triage-kn-parallel-filter-0",
        ),
        (
            "sequence",
            "/demo/pipeline-kn-sequence-0",
            "pipeline-kn-sequence-0",
        ),
        ("mixed", "/shop/accepted", "notify"),
    ] {
        let finished = explain(sample, &[address, "--type", "order.created"]).await?;
        assert_eq!(finished.code, Some(0), "{address}: {}", finished.stderr);
        says(&finished, subscription, &["matches", "to http"]);
    }
    Ok(())
}

#[tokio::test]
async fn explain_of_nothing_or_of_no_event_is_an_error() -> TestResult {
    for (arguments, part) in [
        (&["/demo/nothing"][..], "demo/nothing"),
        (&["/demo/orders/more"], "/brokers/<namespace>/<name>"),
        (&["/demo/orders", "--attribute", "Bad=1"], "Bad"),
        (&["/demo/orders", "--attribute", "nothing"], "NAME=VALUE"),
        (&["/demo/orders", "--type", ""], "type"),
    ] {
        let finished = explain("broker", arguments).await?;
        assert!(
            finished.code.is_some_and(|code| code != 0),
            "{arguments:?}: {}",
            finished.stdout
        );
        assert!(finished.stderr.contains(part), "{}", finished.stderr);
    }
    Ok(())
}

/// What it says is what happens: the same event, sent, reaches those that were said to match.
#[tokio::test]
async fn explain_and_the_gateway_agree() -> TestResult {
    let parties = [
        ("bill", "billing"),
        ("ship-eu", "shipping"),
        ("large", "review"),
        ("audit", "audit"),
    ];
    let events: [&[(&str, &str)]; 5] = [
        &[("type", "order.created")],
        &[
            ("type", "order.created"),
            ("region", "eu"),
            ("amount", "5000"),
        ],
        &[
            ("type", "order.billed"),
            ("subject", "x/draft"),
            ("region", "uk"),
        ],
        &[("type", "order.created"), ("amount", "many")],
        &[("type", "other")],
    ];
    let sample = Sample::read("broker").await?;
    let gateway = towpath_harness::Gateway::with_text(sample.manifests.clone())
        .start()
        .await?;
    for attributes in events {
        let mut arguments = vec!["/demo/orders".to_owned()];
        let mut event = Event::min(Spec::V10);
        for (name, value) in attributes {
            event = event.with(name, *value);
            arguments.extend(match *name {
                "type" => ["--type".to_owned(), (*value).to_owned()],
                _ => ["--attribute".to_owned(), format!("{name}={value}")],
            });
        }
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let explained = explain("broker", &arguments).await?;
        let before: Vec<_> = parties
            .map(|(_, party)| sample.parties[party].count())
            .into();
        let response = gateway.publish("orders", &event.binary()).await?;
        assert_eq!(response.code(), 202);
        for ((trigger, party), before) in parties.iter().zip(before) {
            let got = sample.parties[*party].count() > before;
            let verdict = if got { "matches" } else { "does not match" };
            says(&explained, trigger, &[&format!("{trigger} {verdict}:")]);
        }
    }
    Ok(())
}
