//! E4: the Sequence rows of Knative's own suites.

use http::Method;
use serde_json::json;
use towpath_harness::manifest::{channel_path, sequence, uri};
use towpath_harness::{Answer, Event, Gateway, Spec, Subscriber, TestResult};

/// A step that appends text to the data.
async fn appender(text: &'static str) -> anyhow::Result<Subscriber> {
    let step = Subscriber::start().await?;
    step.otherwise(Answer::transform(move |event| {
        let data = [&event.bytes()[..], text.as_bytes()].concat();
        event.data("text/plain", data)
    }));
    Ok(step)
}

/// TestSequence: three steps append; the sink gets it once with the data in order (A10.1, A10.4).
#[tokio::test]
async fn e4_three_steps_append_in_order() -> TestResult {
    let steps = [
        appender("-a").await?,
        appender("-b").await?,
        appender("-c").await?,
    ];
    let sink = Subscriber::start().await?;
    let object = sequence("seq", steps.iter().map(|step| uri(step.url("/"))))
        .spec("reply", uri(sink.url("/")));
    let gateway = Gateway::with([object]).start().await?;
    let event = Event::full(Spec::V10).data("text/plain", "start").binary();
    assert_eq!(gateway.post("seq-kn-sequence-0", &event).await?.code(), 202);
    let request = sink.only()?;
    assert_eq!(&request.body[..], b"start-a-b-c");
    assert_eq!(request.header("ce-exstring"), "exstring");
    assert!(
        steps.iter().all(|step| step.count() == 1),
        "no needless duplicates"
    );
    // The address of a Sequence is that of its first channel.
    let host = event.header(
        "host",
        "seq-kn-sequence-0-kn-channel.demo.svc.cluster.local",
    );
    assert_eq!(
        gateway
            .sender()
            .request(Method::POST, "/", &host)
            .await?
            .code(),
        202
    );
    assert_eq!(sink.count(), 2);
    Ok(())
}

/// A step in the middle can be entered by itself, and one that does not reply ends the flow.
#[tokio::test]
async fn e4_a_step_without_a_reply_ends_the_flow() -> TestResult {
    let steps = [
        appender("-a").await?,
        Subscriber::start().await?,
        appender("-c").await?,
    ];
    let sink = Subscriber::start().await?;
    let object = sequence("seq", steps.iter().map(|step| uri(step.url("/"))))
        .spec("reply", uri(sink.url("/")));
    let gateway = Gateway::with([object]).start().await?;
    let event = Event::full(Spec::V10).data("text/plain", "start").binary();
    assert_eq!(
        gateway
            .sender()
            .post(&channel_path("seq-kn-sequence-0"), &event)
            .await?
            .code(),
        202
    );
    assert_eq!(
        steps.iter().map(Subscriber::count).collect::<Vec<_>>(),
        [1, 1, 0]
    );
    assert_eq!(sink.count(), 0);
    assert_eq!(gateway.post("seq-kn-sequence-2", &event).await?.code(), 202);
    assert_eq!(&sink.only()?.body[..], b"start-c");
    Ok(())
}

/// TestSmoke_SequenceDelivery: the delivery spec of a step is that of its subscription.
#[tokio::test]
async fn e4_delivery_spec_of_a_step() -> TestResult {
    let (first, second, dead_letter) = (
        appender("-a").await?,
        Subscriber::start().await?,
        Subscriber::start().await?,
    );
    second.otherwise(Answer::status(503));
    let mut step = uri(second.url("/"));
    step["delivery"] = json!({"retry": 2, "deadLetterSink": {"uri": dead_letter.url("/")}});
    let gateway = Gateway::with([sequence("seq", [uri(first.url("/")), step])])
        .start()
        .await?;
    let event = Event::full(Spec::V10).data("text/plain", "start").binary();
    assert_eq!(gateway.post("seq-kn-sequence-0", &event).await?.code(), 202);
    assert_eq!((first.count(), second.count()), (1, 3));
    let dead = dead_letter.only()?;
    assert_eq!(
        (&dead.body[..], dead.header("ce-knativeerrordest")),
        (&b"start-a"[..], second.url("/"))
    );
    Ok(())
}

/// TestSmoke_Sequence: names, also those whose generated names are cut and hashed.
#[tokio::test]
async fn e4_names_of_sequences() -> TestResult {
    let sink = Subscriber::start().await?;
    let names = ["customname", "name-with-dash", "name1with2numbers3"];
    let objects = names.map(|name| sequence(name, [uri(sink.url(&format!("/{name}")))]));
    let gateway = Gateway::with(objects).start().await?;
    for name in names {
        let channel = format!("{name}-kn-sequence-0");
        assert_eq!(
            gateway
                .post(&channel, &Event::full(Spec::V10).binary())
                .await?
                .code(),
            202,
            "{name}"
        );
    }
    assert_eq!(sink.count(), names.len());
    Ok(())
}
