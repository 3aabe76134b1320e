//! The gateway under test: the real binary as a child process, with a folder of manifests that tests edit.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout};

use crate::command;
use crate::event::{Event, Message, Spec};
use crate::manifest::{Object, broker_path, channel_path, file};
use crate::metrics::Metrics;
use crate::netns::Netns;
use crate::poll::{SOON, until, within};
use crate::sender::{Response, Sender};

/// The file into which the manifests of the start are written.
pub const FILE: &str = "manifests.yaml";

/// Counts the changes of the manifests that the gateway has looked at.
const CHANGES: &str = "towpath_topology_changes_total";

/// How much of the log a failed test shows.
const LOG_TAIL: usize = 16 * 1024;

/// A gateway that is about to start.
#[derive(Debug)]
pub struct Launch {
    manifests: String,
    args: Vec<String>,
    environment: Vec<(String, String)>,
    /// Where it listens.
    address: IpAddr,
    /// The network namespace that it runs in; `None` for that of the test.
    namespace: Option<String>,
}

/// A running gateway. Dropping it kills it and shows its log, which the test runner keeps quiet unless the test failed.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// Where events go.
    pub listening: SocketAddr,
    /// Health, metrics, topology.
    pub admin: SocketAddr,
    folder: TempDir,
}

/// The line that the gateway prints when it listens.
#[derive(Debug, Deserialize)]
struct Listening {
    listening: SocketAddr,
    admin: SocketAddr,
}

impl Launch {
    /// Lays one setting over the defaults: `limits.maxEventBytes`.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.args
            .extend(["--set".to_owned(), format!("{key}={value}")]);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs it on that node, where this process reaches it.
    #[must_use]
    pub fn on(mut self, node: &Netns) -> Self {
        self.address = node.outside.into();
        self.namespace = Some(node.name().to_owned());
        self
    }

    /// Starts it, and returns when it is ready.
    ///
    /// # Errors
    /// When it ends instead, or is not ready soon; with its log.
    pub async fn start(self) -> Result<Gateway> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("manifests"))?;
        fs::write(folder.path().join("manifests").join(FILE), &self.manifests)?;
        let log = File::create(folder.path().join("log"))?;
        let mut args = vec!["gateway".to_owned(), "--manifests".to_owned()];
        args.push(
            folder
                .path()
                .join("manifests")
                .to_string_lossy()
                .into_owned(),
        );
        let any = SocketAddr::from((self.address, 0)).to_string();
        args.extend(["--listen", &any, "--admin", &any].map(str::to_owned));
        args.extend(self.args);
        let command = match &self.namespace {
            Some(namespace) => command::command_in(namespace, &args),
            None => command::command(&args),
        };
        let mut child = command?
            .envs(self.environment)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("the gateway's process")?;
        let mut stdout = BufReader::new(child.stdout.take().context("stdout")?);
        let mut line = String::new();
        let read = within(
            "the gateway's first line",
            SOON,
            stdout.read_line(&mut line),
        )
        .await;
        let listening: Listening = read
            .and_then(|read| Ok(read?))
            .and_then(|_| {
                serde_json::from_str(&line).with_context(|| format!("first line {line:?}"))
            })
            .with_context(|| fs::read_to_string(folder.path().join("log")).unwrap_or_default())?;
        let gateway = Gateway {
            child,
            stdout,
            listening: listening.listening,
            admin: listening.admin,
            folder,
        };
        until("readiness", SOON, async || {
            Ok((gateway.admin("/readyz").await?.code() == 200).then_some(()))
        })
        .await?;
        Ok(gateway)
    }
}

impl Gateway {
    /// A gateway with these manifests in one file.
    #[must_use]
    pub fn with(objects: impl IntoIterator<Item = Object>) -> Launch {
        Gateway::with_text(file(objects))
    }

    /// A gateway with a file of that text.
    #[must_use]
    pub fn with_text(manifests: impl Into<String>) -> Launch {
        Launch {
            manifests: manifests.into(),
            args: Vec::new(),
            environment: Vec::new(),
            address: Ipv4Addr::LOCALHOST.into(),
            namespace: None,
        }
    }

    /// A producer of events for this gateway.
    #[must_use]
    pub fn sender(&self) -> Sender {
        Sender::new(self.listening)
    }

