//! Real servers for tests: NATS, S3 (MinIO) and Toxiproxy as child processes on loopback, each with its own folder.

use std::env;
use std::fs::{self, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{HeaderMap, Method};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::event::Message;
use crate::poll::{SOON, until};
use crate::sender::Sender;

/// Which program in which version, as the installer reads it too.
const VERSIONS: &str = include_str!("../../servers/versions");
/// How often a start is tried, each time at another port, since somebody may take a free one before the server does.
const STARTS: u32 = 5;
/// How much of the log a failed test shows, in bytes.
const LOG_TAIL: usize = 8 * 1024;

/// The file of nats-server's configuration, if a test has one.
const NATS_CONFIG: &str = "server.conf";

/// Where S3's user and bucket are: the key, the secret, the region and the bucket that is there from the start.
pub const S3_KEY: &str = "towpath";
/// See [`S3_KEY`].
pub const S3_SECRET: &str = "towpath-secret";
/// See [`S3_KEY`].
pub const S3_REGION: &str = "us-east-1";
/// See [`S3_KEY`].
pub const S3_BUCKET: &str = "towpath";

/// What differs between servers.
#[derive(Debug)]
struct Kind {
    program: &'static str,
    arguments: fn(&Path, u16) -> Vec<String>,
    environment: &'static [(&'static str, &'static str)],
    ready: Ready,
}

#[derive(Debug)]
enum Ready {
    /// A GET of this path is 200.
    Http(&'static str),
    /// The first line that the server says contains this.
    Greeting(&'static str),
}

/// A server as a child process. Dropping it kills it and shows its log, which the test runner keeps quiet unless the
/// test failed.
#[derive(Debug)]
pub struct Server {
    kind: &'static Kind,
    child: Child,
    port: u16,
    folder: TempDir,
}

/// One nats-server with JetStream.
#[derive(Debug)]
pub struct Nats(Server);

/// MinIO.
#[derive(Debug)]
pub struct S3(Server);

/// Toxiproxy: TCP proxies that hurt a connection on command.
#[derive(Debug)]
pub struct Toxiproxy(Server);

/// A proxy in front of a server.
#[derive(Debug)]
pub struct Proxy {
    api: SocketAddr,
    name: String,
    /// Where clients connect.
    pub address: SocketAddr,
}

static NATS: Kind = Kind {
    program: "nats-server",
    arguments: |folder, port| {
        let port = port.to_string();
        let data = folder.join("data").to_string_lossy().into_owned();
        let fixed = ["--addr", "127.0.0.1", "--port", &port, "--jetstream"];
        let mut arguments: Vec<_> = fixed.map(str::to_owned).into();
        arguments.extend(["--store_dir".to_owned(), data]);
        let config = folder.join(NATS_CONFIG);
        if config.exists() {
            arguments.extend(["--config".to_owned(), config.to_string_lossy().into_owned()]);
        }
        arguments
    },
    environment: &[],
    ready: Ready::Greeting("\"jetstream\":true"),
};

static MINIO: Kind = Kind {
    program: "minio",
    arguments: |folder, port| {
        let data = folder.join("data").to_string_lossy().into_owned();
        let address = format!("127.0.0.1:{port}");
        let fixed = ["server", "--quiet", "--address", &address, &data];
        fixed.map(str::to_owned).into()
    },
    environment: &[
        ("MINIO_ROOT_USER", S3_KEY),
        ("MINIO_ROOT_PASSWORD", S3_SECRET),
        ("MINIO_BROWSER", "off"),
        ("MINIO_UPDATE", "off"),
    ],
    ready: Ready::Http("/minio/health/ready"),
};

static TOXIPROXY: Kind = Kind {
    program: "toxiproxy-server",
    arguments: |_, port| {
        let port = port.to_string();
        ["-host", "127.0.0.1", "-port", &port]
            .map(str::to_owned)
            .into()
    },
    environment: &[],
    ready: Ready::Http("/version"),
};

impl Nats {
    /// Starts it, and returns when JetStream is ready.
    ///
    /// # Errors
    /// When it is not installed, or is not ready soon.
    pub async fn start() -> Result<Self> {
        Server::start(&NATS, &[]).await.map(Self)
    }

    /// The same with a configuration of its own: whom it lets in, say. `files` are names and contents of what that
    /// refers to, in the folder in which the server finds them by their names.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with(config: &str, files: &[(&str, &str)]) -> Result<Self> {
        let mut all = vec![(NATS_CONFIG, config)];
        all.extend(files);
        Server::start(&NATS, &all).await.map(Self)
    }

    /// Where clients connect, as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.0.address())
    }

    /// The process behind it.
    pub fn server(&mut self) -> &mut Server {
        &mut self.0
    }
}

impl S3 {
    /// Starts it with the bucket [`S3_BUCKET`], and returns when it is ready.
    ///
    /// # Errors
    /// When it is not installed, or is not ready soon.
    pub async fn start() -> Result<Self> {
        Server::start(&MINIO, &[]).await.map(Self)
    }

    /// Where it answers, as a URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.0.address())
    }

    /// The paths of all files that hold objects or parts of unfinished uploads, relative to the folder of data; for tests
    /// that want to know that nothing is left. Requests that were cut off are MinIO's own affair, and not shown.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let data = self.0.folder.path().join("data");
        let mut found = Vec::new();
        for folder in [S3_BUCKET, ".minio.sys/multipart"] {
            walk(&data, &data.join(folder), &mut found)?;
        }
        Ok(found)
    }

    /// The process behind it.
    pub fn server(&mut self) -> &mut Server {
        &mut self.0
    }
}

