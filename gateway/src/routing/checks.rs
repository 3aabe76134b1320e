//! Active health checks: asks the replicas that a `HopPolicy` wants asked, and tells their load what they said.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use tokio::task::AbortHandle;
use towpath_config::topology::{Destination, HealthCheck, Target};

use super::ReplicaTable;
use super::load::{Health, Load};
use crate::send::{Endpoint, Pool, get};

/// The checks that run.
#[derive(Debug, Default)]
pub(crate) struct Checks(Mutex<HashMap<Key, AbortHandle>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    replica: SocketAddr,
    endpoint: Endpoint,
    check: HealthCheck,
}

/// What checks of one replica said in a row.
#[derive(Debug, Default, Clone, Copy)]
struct Row {
    passed: u32,
    failed: u32,
    down: bool,
}

/// What one check said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Well,
    /// 503 or 429: it is alive.
    Busy,
    Nothing,
}

impl Checks {
    /// Runs the checks that the policies of `destinations` ask for, and no others. A replica that two policies check is
    /// checked as each says; whoever asked last is believed.
    pub(crate) fn follow<'a>(
        &self,
        destinations: impl Iterator<Item = &'a Destination>,
        table: &ReplicaTable,
        pool: &Arc<Pool>,
    ) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *running);
        for to in destinations {
            let (Some(check), Target::Service(port)) = (&to.policy.health_check, &to.target) else {
                continue;
            };
            let (Some(candidates), Some(authority)) = (table.get(port), to.uri.authority()) else {
                continue;
            };
            for candidate in &candidates.ready {
                let replica = candidate.replica.address;
                let endpoint = Endpoint::of(to, authority, Some(replica), candidates.h2c);
                let key = Key {
                    replica,
                    endpoint,
                    check: check.clone(),
                };
                if running.contains_key(&key) {
                    continue;
                }
                let task = before.remove(&key).unwrap_or_else(|| {
                    let load = Arc::clone(&candidate.slot.load);
                    let checking = check_on(Arc::clone(pool), key.clone(), to.clone(), load);
                    tokio::spawn(checking).abort_handle()
                });
                running.insert(key, task);
            }
        }
        for task in before.into_values() {
            task.abort();
        }
    }
}

/// Nothing is said any more of a replica that is not asked.
struct Forgets(Arc<Load>);

impl Drop for Forgets {
    fn drop(&mut self) {
        self.0.set_health(Health::Up);
    }
}

async fn check_on(pool: Arc<Pool>, key: Key, to: Destination, load: Arc<Load>) {
    let load = Forgets(load);
    let (check, mut row) = (&key.check, Row::default());
    let Some(to) = with_path(to, &check.path) else {
        return;
    };
    loop {
        let asked =
            tokio::time::timeout(check.timeout, get(&pool, &key.endpoint, &to, check.timeout));
        let said = match asked.await {
            Ok(Ok(status)) => said(status),
            Ok(Err(_)) | Err(_) => Said::Nothing,
        };
        let was_down = row.down;
        row = row.after(said, check);
        load.0.set_health(row.health(said));
        if row.down != was_down {
            tracing::info!(replica = %key.replica, path = &*check.path, down = row.down, "health checks changed their mind");
        }
        tokio::time::sleep(check.interval).await;
    }
}

fn with_path(to: Destination, path: &str) -> Option<Destination> {
    let mut parts = to.uri.clone().into_parts();
    parts.path_and_query = Some(path.parse().ok()?);
    Some(Destination {
        uri: http::Uri::from_parts(parts).ok()?,
        ..to
    })
}

fn said(status: StatusCode) -> Said {
    match status {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Said::Busy,
        status if status.is_success() || status.is_redirection() => Said::Well,
        _ => Said::Nothing,
    }
}

impl Row {
    fn after(self, said: Said, check: &HealthCheck) -> Self {
        let (passed, failed) = match said {
            Said::Well | Said::Busy => (self.passed.saturating_add(1), 0),
            Said::Nothing => (0, self.failed.saturating_add(1)),
        };
        let down = if self.down {
            passed < check.healthy_threshold.get()
        } else {
            failed >= check.unhealthy_threshold.get()
        };
        Self {
            passed,
            failed,
            down,
        }
    }

    fn health(self, said: Said) -> Health {
        match said {
            _ if self.down => Health::Down,
            Said::Busy => Health::Busy,
            Said::Well | Said::Nothing => Health::Up,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;
    use std::time::Duration;

    #[test]
    fn thresholds_count_in_a_row_and_busy_is_alive() {
        let check = HealthCheck {
            path: "/".into(),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            healthy_threshold: NonZeroU32::new(2).unwrap(),
            unhealthy_threshold: NonZeroU32::new(3).unwrap(),
        };
        let mut row = Row::default();
        let mut health = |said| {
            row = row.after(said, &check);
            row.health(said)
        };
        use Said::{Busy, Nothing, Well};
        let said = [
            (Well, Health::Up),
            (Nothing, Health::Up),
            (Nothing, Health::Up),
            (Busy, Health::Busy),
            (Nothing, Health::Up),
            (Nothing, Health::Up),
            (Nothing, Health::Down),
            (Well, Health::Down),
            (Nothing, Health::Down),
            (Busy, Health::Down),
            (Well, Health::Up),
        ];
        for (index, (said, expected)) in said.into_iter().enumerate() {
            assert_eq!(health(said), expected, "{index}");
        }
    }

    #[test]
    fn statuses() {
        for (code, expected) in [
            (200, Said::Well),
            (302, Said::Well),
            (404, Said::Nothing),
            (429, Said::Busy),
            (503, Said::Busy),
            (500, Said::Nothing),
        ] {
            assert_eq!(said(StatusCode::from_u16(code).unwrap()), expected);
        }
    }
}
