//! Times attempts. Each subscription keeps the series that it used, so that an attempt looks no labels up.

use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use prometheus::Histogram;
use tokio::time::Instant;
use towpath_config::topology::Channel;

use super::Metrics;

/// Series that a subscription keeps at hand; beyond that they are looked up by their labels.
const KEPT: usize = 16;

/// The series of one subscription's attempts.
#[derive(Debug, Default)]
pub(crate) struct Series(Mutex<Vec<Entry>>);

#[derive(Debug)]
struct Entry {
    ty: Box<str>,
    scheme: Box<str>,
    status: StatusCode,
    histograms: Histograms,
}

#[derive(Debug, Clone)]
struct Histograms {
    dispatches: Histogram,
    requests: Histogram,
}

/// One attempt being timed.
pub(crate) struct Dispatch<'a> {
    metrics: &'a Metrics,
    started: Instant,
    scheme: &'a str,
}

/// The leg to the subscriber, which is what Knative's own metric counts.
pub(crate) struct ToSubscriber<'a> {
    pub(crate) channel: &'a Channel,
    /// How metrics name the subscription.
    pub(crate) destination: &'a str,
    pub(crate) ty: &'a str,
    pub(crate) series: &'a Series,
}

impl<'a> Dispatch<'a> {
    /// Starts to time an attempt over `scheme`.
    pub(crate) fn start(metrics: &'a Metrics, scheme: &'a str) -> Self {
        Self {
            metrics,
            started: Instant::now(),
            scheme,
        }
    }

    /// The attempt is over; `status` is that of the answer, if one came (otherwise it counts as 500, as the
    /// dead letter says too). `subscriber` is `None` for replies and dead letters.
    pub(crate) fn end(self, status: Option<StatusCode>, subscriber: Option<ToSubscriber<'_>>) {
        let Self {
            metrics,
            started,
            scheme,
        } = self;
        let seconds = started.elapsed().as_secs_f64();
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match subscriber {
            Some(to) => {
                let Histograms {
                    dispatches,
                    requests,
                } = to.series.of(metrics, &to, scheme, status);
                dispatches.observe(seconds);
                requests.observe(seconds);
            }
            None => metrics.requests(scheme, status).observe(seconds),
        }
    }
}

impl Series {
    fn of(
        &self,
        metrics: &Metrics,
        to: &ToSubscriber<'_>,
        scheme: &str,
        status: StatusCode,
    ) -> Histograms {
        let ty = metrics.event_type(to.ty);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it =
            |entry: &&Entry| entry.status == status && *entry.ty == *ty && *entry.scheme == *scheme;
        if let Some(entry) = kept.iter().find(is_it) {
            return entry.histograms.clone();
        }
        let histograms = Histograms {
            dispatches: metrics.dispatches(to.channel, to.destination, ty, scheme, status),
            requests: metrics.requests(scheme, status),
        };
        if kept.len() < KEPT {
            kept.push(Entry {
                ty: ty.into(),
                scheme: scheme.into(),
                status,
                histograms: histograms.clone(),
            });
        }
        histograms
    }
}
