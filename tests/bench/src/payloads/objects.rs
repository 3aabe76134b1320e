//! How many payloads the gateway stores, from its metrics.

use crate::client::Client;
use crate::frames::Frames;
use anyhow::{Result, bail};
use http::{Request, StatusCode};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use towpath_harness::metrics::Metrics;

/// The metric that counts stored payloads.
const OBJECTS: &str = "towpath_payload_objects";
/// Time between two looks at the metrics.
const LOOK: Duration = Duration::from_millis(50);

/// Counts stored payloads until it is dropped.
#[derive(Debug)]
pub(super) struct Objects {
    task: JoinHandle<()>,
    most: Arc<Mutex<Option<u64>>>,
}

impl Objects {
    /// Begins to count at this admin port.
    pub(super) fn count(admin: SocketAddr) -> Self {
        let most = Arc::new(Mutex::new(None));
        let (noted, admin) = (Arc::clone(&most), Client::new(admin));
        let task = tokio::spawn(async move {
            loop {
                if let Ok(Some(objects)) = objects(&admin).await {
                    let mut most = noted.lock().unwrap_or_else(PoisonError::into_inner);
                    *most = most.max(Some(objects));
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        Self { task, most }
    }

    /// The most at one time; none if the gateway does not tell.
    pub(super) fn most(&self) -> Option<u64> {
        *self.most.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn objects(admin: &Client) -> Result<Option<u64>> {
    let request = Request::get("/metrics").body(Frames::default())?;
    let (status, body) = admin.exchange(request).await?;
    if status != StatusCode::OK {
        bail!("/metrics answers {status}");
    }
    let metrics = Metrics::parse(&String::from_utf8_lossy(&body.joined()));
    let mut found = metrics
        .all(OBJECTS, &[])
        .map(|sample| sample.value)
        .peekable();
    Ok(found.peek().is_some().then(|| found.sum::<f64>() as u64))
}
