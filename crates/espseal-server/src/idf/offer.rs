//! Which image an ESP-IDF device may have now.
//!
//! Subscription, `now`, `releases`, the offer for its channel and chip, holds, state, cohort, and a
//! header or a file made for it. Signatures are not checked here: the server holds no key and is not trusted,
//! so a check would protect nobody. What the maker has signed is honoured all the same.

use std::fmt;
use std::io;

use espseal_format::cohort::{self, Membership};
use espseal_format::cose::Sign1;
use espseal_format::metadata::manifest::{self, Manifest};
use espseal_format::metadata::now::{self, Now};
use espseal_format::metadata::releases::{self, OfferState, Releases};
use espseal_format::report::{IdfSubscription, MAX_RECORD_LEN};
use espseal_format::repository::Resource;
use espseal_format::units::{DeviceId, Digest};

use crate::site::Site;

/// Why a device gets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Withheld {
    /// The repository knows no such device.
    NoSubscription,
    /// Its channel has nothing for its chip.
    NoOffer,
    /// The state of the offer is held; a hold in `now` leaves nobody in the cohort.
    Held,
    /// The rollout has not reached the device.
    OutsideCohort,
    /// The device has neither a header for the body nor a file of its own: it was enrolled after the
    /// release was published.
    NoHeader,
    /// A signed document is over; the name of the document.
    Expired(&'static str),
    /// A document that the others name is missing, malformed or another than they name.
    Inconsistent(&'static str),
}

impl Withheld {
    /// Whether an operator has to do something about it.
    pub(crate) fn is_unusual(self) -> bool {
        matches!(
            self,
            Self::NoHeader | Self::Expired(_) | Self::Inconsistent(_)
        )
    }
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSubscription => f.write_str("no such device is subscribed"),
            Self::NoOffer => f.write_str("the channel has no offer for the chip"),
            Self::Held => f.write_str("the offer is held"),
            Self::OutsideCohort => f.write_str("the device is outside the cohort"),
            Self::NoHeader => {
                f.write_str("nothing sealed for the device: publish the release again")
            }
            Self::Expired(document) => write!(f, "{document} has expired: publish a new one"),
            Self::Inconsistent(document) => {
                write!(f, "{document} is missing, malformed or another than named")
            }
        }
    }
}

/// Returns the digest that names the device's image: of the body on offer for the RSA scheme, of the
/// device's own file for the ECIES scheme; or why there is none.
///
/// # Errors
/// The repository's file system fails.
pub(crate) fn image_for(site: &Site, device: &DeviceId) -> io::Result<Result<Digest, Withheld>> {
    let read = |resource: &Resource<'_>, limit| site.repository.read(resource, limit);
    let Some(bytes) = read(&Resource::IdfSubscription(device), MAX_RECORD_LEN)? else {
        return Ok(Err(Withheld::NoSubscription));
    };
    let Some(subscription) = IdfSubscription::parse(&bytes)
        .ok()
        .filter(|found| found.device == *device)
    else {
        return Ok(Err(Withheld::Inconsistent("subscription")));
    };
    let bytes = read(&Resource::Now, now::MAX_LEN)?;
    let Some(now) = bytes
        .as_deref()
        .and_then(payload)
        .and_then(|now| Now::parse(now).ok())
    else {
        return Ok(Err(Withheld::Inconsistent("now")));
    };
    let bytes = read(&Resource::Releases(&now.releases), releases::MAX_LEN)?;
    let named = bytes
        .as_deref()
        .filter(|bytes| Digest::of(bytes) == now.releases);
    let Some(releases) = named
        .and_then(payload)
        .and_then(|all| Releases::parse(all).ok())
    else {
        return Ok(Err(Withheld::Inconsistent("releases")));
    };
    let Some(offer) = releases.offer(&subscription.channel, subscription.chip) else {
        return Ok(Err(Withheld::NoOffer));
    };
    let ppm = now.effective_ppm(offer);
    if offer.state != OfferState::Active {
        return Ok(Err(Withheld::Held));
    }
    if cohort::includes(&offer.salt, device, ppm) == Membership::Outside {
        return Ok(Err(Withheld::OutsideCohort));
    }
    let bytes = read(&Resource::Manifest(&offer.manifest), manifest::MAX_LEN)?;
    let named = bytes.filter(|bytes| Digest::of(bytes) == offer.manifest);
    let Some(manifest) = named.and_then(|manifest| Manifest::parse(&manifest).ok()) else {
        return Ok(Err(Withheld::Inconsistent("manifest")));
    };
    let dates = [
        ("now", now.expires),
        ("releases", releases.expires),
        ("manifest", manifest.expires),
    ];
    // A server whose clock was set back still knows that `now` has been signed.
    let time = site.clock.seconds().max(now.time);
    if let Some((document, _)) = dates.into_iter().find(|(_, expires)| *expires <= time) {
        return Ok(Err(Withheld::Expired(document)));
    }
    let body = manifest.component.body;
    match site.repository.file(&Resource::Body(&body))? {
        Some((_, len)) if len == u64::from(manifest.component.body_length) => {}
        _ => return Ok(Err(Withheld::Inconsistent("body"))),
    }
    let (has, body) = (
        |resource: &Resource<'_>| site.repository.has(resource),
        &body,
    );
    if has(&Resource::IdfHeader { device, body }) {
        return Ok(Ok(*body));
    }
    let Some(link) = read(&Resource::IdfLink { device, body }, Digest::LEN)? else {
        return Ok(Err(Withheld::NoHeader));
    };
    let file = link.try_into().map(Digest).ok();
    let stored = file.filter(|file| has(&Resource::IdfFile { device, file }));
    Ok(stored.ok_or(Withheld::Inconsistent("file of the device")))
}

/// The payload of a COSE_Sign1, unverified.
fn payload(cose: &[u8]) -> Option<&[u8]> {
    Sign1::parse(cose).ok().map(|signed| signed.payload)
}
