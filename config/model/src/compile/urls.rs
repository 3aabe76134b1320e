//! URLs of destinations: absolute, relative to an object, as they are sent to; and what a status says about addresses.

use url::Url;

use super::plan::{Findings, Site};
use super::resolve::Base;
use crate::names;
use crate::objects::{Address, Status};

/// The address to use: the one asked for by name, else the first of all, else the one, else a Knative Service's URL.
pub(super) fn address<'s>(status: &'s Status, wanted: Option<&str>) -> Option<Base<'s>> {
    let listed = match wanted {
        Some(name) if !status.addresses.is_empty() => Some(
            status
                .addresses
                .iter()
                .find(|address| address.name.as_deref() == Some(name))?,
        ),
        _ => status.addresses.first(),
    };
    let base = |address: &'s Address| {
        Some(Base {
            url: address.url.clone()?,
            ca_certs: address.ca_certs.as_deref(),
            audience: address.audience.as_deref(),
            instead: None,
        })
    };
    listed
        .or(status.address.as_ref())
        .and_then(base)
        .or_else(|| {
            Some(Base {
                url: status.url.clone()?,
                ..Base::default()
            })
        })
}

/// The host by which a cluster tells a channel apart (A6.4); none if its address has a path.
pub(super) fn own_host(status: &Status) -> Option<String> {
    let url = Url::parse(status.address.as_ref()?.url.as_deref()?).ok()?;
    let plain = url.scheme() == "http" && url.path() == "/" && url.port().is_none();
    url.host_str().filter(|_| plain).map(names::normal_host)
}

/// Checks that a URL is absolute, has a host and no user name; the text stays as it was written.
pub(super) fn absolute(text: &str, site: &Site<'_>, findings: &mut Findings) -> Option<String> {
    let message = match Url::parse(text) {
        Ok(url) if url.host_str().is_none_or(str::is_empty) => {
            format!("`{text}` has no host; write `http://<host>/<path>`")
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "a user name or password in a URL is not supported; leave it out".to_owned()
        }
        Ok(_) => return Some(text.to_owned()),
        Err(url::ParseError::RelativeUrlWithoutBase) => {
            format!(
                "`{text}` is relative; write `http://<host>/<path>`, or add a `ref` that it is relative to"
            )
        }
        Err(error) => format!("`{text}` is not a URL: {error}; write `http://<host>/<path>`"),
    };
    findings.problem(site, message);
    None
}

/// A relative URL on that of an object (A8.3).
pub(super) fn joined(
    base: &str,
    uri: &str,
    site: &Site<'_>,
    findings: &mut Findings,
) -> Option<String> {
    if Url::parse(uri).is_ok() {
        findings.problem(
            site,
            format!("`{uri}` is absolute; with a `ref` it must be relative, as `/path`"),
        );
        return None;
    }
    match Url::parse(base).and_then(|base| base.join(uri)) {
        Ok(url) => absolute(url.as_str(), site, findings),
        Err(error) => {
            findings.problem(
                site,
                format!("`{uri}` is not a relative URL: {error}; write it as `/path`"),
            );
            None
        }
    }
}

/// The URL to POST to: path and query as they are; any scheme but http and https becomes `http://<host>/` (C4.7).
pub(super) fn sendable(text: &str, site: &Site<'_>, findings: &mut Findings) -> Option<http::Uri> {
    let url = Url::parse(text).ok()?;
    let result = if matches!(url.scheme(), "http" | "https") {
        // As written, since parsing it as a web page's URL would change the path. What cannot be sent so (letters
        // outside ASCII) is encoded.
        text.parse::<http::Uri>().or_else(|_| url.as_str().parse())
    } else {
        let host = url.host_str().unwrap_or_default();
        let port = url
            .port()
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        format!("http://{host}{port}/").parse()
    };
    result
        .map_err(|error| {
            findings.problem(
                site,
                format!("`{text}` cannot be sent to: {error}; write `http://<host>/<path>`"),
            )
        })
        .ok()
}

/// At least one certificate must be there; blocks that are not certificates are skipped (D2.1).
pub(super) fn check_certificates(pem: &str, site: &Site<'_>, findings: &mut Findings) {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;
    if !CertificateDer::pem_slice_iter(pem.as_bytes()).any(|certificate| certificate.is_ok()) {
        let message =
            "holds no certificate; write PEM blocks that begin with `-----BEGIN CERTIFICATE-----`";
        findings.problem(site, message);
    }
}

/// Host and path of a URL with a path and without a port, as addresses of brokers are looked up: without a slash at its end.
pub(super) fn host_and_path(url: &str) -> Option<(String, String)> {
    let url = Url::parse(url).ok()?;
    let path = url.path().strip_suffix('/').unwrap_or(url.path());
    if path.is_empty() || url.port().is_some() || !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    Some((names::normal_host(url.host_str()?), path.to_owned()))
}
