//! C4: which headers travel, and which we add.

use std::collections::BTreeSet;

use towpath_harness::manifest::{in_memory_channel, subscription, uri};
use towpath_harness::{
    Answer, Bed, Event, Gateway, Message, Recorded, Spec, Subscriber, TestResult,
};

const PASS: [(&str, &str); 6] = [
    ("x-request-id", "r-1"),
    ("retry-after", "7"),
    ("knative-hello", "world"),
    ("Knative-Other", "two words"),
    ("x-b3-traceid", "463ac35c9f6413ad48485a3953bb6124"),
    ("X-B3-Sampled", "1"),
];

const STOP: [(&str, &str); 8] = [
    ("authorization", "Bearer secret"),
    ("cookie", "a=b"),
    ("accept", "text/html"),
    ("x-custom", "1"),
    ("b3", "0"),
    ("forwarded", "for=1.2.3.4"),
    ("user-agent", "curl/8"),
    ("kn-namespace", "forged"),
];

fn with_all(message: Message) -> Message {
    PASS.iter()
        .chain(&STOP)
        .fold(message, |message, (name, value)| {
            message.header(name, value)
        })
}

/// Fails unless the pass-through headers came, and of the others only what the gateway itself says.
fn assert_passed(request: &Recorded, what: &str) {
    for (name, value) in PASS {
        assert_eq!(request.header(name), value, "{what}: {name}");
    }
    for (name, value) in STOP {
        assert_ne!(request.header(name), value, "{what}: {name}");
    }
}

#[tokio::test]
async fn c4_1_exactly_the_pass_through_headers_reach_the_subscriber() -> TestResult {
    let bed = Bed::start().await?;
    assert_eq!(
        bed.post(&with_all(Event::full(Spec::V10).binary()))
            .await?
            .code(),
        202
    );
    assert_eq!(
        bed.post(&with_all(Event::full(Spec::V10).structured()))
            .await?
            .code(),
        202
    );
    for request in bed.subscriber.requests() {
        assert_passed(&request, "subscriber");
        let names: BTreeSet<&str> = request
            .headers
            .keys()
            .map(http::HeaderName::as_str)
            .collect();
        let ours = [
            "host",
            "content-type",
            "content-length",
            "prefer",
            "kn-namespace",
            "traceparent",
            "user-agent",
        ];
        let foreign: Vec<_> = names
            .iter()
            .filter(|name| !name.starts_with("ce-") && !ours.contains(name))
            .filter(|name| !PASS.iter().any(|(pass, _)| pass.eq_ignore_ascii_case(name)))
            .collect();
        assert!(foreign.is_empty(), "unexpected headers: {foreign:?}");
    }
    Ok(())
}

/// Also TestChannelPreferHeaderCheck (E2).
#[tokio::test]
async fn c4_2_prefer_reply_goes_to_subscribers_only() -> TestResult {
    let bed = Bed::setup().reply().dead_letter().start().await?;
    bed.subscriber
        .script([Answer::reply(&Event::numbered(1)), Answer::status(400)]);
    let forged = Event::full(Spec::V10).binary().header("prefer", "forged");
    assert_eq!(bed.post(&forged).await?.code(), 202);
    assert_eq!(bed.post(&forged).await?.code(), 202);
    for request in bed.subscriber.requests() {
        assert_eq!(
            request.headers.get_all("prefer").iter().collect::<Vec<_>>(),
            ["reply"]
        );
    }
    for request in [bed.reply.only()?, bed.dead_letter.only()?] {
        assert!(
            !request.headers.contains_key("prefer"),
            "{:?}",
            request.headers
        );
    }
    Ok(())
}

/// Also "with header Kn-Namespace" of TestChannelDeadLetterSink (E2).
#[tokio::test]
async fn c4_3_kn_namespace_is_on_every_request() -> TestResult {
    let bed = Bed::setup().reply().dead_letter().start().await?;
    bed.subscriber
        .script([Answer::reply(&Event::numbered(1)), Answer::status(400)]);
    bed.event(&Event::full(Spec::V10)).await?;
    bed.event(&Event::full(Spec::V10)).await?;
    let mut requests = bed.subscriber.requests();
    requests.extend([bed.reply.only()?, bed.dead_letter.only()?]);
    for request in requests {
        assert_eq!(request.header("kn-namespace"), "demo", "{request:?}");
    }
    Ok(())
}

