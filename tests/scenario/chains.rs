//! Flows of several channels: the sample Sequence unchanged, and ten channels in a row.

use std::fs;

use towpath_harness::manifest::{channel, endpoints, file, reference, subscription, uri};
use towpath_harness::{Answer, Event, Gateway, Spec, Subscriber, TestResult, command};

/// The sample: three steps by reference to Services, replies to a display, with endpoints of our own.
#[tokio::test]
async fn the_sample_sequence_runs_unchanged() -> TestResult {
    let sample =
        fs::read_to_string(command::workspace().join("config/samples/sequence/sequence.yaml"))?;
    let names = ["first", "second", "third", "display"];
    let mut parties = Vec::new();
    let mut slices = Vec::new();
    for name in names {
        let party = Subscriber::start().await?;
        if name != "display" {
            party.otherwise(Answer::transform(move |event| {
                let data = format!("{}{name};", String::from_utf8_lossy(&event.bytes()));
                event.data("text/plain", data)
            }));
        }
        slices.push(endpoints(name, "http", party.address()));
        parties.push(party);
    }
    let gateway = Gateway::with_text(format!("{sample}\n{}", file(slices)))
        .start()
        .await?;
    for size in [0, 64 * 1024, 2 << 20] {
        let event = Event::full(Spec::V10)
            .with("id", size.to_string())
            .data("text/plain", "x".repeat(size));
        assert_eq!(
            gateway
                .post("pipeline-kn-sequence-0", &event.binary())
                .await?
                .code(),
            202,
            "{size}"
        );
        let last = parties[3]
            .requests()
            .pop()
            .ok_or_else(|| anyhow::anyhow!("nothing was displayed"))?;
        assert_eq!(last.body.len(), size + "first;second;third;".len());
        assert!(last.body.ends_with(b"first;second;third;"), "{size}");
    }
    for (name, party) in names.iter().zip(&parties) {
        assert_eq!(party.count(), 3, "{name}");
        assert_eq!(
            party.requests()[0].header("host"),
            format!("{name}.demo.svc.cluster.local"),
            "the URL is Knative's"
        );
    }
    Ok(())
}

/// TestChannelChain (E2): ten channels, each the subscriber of the one before.
#[tokio::test]
async fn ten_channels_in_a_row() -> TestResult {
    let sink = Subscriber::start().await?;
    let channels: Vec<_> = (0..10).map(|index| channel(&format!("c{index}"))).collect();
    let mut objects = channels.clone();
    for (index, pair) in channels.windows(2).enumerate() {
        objects.push(subscription(
            &format!("s{index}"),
            &pair[0],
            reference(&pair[1]),
        ));
    }
    objects.push(subscription("last", &channels[9], uri(sink.url("/"))));
    let gateway = Gateway::with(objects).start().await?;
    let event = Event::full(Spec::V03);
    assert_eq!(gateway.post("c0", &event.structured()).await?.code(), 202);
    assert_eq!(Event::of(&sink.only()?)?.texts(), event.texts());
    Ok(())
}

/// A failure at the end of a chain is told at its beginning, and nothing in between runs again.
#[tokio::test]
async fn a_failure_at_the_end_of_a_chain_reaches_the_producer() -> TestResult {
    let (middle, last) = (Subscriber::start().await?, Subscriber::start().await?);
    middle.otherwise(Answer::transform(|event| event));
    last.otherwise(Answer::status(503));
    let (a, b) = (channel("a"), channel("b"));
    let first = subscription("first", &a, uri(middle.url("/")))
        .spec("reply", reference(&b))
        .spec("delivery.retry", 3);
    let second = subscription("second", &b, uri(last.url("/"))).spec("delivery.retry", 1);
    let gateway = Gateway::with([a, b, first, second]).start().await?;
    assert_eq!(
        gateway
            .post("a", &Event::full(Spec::V10).binary())
            .await?
            .code(),
        500
    );
    assert_eq!((middle.count(), last.count()), (1, 2));
    Ok(())
}
