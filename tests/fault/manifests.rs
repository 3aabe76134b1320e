//! Manifests that cannot be obeyed: refused as a whole with file, line and reason, while the last good topology stays.

use towpath_harness::gateway::FILE;
use towpath_harness::manifest::{file, in_memory_channel, subscription, uri};
use towpath_harness::poll::{SOON, until};
use towpath_harness::{Bed, TestResult, command};

/// Adds a file, waits for the refusal, and fails unless it says all of `parts`, the log does too, and events pass.
pub(crate) async fn refused(bed: &mut Bed, name: &str, text: &str, parts: &[&str]) -> TestResult {
    bed.gateway.write(name, text)?;
    let problems = until("the refusal", SOON, async || {
        let problems = bed.gateway.problems().await?;
        Ok((!problems.is_empty()).then_some(problems))
    })
    .await?;
    for part in parts {
        assert!(problems.contains(part), "no {part:?} in {problems}");
    }
    assert!(bed.gateway.log().contains(name), "the log names the file");
    let before = bed.subscriber.count();
    bed.gateway.goes_on_at(&bed.path).await?;
    assert_eq!(
        bed.subscriber.count() - before,
        1,
        "the last good topology is in force"
    );

    std::fs::remove_file(bed.gateway.manifests().join(name))?;
    until("the refusal to be over", SOON, async || {
        Ok(bed.gateway.problems().await?.is_empty().then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_typo_is_refused_with_its_place_and_a_suggestion() -> TestResult {
    let mut bed = Bed::start().await?;
    let text = "apiVersion: messaging.knative.dev/v1\nkind: Subscription\nmetadata:\n  name: typo\n  namespace: demo\nspec:\n  \
                channel: {apiVersion: messaging.knative.dev/v1, kind: InMemoryChannel, name: in}\n  subscribr:\n    uri: http://x/\n";
    refused(
        &mut bed,
        "typo.yaml",
        text,
        &["typo.yaml:8", "demo/typo", "subscribr", "subscriber"],
    )
    .await
}

#[tokio::test]
async fn a_reference_to_nothing_is_refused() -> TestResult {
    let mut bed = Bed::start().await?;
    let nowhere = subscription("lost", &in_memory_channel("nowhere"), uri("http://x/"));
    refused(
        &mut bed,
        "lost.yaml",
        &nowhere.to_string(),
        &["lost.yaml", "demo/lost", "spec.channel", "nowhere"],
    )
    .await
}

#[tokio::test]
async fn two_objects_of_one_name_are_refused_and_both_named() -> TestResult {
    let mut bed = Bed::start().await?;
    refused(
        &mut bed,
        "twice.yaml",
        &in_memory_channel("in").to_string(),
        &["twice.yaml", "demo/in", FILE],
    )
    .await
}

#[tokio::test]
async fn what_is_no_yaml_is_refused() -> TestResult {
    let mut bed = Bed::start().await?;
    refused(
        &mut bed,
        "broken.yaml",
        "kind: [\n  unclosed",
        &["broken.yaml"],
    )
    .await?;
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
                g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n";
    refused(&mut bed, "bomb.yaml", bomb, &["bomb.yaml"]).await
}

/// A change that is good in one file and bad in another is taken in neither.
#[tokio::test]
async fn a_change_is_taken_whole_or_not_at_all() -> TestResult {
    let mut bed = Bed::start().await?;
    let good = in_memory_channel("new");
    let bad = subscription("bad", &good, uri("http://x/")).spec("delivery.retry", -1);
    refused(
        &mut bed,
        "mixed.yaml",
        &file([good, bad]),
        &["mixed.yaml", "spec.delivery.retry"],
    )
    .await?;
    let response = bed
        .gateway
        .post("new", &towpath_harness::Event::numbered(1).binary())
        .await?;
    assert_eq!(response.code(), 404);
    Ok(())
}

#[tokio::test]
async fn a_gateway_does_not_start_on_bad_manifests_or_settings() -> TestResult {
    let folder = tempfile::tempdir()?;
    std::fs::write(
        folder.path().join("bad.yaml"),
        in_memory_channel("in").spec("bogus", 1).to_string(),
    )?;
    let path = folder.path().to_string_lossy().into_owned();
    let common = [
        "gateway",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--manifests",
    ];
    let ended = command::run(common.iter().copied().chain([path.as_str()])).await?;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("bad.yaml") && ended.stderr.contains("bogus"),
        "{}",
        ended.stderr
    );
    assert_eq!(
        ended.stdout, "",
        "stdout is for the line of a gateway that listens"
    );

    std::fs::remove_file(folder.path().join("bad.yaml"))?;
    for setting in [
        "limits.nonsense=1",
        "limits.maxEventBytes=1",
        "limits.maxEventBytes=lots",
        "limits.hops=0",
        "nonsense",
    ] {
        let ended = command::run(
            common
                .iter()
                .copied()
                .chain([path.as_str(), "--set", setting]),
        )
        .await?;
        assert!(
            ended.code.is_some_and(|code| code != 0),
            "{setting}: {}",
            ended.stderr
        );
        let name = setting.split('=').next().unwrap_or(setting);
        assert!(ended.stderr.contains(name), "{setting}: {}", ended.stderr);
    }
    Ok(())
}
