//! Where subscribers are: https with certificates of the Destination, h2c, replicas behind a Service.

use http::Version;
use serde_json::json;
use towpath_harness::manifest::{
    endpoints, in_memory_channel, reference, service, subscription, uri,
};
use towpath_harness::replica::hop_policy;
use towpath_harness::tls::Authority;
use towpath_harness::{Answer, Event, Gateway, Spec, Subscriber, TestResult};

/// D2.1, TestInMemoryChannelTLS (E2): subscriber, reply and dead letter sink over TLS.
#[tokio::test]
async fn https_with_the_certificates_of_the_destination() -> TestResult {
    let authority = Authority::new()?;
    let mut parties = Vec::new();
    for _ in 0..3 {
        parties.push(Subscriber::start_tls(authority.server()?).await?);
    }
    let destination =
        |index: usize| json!({"uri": parties[index].url("/"), "CACerts": authority.pem()});
    parties[0].script([
        Answer::reply(&Event::numbered("reply")),
        Answer::status(400),
    ]);
    let channel = in_memory_channel("in");
    let to = subscription("s", &channel, destination(0)).spec("reply", destination(1));
    let gateway = Gateway::with([channel, to.spec("delivery.deadLetterSink", destination(2))])
        .start()
        .await?;
    for id in 0..2 {
        assert_eq!(
            gateway
                .post("in", &Event::numbered(id).binary())
                .await?
                .code(),
            202,
            "{}",
            gateway.log()
        );
    }
    assert_eq!(
        parties.iter().map(Subscriber::count).collect::<Vec<_>>(),
        [2, 1, 1]
    );
    assert_eq!(parties[1].only()?.header("ce-id"), "reply");
    Ok(())
}

#[tokio::test]
async fn https_without_the_right_certificates_is_a_failed_attempt() -> TestResult {
    let (right, wrong) = (Authority::new()?, Authority::new()?);
    for certificates in [None, Some(wrong.pem())] {
        let subscriber = Subscriber::start_tls(right.server()?).await?;
        let dead_letter = Subscriber::start().await?;
        let mut destination = uri(subscriber.url("/"));
        if let Some(pem) = &certificates {
            destination["CACerts"] = json!(pem);
        }
        let channel = in_memory_channel("in");
        let to = subscription("s", &channel, destination)
            .spec("delivery.deadLetterSink", uri(dead_letter.url("/")));
        let gateway = Gateway::with([channel, to]).start().await?;
        assert_eq!(
            gateway
                .post("in", &Event::full(Spec::V10).binary())
                .await?
                .code(),
            202
        );
        assert_eq!(
            (subscriber.count(), dead_letter.count()),
            (0, 1),
            "{certificates:?}"
        );
        assert_eq!(
            dead_letter.only()?.header("ce-knativeerrordest"),
            subscriber.url("/")
        );
    }
    Ok(())
}

/// D2.3: new certificates of the same URL are used at once.
#[tokio::test]
async fn https_certificates_can_be_replaced() -> TestResult {
    let (old, new) = (Authority::new()?, Authority::new()?);
    let subscriber = Subscriber::start_tls(new.server()?).await?;
    let objects = |pem: String| {
        let channel = in_memory_channel("in");
        let to = subscription(
            "s",
            &channel,
            json!({"uri": subscriber.url("/"), "CACerts": pem}),
        );
        [channel, to]
    };
    let gateway = Gateway::with(objects(old.pem())).start().await?;
    let event = Event::full(Spec::V10).binary();
    assert_eq!(gateway.post("in", &event).await?.code(), 500);
    gateway
        .edit(objects(format!("{}{}", old.pem(), new.pem())))
        .await?;
    assert_eq!(gateway.post("in", &event).await?.code(), 202);
    gateway.edit(objects(old.pem())).await?;
    assert_eq!(
        gateway.post("in", &event).await?.code(),
        500,
        "a kept connection must not outlive its trust"
    );
    assert_eq!(subscriber.count(), 1);
    Ok(())
}

