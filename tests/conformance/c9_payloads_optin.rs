//! Who decides how a subscriber gets payloads: Subscription or Trigger, else Sequence or Parallel, else Service, else the
//! setting; and what the dead letter of one that opted in has.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use towpath_harness::manifest::{
    Object, broker, broker_path, channel_path, endpoints, in_memory_channel, parallel, sequence,
    service, subscription, trigger,
};
use towpath_harness::{Answer, Bed, Recorded, Subscriber, TestResult};

use crate::c9_payloads_kit::{
    BULKY, PRESENT, Shelved, at_rest, launch, pattern, references, sized,
};

/// What an annotation may say; none at all at first.
const SAID: [Option<&str>; 4] = [None, Some("Inline"), Some("Reference"), Some("File")];

/// How a request came: `Inline`, `Reference` or `File`. Fails when it is not the event of [`BULKY`] bytes in one of them.
fn form(request: &Recorded) -> Result<&'static str> {
    let (url, size) = (request.header("ce-dataref"), request.header("ce-datasize"));
    if url.is_empty() {
        ensure!(request.body == pattern(BULKY), "not the same bytes");
        ensure!(references(request).is_empty(), "{:?}", references(request));
        return Ok("Inline");
    }
    ensure!(request.body.is_empty(), "{url}, and a body");
    ensure!(size == BULKY.to_string(), "datasize {size}");
    match url.split_once("://").context(url.clone())?.0 {
        "http" => Ok("Reference"),
        "file" => Ok("File"),
        _ => anyhow::bail!("{url}"),
    }
}

fn name(said: Option<&str>) -> String {
    said.unwrap_or("none").to_lowercase()
}

fn say(object: Object, said: Option<&str>) -> Object {
    match said {
        Some(said) => object.annotation(PRESENT, said),
        None => object,
    }
}

/// A Service for each annotation, all with the same replica.
fn services(to: &Subscriber) -> Vec<Object> {
    let mut objects = Vec::new();
    for said in SAID {
        let port = to.address().port();
        objects.push(say(service(&name(said), "http", port), said));
        objects.push(endpoints(&name(said), "http", to.address()));
    }
    objects
}

/// A path of the Service with that annotation.
fn of_service(said: Option<&str>, port: u16, path: &str) -> Value {
    let host = format!("{}.demo.svc.cluster.local", name(said));
    json!({"uri": format!("http://{host}:{port}{path}")})
}

/// The forms of all requests, by their path.
fn forms(subscriber: &Subscriber) -> Result<BTreeMap<String, &'static str>> {
    let requests = subscriber.requests();
    let forms: Result<BTreeMap<_, _>> = requests
        .iter()
        .map(|request| {
            let form = form(request).with_context(|| request.path.clone())?;
            Ok((request.path.clone(), form))
        })
        .collect();
    let forms = forms?;
    ensure!(forms.len() == requests.len(), "a path was asked for twice");
    Ok(forms)
}

