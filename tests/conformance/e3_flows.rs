//! E3: the rows of Knative's own suites in which a broker is one part of a flow.

use serde_json::json;
use towpath_harness::manifest::{
    broker, in_memory_channel, reference, sequence, subscription, trigger, uri,
};
use towpath_harness::{Answer, Event, Gateway, Spec, Subscriber, TestResult};

use crate::selection::typed;

fn of_type(kind: &str) -> serde_json::Value {
    json!({"attributes": {"type": kind}})
}

/// TestBrokerWorkFlowWithTransformation: Trigger, transformer, reply, Trigger, channel, sink.
#[tokio::test]
async fn e3_workflow_with_transformation() -> TestResult {
    let (transformer, sink, untouched) = (
        Subscriber::start().await?,
        Subscriber::start().await?,
        Subscriber::start().await?,
    );
    transformer.otherwise(Answer::transform(|event| {
        event
            .with("type", "transformed")
            .with("source", "/transformer")
            .data("application/json", r#"{"msg":"transformed"}"#)
    }));
    let channel = in_memory_channel("channel");
    let objects = [
        broker("in"),
        trigger("transform", "in", uri(transformer.url("/"))).spec("filter", of_type("raw")),
        trigger("forward", "in", reference(&channel)).spec("filter", of_type("transformed")),
        trigger("other", "in", uri(untouched.url("/"))).spec("filter", of_type("other")),
        subscription("sink", &channel, uri(sink.url("/"))),
        channel,
    ];
    let gateway = Gateway::with(objects).start().await?;
    for (kind, id) in [("raw", "1"), ("other", "2"), ("raw", "3")] {
        let event = typed(kind).with("id", id).with("exa", "kept");
        assert_eq!(gateway.publish("in", &event.binary()).await?.code(), 202);
    }
    assert_eq!(transformer.count(), 2);
    assert_eq!(untouched.only()?.header("ce-type"), "other");
    let requests = sink.requests();
    assert_eq!(requests.len(), 2);
    for (request, id) in requests.iter().zip(["1", "3"]) {
        let arrived = Event::of(request)?;
        assert_eq!(arrived.text("type"), "transformed");
        assert_eq!(arrived.text("id"), id);
        assert_eq!(arrived.text("exa"), "kept");
        assert_eq!(&arrived.bytes()[..], br#"{"msg":"transformed"}"#);
    }
    Ok(())
}

/// TestBrokerAsMiddleware: what goes in comes out, exactly once.
#[tokio::test]
async fn e3_broker_as_middleware() -> TestResult {
    let sink = Subscriber::start().await?;
    let gateway = Gateway::with([broker("in"), trigger("via", "in", uri(sink.url("/")))])
        .start()
        .await?;
    for spec in Spec::BOTH {
        let before = sink.count();
        let event = Event::full(spec);
        assert_eq!(gateway.publish("in", &event.binary()).await?.code(), 202);
        let requests = sink.requests();
        assert_eq!(requests.len() - before, 1);
        assert_eq!(Event::of(&requests[before])?.texts(), event.texts());
    }
    Ok(())
}

/// Several rounds through one broker: each reply is the next question.
#[tokio::test]
async fn e3_a_chain_of_triggers_of_one_broker() -> TestResult {
    let (step, sink) = (Subscriber::start().await?, Subscriber::start().await?);
    step.otherwise(Answer::transform(|event| {
        let number: u32 = event
            .text("type")
            .trim_start_matches("step-")
            .parse()
            .unwrap_or_default();
        let data = [&event.bytes()[..], number.to_string().as_bytes()].concat();
        event
            .with("type", format!("step-{}", number + 1))
            .data("text/plain", data)
    }));
    let mut objects = vec![
        broker("in"),
        trigger("sink", "in", uri(sink.url("/"))).spec("filter", of_type("step-5")),
    ];
    objects.extend((0..5).map(|number| {
        trigger(&format!("t{number}"), "in", uri(step.url("/")))
            .spec("filter", of_type(&format!("step-{number}")))
    }));
    let gateway = Gateway::with(objects).start().await?;
    let event = typed("step-0").data("text/plain", "x");
    assert_eq!(gateway.publish("in", &event.binary()).await?.code(), 202);
    assert_eq!(step.count(), 5);
    assert_eq!(&sink.only()?.body[..], b"x01234");
    Ok(())
}

/// A Sequence as subscriber of a Trigger, whose last reply goes back into the broker.
#[tokio::test]
async fn e3_a_sequence_between_two_triggers() -> TestResult {
    let (step, sink) = (Subscriber::start().await?, Subscriber::start().await?);
    step.otherwise(Answer::transform(|event| {
        let data = [&event.bytes()[..], b"+"].concat();
        event.with("type", "done").data("text/plain", data)
    }));
    let steps = [uri(step.url("/1")), uri(step.url("/2"))];
    let flow = sequence("flow", steps).spec("reply", reference(&broker("in")));
    let objects = [
        broker("in"),
        trigger("start", "in", reference(&flow)).spec("filter", of_type("start")),
        trigger("sink", "in", uri(sink.url("/"))).spec("filter", of_type("done")),
        flow,
    ];
    let gateway = Gateway::with(objects).start().await?;
    let event = typed("start").data("text/plain", "x");
    assert_eq!(gateway.publish("in", &event.binary()).await?.code(), 202);
    assert_eq!(&sink.only()?.body[..], b"x++");
    Ok(())
}

/// TestSmoke_Broker, TestSmoke_Trigger: names, also long ones.
#[tokio::test]
async fn e3_names_of_brokers_and_triggers() -> TestResult {
    let sink = Subscriber::start().await?;
    let long = "a".repeat(63);
    let names = [
        "customname",
        "name-with-dash",
        "name1with2numbers3",
        long.as_str(),
    ];
    let objects = names
        .iter()
        .flat_map(|name| [broker(name), trigger(name, name, uri(sink.url("/")))]);
    let gateway = Gateway::with(objects).start().await?;
    for name in names {
        let event = Event::full(Spec::V10).binary();
        assert_eq!(gateway.publish(name, &event).await?.code(), 202, "{name}");
    }
    assert_eq!(sink.count(), names.len());
    Ok(())
}
