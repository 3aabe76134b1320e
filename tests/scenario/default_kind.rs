//! A9: a generic Channel without a template takes the default kind, from Knative's own ConfigMap or built in.

use serde_json::json;
use towpath_harness::manifest::{Object, channel, subscription, uri};
use towpath_harness::{Event, Gateway, Spec, Subscriber, TestResult};

fn defaults(yaml: &str) -> Object {
    let mut object = Object::new("v1", "ConfigMap", "default-ch-webhook");
    object.metadata["namespace"] = json!("knative-eventing");
    object.field("data", json!({"default-ch-config": yaml}))
}

#[tokio::test]
async fn a_channel_without_a_template_runs() -> TestResult {
    let towpath = "clusterDefault:\n  apiVersion: towpath.dev/v1alpha1\n  kind: TowpathChannel\n";
    let namespaced = "clusterDefault:\n  apiVersion: messaging.knative.dev/v1\n  kind: InMemoryChannel\nnamespaceDefaults:\n  \
                      demo:\n    apiVersion: towpath.dev/v1alpha1\n    kind: TowpathChannel\n    spec: {}\n";
    for config in [None, Some(towpath), Some(namespaced)] {
        let subscriber = Subscriber::start().await?;
        let in_channel = channel("in");
        let to = subscription("s", &in_channel, uri(subscriber.url("/")));
        let objects = [in_channel, to].into_iter().chain(config.map(defaults));
        let gateway = Gateway::with(objects).start().await?;
        assert_eq!(
            gateway
                .post("in", &Event::full(Spec::V10).binary())
                .await?
                .code(),
            202
        );
        assert_eq!(subscriber.count(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_channel_with_a_template_runs_and_takes_its_delivery_spec() -> TestResult {
    let (failing, dead_letter) = (Subscriber::start().await?, Subscriber::start().await?);
    failing.otherwise(towpath_harness::Answer::status(503));
    let in_channel = channel("in").spec(
        "channelTemplate",
        json!({
            "apiVersion": "towpath.dev/v1alpha1", "kind": "TowpathChannel",
            "spec": {"delivery": {"retry": 1, "deadLetterSink": {"uri": dead_letter.url("/")}}},
        }),
    );
    let to = subscription("s", &in_channel, uri(failing.url("/")));
    let gateway = Gateway::with([in_channel, to]).start().await?;
    assert_eq!(
        gateway
            .post("in", &Event::full(Spec::V10).binary())
            .await?
            .code(),
        202
    );
    assert_eq!((failing.count(), dead_letter.count()), (2, 1));
    Ok(())
}
