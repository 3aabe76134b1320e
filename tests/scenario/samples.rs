//! Each sample of `config/samples` as it is, by the real binary, with subscribers of our own behind its Services.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context;
use serde_json::Value;
use towpath_harness::manifest::channel_path;
use towpath_harness::{Answer, Event, Gateway, Response, Spec, Subscriber, TestResult, command};

/// Every sample, and so every test below.
const SAMPLES: [&str; 6] = [
    "broker",
    "fan-out",
    "hop-policy",
    "mixed",
    "parallel",
    "sequence",
];

/// A running sample: the parties behind its Services by their names.
pub(crate) struct Sample {
    pub(crate) parties: BTreeMap<String, Subscriber>,
    /// Its manifests, with endpoints that are ours.
    pub(crate) manifests: String,
}

impl Sample {
    /// Reads a sample, and puts a subscriber in the place of each endpoint.
    pub(crate) async fn read(name: &str) -> anyhow::Result<Self> {
        let folder = command::workspace().join("config/samples").join(name);
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "yaml")
            {
                files.push(path);
            }
        }
        files.sort();
        let mut sample = Sample {
            parties: BTreeMap::new(),
            manifests: String::new(),
        };
        for path in files {
            let text = fs::read_to_string(&path)?;
            let text = match path
                .file_name()
                .is_some_and(|name| name == "endpoints.yaml")
            {
                true => sample.with_parties(&text).await?,
                false => text,
            };
            sample.manifests.push_str(&format!("---\n{text}\n"));
        }
        Ok(sample)
    }

    /// Replaces each port of the endpoints by that of a subscriber. The first of a Service has its name, further ones that
    /// of their slice.
    async fn with_parties(&mut self, endpoints: &str) -> anyhow::Result<String> {
        let (mut service, mut slice) = (None, None);
        let mut text = String::new();
        for line in endpoints.lines() {
            let trimmed = line.trim();
            if let Some(name) = trimmed.strip_prefix("kubernetes.io/service-name: ") {
                service = Some(name.to_owned());
            } else if let Some(name) = trimmed.strip_prefix("name: ") {
                slice.get_or_insert_with(|| name.to_owned());
            }
            match trimmed.strip_prefix("port: ") {
                Some(port) => {
                    let party = Subscriber::start().await?;
                    text.push_str(&line.replace(port, &party.address().port().to_string()));
                    let (service, slice) = (service.take(), slice.take());
                    let name = service.context("a port before its Service")?;
                    let name = match (self.parties.contains_key(&name), slice) {
                        (true, Some(slice)) => slice,
                        _ => name,
                    };
                    self.parties.insert(name, party);
                }
                None => text.push_str(line),
            }
            text.push('\n');
        }
        Ok(text)
    }

    fn party(&self, name: &str) -> anyhow::Result<&Subscriber> {
        self.parties
            .get(name)
            .with_context(|| format!("no Service {name} in the endpoints"))
    }

    /// How many requests each party had, but for those that had none.
    fn counts(&self) -> BTreeMap<&str, usize> {
        self.parties
            .iter()
            .map(|(name, party)| (name.as_str(), party.count()))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    async fn start(&self) -> anyhow::Result<Gateway> {
        Gateway::with_text(self.manifests.clone()).start().await
    }
}

/// A step that replies with the event and its own name behind the data.
fn step(name: &'static str) -> Answer {
    Answer::transform(move |event| {
        let data = format!("{}{name};", String::from_utf8_lossy(&event.bytes()));
        event.data("text/plain", data)
    })
}

fn event(kind: &str) -> Event {
    Event::full(Spec::V10)
        .with("type", kind)
        .data("text/plain", "")
}

fn accepted(response: &Response) {
    assert_eq!(response.code(), 202, "{}", response.text());
}

