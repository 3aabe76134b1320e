//! C8: retries, back-off, time-outs.

use std::time::Duration;

use towpath_harness::manifest::{in_memory_channel, subscription, uri};
use towpath_harness::{Answer, Bed, Event, Recorded, Spec, TestResult, command};

/// The waits between successive requests.
fn gaps(requests: &[Recorded]) -> Vec<Duration> {
    requests
        .windows(2)
        .map(|pair| pair[1].at - pair[0].at)
        .collect()
}

/// Fails unless each wait is at least as long as expected, and not much longer.
fn assert_gaps(requests: &[Recorded], expected_ms: &[u64]) {
    let gaps = gaps(requests);
    assert_eq!(gaps.len(), expected_ms.len(), "{gaps:?}");
    for (gap, expected) in gaps.iter().zip(expected_ms) {
        let expected = Duration::from_millis(*expected);
        let slack = Duration::from_millis(700);
        assert!(
            *gap >= expected.mul_f64(0.95) && *gap < expected + slack,
            "{gaps:?}, expected {expected_ms:?} ms"
        );
    }
}

#[tokio::test]
async fn c8_1_retry_n_is_n_more_attempts() -> TestResult {
    let bed = Bed::setup()
        .dead_letter()
        .delivery("retry", 3)
        .start()
        .await?;
    bed.subscriber
        .script([503, 503, 503, 202].map(Answer::status));
    assert_eq!(bed.event(&Event::numbered(1)).await?.code(), 202);
    assert_eq!((bed.subscriber.count(), bed.dead_letter.count()), (4, 0));
    bed.subscriber
        .script([503, 503, 503, 503].map(Answer::status));
    assert_eq!(bed.event(&Event::numbered(2)).await?.code(), 202);
    assert_eq!((bed.subscriber.count(), bed.dead_letter.count()), (8, 1));
    let id = |request: &Recorded| request.header("ce-id");
    assert_eq!(
        bed.subscriber.requests().iter().map(id).collect::<Vec<_>>(),
        ["1", "1", "1", "1", "2", "2", "2", "2"]
    );
    Ok(())
}

#[tokio::test]
async fn c8_1_without_retry_there_is_one_attempt() -> TestResult {
    for setup in [
        Bed::setup().dead_letter(),
        Bed::setup().dead_letter().delivery("retry", 0),
    ] {
        let bed = setup.start().await?;
        bed.subscriber.otherwise(Answer::status(503));
        assert_eq!(bed.event(&Event::numbered(1)).await?.code(), 202);
        assert_eq!((bed.subscriber.count(), bed.dead_letter.count()), (1, 1));
    }
    Ok(())
}

#[tokio::test]
async fn c8_2_which_statuses_are_retried() -> TestResult {
    let bed = Bed::setup()
        .dead_letter()
        .delivery("retry", 1)
        .start()
        .await?;
    let retried = [404, 408, 409, 429, 500, 501, 502, 503, 504, 599];
    let final_ = [
        400, 401, 402, 403, 405, 406, 410, 411, 413, 414, 415, 422, 428, 431, 451, 499,
    ];
    let table = retried
        .map(|code| (code, 2))
        .into_iter()
        .chain(final_.map(|code| (code, 1)));
    for (code, attempts) in table {
        let before = (bed.subscriber.count(), bed.dead_letter.count());
        bed.subscriber.script(vec![Answer::status(code); attempts]);
        assert_eq!(bed.event(&Event::numbered(code)).await?.code(), 202);
        assert_eq!(bed.subscriber.count() - before.0, attempts, "{code}");
        assert_eq!(bed.dead_letter.count() - before.1, 1, "{code}");
    }
    Ok(())
}

