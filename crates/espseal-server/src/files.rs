//! The static repository: any path that `espseal-format` knows, and no other.
//!
//! Files whose path holds their digest are streamed, never change, and have that digest as their
//! `ETag`. The others are small; they are read whole and their `ETag` is the digest of what was
//! read, so that it always names the bytes that follow.

mod body;
mod range;
mod representation;

use std::io;

use axum::body::Body;
use axum::extract::Request;
use espseal_format::repository::Resource;
use espseal_format::units::Digest;
use hyper::Response;
use hyper::body::Bytes;

use crate::answer::{not_found, unreadable};
use crate::site::Site;

pub(crate) use body::{Buffers, PIECE};
pub(crate) use representation::{Caching, Representation, UnusableRange, insert};

/// Largest file that has no digest in its path.
const SMALL: usize = espseal_format::wrap::MAX_SHARD_LEN;

/// Answers `GET` or `HEAD` of a file.
pub(crate) fn answer(site: &Site, resource: &Resource<'_>, request: &Request) -> Response<Body> {
    match represent(site, resource) {
        Ok(Some(file)) => {
            let (method, headers) = (request.method(), request.headers());
            file.answer(method, headers, UnusableRange::Whole, &site.buffers)
        }
        Ok(None) => not_found(),
        Err(error) => unreadable(&resource.path(), &error),
    }
}

fn represent(site: &Site, resource: &Resource<'_>) -> io::Result<Option<Representation>> {
    let content_type = content_type(resource);
    if let Some(digest) = name(resource) {
        return Ok(site.repository.file(resource)?.map(|file| Representation {
            tag: digest.to_string(),
            content_type,
            caching: Caching::Immutable,
            prefix: Bytes::new(),
            file: Some(file),
        }));
    }
    Ok(site
        .repository
        .read(resource, SMALL)?
        .map(|bytes| Representation {
            tag: Digest::of(&bytes).to_string(),
            content_type,
            caching: Caching::Revalidate,
            prefix: bytes.into(),
            file: None,
        }))
}

/// The digest that the path holds and that fixes the content.
fn name<'a>(resource: &Resource<'a>) -> Option<&'a Digest> {
    match resource {
        Resource::Releases(digest)
        | Resource::Manifest(digest)
        | Resource::Body(digest)
        | Resource::Pages(digest) => Some(digest),
        _ => None,
    }
}

fn content_type(resource: &Resource<'_>) -> &'static str {
    match resource {
        Resource::Now | Resource::Root(_) | Resource::Releases(_) => "application/cose",
        Resource::Manifest(_) | Resource::Device(_) | Resource::IdfSubscription(_) => {
            "application/cbor"
        }
        _ => "application/octet-stream",
    }
}
