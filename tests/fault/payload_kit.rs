//! What the tests of bulky payloads share: bytes that show a loss, a store directory, and the state of rest.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use bytes::Bytes;
use serde_json::json;
use tempfile::TempDir;
use towpath_harness::gateway::Launch;
use towpath_harness::manifest::{Object, channel_path, in_memory_channel, subscription, uri};
use towpath_harness::poll::{SOON, until};
use towpath_harness::raw::{Raw, event_head};
use towpath_harness::{Event, Gateway, Message, Response};

/// The size of a bulky event, in bytes.
pub(crate) const BULKY: usize = 2 << 20;

/// store.node.dirtyBytes so low that no payload of the node store rests in memory.
pub(crate) const ALL_IN_FILES: &str = "4Mi";

/// The channel that [`channel_to`] makes.
pub(crate) const CHANNEL: &str = "in";

/// The attributes of a reply, as lines of its head.
pub(crate) const EVENT: &str =
    "ce-specversion: 1.0\r\nce-id: made\r\nce-source: /s\r\nce-type: t\r\n";

/// Where a payload waits: the two stores that need no server.
pub(crate) const TIERS: [(&str, &str); 2] = [("memory", "8Mi"), ("node", "0")];

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

/// A bulky event.
pub(crate) fn bulky(id: &str, length: usize) -> Message {
    let event = Event::numbered(1).with("id", id);
    event
        .data("application/octet-stream", pattern(length))
        .binary()
}

/// A channel with one subscription, whose dead letters go to `dead`: three retries, at once.
pub(crate) fn channel_to(url: &str, dead: &str) -> [Object; 2] {
    let channel = in_memory_channel(CHANNEL);
    let delivery = json!({"retry": 3, "backoffDelay": "PT0.01S", "backoffPolicy": "linear",
        "timeout": "PT20S", "deadLetterSink": uri(dead)});
    let to = subscription("sub", &channel, uri(url)).spec("delivery", delivery);
    [channel, to]
}

/// The directory of the node store of one test.
pub(crate) struct Shelf(TempDir);

impl Shelf {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A gateway that keeps its payloads here.
    pub(crate) fn launch(&self, objects: impl IntoIterator<Item = Object>) -> Launch {
        let directory = self.path().to_string_lossy();
        Gateway::with(objects).set("store.node.directory", &directory)
    }

    /// All payloads that are here, also unfinished ones.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for store in fs::read_dir(self.path().join("in"))? {
            for file in fs::read_dir(store?.path())? {
                found.push(file?.path());
            }
        }
        Ok(found)
    }

    /// The only payload that is here.
    pub(crate) fn only_file(&self) -> Result<PathBuf> {
        let mut files = self.files()?;
        ensure!(files.len() == 1, "not one payload: {files:?}");
        files.pop().ok_or_else(|| anyhow::anyhow!("no payload"))
    }

    /// Waits until nothing is left of any payload: no file, no bytes of the budget, no object; and holds that none was
    /// missed.
    pub(crate) async fn at_rest(&self, gateway: &Gateway) -> Result<()> {
        until("all payloads to be gone", SOON, async || {
            let files = self.files()?;
            let metrics = gateway.metrics().await?;
            let left = ["towpath_bytes_in_flight", "towpath_payload_objects"]
                .map(|name| metrics.sum(name, &[]));
            ensure!(files.is_empty(), "left: {files:?}");
            ensure!(
                left.iter().sum::<f64>() < 0.5,
                "bytes and objects left: {left:?}"
            );
            Ok(Some(()))
        })
        .await?;
        let missed = counted(gateway, "towpath_payload_early_misses_total").await?;
        ensure!(missed == 0, "{missed} early misses");
        Ok(())
    }
}

/// The sum of a counter.
pub(crate) async fn counted(gateway: &Gateway, name: &str) -> Result<u64> {
    let sum = gateway.metrics().await?.sum(name, &[]);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a counter of a test is a small whole number"
    )]
    Ok(sum as u64)
}

/// A producer that has sent the head of a bulky event of known length, and the first `sent` bytes of its data.
pub(crate) async fn begun(gateway: &Gateway, length: usize, sent: usize) -> Result<Raw> {
    let mut raw = Raw::connect(gateway.listening).await?;
    let head = event_head(&channel_path(CHANNEL));
    raw.write(format!("{head}Content-Length: {length}\r\n\r\n"))
        .await?;
    raw.write(&pattern(length)[..sent]).await?;
    Ok(raw)
}

/// POSTs beside what the test does.
pub(crate) fn post(
    gateway: &Gateway,
    message: Message,
) -> tokio::task::JoinHandle<Result<Response>> {
    let mut sender = gateway.sender();
    tokio::spawn(async move { sender.post(&channel_path(CHANNEL), &message).await })
}
