//! E3: the broker rows of Knative's own suites that are about one broker and what comes out of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use towpath_harness::bed::REPLY;
use towpath_harness::manifest::{broker, trigger, uri};
use towpath_harness::{Answer, Bed, Event, Gateway, Message, Spec, Subscriber, TestResult};

use crate::selection::{Selection, typed};

/// TestBrokerConformance / Ingress: both versions in both modes, not upgraded, unchanged; three content types.
#[tokio::test]
async fn e3_ingress_takes_both_versions_in_both_modes() -> TestResult {
    let bed = Bed::broker().start().await?;
    let mut events = Vec::new();
    for spec in Spec::BOTH {
        events.extend([Event::min(spec), Event::full(spec)]);
    }
    for (kind, data) in [
        ("application/vnd.apache.thrift.binary", "\u{1}\u{0}\u{2}"),
        ("application/xml", "<much wow=\"xml\"/>"),
        ("application/json", "{}"),
    ] {
        events.push(Event::min(Spec::V10).data(kind, data));
    }
    for event in &events {
        for message in [event.binary(), event.structured()] {
            assert_eq!(bed.post(&message).await?.code(), 202, "{message:?}");
            let last = bed.subscriber.requests().pop();
            let arrived = Event::of(&last.ok_or_else(|| anyhow::anyhow!("nothing came"))?)?;
            assert_eq!(arrived.texts(), event.texts());
            assert_eq!(arrived.bytes(), event.bytes());
        }
    }
    assert_eq!(bed.subscriber.count(), 2 * events.len());
    Ok(())
}

/// Event Routing Spec 0 to 5 (6 is `b6_2`).
#[tokio::test]
async fn e3_event_routing() -> TestResult {
    let of = |kind: &str| json!({"filter": {"attributes": {"type": kind}}});
    let cases = [
        ("no filter", vec![("one", json!({}))], vec!["one"]),
        ("mismatch", vec![("one", of("other"))], vec![]),
        ("match", vec![("one", of("t"))], vec!["one"]),
        (
            "two match",
            vec![("one", of("t")), ("two", of("t"))],
            vec!["one", "two"],
        ),
        (
            "one of two",
            vec![("one", of("t")), ("two", of("other"))],
            vec!["one"],
        ),
        (
            "two without filters",
            vec![("one", json!({})), ("two", json!({}))],
            vec!["one", "two"],
        ),
    ];
    for (name, triggers, expected) in cases {
        let mut selection = Selection::of(triggers).await?;
        let result = selection.expect(&typed("t"), &expected).await;
        result.map_err(|error| error.context(name))?;
    }
    Ok(())
}

/// TestBrokerWithManyTriggers: events by filters of type and source (set 1), and with extensions (set 2).
#[tokio::test]
async fn e3_many_triggers_by_type_and_source() -> TestResult {
    many(["type", "source"], Event::min(Spec::V10)).await
}

#[tokio::test]
async fn e3_many_triggers_by_extensions() -> TestResult {
    many(["extname1", "extname2"], typed("any")).await
}

/// Every combination of two attributes over two values, and any value, against every combination of values.
async fn many(names: [&str; 2], base: Event) -> TestResult {
    let [first, second] = names;
    let wanted = ["", "v1", "v2"];
    let mut triggers = Vec::new();
    for a in wanted {
        for b in wanted {
            let filter = json!({"filter": {"attributes": {first: a, second: b}}});
            triggers.push((format!("t{a}-by{b}"), a, b, filter));
        }
    }
    let named = triggers
        .iter()
        .map(|(name, _, _, filter)| (name.as_str(), filter.clone()));
    let mut selection = Selection::of(named).await?;
    for a in ["v1", "v2", "v3"] {
        for b in ["v1", "v2", "v3"] {
            let event = base.clone().with(first, a).with(second, b);
            let expected: Vec<_> = triggers
                .iter()
                .filter(|(_, x, y, _)| ["", a].contains(x) && ["", b].contains(y))
                .map(|(name, ..)| name.as_str())
                .collect();
            selection.expect(&event, &expected).await?;
        }
    }
    Ok(())
}

/// TestBrokerWithDLQ and TestMultiTriggerTopology: a bad Trigger does not disturb a good one.
#[tokio::test]
async fn e3_a_bad_trigger_does_not_disturb_a_good_one() -> TestResult {
    let bed = Bed::broker()
        .dead_letter()
        .and(trigger("bad", "in", uri("bad://uri")))
        .channel_field("delivery.retry", 2)
        .start()
        .await?;
    for id in 0..3 {
        // The bad one has no dead letter sink: its loss is told.
        assert_eq!(bed.event(&Event::numbered(id)).await?.code(), 500);
    }
    assert_eq!((bed.subscriber.count(), bed.dead_letter.count()), (3, 0));
    Ok(())
}

