//! The gateway of a scenario: a fresh process in a cgroup of its own, its memory watched.

use super::manifests::channel_path;
use super::objects::Objects;
use super::pattern::Pattern;
use super::producer::{self, Post};
use crate::child::Running;
use crate::clock::now_nanos;
use crate::systems::{Entry, Listening};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::timeout;
use towpath_harness::memory::{Cgroup, Watch};

/// The wait after a refusal that names none: none should.
const UNTOLD: Duration = Duration::from_secs(1);

/// What all scenarios have in common.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    /// The gateway's binary.
    pub(super) gateway: PathBuf,
    /// Settings of the gateway, `key=value`.
    pub(super) settings: Vec<String>,
    /// Folder for payloads: they are written to its file system.
    pub(super) scratch: PathBuf,
    /// Longest time that one event may take, with every refusal.
    pub(super) longest: Duration,
}

/// A running gateway; dropped, it ends and its payloads are gone.
#[derive(Debug)]
pub(super) struct Gateway {
    // in the order in which they are dropped
    running: Running,
    cgroup: Option<Cgroup>,
    folder: TempDir,
    listening: Listening,
    longest: Duration,
}

impl Gateway {
    /// Starts a gateway on these manifests.
    ///
    /// # Errors
    /// It cannot be started, or refuses the manifests or a setting.
    pub(super) fn start(setup: &Setup, manifests: &str) -> Result<Self> {
        let folder = tempfile::tempdir_in(&setup.scratch)
            .with_context(|| format!("no folder in {}", setup.scratch.display()))?;
        let manifests_folder = folder.path().join("manifests");
        fs::create_dir(&manifests_folder)?;
        fs::write(manifests_folder.join("scenario.yaml"), manifests)?;
        let payloads = folder.path().join("payloads");
        fs::create_dir(&payloads)?;
        let cgroup = match Cgroup::new() {
            Ok(cgroup) => Some(cgroup),
            Err(error) => {
                eprintln!("memory without dirty pages, from /proc: {error:#}");
                None
            }
        };
        let mut command = match &cgroup {
            Some(cgroup) => cgroup.command(&setup.gateway),
            None => Command::new(&setup.gateway),
        };
        command
            .arg("gateway")
            .arg("--manifests")
            .arg(&manifests_folder)
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--set"])
            .arg(format!("store.node.directory={}", payloads.display()));
        for setting in &setup.settings {
            command.args(["--set", setting]);
        }
        let (running, listening) = Running::start(&mut command)?;
        Ok(Self {
            running,
            cgroup,
            folder,
            listening,
            longest: setup.longest,
        })
    }

    /// Where the events of this channel go.
    pub(super) fn entry(&self, channel: &str) -> Entry {
        Entry {
            address: self.listening.listening,
            path: channel_path(channel),
        }
    }

    /// The folder in which steps leave files.
    pub(super) fn out(&self) -> PathBuf {
        self.folder.path().join("payloads").join("out")
    }

    /// Whether dirty pages are counted.
    pub(super) fn counts_dirty_pages(&self) -> bool {
        self.cgroup.is_some()
    }

    /// Begins to watch its memory.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn watch(&self) -> Result<Watch> {
        match &self.cgroup {
            Some(cgroup) => cgroup.watch(),
            None => Watch::process(self.running.pid()),
        }
    }

    /// Begins to count how many payloads it stores.
    pub(super) fn count_objects(&self) -> Objects {
        Objects::count(self.listening.admin)
    }

    /// Sends an event until it is taken, waiting after each refusal as the answer says.
    ///
    /// # Errors
    /// Any answer but 202, 429 and 503; a broken connection; or the longest time is over.
    pub(super) async fn send(
        &self,
        channel: &str,
        pattern: &Pattern,
        post: &Post,
    ) -> Result<Taken> {
        let entry = self.entry(channel);
        let sending = async {
            let mut refusals = 0;
            loop {
                let answer = producer::post(&entry, pattern, post).await?;
                if !matches!(answer.status, 429 | 503) {
                    let ended = answer.taken()?;
                    return Ok::<_, anyhow::Error>(Taken {
                        refusals,
                        began: answer.began,
                        ended,
                        answered: now_nanos(),
                    });
                }
                refusals += 1;
                tokio::time::sleep(answer.retry_after.unwrap_or(UNTOLD)).await;
            }
        };
        let done = timeout(self.longest, sending).await;
        let number = post.number;
        done.with_context(|| format!("event {number} was not taken within {:?}", self.longest))?
            .with_context(|| format!("event {number}"))
    }
}

/// How an event was taken in the end. Moments on the shared clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    /// Refusals before that.
    pub(super) refusals: u64,
    /// First byte of the attempt that was taken.
    pub(super) began: u64,
    /// Its last byte.
    pub(super) ended: u64,
    /// Its answer.
    pub(super) answered: u64,
}

/// Makes the folder that payloads are written in.
///
/// # Errors
/// It cannot be made.
pub(super) fn make_scratch(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}