    /// POSTs an event to a channel on a connection of its own.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn post(&self, channel: &str, message: &Message) -> Result<Response> {
        self.sender().post(&channel_path(channel), message).await
    }

    /// POSTs an event to a broker on a connection of its own.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn publish(&self, broker: &str, message: &Message) -> Result<Response> {
        self.sender().post(&broker_path(broker), message).await
    }

    /// GETs a page of the admin port.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn admin(&self, path: &str) -> Result<Response> {
        Sender::new(self.admin)
            .request(Method::GET, path, &Message::default())
            .await
    }

    /// Scrapes the metrics.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn metrics(&self) -> Result<Metrics> {
        let response = self.admin("/metrics").await?;
        ensure!(response.code() == 200, "/metrics: {}", response.status);
        Ok(Metrics::parse(&response.text()))
    }

    /// The topology page.
    ///
    /// # Errors
    /// When there is no response, or no JSON in it.
    pub async fn topology(&self) -> Result<Value> {
        serde_json::from_slice(&self.admin("/topology").await?.body).context("/topology")
    }

    /// The problems of the last change, as text; empty when it was taken.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn problems(&self) -> Result<String> {
        let topology = self.topology().await?;
        let problems = topology
            .get("problems")
            .and_then(Value::as_array)
            .context("no problems in /topology")?;
        Ok(problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n"))
    }

    /// Replaces a file of the manifests in one step, as an editor does.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let staged = self.folder.path().join("staged");
        fs::write(&staged, text)?;
        fs::rename(staged, self.manifests().join(name))?;
        Ok(())
    }

    /// Replaces the manifests of the start, and returns when the change is in force.
    ///
    /// # Errors
    /// When that does not happen soon, or the change is refused.
    pub async fn edit(&self, objects: impl IntoIterator<Item = Object>) -> Result<()> {
        let changes = async || Ok::<_, anyhow::Error>(self.metrics().await?.sum(CHANGES, &[]));
        let before = changes().await?;
        self.write(FILE, &file(objects))?;
        until("the edit to be in force", SOON, async || {
            Ok((changes().await? > before && self.problems().await?.is_empty()).then_some(()))
        })
        .await
    }

    /// The folder of manifests.
    #[must_use]
    pub fn manifests(&self) -> PathBuf {
        self.folder.path().join("manifests")
    }

    /// The log so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.folder.path().join("log"))
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    /// The process.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().context("the gateway has ended")
    }

    /// Sends SIGTERM.
    ///
    /// # Errors
    /// When it has ended.
    pub fn terminate(&self) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid()?)?).context("pid")?;
        kill_process(pid, Signal::TERM).context("SIGTERM")
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// When it has ended before.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.context("SIGKILL")
    }

    /// Waits for its end; gives the status and what it printed after its first line.
    ///
    /// # Errors
    /// When it does not end within the deadline.
    pub async fn ended(&mut self, deadline: Duration) -> Result<(ExitStatus, String)> {
        let status = within("the gateway's end", deadline, self.child.wait()).await??;
        let mut rest = String::new();
        while self.stdout.read_line(&mut rest).await? > 0 {}
        Ok((status, rest))
    }

    /// Fails unless the process is healthy and a good event passes through that channel.
    ///
    /// # Errors
    /// When either does not hold.
    pub async fn goes_on(&mut self, channel: &str) -> Result<()> {
        self.goes_on_at(&channel_path(channel)).await
    }

    /// Fails unless the process is healthy and a good event is taken at that path.
    ///
    /// # Errors
    /// When either does not hold.
    pub async fn goes_on_at(&mut self, path: &str) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the gateway has ended: {status}");
        }
        let health = self.admin("/healthz").await?;
        ensure!(health.code() == 200, "/healthz: {}", health.status);
        let response = self
            .sender()
            .post(path, &Event::full(Spec::V10).with("id", "goes-on").binary())
            .await?;
        ensure!(
            response.code() == 202,
            "a good event got {} {}",
            response.status,
            response.text()
        );
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let log = self.log();
        let tail = log.len().saturating_sub(LOG_TAIL);
        let tail = (tail..=log.len())
            .find_map(|at| log.get(at..))
            .unwrap_or_default();
        eprintln!("--- log of the gateway\n{tail}---");
    }
}