#[tokio::test]
async fn c8_2_no_response_is_retried() -> TestResult {
    let bed = Bed::setup()
        .dead_letter()
        .delivery("retry", 1)
        .start()
        .await?;
    for broken in [
        Answer::reset_mid_response(),
        Answer::truncated(),
        Answer::Raw(
            "garbage\r\n\r\n".into(),
            towpath_harness::answer::Ending::Close,
        ),
    ] {
        let before = bed.subscriber.count();
        bed.subscriber.script([broken.clone(), Answer::status(202)]);
        assert_eq!(
            bed.event(&Event::numbered(1)).await?.code(),
            202,
            "{broken:?}"
        );
        assert_eq!(bed.subscriber.count() - before, 2, "{broken:?}");
    }
    assert_eq!(bed.dead_letter.count(), 0);
    Ok(())
}

#[tokio::test]
async fn c8_3_exponential_backoff_doubles() -> TestResult {
    let setup = Bed::setup()
        .delivery("retry", 3)
        .delivery("backoffPolicy", "exponential");
    let bed = setup.delivery("backoffDelay", "PT0.1S").start().await?;
    bed.subscriber.script([503, 503, 503].map(Answer::status));
    assert_eq!(bed.event(&Event::numbered(1)).await?.code(), 202);
    assert_gaps(&bed.subscriber.requests(), &[100, 200, 400]);
    Ok(())
}

#[tokio::test]
async fn c8_3_linear_backoff_adds() -> TestResult {
    let setup = Bed::setup()
        .delivery("retry", 3)
        .delivery("backoffPolicy", "linear");
    let bed = setup.delivery("backoffDelay", "PT0.1S").start().await?;
    bed.subscriber.script([503, 503, 503].map(Answer::status));
    assert_eq!(bed.event(&Event::numbered(1)).await?.code(), 202);
    assert_gaps(&bed.subscriber.requests(), &[100, 200, 300]);
    Ok(())
}

#[tokio::test]
async fn c8_3_backoff_is_capped() -> TestResult {
    let setup = Bed::setup()
        .delivery("retry", 3)
        .delivery("backoffPolicy", "exponential")
        .delivery("backoffDelay", "PT0.1S");
    let bed = setup.set("delivery.backoffMax", "PT0.15S").start().await?;
    bed.subscriber.script([503, 503, 503].map(Answer::status));
    assert_eq!(bed.event(&Event::numbered(1)).await?.code(), 202);
    let waited = gaps(&bed.subscriber.requests());
    assert!(
        waited.iter().all(|gap| *gap < Duration::from_millis(380)),
        "{waited:?}"
    );
    assert_gaps(&bed.subscriber.requests(), &[100, 150, 150]);
    Ok(())
}

#[tokio::test]
async fn c8_3_no_wait_unless_both_policy_and_delay_are_set() -> TestResult {
    let only_policy = Bed::setup()
        .delivery("retry", 2)
        .delivery("backoffPolicy", "exponential");
    let only_delay = Bed::setup()
        .delivery("retry", 2)
        .delivery("backoffDelay", "PT30S");
    for setup in [only_policy, only_delay] {
        let bed = setup.start().await?;
        bed.subscriber.script([503, 503].map(Answer::status));
        assert_eq!(bed.event(&Event::numbered(1)).await?.code(), 202);
        assert_gaps(&bed.subscriber.requests(), &[0, 0]);
    }
    Ok(())
}

