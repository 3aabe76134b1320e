//! C8.9, B4.13: whose delivery spec holds, the Broker's or the Trigger's; C8.14 and the Broker's defaults.

use serde_json::{Value, json};
use towpath_harness::manifest::{Object, broker, trigger, uri};
use towpath_harness::{Answer, Event, Gateway, Recorded, Spec, Subscriber, TestResult};

use crate::selection::typed;

/// A broker and one Trigger, each with a dead letter sink to name in its delivery spec.
struct Two {
    gateway: Gateway,
    subscriber: Subscriber,
    of_broker: Subscriber,
    of_trigger: Subscriber,
}

/// Where a delivery spec wants its dead letters.
const SINK: &str = "SINK";

async fn two(of_broker: Option<Value>, of_trigger: Option<Value>) -> anyhow::Result<Two> {
    two_with(of_broker, of_trigger, []).await
}

async fn two_with(
    of_broker: Option<Value>,
    of_trigger: Option<Value>,
    others: impl IntoIterator<Item = Object>,
) -> anyhow::Result<Two> {
    let (subscriber, broker_sink, trigger_sink) = (
        Subscriber::start().await?,
        Subscriber::start().await?,
        Subscriber::start().await?,
    );
    let with = |object: Object, delivery: Option<Value>, sink: &Subscriber| match delivery {
        None => object,
        Some(mut delivery) => {
            if delivery["deadLetterSink"] == SINK {
                delivery["deadLetterSink"] = uri(sink.url("/"));
            }
            object.spec("delivery", delivery)
        }
    };
    let objects = [
        with(broker("in"), of_broker, &broker_sink),
        with(
            trigger("t", "in", uri(subscriber.url("/"))),
            of_trigger,
            &trigger_sink,
        ),
    ];
    Ok(Two {
        gateway: Gateway::with(objects.into_iter().chain(others))
            .start()
            .await?,
        subscriber,
        of_broker: broker_sink,
        of_trigger: trigger_sink,
    })
}

impl Two {
    /// Attempts, dead letters of the Broker, dead letters of the Trigger, when the first `failures` attempts fail.
    async fn counts(&self, failures: usize) -> anyhow::Result<(usize, usize, usize)> {
        let before = self.now();
        self.subscriber
            .script((0..failures).map(|_| Answer::status(503)));
        self.gateway.publish("in", &typed("t").binary()).await?;
        let now = self.now();
        Ok((now.0 - before.0, now.1 - before.1, now.2 - before.2))
    }

    fn now(&self) -> (usize, usize, usize) {
        (
            self.subscriber.count(),
            self.of_broker.count(),
            self.of_trigger.count(),
        )
    }
}

/// Delivery Spec 0 to 4, and what the text says beyond them.
#[tokio::test]
async fn c8_9_whose_delivery_spec_holds() -> TestResult {
    let three = || json!({"retry": 3, "deadLetterSink": SINK});
    // (Broker, Trigger, failures, (attempts, Broker's dead letters, Trigger's dead letters))
    let cases = [
        ("none", None, None, 1, (1, 0, 0)),
        ("Broker only, enough", Some(three()), None, 3, (4, 0, 0)),
        ("Broker only, too few", Some(three()), None, 4, (4, 1, 0)),
        (
            "Trigger only, enough",
            Some(json!({"retry": 0})),
            Some(three()),
            3,
            (4, 0, 0),
        ),
        (
            "Trigger only, too few",
            Some(json!({"retry": 0})),
            Some(three()),
            4,
            (4, 0, 1),
        ),
        (
            "Trigger only, Broker silent",
            None,
            Some(three()),
            4,
            (4, 0, 1),
        ),
        (
            "both, enough",
            Some(json!({"retry": 1, "deadLetterSink": SINK})),
            Some(three()),
            3,
            (4, 0, 0),
        ),
        (
            "both with sinks",
            Some(json!({"retry": 1, "deadLetterSink": SINK})),
            Some(three()),
            4,
            (4, 0, 1),
        ),
        (
            "both, sink of the Broker only",
            Some(three()),
            Some(json!({"retry": 1})),
            2,
            (2, 1, 0),
        ),
        (
            "zero counts as set",
            Some(three()),
            Some(json!({"retry": 0})),
            1,
            (1, 1, 0),
        ),
        (
            "a sink alone is a delivery spec",
            Some(three()),
            Some(json!({"deadLetterSink": SINK})),
            1,
            (1, 0, 1),
        ),
        (
            "other fields do not come from the Broker",
            Some(three()),
            Some(json!({"backoffPolicy": "linear", "backoffDelay": "PT0.01S"})),
            1,
            (1, 1, 0),
        ),
    ];
    for (name, of_broker, of_trigger, failures, expected) in cases {
        let two = two(of_broker, of_trigger).await?;
        assert_eq!(two.counts(failures).await?, expected, "{name}");
    }
    Ok(())
}

