//! E4, A10.2: Parallels, expanded under the names that Knative gives.

use http::Method;
use serde_json::{Value, json};
use towpath_harness::manifest::{
    broker, in_memory_channel, parallel, reference, subscription, trigger, uri,
};
use towpath_harness::{Answer, Event, Gateway, Spec, Subscriber, TestResult};

/// A branch without a filter.
fn branch(subscriber: &Subscriber, path: &str) -> Value {
    json!({"subscriber": uri(subscriber.url(path))})
}

/// A branch behind a filter.
fn filtered(filter: &Subscriber, subscriber: &Subscriber, path: &str) -> Value {
    json!({"filter": uri(filter.url(path)), "subscriber": uri(subscriber.url(path))})
}

async fn appender(text: &'static str) -> anyhow::Result<Subscriber> {
    let subscriber = Subscriber::start().await?;
    subscriber.otherwise(Answer::transform(move |event| {
        let data = [&event.bytes()[..], text.as_bytes()].concat();
        event.data("text/plain", data)
    }));
    Ok(subscriber)
}

fn event() -> Event {
    Event::full(Spec::V10).data("text/plain", "x")
}

/// TestParallel: filter 1 replies with the event, filter 2 does not: the sink gets exactly one.
#[tokio::test]
async fn e4_two_branches_of_which_one_filter_answers() -> TestResult {
    let (passes, stops) = (appender("").await?, Subscriber::start().await?);
    let (first, second, sink) = (
        appender("-1").await?,
        appender("-2").await?,
        Subscriber::start().await?,
    );
    let object = parallel(
        "par",
        [
            filtered(&passes, &first, "/"),
            filtered(&stops, &second, "/"),
        ],
    )
    .spec("reply", uri(sink.url("/")));
    let gateway = Gateway::with([object]).start().await?;
    let response = gateway.post("par-kn-parallel", &event().binary()).await?;
    assert_eq!(response.code(), 202);
    assert_eq!(
        [&passes, &stops, &first, &second].map(|party| party.count()),
        [1, 1, 1, 0]
    );
    let arrived = sink.only()?;
    assert_eq!(&arrived.body[..], b"x-1");
    assert_eq!(arrived.header("ce-exstring"), "exstring");
    Ok(())
}

/// The subscriber of a branch gets what its filter replied, which need not be what came in.
#[tokio::test]
async fn a10_2_a_branch_gets_what_its_filter_replies() -> TestResult {
    let (filter, subscriber) = (appender("-filtered").await?, Subscriber::start().await?);
    let object = parallel("par", [filtered(&filter, &subscriber, "/")]);
    let gateway = Gateway::with([object]).start().await?;
    let response = gateway.post("par-kn-parallel", &event().binary()).await?;
    assert_eq!(response.code(), 202);
    assert_eq!(&subscriber.only()?.body[..], b"x-filtered");
    Ok(())
}

/// A filter that answers with something else than an event drops the branch too.
#[tokio::test]
async fn a10_2_a_filter_that_answers_no_event_drops_the_branch() -> TestResult {
    let (filter, subscriber, sink) = (
        Subscriber::start().await?,
        Subscriber::start().await?,
        Subscriber::start().await?,
    );
    let object =
        parallel("par", [filtered(&filter, &subscriber, "/")]).spec("reply", uri(sink.url("/")));
    let gateway = Gateway::with([object]).start().await?;
    filter.script([
        Answer::status(200),
        Answer::status(204),
        Answer::body(200, "application/json", "{}"),
    ]);
    for id in 0..3 {
        let event = Event::numbered(id).binary();
        assert_eq!(gateway.post("par-kn-parallel", &event).await?.code(), 202);
    }
    assert_eq!(
        (filter.count(), subscriber.count(), sink.count()),
        (3, 0, 0)
    );
    Ok(())
}

/// Without filters every branch gets every event; a branch's own reply goes before that of the Parallel.
#[tokio::test]
async fn a10_2_without_filters_and_with_replies_of_branches() -> TestResult {
    let (first, second, third) = (
        appender("-1").await?,
        appender("-2").await?,
        Subscriber::start().await?,
    );
    let (common, own) = (Subscriber::start().await?, Subscriber::start().await?);
    let mut with_reply = branch(&second, "/");
    with_reply["reply"] = uri(own.url("/"));
    let object = parallel(
        "par",
        [branch(&first, "/"), with_reply, branch(&third, "/")],
    )
    .spec("reply", uri(common.url("/")));
    let gateway = Gateway::with([object]).start().await?;
    let response = gateway.post("par-kn-parallel", &event().binary()).await?;
    assert_eq!(response.code(), 202);
    assert_eq!(
        [&first, &second, &third].map(|party| party.count()),
        [1, 1, 1]
    );
    assert_eq!(&common.only()?.body[..], b"x-1");
    assert_eq!(&own.only()?.body[..], b"x-2");
    Ok(())
}