#[tokio::test]
async fn c4_4_reply_has_the_headers_of_the_response_and_dead_letter_those_of_the_request()
-> TestResult {
    let bed = Bed::setup().reply().dead_letter().start().await?;
    let answer = |code| {
        Answer::message(code, Event::numbered("r").binary())
            .header("knative-from", "response")
            .header("x-request-id", "r-2")
            .header("set-cookie", "a=b")
    };
    bed.subscriber
        .script([answer(200), answer(400), answer(200)]);
    let request = Event::full(Spec::V10)
        .binary()
        .header("knative-from", "request")
        .header("knative-only", "request");
    assert_eq!(bed.post(&request).await?.code(), 202);
    let reply = bed.reply.only()?;
    assert_eq!(
        (
            reply.header("knative-from").as_str(),
            reply.header("x-request-id").as_str()
        ),
        ("response", "r-2")
    );
    assert!(
        !reply.headers.contains_key("knative-only") && !reply.headers.contains_key("set-cookie")
    );

    assert_eq!(bed.post(&request).await?.code(), 202);
    let dead = bed.dead_letter.only()?;
    assert_eq!(
        (
            dead.header("knative-from").as_str(),
            dead.header("knative-only").as_str()
        ),
        ("request", "request")
    );

    bed.reply.script([Answer::status(400)]);
    assert_eq!(bed.post(&request).await?.code(), 202);
    let dead = bed
        .dead_letter
        .requests()
        .pop()
        .ok_or_else(|| anyhow::anyhow!("no dead letter"))?;
    assert_eq!(
        dead.header("knative-from"),
        "response",
        "after a failed reply"
    );
    assert_eq!(bed.dead_letter.count(), 2);
    Ok(())
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn trace(request: &Recorded) -> (String, String) {
    let parent = request.header("traceparent");
    let parts: Vec<&str> = parent.split('-').collect();
    assert!(
        parts.len() == 4 && parts[0] == "00",
        "traceparent: {parent:?}"
    );
    assert!(
        parts[1].len() == 32 && parts[1] != "0".repeat(32),
        "traceparent: {parent:?}"
    );
    assert!(
        parts[2].len() == 16 && parts[2] != "0".repeat(16),
        "traceparent: {parent:?}"
    );
    (parts[1].to_owned(), parts[2].to_owned())
}

/// G3.1 too: one trace over subscriber, reply and dead letter, a new span for each request.
#[tokio::test]
async fn c4_5_every_hop_continues_the_trace() -> TestResult {
    let bed = Bed::setup().reply().dead_letter().start().await?;
    bed.subscriber
        .script([Answer::reply(&Event::numbered(1)), Answer::status(400)]);
    let message = Event::full(Spec::V10)
        .with(
            "traceparent",
            "00-00000000000000000000000000000001-0000000000000001-00",
        )
        .binary()
        .header("traceparent", PARENT)
        .header("tracestate", "vendor=1,other=2")
        .header("baggage", "user=alice");
    bed.post(&message).await?;
    bed.post(&message).await?;
    let mut requests = bed.subscriber.requests();
    requests.extend([bed.reply.only()?, bed.dead_letter.only()?]);
    let mut spans = BTreeSet::from(["00f067aa0ba902b7".to_owned()]);
    for request in &requests {
        let (id, span) = trace(request);
        assert_eq!(id, "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(spans.insert(span), "a span id is used twice");
        assert_eq!(request.header("tracestate"), "vendor=1,other=2");
        assert_eq!(request.header("baggage"), "user=alice");
        assert!(
            request.header("traceparent").ends_with("-01"),
            "the sampling decision is kept"
        );
    }
    let attribute = bed.subscriber.requests()[0].header("ce-traceparent");
    assert_eq!(
        attribute, "00-00000000000000000000000000000001-0000000000000001-00",
        "the attribute is the user's"
    );
    Ok(())
}

#[tokio::test]
async fn c4_5_without_a_valid_trace_a_new_one_begins() -> TestResult {
    let bed = Bed::start().await?;
    let bad = [
        "",
        "garbage",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
    ];
    for parent in bad {
        let message = Event::full(Spec::V10)
            .binary()
            .header("traceparent", parent)
            .header("tracestate", "a=b");
        assert_eq!(bed.post(&message).await?.code(), 202, "{parent}");
    }
    let mut ids = BTreeSet::new();
    for request in bed.subscriber.requests() {
        let (id, _) = trace(&request);
        assert_ne!(id, "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(ids.insert(id), "two traces of one id");
        assert!(
            !request.headers.contains_key("tracestate"),
            "tracestate belongs to a valid traceparent"
        );
    }
    Ok(())
}

#[tokio::test]
async fn c4_7_post_to_path_and_query_as_configured() -> TestResult {
    for path in [
        "/",
        "/a/b%20c?x=y&z=%2F",
        "/triggers/ns/name/uid",
        "/trailing/",
    ] {
        let bed = Bed::setup().subscriber_path(path).start().await?;
        assert_eq!(bed.event(&Event::full(Spec::V10)).await?.code(), 202);
        let request = bed.subscriber.only()?;
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("POST", path)
        );
        assert_eq!(request.header("host"), bed.subscriber.address().to_string());
    }
    Ok(())
}

#[tokio::test]
async fn c4_7_other_schemes_become_http_at_the_root() -> TestResult {
    let subscriber = Subscriber::start().await?;
    let channel = in_memory_channel("in");
    let to = subscription(
        "s",
        &channel,
        uri(format!("bad://{}/dropped?q=1", subscriber.address())),
    );
    let gateway = Gateway::with([channel, to]).start().await?;
    assert_eq!(
        gateway
            .post("in", &Event::full(Spec::V10).binary())
            .await?
            .code(),
        202
    );
    assert_eq!(subscriber.only()?.path, "/");
    Ok(())
}
