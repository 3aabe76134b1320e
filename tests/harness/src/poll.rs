//! The one place that waits: until a condition holds, or a deadline has passed.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep, timeout};

/// How long a test waits for what should happen at once; generous, since it is only spent on failure.
pub const SOON: Duration = Duration::from_secs(10);

/// Between two looks at a condition that nobody can announce.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks `probe` until it gives a value, and fails with `what` when `deadline` has passed. An error of the probe
/// counts as "not yet" and is told at the end, so that a gateway that is just starting is not a failure.
///
/// # Errors
/// When the deadline has passed; the text names `what` and the last error of the probe.
pub async fn until<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + deadline;
    let mut last = String::from("the condition did not hold");
    while Instant::now() < end {
        match timeout(end.saturating_duration_since(Instant::now()), probe()).await {
            Ok(Ok(Some(value))) => return Ok(value),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => last = format!("{error:#}"),
            Err(_) => last = String::from("the probe itself did not end"),
        }
        sleep(PAUSE).await;
    }
    bail!("waited {deadline:?} for {what}: {last}")
}

/// Waits for one future, and fails with `what` when `deadline` has passed.
///
/// # Errors
/// When the deadline has passed.
pub async fn within<T>(
    what: &str,
    deadline: Duration,
    future: impl Future<Output = T>,
) -> Result<T> {
    match timeout(deadline, future).await {
        Ok(value) => Ok(value),
        Err(_) => bail!("waited {deadline:?} for {what}"),
    }
}

/// Lets that much time pass: what a subscriber's work takes, never how a test waits for something.
pub(crate) async fn pass(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn gives_the_first_value() {
        let mut calls = 0;
        let value = until("three calls", SOON, async || {
            calls += 1;
            Ok((calls == 3).then_some(calls))
        });
        assert_eq!(value.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn the_deadline_names_what_and_why() {
        let never = until(
            "rain",
            Duration::from_millis(30),
            async || -> Result<Option<()>> { bail!("blue sky") },
        );
        let text = never.await.unwrap_err().to_string();
        assert!(text.contains("rain") && text.contains("blue sky"), "{text}");
    }
}
