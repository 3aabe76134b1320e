//! How long to wait before a retry (CONTRACT C8.3, C8.6, I9). Pure; saturates; never overflows.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};
use towpath_config::topology::{Backoff, Delivery};

/// The wait before retry number `retry`, counted from 1.
///
/// The delivery spec's back-off, at most `cap`; on 429 and 503 at least the answer's `Retry-After`, as far as
/// `retryAfterMax` allows.
pub(crate) fn wait(
    delivery: &Delivery,
    retry: u32,
    retry_after: Option<Duration>,
    cap: Duration,
) -> Duration {
    let backoff = match delivery.backoff {
        None => Duration::ZERO,
        Some(Backoff::Linear(delay)) => delay.saturating_mul(retry),
        Some(Backoff::Exponential(delay)) => {
            let doublings = retry.saturating_sub(1);
            delay.saturating_mul(1u32.checked_shl(doublings).unwrap_or(u32::MAX))
        }
    };
    let asked = match (retry_after, delivery.retry_after_max) {
        (Some(after), Some(max)) => after.min(max),
        _ => Duration::ZERO,
    };
    backoff.min(cap).max(asked)
}

/// The `Retry-After` of a 429 or 503, in seconds or as an HTTP date (C8.6); `None` for other statuses and for a
/// value that is neither.
pub(crate) fn retry_after(
    status: StatusCode,
    headers: &HeaderMap,
    now: SystemTime,
) -> Option<Duration> {
    if status != StatusCode::TOO_MANY_REQUESTS && status != StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?;
    let date = SystemTime::from(date.timestamp());
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: Duration = Duration::from_secs(600);

    fn spec(backoff: Option<Backoff>, retry_after_max: Option<u64>) -> Delivery {
        Delivery {
            backoff,
            retry_after_max: retry_after_max.map(Duration::from_secs),
            ..Delivery::default()
        }
    }

    fn seconds(delivery: &Delivery, retry_after: Option<u64>) -> Vec<u64> {
        (1..=5)
            .map(|r| wait(delivery, r, retry_after.map(Duration::from_secs), CAP).as_secs())
            .collect()
    }

    #[test]
    fn follows_the_formulas() {
        let delay = Duration::from_secs(2);
        assert_eq!(seconds(&spec(None, None), None), [0, 0, 0, 0, 0]);
        assert_eq!(
            seconds(&spec(Some(Backoff::Linear(delay)), None), None),
            [2, 4, 6, 8, 10]
        );
        assert_eq!(
            seconds(&spec(Some(Backoff::Exponential(delay)), None), None),
            [2, 4, 8, 16, 32]
        );
    }

    #[test]
    fn saturates_at_the_cap() {
        let exponential = spec(Some(Backoff::Exponential(Duration::from_secs(1))), None);
        for retry in [11, 31, 32, 33, 64, 1_000_000, u32::MAX] {
            assert_eq!(wait(&exponential, retry, None, CAP), CAP);
        }
        let linear = spec(Some(Backoff::Linear(Duration::MAX)), None);
        assert_eq!(wait(&linear, u32::MAX, None, CAP), CAP);
    }

    #[test]
    fn retry_after_counts_only_as_far_as_its_maximum() {
        assert_eq!(seconds(&spec(None, None), Some(7)), [0; 5]);
        assert_eq!(seconds(&spec(None, Some(0)), Some(7)), [0; 5]);
        assert_eq!(seconds(&spec(None, Some(5)), Some(7)), [5; 5]);
        let linear = spec(Some(Backoff::Linear(Duration::from_secs(3))), Some(10));
        assert_eq!(seconds(&linear, Some(7)), [7, 7, 9, 12, 15]);
    }

    #[test]
    fn reads_seconds_and_dates() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let read = |status: u16, value: &'static str| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().unwrap())]);
            retry_after(StatusCode::from_u16(status).unwrap(), &headers, now)
        };
        assert_eq!(read(503, "6"), Some(Duration::from_secs(6)));
        assert_eq!(read(429, " 6 "), Some(Duration::from_secs(6)));
        assert_eq!(read(500, "6"), None);
        assert_eq!(read(503, "soon"), None);
        assert_eq!(read(503, "-1"), None);
        assert_eq!(
            read(503, "Sun, 06 Nov 1994 08:49:47 GMT"),
            Some(Duration::from_secs(10))
        );
        assert_eq!(
            read(503, "Sun, 06 Nov 1994 08:49:17 GMT"),
            Some(Duration::ZERO)
        );
        assert_eq!(read(503, "99999999999999999999"), None);
    }
}