/// All pairs of an owner (Subscription, Trigger, Sequence, Parallel) and a Service: the path of a subscriber, and what it
/// is shown where `setting` is the last word.
fn expected(setting: &'static str, paths: &[&str]) -> BTreeMap<String, &'static str> {
    let mut expected = BTreeMap::new();
    for own in SAID {
        for service in SAID {
            for path in paths {
                let path = format!("/{}/{}{path}", name(own), name(service));
                expected.insert(path, own.or(service).unwrap_or(setting));
            }
        }
    }
    expected
}

/// With the setting at its default, and with one that asks for references.
#[tokio::test]
async fn f4_8_a_subscription_or_trigger_decides_before_the_service_and_the_setting() -> TestResult {
    for setting in ["Inline", "Reference"] {
        for is_broker in [false, true] {
            let subscriber = Subscriber::start().await?;
            let (channel, port) = (in_memory_channel("in"), subscriber.address().port());
            let mut objects = services(&subscriber);
            for own in SAID {
                for service in SAID {
                    let path = format!("/{}/{}", name(own), name(service));
                    let (to, of) = (of_service(service, port, &path), path.replace('/', "x"));
                    objects.push(if is_broker {
                        say(trigger(&of, "in", to), own)
                    } else {
                        say(subscription(&of, &channel, to), own)
                    });
                }
            }
            objects.push(if is_broker { broker("in") } else { channel });
            let directory = tempfile::tempdir()?;
            let launch = launch(objects, &directory, "8Mi").set("payloads.present", setting);
            let gateway = launch.start().await?;
            let path = if is_broker {
                broker_path("in")
            } else {
                channel_path("in")
            };
            let message = sized("1", BULKY).binary();
            let answer = gateway.sender().post(&path, &message).await?;
            assert_eq!(answer.code(), 202, "{}", answer.text());
            assert_eq!(
                forms(&subscriber)?,
                expected(setting, &[""]),
                "{setting}, broker: {is_broker}"
            );
            at_rest(&gateway).await?;
        }
    }
    Ok(())
}

/// All steps, whatever their Services say; and nobody else who subscribes to its channel.
#[tokio::test]
async fn f4_8_a_sequence_decides_for_its_steps_before_their_services() -> TestResult {
    let (subscriber, other) = (Subscriber::start().await?, Subscriber::start().await?);
    subscriber.otherwise(Answer::reply(&sized("step", BULKY)));
    let port = subscriber.address().port();
    let mut objects = services(&subscriber);
    for own in SAID {
        let steps = SAID.map(|service| {
            let path = format!("/{}/{}", name(own), name(service));
            of_service(service, port, &path)
        });
        objects.push(say(sequence(&name(own), steps), own));
        let first = in_memory_channel(&format!("{}-kn-sequence-0", name(own)));
        let to = json!({"uri": other.url(&format!("/{}", name(own)))});
        objects.push(subscription(&name(own), &first, to));
    }
    let directory = tempfile::tempdir()?;
    let gateway = launch(objects, &directory, "8Mi").start().await?;
    for own in SAID {
        let channel = format!("{}-kn-sequence-0", name(own));
        let answer = gateway.post(&channel, &sized("1", BULKY).binary()).await?;
        assert_eq!(answer.code(), 202, "{}", answer.text());
    }
    assert_eq!(forms(&subscriber)?, expected("Inline", &[""]));
    let others = forms(&other)?;
    assert_eq!(others.len(), SAID.len());
    assert!(
        others.values().all(|form| *form == "Inline"),
        "not of the Sequence: {others:?}"
    );
    at_rest(&gateway).await
}

/// Both the filters and the subscribers of its branches.
#[tokio::test]
async fn f4_8_a_parallel_decides_for_its_filters_and_branches_before_their_services() -> TestResult
{
    let subscriber = Subscriber::start().await?;
    subscriber.otherwise(Answer::reply(&sized("branch", BULKY)));
    let port = subscriber.address().port();
    let mut objects = services(&subscriber);
    for own in SAID {
        let branches = SAID.map(|service| {
            let path = |of: &str| format!("/{}/{}{of}", name(own), name(service));
            json!({
                "filter": of_service(service, port, &path("/filter")),
                "subscriber": of_service(service, port, &path("/branch")),
            })
        });
        objects.push(say(parallel(&name(own), branches), own));
    }
    let directory = tempfile::tempdir()?;
    let gateway = launch(objects, &directory, "8Mi").start().await?;
    for own in SAID {
        let channel = format!("{}-kn-parallel", name(own));
        let answer = gateway.post(&channel, &sized("1", BULKY).binary()).await?;
        assert_eq!(answer.code(), 202, "{}", answer.text());
    }
    assert_eq!(
        forms(&subscriber)?,
        expected("Inline", &["/filter", "/branch"])
    );
    at_rest(&gateway).await
}

/// The reply of a Sequence goes to somebody who is none of its steps.
#[tokio::test]
async fn f4_8_the_reply_of_a_sequence_is_whole_whatever_its_steps_are_shown() -> TestResult {
    for said in ["Reference", "File"] {
        let (step, sink) = (Subscriber::start().await?, Subscriber::start().await?);
        step.otherwise(Answer::reply(&sized("step", BULKY)));
        let to = |subscriber: &Subscriber| json!({"uri": subscriber.url("/")});
        let object = sequence("seq", [to(&step), to(&step)]).spec("reply", to(&sink));
        let directory = tempfile::tempdir()?;
        let launch = launch([object.annotation(PRESENT, said)], &directory, "8Mi");
        let gateway = launch.start().await?;
        let message = sized("1", BULKY).binary();
        let answer = gateway.post("seq-kn-sequence-0", &message).await?;
        assert_eq!(answer.code(), 202, "{}", answer.text());
        for request in step.requests() {
            assert_eq!(form(&request)?, said);
        }
        assert_eq!(form(&sink.only()?)?, "Inline");
        at_rest(&gateway).await?;
    }
    Ok(())
}

/// C9.5: the dead letter sink did not opt in, so it gets the data, whole, and no reference.
#[tokio::test]
async fn c9_5_the_dead_letter_of_who_is_shown_references_is_whole() -> TestResult {
    for memory in ["8Mi", "0"] {
        for setup in Bed::both() {
            let setup = setup
                .dead_letter()
                .reply()
                .delivery("retry", 1)
                .delivery("backoffDelay", "PT0.01S");
            let shelved = Shelved::shown(setup, "Reference", memory).await?;
            shelved.bed.subscriber.otherwise(Answer::status(503));
            let event = sized("dead", BULKY);
            assert_eq!(shelved.bed.event(&event).await?.code(), 202);
            let attempts = shelved.bed.subscriber.requests();
            assert_eq!(attempts.len(), 2);
            for attempt in &attempts {
                assert_eq!(form(attempt)?, "Reference");
            }
            let dead = shelved.bed.dead_letter.only()?;
            assert_eq!(form(&dead)?, "Inline", "{memory}");
            assert_eq!(references(&dead), BTreeMap::new(), "{memory}");
            assert_eq!(dead.header("content-length"), BULKY.to_string());
            assert_eq!(dead.header("content-type"), "application/octet-stream");
            assert_eq!(dead.header("ce-id"), "dead");
            assert_eq!(dead.header("ce-knativeerrorcode"), "503");
            assert_eq!(
                dead.header("ce-knativeerrordest"),
                shelved.bed.subscriber.url("/")
            );
            shelved.at_rest().await?;
        }
    }
    Ok(())
}
