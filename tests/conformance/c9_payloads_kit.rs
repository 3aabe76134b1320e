//! What the tests of C9 share: a bed whose payloads are in a directory of its own, one attempt in the hands of a test, and
//! the state of rest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use aws_lc_rs::digest;
use bytes::Bytes;
use http::Method;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use towpath_harness::bed::Setup;
use towpath_harness::gateway::Launch;
use towpath_harness::manifest::Object;
use towpath_harness::poll::{SOON, until};
use towpath_harness::{Answer, Bed, Event, Gate, Gateway, Message, Recorded, Response};

/// Over `limits.inlineMax`, in bytes.
pub(crate) const BULKY: usize = (1 << 20) + 1;

/// The annotation that opts in.
pub(crate) const PRESENT: &str = "towpath.dev/payload";

/// What payloads.referenceGrace is where a test does not depend on it: short, since every test waits for it at its end.
const GRACE: &str = "200ms";

/// Bytes in which no block repeats, so that a lost or doubled one shows.
pub(crate) fn pattern(length: usize) -> Bytes {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

/// An event with that many bytes.
pub(crate) fn sized(id: &str, length: usize) -> Event {
    let event = Event::numbered(1).with("id", id);
    event.data("application/octet-stream", pattern(length))
}

/// A bed and the directory of its node store.
pub(crate) struct Shelved {
    pub(crate) bed: Bed,
    /// Removed with the bed.
    directory: TempDir,
}

impl Shelved {
    /// Starts a bed; `memory` is store.memory.maxPayload.
    pub(crate) async fn start(setup: Setup, memory: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let setup = setup
            .set("store.node.directory", &directory.path().to_string_lossy())
            .set("store.memory.maxPayload", memory);
        Ok(Self {
            bed: setup.start().await?,
            directory,
        })
    }

    /// Starts a bed whose subscriber is shown payloads so, with a grace of [`GRACE`].
    pub(crate) async fn shown(setup: Setup, present: &str, memory: &str) -> Result<Self> {
        let setup = setup
            .set("payloads.present", present)
            .set("payloads.referenceGrace", GRACE);
        Self::start(setup, memory).await
    }

    /// POSTs an event, which its subscriber answers only when `gate` opens; gives back what the subscriber got.
    pub(crate) async fn held(&self, event: &Event, answer: Answer) -> Result<Held> {
        let gate = Gate::closed();
        let before = self.bed.subscriber.count();
        self.bed.subscriber.script([answer.behind(&gate)]);
        let (mut sender, path) = (self.bed.gateway.sender(), self.bed.path.clone());
        let message = event.binary();
        let posted = tokio::spawn(async move { sender.post(&path, &message).await });
        let requests = self.bed.subscriber.await_count(before + 1, SOON).await?;
        let request = requests.last().context("no request")?.clone();
        Ok(Held {
            request,
            gate,
            posted,
        })
    }

    /// The request that the subscriber got last.
    pub(crate) fn last(&self) -> Result<Recorded> {
        let requests = self.bed.subscriber.requests();
        Ok(requests.last().context("no request")?.clone())
    }

    /// The path of a URL of this gateway.
    pub(crate) fn path(&self, url: &str) -> Result<String> {
        let base = format!("http://{}", self.bed.gateway.listening);
        let path = url.strip_prefix(&base);
        Ok(path
            .with_context(|| format!("not ours: {url:?}"))?
            .to_owned())
    }

    /// A request to a URL of this gateway.
    pub(crate) async fn call(&self, method: Method, url: &str, with: Message) -> Result<Response> {
        let path = self.path(url)?;
        self.bed
            .gateway
            .sender()
            .request(method, &path, &with)
            .await
    }

    /// GET of a URL of this gateway.
    pub(crate) async fn get(&self, url: &str) -> Result<Response> {
        self.call(Method::GET, url, Message::default()).await
    }

    /// PUT to a URL of this gateway.
    pub(crate) async fn put(&self, url: &str, body: Bytes) -> Result<Response> {
        let message = Message {
            body,
            ..Message::default()
        };
        self.call(Method::PUT, url, message).await
    }

    /// The directory of the node store, which steps share.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Waits until no payload is left, and holds that none was missed (C9.3).
    pub(crate) async fn at_rest(&self) -> Result<()> {
        at_rest(&self.bed.gateway).await
    }
}

/// As [`Shelved::at_rest`], for a gateway without a bed.
pub(crate) async fn at_rest(gateway: &Gateway) -> Result<()> {
    until("all payloads to be gone", SOON, async || {
        let metrics = gateway.metrics().await?;
        let left = ["towpath_bytes_in_flight", "towpath_payload_objects"]
            .map(|name| metrics.sum(name, &[]));
        ensure!(left.iter().sum::<f64>() < 0.5, "left: {left:?}");
        Ok(Some(()))
    })
    .await?;
    let metrics = gateway.metrics().await?;
    let missed = metrics.sum("towpath_payload_early_misses_total", &[]);
    ensure!(missed < 0.5, "{missed} early misses");
    Ok(())
}

/// A gateway without a bed, with its payloads in `directory` and a grace of [`GRACE`]; `memory` is
/// store.memory.maxPayload.
pub(crate) fn launch(
    objects: impl IntoIterator<Item = Object>,
    directory: &TempDir,
    memory: &str,
) -> Launch {
    Gateway::with(objects)
        .set("store.node.directory", &directory.path().to_string_lossy())
        .set("store.memory.maxPayload", memory)
        .set("payloads.referenceGrace", GRACE)
}

/// The name of the file that a request shows, which must be beneath `directory`.
pub(crate) fn file_of(request: &Recorded, directory: &Path) -> Result<PathBuf> {
    let url = request.header("ce-dataref");
    let name = url.strip_prefix("file://").map(PathBuf::from);
    let name = name.with_context(|| format!("no file: {url:?}"))?;
    ensure!(
        name.starts_with(directory.join("in")),
        "elsewhere: {}",
        name.display()
    );
    Ok(name)
}

/// All attributes and headers of ours in a request that stand for a payload.
pub(crate) fn references(request: &Recorded) -> BTreeMap<String, String> {
    let names = [
        "ce-dataref",
        "ce-datasize",
        "ce-datadigest",
        "towpath-upload",
    ];
    let present = names
        .into_iter()
        .filter(|name| request.headers.contains_key(*name));
    present
        .map(|name| (name.to_owned(), request.header(name)))
        .collect()
}

/// SHA-256 in the form of the attribute `datadigest`.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, bytes);
    let hex: String = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}

/// One event that waits for its subscriber's answer.
pub(crate) struct Held {
    pub(crate) request: Recorded,
    pub(crate) gate: Gate,
    posted: JoinHandle<Result<Response>>,
}

impl Held {
    /// Lets the subscriber answer; the status that the producer gets.
    pub(crate) async fn done(self) -> Result<u16> {
        self.gate.open();
        Ok(self.posted.await??.code())
    }
}