#[tokio::test]
async fn every_sample_is_tested_listed_and_good() -> TestResult {
    let folder = command::workspace().join("config/samples");
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found.sort();
    assert_eq!(found, SAMPLES, "a new sample needs a test here");
    let list = fs::read_to_string(folder.join("README.md"))?;
    for name in SAMPLES {
        assert!(list.contains(&format!("({name}/README.md)")), "{name}");
        assert!(folder.join(name).join("README.md").exists(), "{name}");
        let sample = folder.join(name);
        let checked = command::run(["check".as_ref(), sample.as_os_str()]).await?;
        assert_eq!(checked.code, Some(0), "{name}: {}", checked.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn sequence_runs_through_its_steps() -> TestResult {
    let sample = Sample::read("sequence").await?;
    for name in ["first", "second", "third"] {
        sample.party(name)?.otherwise(step(name));
    }
    let gateway = sample.start().await?;
    let event = event("greeting").binary();
    accepted(&gateway.post("pipeline-kn-sequence-0", &event).await?);
    let shown = sample.party("display")?.only()?;
    assert_eq!(&shown.body[..], b"first;second;third;");
    Ok(())
}

#[tokio::test]
async fn hop_policy_sends_most_of_the_second_step_away() -> TestResult {
    let sample = Sample::read("hop-policy").await?;
    for name in ["resize", "resize-far"] {
        sample
            .party(name)?
            .otherwise(Answer::with(|request| match request.method.as_str() {
                "POST" => step("resize"),
                _ => Answer::status(200),
            }));
    }
    let gateway = Gateway::with_text(sample.manifests.clone()).set("node", "near");
    let gateway = gateway.start().await?;
    let event = event("image").binary();
    for _ in 0..50 {
        accepted(&gateway.post("thumbnails-kn-sequence-0", &event).await?);
    }
    let near = sample.party("watermark")?.count();
    let far = sample.party("watermark-far")?.count();
    assert_eq!(near + far, 50);
    assert!(near > 0 && far > near, "{near} near, {far} far");
    Ok(())
}

#[tokio::test]
async fn parallel_pages_only_what_is_urgent_and_archives_all() -> TestResult {
    let sample = Sample::read("parallel").await?;
    sample.party("pager")?.otherwise(step("pager"));
    sample.party("archive")?.otherwise(step("archive"));
    sample
        .party("is-urgent")?
        .otherwise(Answer::with(|request| {
            match request.header("ce-type").as_str() {
                "alarm" => step("urgent"),
                _ => Answer::status(200),
            }
        }));
    let gateway = sample.start().await?;
    let shown = |sample: &Sample| -> anyhow::Result<Vec<String>> {
        let mut shown: Vec<_> = sample
            .party("display")?
            .requests()
            .iter()
            .map(|request| String::from_utf8_lossy(&request.body).into_owned())
            .collect();
        shown.sort();
        Ok(shown)
    };
    let note = event("note").binary();
    accepted(&gateway.post("triage-kn-parallel", &note).await?);
    assert_eq!(shown(&sample)?, ["archive;"]);
    let alarm = event("alarm").binary();
    accepted(&gateway.post("triage-kn-parallel", &alarm).await?);
    assert_eq!(shown(&sample)?, ["archive;", "archive;", "urgent;pager;"]);
    assert_eq!(sample.party("pager")?.count(), 1);
    Ok(())
}

#[tokio::test]
async fn broker_gives_each_event_to_those_that_want_it() -> TestResult {
    let sample = Sample::read("broker").await?;
    let gateway = sample.start().await?;
    let order = |kind: &str| event(kind).without("subject");
    let cases = [
        (order("order.created"), vec!["billing"]),
        (
            order("order.created").with("region", "eu"),
            vec!["billing", "shipping"],
        ),
        (
            order("order.changed")
                .with("region", "uk")
                .with("subject", "42/draft"),
            vec![],
        ),
        (
            order("order.created").with("amount", 1001),
            vec!["billing", "review"],
        ),
        (order("order.created").with("amount", 1000), vec!["billing"]),
        (order("order.billed"), vec![]),
        (order("order.billed").with("subject", "42"), vec!["audit"]),
        (order("other").with("region", "eu"), vec![]),
    ];
    for (event, expected) in cases {
        let before = sample.counts();
        accepted(&gateway.publish("orders", &event.binary()).await?);
        let reached: Vec<_> = sample
            .counts()
            .into_iter()
            .filter(|(name, count)| before.get(name) != Some(count))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(reached, expected, "{:?}", event.attributes);
    }
    Ok(())
}

#[tokio::test]
async fn broker_takes_replies_back_and_dead_letters_what_fails() -> TestResult {
    let sample = Sample::read("broker").await?;
    let gateway = sample.start().await?;
    let billing = sample.party("billing")?;
    // 400 is not tried again: no need to wait for the retries of the sample.
    billing.script([
        Answer::transform(|event| event.with("type", "order.billed")),
        Answer::status(400),
        Answer::status(503),
        Answer::status(202),
    ]);
    let order = event("order.created").with("subject", "42").binary();
    for _ in 0..3 {
        accepted(&gateway.publish("orders", &order).await?);
    }
    assert_eq!(
        sample.counts(),
        BTreeMap::from([("billing", 4), ("audit", 1), ("dead-letters", 1)])
    );
    assert_eq!(
        sample.party("audit")?.only()?.header("ce-type"),
        "order.billed"
    );
    let dead = sample.party("dead-letters")?.only()?;
    assert_eq!(
        dead.header("ce-knativeerrordest"),
        "http://billing.demo.svc.cluster.local"
    );
    Ok(())
}

#[tokio::test]
async fn fan_out_reaches_all_whatever_becomes_of_the_event_at_one() -> TestResult {
    let sample = Sample::read("fan-out").await?;
    sample.party("detector")?.otherwise(step("detector"));
    sample
        .party("partner")?
        .script([Answer::status(503), Answer::status(400)]);
    let gateway = sample.start().await?;
    accepted(&gateway.post("readings", &event("reading").binary()).await?);
    assert_eq!(
        sample.counts(),
        BTreeMap::from([
            ("store", 1),
            ("detector", 1),
            ("alerts", 1),
            ("partner", 2),
            ("dead-letters", 1)
        ])
    );
    assert_eq!(&sample.party("alerts")?.only()?.body[..], b"detector;");
    let dead = sample.party("dead-letters")?.only()?;
    assert_eq!(
        dead.header("ce-knativeerrordest"),
        "http://partner.demo.svc.cluster.local"
    );
    Ok(())
}

/// A List with Deployments in it: what is no business of a gateway is skipped, and listed.
#[tokio::test]
async fn mixed_runs_as_it_came_from_the_cluster() -> TestResult {
    let sample = Sample::read("mixed").await?;
    sample.party("validate")?.otherwise(step("validate"));
    sample.party("enrich")?.otherwise(step("enrich"));
    let gateway = sample.start().await?;
    let path = channel_path("intake-kn-sequence-0").replace("/demo/", "/shop/");
    let order = event("order.created").binary();
    accepted(&gateway.sender().post(&path, &order).await?);
    for name in ["store", "notify"] {
        let request = sample.party(name)?.only()?;
        assert_eq!(&request.body[..], b"validate;enrich;", "{name}");
    }
    sample.party("enrich")?.script([Answer::status(400)]);
    accepted(&gateway.sender().post(&path, &order).await?);
    assert_eq!(
        sample.counts(),
        BTreeMap::from([
            ("validate", 2),
            ("enrich", 2),
            ("store", 1),
            ("notify", 1),
            ("failures", 1)
        ])
    );
    let topology: Value = gateway.topology().await?;
    assert_eq!(topology["problems"], serde_json::json!([]));
    let app = command::workspace().join("config/samples/mixed");
    let checked = command::run(["check".as_ref(), app.as_os_str()]).await?;
    assert!(
        checked.stdout.contains("skipped") && checked.stdout.contains("Deployment shop/validate"),
        "{}",
        checked.stdout
    );
    Ok(())
}