impl Toxiproxy {
    /// Starts it without any proxy.
    ///
    /// # Errors
    /// When it is not installed, or is not ready soon.
    pub async fn start() -> Result<Self> {
        Server::start(&TOXIPROXY, &[]).await.map(Self)
    }

    /// Makes a proxy that leads to `upstream`.
    ///
    /// # Errors
    /// When Toxiproxy refuses.
    pub async fn proxy(&self, name: &str, upstream: SocketAddr) -> Result<Proxy> {
        let api = self.0.address();
        let wanted =
            json!({"name": name, "listen": "127.0.0.1:0", "upstream": upstream.to_string()});
        let made = call(api, Method::POST, "/proxies", Some(&wanted)).await?;
        let listen = made.get("listen").and_then(Value::as_str);
        let address = listen
            .context("no address in Toxiproxy's answer")?
            .parse()?;
        Ok(Proxy {
            api,
            name: name.to_owned(),
            address,
        })
    }
}

impl Proxy {
    /// From now on nothing passes in either direction, and no connection is closed.
    ///
    /// # Errors
    /// When Toxiproxy refuses.
    pub async fn black_hole(&self) -> Result<()> {
        for stream in ["upstream", "downstream"] {
            let toxic = json!({"name": stream, "type": "timeout", "stream": stream, "attributes": {"timeout": 0}});
            let path = format!("/proxies/{}/toxics", self.name);
            call(self.api, Method::POST, &path, Some(&toxic)).await?;
        }
        Ok(())
    }

    /// Everything passes again. Connections that were open in a black hole are closed by Toxiproxy.
    ///
    /// # Errors
    /// When Toxiproxy refuses.
    pub async fn heal(&self) -> Result<()> {
        for stream in ["upstream", "downstream"] {
            let path = format!("/proxies/{}/toxics/{stream}", self.name);
            call(self.api, Method::DELETE, &path, None).await?;
        }
        Ok(())
    }
}

