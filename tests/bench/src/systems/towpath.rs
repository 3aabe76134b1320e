//! "Towpath": the real binary on the manifests of an unchanged Knative Sequence, in files mode.

use super::{Deployment, Entry, Step, steps};
use crate::child::Running;
use crate::control::STEPS;
use crate::proc;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How long an idle gateway is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(2);

/// The line that the gateway prints when it listens.
#[derive(Debug, Deserialize)]
pub(crate) struct Listening {
    pub(crate) listening: SocketAddr,
    /// Health and metrics.
    pub(crate) admin: SocketAddr,
}

/// Starts the steps and a gateway on a Sequence of them.
///
/// # Errors
/// A process cannot be started, or the gateway refuses the manifests.
pub(super) async fn start(gateway: &Path) -> Result<Deployment> {
    let steps = steps::start(false)?;
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("workflow.yaml"), manifests(&steps)?)?;
    let (running, listening) = start_gateway(gateway, folder.path())?;
    let entry = Entry {
        address: listening.listening,
        path: "/channels/bench/workflow-kn-sequence-0".to_owned(),
    };
    Ok(Deployment {
        steps,
        between: vec![running],
        _manifests: Some(folder),
        forward: false,
        entry,
    })
}

/// Resident bytes of a gateway that has the workflow's manifests and has seen no event, 2 s after its start.
///
/// # Errors
/// As [`start`].
pub(crate) async fn idle_bytes(gateway: &Path) -> Result<u64> {
    let deployment = start(gateway).await?;
    tokio::time::sleep(IDLE).await;
    let pid = deployment
        .between_pids()
        .first()
        .copied()
        .context("no gateway")?;
    proc::resident_bytes(pid)
}

/// Starts a gateway on a folder of manifests.
///
/// # Errors
/// It cannot be started, or refuses the manifests.
pub(crate) fn start_gateway(gateway: &Path, manifests: &Path) -> Result<(Running, Listening)> {
    let mut command = Command::new(gateway);
    command
        .arg("gateway")
        .arg("--manifests")
        .arg(manifests)
        .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    Running::start(&mut command)
}

/// The Sequence as a user would write it, and the Services and EndpointSlices that a cluster would have.
fn manifests(steps: &[Step; 2]) -> Result<String> {
    let mut yaml = String::from(
        "apiVersion: flows.knative.dev/v1
kind: Sequence
metadata: {name: workflow, namespace: bench}
spec:
  channelTemplate: {apiVersion: messaging.knative.dev/v1, kind: InMemoryChannel}
  steps:
",
    );
    for step in 0..STEPS {
        writeln!(
            yaml,
            "  - {{ref: {{apiVersion: v1, kind: Service, name: step-{step}}}, uri: /step/{step}}}"
        )?;
    }
    for step in 0..STEPS {
        let [even, odd] = steps;
        let port = if step % 2 == 0 { even } else { odd }.address.port();
        write!(
            yaml,
            "---
apiVersion: v1
kind: Service
metadata: {{name: step-{step}, namespace: bench}}
spec: {{ports: [{{name: http, port: 80, targetPort: {port}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: step-{step}-a, namespace: bench, labels: {{kubernetes.io/service-name: step-{step}}}}}
addressType: IPv4
ports: [{{name: http, port: {port}, protocol: TCP}}]
endpoints: [{{addresses: [127.0.0.1], conditions: {{ready: true}}}}]
"
        )?;
    }
    Ok(yaml)
}