/// The channels and Subscriptions have Knative's names, and each channel can be entered by itself.
#[tokio::test]
async fn a10_2_names_of_what_a_parallel_makes() -> TestResult {
    let (filter, subscriber) = (appender("").await?, Subscriber::start().await?);
    let object = parallel(
        "par",
        [
            filtered(&filter, &subscriber, "/0"),
            branch(&subscriber, "/1"),
        ],
    );
    let gateway = Gateway::with([object]).start().await?;
    for (channel, filters, paths) in [
        ("par-kn-parallel", 1, vec!["/0", "/1"]),
        ("par-kn-parallel-0", 0, vec!["/0"]),
        ("par-kn-parallel-1", 0, vec!["/1"]),
    ] {
        let (asked, before) = (filter.count(), subscriber.count());
        assert_eq!(gateway.post(channel, &event().binary()).await?.code(), 202);
        assert_eq!(filter.count() - asked, filters, "{channel}");
        let mut seen: Vec<_> = subscriber.requests()[before..]
            .iter()
            .map(|request| request.path.clone())
            .collect();
        seen.sort();
        assert_eq!(seen, paths, "{channel}");
    }
    let topology = gateway.topology().await?.to_string();
    for name in [
        "par-kn-parallel-filter-0",
        "par-kn-parallel-filter-1",
        "par-kn-parallel-0",
        "par-kn-parallel-1",
    ] {
        assert!(topology.contains(name), "no {name} in {topology}");
    }
    // The address of a Parallel is that of its input channel (A6.1).
    let host = event()
        .binary()
        .header("host", "par-kn-parallel-kn-channel.demo.svc.cluster.local");
    let response = gateway.sender().request(Method::POST, "/", &host).await?;
    assert_eq!(response.code(), 202);
    assert_eq!(filter.count(), 2);
    Ok(())
}

/// TestSmoke_Parallel: names, also one that is cut and hashed (A6.2).
#[tokio::test]
async fn e4_names_of_parallels() -> TestResult {
    let sink = Subscriber::start().await?;
    let long = "a".repeat(63);
    // First 31 less the suffix, md5 of the name, the suffix.
    let hashed = "aaaaaaaaaaaaaaaaaaab06521f39153d618550606be297466d5-kn-parallel".to_owned();
    let names = ["customname", "name-with-dash", "name1with2numbers3", &long];
    let objects = names.map(|name| parallel(name, [branch(&sink, "/")]));
    let gateway = Gateway::with(objects).start().await?;
    for name in names {
        let channel = if name.len() == 63 {
            hashed.clone()
        } else {
            format!("{name}-kn-parallel")
        };
        let response = gateway.post(&channel, &event().binary()).await?;
        assert_eq!(response.code(), 202, "{name}");
    }
    assert_eq!(sink.count(), names.len());
    Ok(())
}

/// TestSmoke_ParallelDelivery: the delivery of a branch is that of its subscriber, not of its filter.
#[tokio::test]
async fn e4_delivery_spec_of_a_branch() -> TestResult {
    let (filter, subscriber, dead_letter) = (
        appender("-f").await?,
        Subscriber::start().await?,
        Subscriber::start().await?,
    );
    subscriber.otherwise(Answer::status(503));
    let mut with_delivery = filtered(&filter, &subscriber, "/");
    with_delivery["delivery"] =
        json!({"retry": 2, "deadLetterSink": {"uri": dead_letter.url("/")}});
    let gateway = Gateway::with([parallel("par", [with_delivery])])
        .start()
        .await?;
    let response = gateway.post("par-kn-parallel", &event().binary()).await?;
    assert_eq!(response.code(), 202);
    assert_eq!((filter.count(), subscriber.count()), (1, 3));
    let dead = dead_letter.only()?;
    assert_eq!(&dead.body[..], b"x-f");
    assert_eq!(dead.header("ce-knativeerrordest"), subscriber.url("/"));

    filter.otherwise(Answer::status(503));
    let response = gateway.post("par-kn-parallel", &event().binary()).await?;
    assert_eq!(response.code(), 500, "the filter has no dead letter sink");
    assert_eq!((filter.count(), dead_letter.count()), (2, 1));
    Ok(())
}

/// A Parallel as the subscriber of a Trigger and of a channel, with replies into the broker.
#[tokio::test]
async fn a10_2_a_parallel_between_a_broker_and_a_channel() -> TestResult {
    let (step, sink) = (Subscriber::start().await?, Subscriber::start().await?);
    step.otherwise(Answer::transform(|event| event.with("type", "done")));
    let flow = parallel("par", [branch(&step, "/0"), branch(&step, "/1")])
        .spec("reply", reference(&broker("in")));
    let channel = in_memory_channel("in");
    let of_type = |kind: &str| json!({"attributes": {"type": kind}});
    let objects = [
        broker("in"),
        trigger("start", "in", reference(&flow)).spec("filter", of_type("start")),
        trigger("sink", "in", uri(sink.url("/"))).spec("filter", of_type("done")),
        subscription("s", &channel, reference(&flow)),
        channel,
        flow,
    ];
    let gateway = Gateway::with(objects).start().await?;
    let start = event().with("type", "start").binary();
    assert_eq!(gateway.publish("in", &start).await?.code(), 202);
    assert_eq!((step.count(), sink.count()), (2, 2));
    assert_eq!(gateway.post("in", &start).await?.code(), 202);
    assert_eq!((step.count(), sink.count()), (4, 4));
    Ok(())
}
