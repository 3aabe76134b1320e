//! The manifests of each scenario, as a user would write them.

use std::fmt::Write as _;
use std::net::SocketAddr;

/// The annotation that opts in to a presentation.
const PRESENTATION: &str = "towpath.dev/payload";

/// The path of a channel of these manifests.
pub(super) fn channel_path(name: &str) -> String {
    format!("/channels/bench/{name}")
}

/// The channel at which a Sequence of these manifests begins.
pub(super) fn first_of(sequence: &str) -> String {
    format!("{sequence}-kn-sequence-0")
}

/// A Sequence of such steps, each with a URI, and where the last reply goes.
pub(super) fn sequence(
    name: &str,
    presentation: Option<&str>,
    steps: &[String],
    reply: Option<&str>,
) -> String {
    let mut yaml = format!(
        "---
apiVersion: flows.knative.dev/v1
kind: Sequence
metadata: {{name: {name}, namespace: bench{}}}
spec:
  channelTemplate: {{apiVersion: messaging.knative.dev/v1, kind: InMemoryChannel}}
",
        annotations(presentation)
    );
    if let Some(reply) = reply {
        line(&mut yaml, &format!("  reply: {{uri: \"{reply}\"}}"));
    }
    line(&mut yaml, "  steps:");
    for step in steps {
        line(&mut yaml, &format!("  - {{uri: \"{step}\"}}"));
    }
    yaml
}

/// An InMemoryChannel.
pub(super) fn channel(name: &str) -> String {
    format!(
        "---
apiVersion: messaging.knative.dev/v1
kind: InMemoryChannel
metadata: {{name: {name}, namespace: bench}}
"
    )
}

/// A Subscription, and the channel that its replies go to.
pub(super) fn subscription(
    name: &str,
    channel: &str,
    presentation: Option<&str>,
    subscriber: &str,
    reply: Option<&str>,
) -> String {
    let kind = "apiVersion: messaging.knative.dev/v1, kind: InMemoryChannel";
    let mut yaml = format!(
        "---
apiVersion: messaging.knative.dev/v1
kind: Subscription
metadata: {{name: {name}, namespace: bench{}}}
spec:
  channel: {{{kind}, name: {channel}}}
  subscriber: {{uri: \"{subscriber}\"}}
",
        annotations(presentation)
    );
    if let Some(reply) = reply {
        line(
            &mut yaml,
            &format!("  reply: {{ref: {{{kind}, name: {reply}}}}}"),
        );
    }
    yaml
}

/// A channel `fan` with so many subscriptions; and the paths of their sinks.
pub(super) fn fan_out(subscriptions: u32, sink: SocketAddr) -> (String, Vec<String>) {
    let mut yaml = channel("fan");
    let mut places = Vec::new();
    for number in 0..subscriptions {
        let place = format!("/sink/{number}");
        let to = url(sink, &place);
        yaml += &subscription(&format!("fan-{number}"), "fan", None, &to, None);
        places.push(place);
    }
    (yaml, places)
}

/// So many channels in a row, from `hop-000` on, each with a subscription that passes a reference on; and the paths of
/// the subscribers. All names have one length.
pub(super) fn chain(hops: u32, subscriber: SocketAddr) -> (String, Vec<String>) {
    let mut yaml = String::new();
    let mut places = Vec::new();
    let name = |number: u32| format!("hop-{number:03}");
    for number in 0..hops {
        let last = number + 1 == hops;
        let place = if last { "/pass-end/" } else { "/pass/" };
        let place = format!("{place}{number:03}");
        let next = name(number + 1);
        let reply = (!last).then_some(next.as_str());
        yaml += &channel(&name(number));
        yaml += &subscription(
            &format!("pass-{number:03}"),
            &name(number),
            Some("Reference"),
            &url(subscriber, &place),
            reply,
        );
        places.push(place);
    }
    (yaml, places)
}

/// The URL of a place of a step process.
pub(super) fn url(process: SocketAddr, place: &str) -> String {
    format!("http://{process}{place}")
}

fn annotations(presentation: Option<&str>) -> String {
    presentation.map_or_else(String::new, |presentation| {
        format!(", annotations: {{{PRESENTATION}: {presentation}}}")
    })
}

fn line(yaml: &mut String, text: &str) {
    // writing to a string does not fail
    let _ = writeln!(yaml, "{text}");
}

#[cfg(test)]
mod tests {
    use super::{chain, fan_out, first_of, sequence};
    use std::net::SocketAddr;

    #[test]
    fn a_chain_ends_and_all_before_reply_to_the_next() {
        let process = SocketAddr::from(([127, 0, 0, 1], 1));
        let (yaml, places) = chain(3, process);
        assert_eq!(places, ["/pass/000", "/pass/001", "/pass-end/002"]);
        assert_eq!(yaml.matches("reply:").count(), 2);
        assert_eq!(yaml.matches("towpath.dev/payload: Reference").count(), 3);
        assert!(yaml.contains("reply: {ref: {apiVersion: messaging.knative.dev/v1, kind: InMemoryChannel, name: hop-002}}"));
        let (yaml, places) = fan_out(50, process);
        assert_eq!(
            (yaml.matches("kind: Subscription").count(), places.len()),
            (50, 50)
        );
    }

    #[test]
    fn a_sequence_is_in_the_form_of_knative() {
        let yaml = sequence(
            "files",
            Some("File"),
            &["http://a/".to_owned()],
            Some("http://b/"),
        );
        assert!(yaml.contains(
            "metadata: {name: files, namespace: bench, annotations: {towpath.dev/payload: File}}"
        ));
        assert!(
            yaml.contains("  reply: {uri: \"http://b/\"}\n  steps:\n  - {uri: \"http://a/\"}\n")
        );
        assert_eq!(first_of("files"), "files-kn-sequence-0");
    }
}