#[tokio::test]
async fn c8_4_and_c8_7_delivery_specs_are_validated_and_every_problem_told() -> TestResult {
    let channel = in_memory_channel("in");
    let to = |name: &str| subscription(name, &channel, uri("http://127.0.0.1:1/"));
    let mut good = vec![channel.clone()];
    for (index, period) in [
        "PT0.2S", "PT1M30S", "P1D", "P1W", "PT1.5H", "P1M", "P1Y", "PT0S",
    ]
    .iter()
    .enumerate()
    {
        let policy = to(&format!("s{index}")).spec("delivery.backoffPolicy", "linear");
        good.push(
            policy
                .spec("delivery.backoffDelay", *period)
                .spec("delivery.retryAfterMax", *period),
        );
    }
    let folder = tempfile::tempdir()?;
    std::fs::write(
        folder.path().join("good.yaml"),
        towpath_harness::manifest::file(good),
    )?;
    let checked = command::run(["check".as_ref(), folder.path().as_os_str()]).await?;
    assert_eq!(
        checked.code,
        Some(0),
        "{}{}",
        checked.stdout,
        checked.stderr
    );

    let bad = [
        to("a").spec("delivery.retry", -1),
        to("b").spec("delivery.backoffPolicy", "fibonacci"),
        to("c").spec("delivery.backoffDelay", "pt1s"),
        to("d").spec("delivery.timeout", "PT0S"),
        to("e").spec("delivery.format", "xml"),
        to("f").spec("delivery.retryAfterMax", "-PT1S"),
        to("g").spec("delivery.deadLetterSink", uri("not a uri")),
        to("h").spec("delivery.backoffDelay", "1s"),
    ];
    let fields = [
        "retry",
        "backoffPolicy",
        "backoffDelay",
        "timeout",
        "format",
        "retryAfterMax",
        "deadLetterSink",
        "backoffDelay",
    ];
    let expected: Vec<(String, &str)> = bad
        .iter()
        .map(|object| object.name().to_owned())
        .zip(fields)
        .collect();
    std::fs::write(
        folder.path().join("bad.yaml"),
        towpath_harness::manifest::file(bad),
    )?;
    let checked = command::run(["check".as_ref(), folder.path().as_os_str()]).await?;
    let text = format!("{}{}", checked.stdout, checked.stderr);
    assert_eq!(checked.code, Some(1), "{text}");
    for (name, field) in expected {
        let told = text.lines().any(|line| {
            line.contains(&format!("demo/{name}")) && line.contains(&format!("delivery.{field}"))
        });
        assert!(told, "nothing about {field} of {name} in:\n{text}");
    }
    Ok(())
}

/// As TestDeliveryTimeout (E2), faster.
#[tokio::test]
async fn c8_5_timeout_is_per_attempt_and_retryable() -> TestResult {
    let bed = Bed::setup()
        .dead_letter()
        .delivery("timeout", "PT0.3S")
        .start()
        .await?;
    bed.subscriber.script([Answer::Hang]);
    assert_eq!(bed.event(&Event::numbered(1)).await?.code(), 202);
    assert_eq!((bed.subscriber.count(), bed.dead_letter.count()), (1, 1));
    assert_eq!(bed.dead_letter.only()?.header("ce-knativeerrorcode"), "500");

    let bed = Bed::setup()
        .dead_letter()
        .delivery("timeout", "PT0.3S")
        .delivery("retry", 2)
        .start()
        .await?;
    bed.subscriber
        .script([Answer::Hang, Answer::Hang, Answer::status(202)]);
    assert_eq!(bed.event(&Event::numbered(2)).await?.code(), 202);
    assert_eq!((bed.subscriber.count(), bed.dead_letter.count()), (3, 0));
    // 300 ms each, less what the request before took to arrive.
    assert_gaps(&bed.subscriber.requests(), &[250, 250]);
    Ok(())
}

#[tokio::test]
async fn c8_6_retry_after_is_obeyed_up_to_its_maximum() -> TestResult {
    let busy = |code, after: &str| Answer::status(code).header("retry-after", after);
    let bed = Bed::setup()
        .delivery("retry", 3)
        .delivery("retryAfterMax", "PT1.2S")
        .start()
        .await?;
    bed.subscriber
        .script([busy(429, "1"), busy(503, "60"), busy(500, "60")]);
    assert_eq!(bed.event(&Event::numbered(1)).await?.code(), 202);
    assert_gaps(&bed.subscriber.requests(), &[1_000, 1_200, 0]);
    Ok(())
}

#[tokio::test]
async fn c8_6_retry_after_is_ignored_unless_asked_for() -> TestResult {
    for setup in [Bed::setup(), Bed::setup().delivery("retryAfterMax", "PT0S")] {
        let bed = setup.delivery("retry", 1).start().await?;
        bed.subscriber
            .script([Answer::status(429).header("retry-after", "60")]);
        assert_eq!(bed.event(&Event::full(Spec::V10)).await?.code(), 202);
        assert_gaps(&bed.subscriber.requests(), &[0]);
    }
    Ok(())
}