/// TestBrokerDeadLetterSinkExtensions, the three cases of C6.2.
#[tokio::test]
async fn e3_dead_letter_extensions() -> TestResult {
    let gone = Subscriber::start().await?;
    let gone_url = gone.url("");
    gone.stop().await;
    let bed = Bed::broker()
        .subscriber_path("")
        .channel_field("delivery.retry", 3)
        .field("filter.attributes.subject", "here")
        .dead_letter()
        .start()
        .await?;
    let event = Event::full(Spec::V10).with("subject", "here");
    bed.subscriber.script([
        Answer::status(422),
        Answer::body(422, "text/html", "<h1>bad</h1>"),
    ]);
    for _ in 0..2 {
        assert_eq!(bed.event(&event).await?.code(), 202);
    }
    assert_eq!(bed.subscriber.count(), 2, "422 is not tried again");
    let dead = bed.dead_letter.requests();
    assert_eq!(dead.len(), 2);
    for request in &dead {
        assert_eq!(
            request.header("ce-knativeerrordest"),
            bed.subscriber.url(""),
            "no slash added"
        );
        assert_eq!(request.header("ce-knativeerrorcode"), "422");
        assert_eq!(Event::of(request)?.bytes(), event.bytes());
    }
    assert!(!dead[0].headers.contains_key("ce-knativeerrordata"));
    assert_eq!(
        dead[1].header("ce-knativeerrordata"),
        STANDARD.encode("<h1>bad</h1>")
    );

    let sink = Subscriber::start().await?;
    let lost = trigger("lost", "in", uri(&gone_url))
        .spec("delivery", json!({"deadLetterSink": uri(sink.url("/"))}));
    let gateway = Gateway::with([broker("in"), lost]).start().await?;
    assert_eq!(gateway.publish("in", &event.binary()).await?.code(), 202);
    let dead = sink.only()?;
    assert_eq!(dead.header("ce-knativeerrordest"), gone_url);
    assert_eq!(dead.header("ce-knativeerrorcode"), "500");
    Ok(())
}

/// TestBrokerDeliverLongMessage, TestBrokerDeliverLongResponseMessage: exactly one of each.
#[tokio::test]
async fn e3_long_message_and_long_reply() -> TestResult {
    let bed = Bed::broker()
        .field("filter.attributes.type", "ask")
        .reply()
        .start()
        .await?;
    let reply = typed(REPLY).data("text/plain", "y".repeat(36_000));
    bed.subscriber
        .script([Answer::reply(&reply), Answer::reply_structured(&reply)]);
    let event = typed("ask").data("text/plain", "x".repeat(36_864));
    for message in [event.binary(), event.structured()] {
        assert_eq!(bed.post(&message).await?.code(), 202);
    }
    let (asked, replied) = (bed.subscriber.requests(), bed.reply.requests());
    assert_eq!((asked.len(), replied.len()), (2, 2));
    for (asked, replied) in asked.iter().zip(&replied) {
        assert_eq!(asked.body, event.bytes());
        assert_eq!(replied.body, reply.bytes());
    }
    Ok(())
}

/// Trace context goes on from Trigger to Trigger, as extension attributes it is left alone (C4.5).
#[tokio::test]
async fn e3_the_trace_goes_on_through_a_reply() -> TestResult {
    let bed = Bed::broker()
        .field("filter.attributes.type", "ask")
        .reply()
        .start()
        .await?;
    bed.subscriber.script([Answer::reply(&typed(REPLY))]);
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let parent = format!("00-{trace}-b7ad6b7169203331-01");
    let extension = "00-11111111111111111111111111111111-2222222222222222-00";
    let message: Message = typed("ask")
        .with("traceparent", extension)
        .binary()
        .header("traceparent", &parent);
    assert_eq!(bed.post(&message).await?.code(), 202);
    let (asked, replied) = (bed.subscriber.only()?, bed.reply.only()?);
    for request in [&asked, &replied] {
        let header = request.header("traceparent");
        assert!(header.contains(trace) && header != parent, "{header}");
    }
    assert_eq!(asked.header("ce-traceparent"), extension);
    Ok(())
}
