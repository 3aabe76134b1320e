//! `towpath check`: exit codes and messages, every problem at once.

use std::fs;

use serde_json::json;
use towpath_harness::TestResult;
use towpath_harness::command::{self, Finished};
use towpath_harness::manifest::{
    Object, file, in_memory_channel, reference, sequence, service, subscription, uri,
};

/// Checks a folder with these files.
async fn check(files: &[(&str, String)]) -> anyhow::Result<Finished> {
    let folder = tempfile::tempdir()?;
    for (name, text) in files {
        fs::write(folder.path().join(name), text)?;
    }
    command::run(["check".as_ref(), folder.path().as_os_str()]).await
}

fn all(finished: &Finished) -> String {
    format!("{}{}", finished.stdout, finished.stderr)
}

#[tokio::test]
async fn a_good_folder_is_0_and_says_what_would_run_and_what_is_skipped() -> TestResult {
    let channel = in_memory_channel("in");
    let deployment = Object::new("apps/v1", "Deployment", "some-app").spec("replicas", 1);
    let objects = file([
        channel.clone(),
        subscription("s", &channel, uri("http://x/")),
        sequence("seq", [uri("http://y/")]),
        deployment,
    ]);
    let finished = check(&[("good.yaml", objects)]).await?;
    assert_eq!(finished.code, Some(0), "{}", all(&finished));
    for part in [
        "demo/in",
        "demo/seq-kn-sequence-0",
        "Deployment",
        "some-app",
    ] {
        assert!(
            finished.stdout.contains(part),
            "no {part} in {}",
            finished.stdout
        );
    }
    Ok(())
}

#[tokio::test]
async fn every_problem_is_told_at_once_with_its_place() -> TestResult {
    let channel = in_memory_channel("in");
    let lost = service("lost", "http", 80);
    let first = file([
        channel.clone(),
        in_memory_channel("in"),
        subscription("typo", &channel, uri("http://x/")).spec("replyy", uri("http://x/")),
        subscription(
            "lost-channel",
            &in_memory_channel("nowhere"),
            uri("http://x/"),
        ),
        subscription("lost-service", &channel, reference(&lost)),
    ]);
    let second = file([
        subscription("number", &channel, uri("http://x/")).spec("delivery.retry", "three"),
        subscription("nobody", &channel, json!({})),
    ]);
    let finished = check(&[("first.yaml", first), ("second.yaml", second)]).await?;
    let text = all(&finished);
    assert_eq!(finished.code, Some(1), "{text}");
    let expected = [
        ["first.yaml:9", "InMemoryChannel demo/in", "first.yaml:4"],
        ["first.yaml:", "Subscription demo/typo", "replyy"],
        ["first.yaml:", "Subscription demo/lost-channel", "nowhere"],
        ["first.yaml:", "Subscription demo/lost-service", "lost"],
        [
            "second.yaml:",
            "Subscription demo/number",
            "spec.delivery.retry",
        ],
        [
            "second.yaml:",
            "Subscription demo/nobody",
            "spec.subscriber",
        ],
    ];
    for parts in expected {
        assert!(
            text.lines()
                .any(|line| parts.iter().all(|part| line.contains(part))),
            "no line with {parts:?} in:\n{text}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_version_that_is_not_known_is_told() -> TestResult {
    let future = Object::new("messaging.knative.dev/v9", "InMemoryChannel", "future")
        .field("spec", json!({}));
    let finished = check(&[("future.yaml", future.to_string())]).await?;
    let text = all(&finished);
    assert_eq!(finished.code, Some(1), "{text}");
    for part in [
        "future.yaml:",
        "demo/future",
        "messaging.knative.dev/v9",
        "messaging.knative.dev/v1`",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_line_is_the_line_of_the_field() -> TestResult {
    let text = "apiVersion: messaging.knative.dev/v1\nkind: InMemoryChannel\nmetadata:\n  name: in\nspec:\n  delivery:\n    # a comment\n    retry: -7\n";
    let finished = check(&[("lines.yaml", text.to_owned())]).await?;
    assert_eq!(finished.code, Some(1));
    let said = all(&finished);
    assert!(
        said.contains("lines.yaml:8")
            && said.contains("-7")
            && said.contains("spec.delivery.retry"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn settings_are_checked_too() -> TestResult {
    let folder = tempfile::tempdir()?;
    let manifests = folder.path().join("manifests");
    fs::create_dir(&manifests)?;
    fs::write(
        manifests.join("in.yaml"),
        in_memory_channel("in").to_string(),
    )?;
    let settings = folder.path().join("settings.yaml");
    for (text, code, part) in [
        ("limits:\n  maxEventBytes: 1Mi\n", 0, ""),
        ("limits:\n  maxEventBites: 1Mi\n", 1, "maxEventBites"),
        (
            "limits:\n  hops: 0\ntimeouts:\n  connect: soon\n",
            1,
            "connect",
        ),
    ] {
        fs::write(&settings, text)?;
        let args = [
            "check".as_ref(),
            manifests.as_os_str(),
            "--config".as_ref(),
            settings.as_os_str(),
        ];
        let finished = command::run(args).await?;
        assert_eq!(finished.code, Some(code), "{text}: {}", all(&finished));
        assert!(all(&finished).contains(part), "{text}: {}", all(&finished));
    }
    Ok(())
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_told() -> TestResult {
    let finished = command::run(["check", "/nonexistent/folder"]).await?;
    assert!(finished.code.is_some_and(|code| code != 0));
    assert!(
        all(&finished).contains("/nonexistent/folder"),
        "{}",
        all(&finished)
    );
    Ok(())
}
