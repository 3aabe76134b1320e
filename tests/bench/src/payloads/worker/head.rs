//! Heads of requests and replies: numbers in them, their length, and what of them goes on.

use crate::clock::now_nanos;
use crate::control::SENT;
use anyhow::{Context, Result};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};

/// The header of this name.
///
/// # Errors
/// There is none, or it is no text.
pub(super) fn text_in<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str> {
    let value = headers
        .get(name)
        .with_context(|| format!("no header {name}"))?;
    Ok(value.to_str()?)
}

/// The number in the header of this name.
///
/// # Errors
/// There is none, or it is no number.
pub(super) fn number_in(headers: &HeaderMap, name: &str) -> Result<u64> {
    let text = text_in(headers, name)?;
    text.parse()
        .with_context(|| format!("header {name}: {text:?}"))
}

/// The event's own headers: attributes and content type.
pub(super) fn onward_headers(headers: &HeaderMap) -> HeaderMap {
    headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("ce-") || *name == header::CONTENT_TYPE)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Marks the moment at which a hop begins.
pub(super) fn begin_hop(headers: &mut HeaderMap) {
    headers.insert(SENT, HeaderValue::from(now_nanos()));
}

/// Bytes of a request's head in HTTP/1.1, of the form in which clients write it: `name: value` and a line's end.
pub(super) fn head_bytes(head: &Parts) -> u64 {
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let line = head.method.as_str().len() + path.len() + "  HTTP/1.1\r\n".len();
    let headers: usize = head
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum();
    (line + headers + "\r\n".len()) as u64
}
