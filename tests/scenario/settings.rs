//! Settings: flags beat the environment, the environment beats the file; the defaults of the addresses.

use std::fs;

use towpath_harness::manifest::in_memory_channel;
use towpath_harness::{Event, Gateway, TestResult, command};

/// Posts bodies of growing size until one is refused; gives the limit that the refusal names.
async fn limit(gateway: &Gateway) -> anyhow::Result<u64> {
    for kib in [100, 200, 300, 400] {
        let event = Event::numbered(kib).data("text/plain", vec![b'x'; kib * 1024]);
        let response = gateway.post("in", &event.binary()).await?;
        if response.code() == 413 {
            let text = response.text();
            let limits = [64, 128, 256, 512].map(|kib| kib * 1024);
            return limits
                .into_iter()
                .find(|limit| text.contains(&limit.to_string()))
                .ok_or_else(|| anyhow::anyhow!("no limit in {text}"));
        }
    }
    Ok(u64::MAX)
}

#[tokio::test]
async fn flags_beat_the_environment_which_beats_the_file() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("settings.yaml");
    fs::write(&file, "limits:\n  maxEventBytes: 64Ki\n")?;
    let config = ["--config".to_owned(), file.to_string_lossy().into_owned()];
    let name = "TOWPATH_LIMITS_MAXEVENTBYTES";

    let launch = || Gateway::with([in_memory_channel("in")]).args(config.clone());
    assert_eq!(limit(&launch().start().await?).await?, 64 * 1024);
    assert_eq!(
        limit(&launch().environment(name, "128Ki").start().await?).await?,
        128 * 1024
    );
    let all = launch()
        .environment(name, "128Ki")
        .set("limits.maxEventBytes", "256Ki")
        .start()
        .await?;
    assert_eq!(limit(&all).await?, 256 * 1024);
    Ok(())
}

/// C2.19: the ports that Knative's own data plane listens on, on loopback for files.
#[tokio::test]
async fn help_names_the_default_addresses() -> TestResult {
    let help = command::run(["gateway", "--help"]).await?;
    assert_eq!(help.code, Some(0));
    for part in [
        "127.0.0.1:8080",
        "127.0.0.1:9090",
        "--manifests",
        "--config",
        "--set",
    ] {
        assert!(help.stdout.contains(part), "no {part} in {}", help.stdout);
    }
    Ok(())
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() -> TestResult {
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let folder = tempfile::tempdir()?;
    let address = taken.local_addr()?.to_string();
    let path = folder.path().to_string_lossy().into_owned();
    let ended = command::run([
        "gateway",
        "--manifests",
        &path,
        "--admin",
        "127.0.0.1:0",
        "--listen",
        &address,
    ])
    .await?;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains(&address), "{}", ended.stderr);
    Ok(())
}
