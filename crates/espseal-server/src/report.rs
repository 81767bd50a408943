//! `POST /v1/report`: a device says, signed, what became of an update.
//!
//! The signature is checked so that a stranger cannot fill the database or raise another device's
//! counter. Whoever acts on reports reads the signed bytes, which are kept, and checks again.

use std::io;
use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use axum::body::Body;
use axum::extract::{Request, State};
use espseal_format::cose::{Role, Sign1, to_be_signed1};
use espseal_format::metadata::now::{self, Now};
use espseal_format::report::{DeviceRecord, MAX_RECORD_LEN, MAX_REPORT_LEN, Report};
use espseal_format::repository::Resource;
use espseal_format::units::{KeyId, Product, PublicKeyBytes};
use hyper::{Response, StatusCode};

use crate::answer::{sentence, unreadable};
use crate::site::Site;
use crate::store::{Recorded, Unavailable};

/// Keeps a report, and answers 204 once it is on the disk.
pub(crate) async fn answer(State(site): State<Arc<Site>>, request: Request) -> Response<Body> {
    let signed = match site.body(request.into_body(), MAX_REPORT_LEN).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let report = match verify(&site, &signed) {
        Ok(report) => report,
        Err(refusal) => return refusal.answer(),
    };
    match site.store.keep(report, signed.to_vec()).await {
        Ok(Recorded::Kept) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        Ok(Recorded::Stale) => sentence(
            StatusCode::CONFLICT,
            "the counter is not above the last one\n",
        ),
        Err(Unavailable) => sentence(
            StatusCode::SERVICE_UNAVAILABLE,
            "the report was not kept: send it again\n",
        ),
    }
}

/// Why a report is not believed.
enum Refusal {
    Malformed,
    NothingPublished,
    UnknownDevice,
    OtherProduct,
    Signature,
    Unreadable(io::Error),
}

impl Refusal {
    fn answer(&self) -> Response<Body> {
        let (status, text) = match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, "the report is malformed\n"),
            Self::NothingPublished => (
                StatusCode::SERVICE_UNAVAILABLE,
                "nothing has been published yet\n",
            ),
            Self::UnknownDevice => (StatusCode::FORBIDDEN, "the device is not enrolled\n"),
            Self::OtherProduct => (
                StatusCode::FORBIDDEN,
                "the report is about another product\n",
            ),
            Self::Signature => (StatusCode::FORBIDDEN, "the signature is not the device's\n"),
            Self::Unreadable(error) => return unreadable("a report's device", error),
        };
        sentence(status, text)
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// Parses a report and checks its signature against the key of the device that it names.
fn verify(site: &Site, bytes: &[u8]) -> Result<Report, Refusal> {
    let signed = Sign1::parse(bytes).map_err(|_| Refusal::Malformed)?;
    let report = Report::parse(signed.payload).map_err(|_| Refusal::Malformed)?;
    if report.product != product(site)? {
        return Err(Refusal::OtherProduct);
    }
    let key = report_key(site, &report)?;
    if signed.kid != KeyId::of(&key) || !is_signed_by(&key, &report.product, &signed) {
        return Err(Refusal::Signature);
    }
    Ok(report)
}

/// The product of the repository, as its `now` says.
fn product(site: &Site) -> Result<Product, Refusal> {
    let bytes = site.repository.read(&Resource::Now, now::MAX_LEN)?;
    let signed = bytes.as_deref().and_then(|bytes| Sign1::parse(bytes).ok());
    let now = signed.and_then(|signed| Now::parse(signed.payload).ok());
    now.map(|now| now.product).ok_or(Refusal::NothingPublished)
}

/// The key that the device's reports are signed with.
fn report_key(site: &Site, report: &Report) -> Result<PublicKeyBytes, Refusal> {
    let bytes = site
        .repository
        .read(&Resource::Device(&report.device), MAX_RECORD_LEN)?;
    bytes
        .and_then(|bytes| DeviceRecord::parse(&bytes).ok())
        .filter(|record| record.device == report.device)
        .map(|record| record.report_key)
        .ok_or(Refusal::UnknownDevice)
}

fn is_signed_by(key: &PublicKeyBytes, product: &Product, signed: &Sign1<'_>) -> bool {
    let mut message = Vec::with_capacity(MAX_REPORT_LEN);
    to_be_signed1(
        Role::Report,
        product,
        signed.kid,
        signed.payload,
        &mut |part| {
            message.extend_from_slice(part);
        },
    );
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key.0)
        .verify(&message, signed.signature)
        .is_ok()
}