impl Server {
    async fn start(kind: &'static Kind, files: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        for (name, content) in files {
            fs::write(folder.path().join(name), content)?;
        }
        // MinIO takes each folder in its folder of data for a bucket
        fs::create_dir_all(folder.path().join("data").join(S3_BUCKET))?;
        let mut started = Err(anyhow::anyhow!("no start of {}", kind.program));
        for _ in 0..STARTS {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
                .local_addr()?
                .port();
            let mut child = spawn(kind, folder.path(), port)?;
            started = ready(kind, &mut child, port).await.map(|()| (child, port));
            if started.is_ok() {
                break;
            }
        }
        let (child, port) = started.with_context(|| log(folder.path()))?;
        Ok(Self {
            kind,
            child,
            port,
            folder,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// When it has ended before.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.context("SIGKILL")
    }

    /// Stops it where it is (SIGSTOP): connections stay open and nothing is answered. [`restart`](Self::restart) ends that.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn stop(&self) -> Result<()> {
        let process = self.child.id().context("the server has ended")?;
        let pid = Pid::from_raw(i32::try_from(process)?).context("pid")?;
        kill_process(pid, Signal::STOP).context("SIGSTOP")?;
        // the kernel stops one thread after another
        until("every thread to stop", SOON, async || {
            for thread in fs::read_dir(format!("/proc/{process}/task"))? {
                let stat = fs::read_to_string(thread?.path().join("stat"))?;
                if !stat.contains(") T ") {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await
    }

    /// Starts it again, killed before or not, in the same folder and at the same port, and returns when it is ready.
    ///
    /// # Errors
    /// When it is not ready soon; with its log.
    pub async fn restart(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_none() {
            self.kill().await?;
        }
        self.child = spawn(self.kind, self.folder.path(), self.port)?;
        let started = ready(self.kind, &mut self.child, self.port).await;
        started.with_context(|| log(self.folder.path()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let (program, log) = (self.kind.program, log(self.folder.path()));
        eprintln!("--- log of {program}\n{log}---");
    }
}

fn spawn(kind: &Kind, folder: &Path, port: u16) -> Result<Child> {
    let log = folder.join("log");
    let log = OpenOptions::new().create(true).append(true).open(log)?;
    // the kernel ends the server with the test, however that ends
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .arg(installed(kind.program)?)
        .args((kind.arguments)(folder, port))
        .envs(kind.environment.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{} (by `setpriv` of util-linux)", kind.program))
}

async fn ready(kind: &Kind, child: &mut Child, port: u16) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut ended = false;
    until(kind.program, 3 * SOON, async || {
        if child.try_wait()?.is_some() {
            ended = true;
            return Ok(Some(()));
        }
        let ready = match kind.ready {
            Ready::Http(path) => call(address, Method::GET, path, None).await.map(|_| true)?,
            Ready::Greeting(word) => {
                let mut line = String::new();
                let stream = TcpStream::connect(address).await?;
                BufReader::new(stream).read_line(&mut line).await?;
                line.contains(word)
            }
        };
        Ok(ready.then_some(()))
    })
    .await?;
    ensure!(!ended, "{} ended at once", kind.program);
    Ok(())
}

/// Where a program is, in the version that the tests want.
fn installed(program: &str) -> Result<PathBuf> {
    let mut lines = VERSIONS.lines().map(str::split_whitespace);
    let version = lines.find_map(|mut words| {
        let found = words.next() == Some(program);
        found.then(|| words.next()).flatten()
    });
    let file = format!("{program}@{}", version.context("no such program")?);
    let path = tools()?.join("bin").join(file);
    if !path.exists() {
        bail!(
            "{} is not there: `cargo xtask test` installs it, or run `tests/servers/install`",
            path.display()
        );
    }
    Ok(path)
}

/// The folder of tools: the same rule as in `tests/servers/install`.
fn tools() -> Result<PathBuf> {
    let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(tools) = folder("TOWPATH_TOOLS_HOME") {
        return Ok(tools.into());
    }
    let cache = folder("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(folder("HOME")?).join(".cache")));
    Ok(cache.context("HOME is not set")?.join("towpath-tools"))
}

async fn call(api: SocketAddr, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
    let message = Message {
        headers: HeaderMap::new(),
        body: body.map_or_else(Bytes::new, |body| body.to_string().into()),
    };
    let response = Sender::new(api).request(method, path, &message).await?;
    let text = response.text();
    ensure!(
        response.status.is_success(),
        "{path}: {} {text}",
        response.status
    );
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            walk(root, &entry.path(), found)?;
        } else {
            found.push(entry.path().strip_prefix(root)?.to_owned());
        }
    }
    Ok(())
}

fn log(folder: &Path) -> String {
    let log = fs::read(folder.join("log")).unwrap_or_default();
    let tail = log.len().saturating_sub(LOG_TAIL);
    String::from_utf8_lossy(log.get(tail..).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn greeting(address: SocketAddr) -> Result<String> {
        let mut line = String::new();
        let stream = TcpStream::connect(address).await?;
        let read = async { BufReader::new(stream).read_line(&mut line).await };
        tokio::time::timeout(Duration::from_millis(300), read).await??;
        Ok(line)
    }

    #[tokio::test]
    async fn a_server_dies_and_comes_back_behind_its_proxy() -> Result<()> {
        let mut nats = Nats::start().await?;
        let toxiproxy = Toxiproxy::start().await?;
        let proxy = toxiproxy.proxy("nats", nats.server().address()).await?;
        assert!(greeting(proxy.address).await?.starts_with("INFO"));
        proxy.black_hole().await?;
        assert!(greeting(proxy.address).await.is_err(), "a black hole");
        proxy.heal().await?;
        nats.server().kill().await?;
        assert!(greeting(nats.server().address()).await.is_err());
        nats.server().restart().await?;
        assert!(greeting(proxy.address).await?.starts_with("INFO"));
        nats.server().stop().await?;
        assert!(greeting(nats.server().address()).await.is_err());
        nats.server().restart().await
    }

    #[tokio::test]
    async fn s3_begins_with_an_empty_bucket() -> Result<()> {
        let s3 = S3::start().await?;
        assert_eq!(s3.files()?, Vec::<PathBuf>::new());
        Ok(())
    }
}