/// Two Triggers with sinks of their own under a Broker with one (TestTriggerWithDLS): each failure goes to its own.
#[tokio::test]
async fn c8_9_each_trigger_has_its_own_sink() -> TestResult {
    let (failing, of_broker, of_first) = (
        Subscriber::start().await?,
        Subscriber::start().await?,
        Subscriber::start().await?,
    );
    failing.otherwise(Answer::status(400));
    let objects = [
        broker("in").spec("delivery.deadLetterSink", uri(of_broker.url("/"))),
        trigger("first", "in", uri(failing.url("/first")))
            .spec("delivery.deadLetterSink", uri(of_first.url("/"))),
        trigger("second", "in", uri(failing.url("/second"))),
    ];
    let gateway = Gateway::with(objects).start().await?;
    for id in 0..3 {
        let event = Event::numbered(id).binary();
        assert_eq!(gateway.publish("in", &event).await?.code(), 202);
    }
    let dest = |requests: Vec<Recorded>| -> Vec<String> {
        requests
            .iter()
            .map(|request| request.header("ce-knativeerrordest"))
            .collect()
    };
    assert_eq!(dest(of_first.requests()), vec![failing.url("/first"); 3]);
    assert_eq!(dest(of_broker.requests()), vec![failing.url("/second"); 3]);
    Ok(())
}

/// The Broker's timeout and backoff hold for a Trigger without delivery spec (B4.13).
#[tokio::test]
async fn b4_13_the_brokers_whole_delivery_spec_holds() -> TestResult {
    let delivery = json!({
        "retry": 1, "timeout": "PT0.5S", "backoffPolicy": "linear", "backoffDelay": "PT0.3S",
        "deadLetterSink": SINK,
    });
    let two = two(Some(delivery), None).await?;
    two.subscriber.otherwise(Answer::Hang);
    let event = typed("t").binary();
    assert_eq!(two.gateway.publish("in", &event).await?.code(), 202);
    assert_eq!(two.now(), (2, 1, 0));
    let requests = two.subscriber.requests();
    // 800 ms, less what the first request took to arrive.
    let gap = requests[1].at - requests[0].at;
    assert!(gap.as_millis() >= 700, "timeout and backoff: {gap:?}");
    Ok(())
}

/// TestBrokerRedelivery (C8.14) with shorter waits: the sink fails by the Fibonacci sequence, or the first five times.
#[tokio::test]
async fn c8_14_redelivery() -> TestResult {
    let delivery = || json!({"retry": 5, "backoffPolicy": "linear", "backoffDelay": "PT0.01S"});
    let fibonacci = two(Some(delivery()), None).await?;
    let fails = |attempt: usize| [1, 2, 3, 5, 8, 13, 21].contains(&attempt);
    fibonacci
        .subscriber
        .script((1..=22).map(|attempt| Answer::status(if fails(attempt) { 409 } else { 202 })));
    for id in 0..10 {
        let event = Event::numbered(id).binary();
        assert_eq!(fibonacci.gateway.publish("in", &event).await?.code(), 202);
    }
    let mut arrived: Vec<_> = fibonacci
        .subscriber
        .requests()
        .iter()
        .enumerate()
        .filter(|(index, _)| !fails(index + 1))
        .map(|(_, request)| request.header("ce-id"))
        .collect();
    arrived.sort();
    let expected: Vec<_> = (0..10).map(|id| id.to_string()).collect();
    assert_eq!(arrived, expected);

    let first_five = two(Some(delivery()), None).await?;
    assert_eq!(first_five.counts(5).await?, (6, 0, 0));
    Ok(())
}

/// TestBrokerDefaultDelivery: a Broker without delivery spec has that of `config-br-defaults` (B1.3, B1.5).
#[tokio::test]
async fn b1_5_the_default_delivery_of_brokers() -> TestResult {
    let sink = Subscriber::start().await?;
    let defaults = json!({"clusterDefault": {
        "brokerClass": "MTChannelBasedBroker",
        "apiVersion": "v1", "kind": "ConfigMap", "name": "config-br-default-channel", "namespace": "knative-eventing",
        "delivery": {"retry": 2, "backoffPolicy": "exponential", "backoffDelay": "PT0.01S",
                     "deadLetterSink": {"uri": sink.url("/")}},
    }});
    let config = Object::new("v1", "ConfigMap", "config-br-defaults")
        .in_namespace("knative-eventing")
        .field("data", json!({"default-br-config": defaults.to_string()}));
    let silent = two_with(None, None, [config.clone()]).await?;
    silent.subscriber.otherwise(Answer::status(503));
    let event = Event::full(Spec::V10).binary();
    assert_eq!(silent.gateway.publish("in", &event).await?.code(), 202);
    assert_eq!((silent.subscriber.count(), sink.count()), (3, 1));

    let explicit = two_with(Some(json!({"retry": 0})), None, [config]).await?;
    explicit.subscriber.otherwise(Answer::status(503));
    assert_eq!(explicit.gateway.publish("in", &event).await?.code(), 500);
    assert_eq!((explicit.subscriber.count(), sink.count()), (1, 1));
    Ok(())
}
