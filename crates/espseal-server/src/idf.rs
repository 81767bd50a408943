//! The path of unmodified ESP-IDF devices (`esp_https_ota` with `esp_encrypted_img`).
//!
//! RSA scheme: `idf/<device>/latest` redirects to `idf/<device>/<body>.bin`, which is that device's
//! 512-byte header followed by the one body that all devices share. No such file exists; it is put
//! together while it is sent, and offsets count both parts.
//!
//! ECIES scheme: it redirects to `idf/<device>/<file>.bin`, a file of the repository with the
//! device's header and a body of its own.
//!
//! `esp_https_ota` appends whatever a range request brings, so a range is answered 206 or 416 and
//! never with the whole file.
//!
//! Source: ESP-IDF `components/esp_https_ota/src/esp_https_ota.c`.

mod offer;

use std::io;

use axum::body::Body;
use axum::extract::Request;
use espseal_format::repository::Resource;
use espseal_format::units::{DeviceId, Digest};
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_LENGTH, HOST, HeaderValue, LOCATION};
use hyper::{Response, StatusCode};
use tracing::warn;

use crate::answer::{not_found, sentence, unreadable};
use crate::config::PublicHost;
use crate::files::{Caching, Representation, UnusableRange, insert};
use crate::site::Site;

/// A path that only the server knows: no such file is in the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdfPath {
    /// `idf/<device>/latest`
    Latest(DeviceId),
    /// `idf/<device>/<body>.bin` or `idf/<device>/<file>.bin`
    Image(DeviceId, Digest),
}

impl IdfPath {
    /// Parses a path without its leading slash.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let (device, file) = path.strip_prefix("idf/")?.split_once('/')?;
        let device = DeviceId::from_hex(device)?;
        if file == "latest" {
            return Some(Self::Latest(device));
        }
        Some(Self::Image(
            device,
            Digest::from_hex(file.strip_suffix(".bin")?)?,
        ))
    }
}

/// Bytes of the header that stands before the body.
const HEADER: usize = espseal_format::enc_img::LEN;

/// `esp_https_ota` reads this much before it looks at anything, and never a shorter file.
const LEAST: u64 = 1024;

/// Answers `GET` or `HEAD`.
pub(crate) fn answer(site: &Site, path: &IdfPath, request: &Request) -> Response<Body> {
    let answered = match path {
        IdfPath::Latest(device) => latest(site, device, request),
        IdfPath::Image(device, name) => image(site, device, name, request),
    };
    answered.unwrap_or_else(|error| unreadable(request.uri().path(), &error))
}

/// Redirects to what is on offer for the device.
fn latest(site: &Site, device: &DeviceId, request: &Request) -> io::Result<Response<Body>> {
    let image = match offer::image_for(site, device)? {
        Ok(image) => image,
        Err(reason) => {
            warn_unless_usual(device, reason);
            return Ok(sentence(
                StatusCode::NOT_FOUND,
                "nothing is on offer for this device\n",
            ));
        }
    };
    let Some(host) = host(site, request) else {
        let text = "the request names no usable host, and --public-host was not given\n";
        return Ok(sentence(StatusCode::BAD_REQUEST, text));
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    let headers = response.headers_mut();
    insert(
        headers,
        LOCATION,
        format!("https://{}/idf/{device}/{image}.bin", host.as_str()),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
    Ok(response)
}

/// Sends the image of that name, whichever scheme it is of.
fn image(
    site: &Site,
    device: &DeviceId,
    name: &Digest,
    request: &Request,
) -> io::Result<Response<Body>> {
    let found = match with_header(site, device, name)? {
        Some(image) => Some(image),
        None => whole_file(site, device, name)?,
    };
    let Some(image) = found else {
        return Ok(not_found());
    };
    let (method, headers) = (request.method(), request.headers());
    Ok(image.answer(method, headers, UnusableRange::Refused, &site.buffers))
}

/// `header || body`.
fn with_header(
    site: &Site,
    device: &DeviceId,
    body: &Digest,
) -> io::Result<Option<Representation>> {
    let header = Resource::IdfHeader { device, body };
    let Some(header) = site.repository.read(&header, HEADER)? else {
        return Ok(None);
    };
    let Some((file, len)) = site.repository.file(&Resource::Body(body))? else {
        return Ok(None);
    };
    if header.len() != HEADER {
        return Err(too_short(device, body));
    }
    check_length(len.saturating_add(HEADER as u64), device, body)?;
    Ok(Some(Representation {
        // The header alone differs between two files of the same body.
        tag: Digest::of(&[header.as_slice(), &body.0].concat()).to_string(),
        content_type: "application/octet-stream",
        caching: Caching::Immutable,
        prefix: header.into(),
        file: Some((file, len)),
    }))
}

/// A file that was sealed for the device alone.
fn whole_file(site: &Site, device: &DeviceId, file: &Digest) -> io::Result<Option<Representation>> {
    let Some((bytes, len)) = site.repository.file(&Resource::IdfFile { device, file })? else {
        return Ok(None);
    };
    check_length(len, device, file)?;
    Ok(Some(Representation {
        tag: file.to_string(),
        content_type: "application/octet-stream",
        caching: Caching::Immutable,
        prefix: Bytes::new(),
        file: Some((bytes, len)),
    }))
}

fn check_length(total: u64, device: &DeviceId, name: &Digest) -> io::Result<()> {
    match total < LEAST {
        true => Err(too_short(device, name)),
        false => Ok(()),
    }
}

fn too_short(device: &DeviceId, name: &Digest) -> io::Error {
    let text =
        format!("idf/{device}/{name}: {HEADER} bytes of header and {LEAST} in all are needed");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// The host of the redirect: configured, or the one that the client asked.
fn host(site: &Site, request: &Request) -> Option<PublicHost> {
    if site.public_host.is_some() {
        return site.public_host.clone();
    }
    request.headers().get(HOST)?.to_str().ok()?.parse().ok()
}

fn warn_unless_usual(device: &DeviceId, reason: offer::Withheld) {
    if reason.is_unusual() {
        warn!(%device, %reason, "nothing on offer");
    } else {
        tracing::debug!(%device, %reason, "nothing on offer");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_exact_forms_are_paths() {
        let (id, body) = ("ab".repeat(32), "cd".repeat(32));
        let device = DeviceId([0xAB; 32]);
        let parse = IdfPath::parse;
        assert_eq!(
            parse(&format!("idf/{id}/latest")),
            Some(IdfPath::Latest(device))
        );
        let image = IdfPath::Image(device, Digest([0xCD; 32]));
        assert_eq!(parse(&format!("idf/{id}/{body}.bin")), Some(image));
        for wrong in [
            format!("idf/{id}"),
            format!("idf/{id}/"),
            format!("idf/{id}/Latest"),
            format!("idf/{id}/latest/"),
            format!("idf/{id}/{body}"),
            format!("idf/{id}/{body}.bin.bin"),
            format!("idf/{id}/../{body}.bin"),
            format!("idf/{}/latest", id.to_uppercase()),
            format!("/idf/{id}/latest"),
        ] {
            assert_eq!(parse(&wrong), None, "{wrong}");
        }
    }
}