#[tokio::test]
async fn h2c_by_the_name_of_the_service_port() -> TestResult {
    for (port, version) in [
        ("h2c", Version::HTTP_2),
        ("http2", Version::HTTP_2),
        ("http", Version::HTTP_11),
        ("web", Version::HTTP_11),
    ] {
        let subscriber = Subscriber::start().await?;
        subscriber.otherwise(Answer::transform(|event| event));
        let step = service("step", port, 80);
        let channel = in_memory_channel("in");
        let to = subscription("s", &channel, reference(&step))
            .spec("reply", uri(subscriber.url("/reply")));
        let slice = endpoints("step", port, subscriber.address());
        let gateway = Gateway::with([step, slice, channel, to]).start().await?;
        let event = Event::full(Spec::V10).data("text/plain", vec![b'x'; 1 << 20]);
        for _ in 0..3 {
            assert_eq!(
                gateway.post("in", &event.binary()).await?.code(),
                202,
                "{port}: {}",
                gateway.log()
            );
        }
        let requests = subscriber.requests();
        let steps: Vec<_> = requests
            .iter()
            .filter(|request| request.path == "/")
            .collect();
        assert_eq!((steps.len(), requests.len()), (3, 6), "{port}");
        assert!(
            steps.iter().all(|request| request.version == version),
            "{port}"
        );
        for request in &requests {
            assert_eq!(Event::of(request)?.texts(), event.texts());
            assert_eq!(request.body, event.bytes());
        }
    }
    Ok(())
}

/// Several replicas share the work, and one that does not listen costs no event.
#[tokio::test]
async fn replicas_share_the_work() -> TestResult {
    let replicas = [
        Subscriber::start().await?,
        Subscriber::start().await?,
        Subscriber::start().await?,
    ];
    let step = service("step", "http", 80);
    let mut objects = vec![step.clone(), in_memory_channel("in")];
    objects.push(subscription("s", &objects[1], reference(&step)).spec("delivery.retry", 1));
    for (index, replica) in replicas.iter().enumerate() {
        let mut slice = endpoints("step", "http", replica.address());
        slice.metadata["name"] = json!(format!("step-{index}"));
        objects.push(slice);
    }
    objects.push(hop_policy("in-turn", None).spec("strategy", "RoundRobin"));
    let gateway = Gateway::with(objects).start().await?;
    for id in 0..30 {
        assert_eq!(
            gateway
                .post("in", &Event::numbered(id).binary())
                .await?
                .code(),
            202
        );
    }
    let counts: Vec<usize> = replicas.iter().map(Subscriber::count).collect();
    assert_eq!(counts, [10, 10, 10]);
    let [gone, left, right] = replicas;
    gone.stop().await;
    for id in 30..60 {
        assert_eq!(
            gateway
                .post("in", &Event::numbered(id).binary())
                .await?
                .code(),
            202
        );
    }
    assert_eq!(left.count() + right.count(), 50);
    Ok(())
}

/// H3.19: a Service whose slices have no ready endpoint is a failed attempt, at once.
#[tokio::test]
async fn a_service_without_ready_endpoints_is_dead_lettered() -> TestResult {
    let dead_letter = Subscriber::start().await?;
    let step = service("step", "http", 80);
    let slice = endpoints("step", "http", dead_letter.address()).field("endpoints", json!([]));
    let channel = in_memory_channel("in");
    let to = subscription("s", &channel, reference(&step))
        .spec("delivery.deadLetterSink", uri(dead_letter.url("/dead")));
    let gateway = Gateway::with([step, slice, channel, to]).start().await?;
    assert_eq!(
        gateway
            .post("in", &Event::full(Spec::V10).binary())
            .await?
            .code(),
        202
    );
    assert_eq!(
        dead_letter.only()?.header("ce-knativeerrordest"),
        "http://step.demo.svc.cluster.local"
    );
    Ok(())
}

/// Endpoints change often, and recompile nothing: a new one is used without an edit of anything else.
#[tokio::test]
async fn endpoints_are_added_while_events_flow() -> TestResult {
    let replicas = [Subscriber::start().await?, Subscriber::start().await?];
    let step = service("step", "http", 80);
    let channel = in_memory_channel("in");
    let to = subscription("s", &channel, reference(&step));
    let gateway = Gateway::with([
        step,
        channel,
        to,
        endpoints("step", "http", replicas[0].address()),
    ])
    .start()
    .await?;
    let event = Event::full(Spec::V10).binary();
    assert_eq!(gateway.post("in", &event).await?.code(), 202);
    let moved = endpoints("step", "http", replicas[1].address());
    gateway.write("zz-endpoints.yaml", &{
        let mut slice = moved;
        slice.metadata["name"] = json!("step-2");
        slice.to_string()
    })?;
    towpath_harness::poll::until(
        "the new replica to be used",
        towpath_harness::poll::SOON,
        async || {
            assert_eq!(gateway.post("in", &event).await?.code(), 202);
            Ok((replicas[1].count() > 0).then_some(()))
        },
    )
    .await
}
