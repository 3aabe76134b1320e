//! A step that is shown payloads by reference, in the hands of a test.

use anyhow::{Context, Result};
use bytes::Bytes;
use http::Method;
use tokio::task::JoinHandle;
use towpath_harness::manifest::uri;
use towpath_harness::tap::Tapped;
use towpath_harness::{Gateway, Message, Response, Subscriber, Tap, TestResult};

use crate::payload_kit::{BULKY, EVENT, Shelf, bulky, channel_to, post};

/// A step that is shown references, and where its replies and dead letters go.
pub(crate) struct ByReference {
    pub(crate) shelf: Shelf,
    pub(crate) step: Tap,
    pub(crate) next: Subscriber,
    pub(crate) dead: Subscriber,
    pub(crate) gateway: Gateway,
}

/// One event that waits for the step's answer.
pub(crate) struct Asked {
    pub(crate) posted: JoinHandle<Result<Response>>,
    pub(crate) tapped: Tapped,
    /// Paths of the two URLs.
    pub(crate) dataref: String,
    pub(crate) upload: String,
}

impl ByReference {
    pub(crate) async fn start(memory: &str, settings: &[(&str, &str)]) -> Result<Self> {
        let (shelf, step) = (Shelf::new()?, Tap::start()?);
        let (next, dead) = (Subscriber::start().await?, Subscriber::start().await?);
        let [channel, to] = channel_to(&step.url("/"), &dead.url("/"));
        let to = to.annotation("towpath.dev/payload", "Reference");
        let to = to
            .spec("reply", uri(next.url("/")))
            .spec("delivery.retry", 1);
        let launch = shelf
            .launch([channel, to])
            .set("store.memory.maxPayload", memory);
        let launch = launch.set("payloads.referenceGrace", "1s");
        let launch = settings
            .iter()
            .fold(launch, |launch, (key, value)| launch.set(key, value));
        Ok(Self {
            gateway: launch.start().await?,
            shelf,
            step,
            next,
            dead,
        })
    }

    pub(crate) fn path(&self, url: &str) -> Result<String> {
        let base = format!("http://{}", self.gateway.listening);
        Ok(url
            .strip_prefix(&base)
            .with_context(|| format!("not ours: {url:?}"))?
            .to_owned())
    }

    pub(crate) async fn attempt(&self) -> Result<(Tapped, String, String)> {
        let tapped = self.step.next().await?;
        let dataref = self.path(&tapped.header("ce-dataref"))?;
        let upload = self.path(&tapped.header("towpath-upload"))?;
        Ok((tapped, dataref, upload))
    }

    pub(crate) async fn asked(&self, id: &str) -> Result<Asked> {
        let posted = post(&self.gateway, bulky(id, BULKY));
        let (tapped, dataref, upload) = self.attempt().await?;
        Ok(Asked {
            posted,
            tapped,
            dataref,
            upload,
        })
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        message: &Message,
    ) -> Result<Response> {
        self.gateway.sender().request(method, path, message).await
    }

    pub(crate) async fn get(&self, path: &str, range: &str) -> Result<Response> {
        self.call(
            Method::GET,
            path,
            &Message::default().header("range", range),
        )
        .await
    }

    pub(crate) async fn put(&self, path: &str, data: Bytes) -> Result<Response> {
        let message = Message {
            body: data,
            ..Message::default()
        };
        self.call(Method::PUT, path, &message).await
    }

    pub(crate) async fn done(&self, mut asked: Asked) -> TestResult {
        asked
            .tapped
            .answer("202 Accepted", "Connection: close\r\n", b"")
            .await?;
        assert_eq!(asked.posted.await??.code(), 202);
        self.shelf.at_rest(&self.gateway).await
    }
}

/// The headers of a reply whose data is elsewhere.
pub(crate) fn answer_with(dataref: &str) -> String {
    format!("{EVENT}ce-dataref: {dataref}\r\nConnection: close\r\n")
}
