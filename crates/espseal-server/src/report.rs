//! `POST /v1/report`: a device says, signed, what became of an update.
//!
//! The signature is checked so that a stranger cannot fill the database or raise another device's
//! counter. Whoever acts on reports reads the signed bytes, which are kept, and checks again.

use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use axum::body::Body;
use axum::extract::{Request, State};
use espseal_format::cose::{Role, Sign1, to_be_signed1};
use espseal_format::metadata::now::Now;
use espseal_format::report::{DeviceRecord, Report};
use espseal_format::repository::Resource;
use espseal_format::units::{KeyId, Product, PublicKeyBytes};
use hyper::{Response, StatusCode};

use crate::answer::{sentence, unreadable};
use crate::poll::NOW_LIMIT;
use crate::site::Site;
use crate::store::{Recorded, Unavailable};

/// Longest report as COSE_Sign1; the encoding has a fixed upper bound well below.
const LIMIT: usize = 512;
/// Longest public record of a device.
const RECORD_LIMIT: usize = 256;

pub(crate) async fn answer(
    State(site): State<Arc<Site>>,
    request: Request,
) -> Response<Body> {
    let signed = match site.body(request.into_body(), LIMIT).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let report = match verify(&site, &signed) {
        Ok(report) => report,
        Err(refusal) => return refusal,
    };
    match site.store.keep(report, signed.to_vec()).await {
        Ok(Recorded::Kept) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        Ok(Recorded::Stale) => {
            sentence(StatusCode::CONFLICT, "the counter is not above the last one\n")
        }
        Err(Unavailable) => {
            sentence(StatusCode::SERVICE_UNAVAILABLE, "the report was not kept: send it again\n")
        }
    }
}

/// Parses a report and checks its signature against the key of the device that it names.
fn verify(site: &Site, bytes: &[u8]) -> Result<Report, Response<Body>> {
    let malformed = || sentence(StatusCode::BAD_REQUEST, "the report is malformed\n");
    let signed = Sign1::parse(bytes).map_err(|_| malformed())?;
    let report = Report::parse(signed.payload).map_err(|_| malformed())?;
    let product = product(site)?;
    let key = report_key(site, &report)?;
    if report.product != product {
        return Err(sentence(StatusCode::FORBIDDEN, "the report is about another product\n"));
    }
    if signed.kid != KeyId::of(&key) || !is_signed_by(&key, &product, &signed) {
        return Err(sentence(StatusCode::FORBIDDEN, "the signature is not the device's\n"));
    }
    Ok(report)
}

/// The product of the repository, as its `now` says.
fn product(site: &Site) -> Result<Product, Response<Body>> {
    let bytes = site
        .repository
        .read(&Resource::Now, NOW_LIMIT)
        .map_err(|error| unreadable(&Resource::Now.path(), &error))?;
    bytes
        .as_deref()
        .and_then(|bytes| Sign1::parse(bytes).ok())
        .and_then(|signed| Now::parse(signed.payload).ok())
        .map(|now| now.product)
        .ok_or_else(|| {
            sentence(StatusCode::SERVICE_UNAVAILABLE, "nothing has been published yet\n")
        })
}

/// The key that the device's reports are signed with.
fn report_key(site: &Site, report: &Report) -> Result<PublicKeyBytes, Response<Body>> {
    let resource = Resource::Device(&report.device);
    let bytes = site
        .repository
        .read(&resource, RECORD_LIMIT)
        .map_err(|error| unreadable(&resource.path(), &error))?;
    bytes
        .and_then(|bytes| DeviceRecord::parse(&bytes).ok())
        .filter(|record| record.device == report.device)
        .map(|record| record.report_key)
        .ok_or_else(|| sentence(StatusCode::FORBIDDEN, "the device is not enrolled\n"))
}

fn is_signed_by(key: &PublicKeyBytes, product: &Product, signed: &Sign1<'_>) -> bool {
    let mut message = Vec::with_capacity(LIMIT);
    to_be_signed1(Role::Report, product, &signed.kid, signed.payload, &mut |part| {
        message.extend_from_slice(part);
    });
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key.0)
        .verify(&message, signed.signature)
        .is_ok()
}
