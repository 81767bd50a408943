//! The development CA: a root certificate and a server certificate for `localhost`.
//!
//! It lets `espseal serve` speak HTTPS on the maker's own machine from the first minute. A public
//! host uses certificates of its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use zeroize::Zeroizing;

use crate::blame::Blame;
use crate::files::{self, FileError, Secrecy};

/// Days that the server certificate is valid; browsers and RFC-minded clients accept 825 at most.
const SERVER_DAYS: i64 = 820;
/// Days that the CA certificate is valid.
const CA_DAYS: i64 = 3650;

/// Makes the CA and the server certificate: `ca.pem`, `ca.key`, `server.pem`, `server.key`.
///
/// # Errors
/// [`CaError::Certificate`] when a certificate cannot be made, [`CaError::File`] when a file
/// exists or cannot be written.
pub fn create(folder: &Path, product_name: &str, now: i64) -> Result<(), CaError> {
    let ca_key = KeyPair::generate().map_err(CaError::Certificate)?;
    let ca_key_pem = Zeroizing::new(ca_key.serialize_pem());
    let mut params = CertificateParams::default();
    params.distinguished_name.push(
        DnType::CommonName,
        format!("espseal development CA ({product_name})"),
    );
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_lifetime(&mut params, now, CA_DAYS);
    let ca = CertifiedIssuer::self_signed(params, ca_key).map_err(CaError::Certificate)?;

    let server_key = KeyPair::generate().map_err(CaError::Certificate)?;
    let mut params =
        CertificateParams::new(vec!["localhost".into()]).map_err(CaError::Certificate)?;
    for address in [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ] {
        params.subject_alt_names.push(SanType::IpAddress(address));
    }
    params
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_lifetime(&mut params, now, SERVER_DAYS);
    let server = params
        .signed_by(&server_key, &ca)
        .map_err(CaError::Certificate)?;
    let server_key_pem = Zeroizing::new(server_key.serialize_pem());

    let public = |name: &str, text: &str| {
        files::create(&folder.join(name), text.as_bytes(), Secrecy::Public)
    };
    let private = |name: &str, text: &str| {
        files::create(&folder.join(name), text.as_bytes(), Secrecy::Private)
    };
    public("ca.pem", &ca.pem())?;
    private("ca.key", &ca_key_pem)?;
    public("server.pem", &(server.pem() + &ca.pem()))?;
    private("server.key", &server_key_pem)?;
    Ok(())
}

/// Makes a certificate valid from the day before `now`, for clocks that are a little behind.
fn set_lifetime(params: &mut CertificateParams, now: i64, days: i64) {
    let day = |offset: i64| {
        let time = jiff::Timestamp::from_second(now.saturating_add(offset.saturating_mul(86_400)))
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let date = time.to_zoned(jiff::tz::TimeZone::UTC).date();
        rcgen::date_time_ymd(
            date.year().into(),
            date.month().unsigned_abs(),
            date.day().unsigned_abs(),
        )
    };
    params.not_before = day(-1);
    params.not_after = day(days);
}

/// Failure of making the development CA.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaError {
    /// A key or certificate cannot be made.
    #[error("the development CA could not be made: {0}; nothing was kept, run it again")]
    Certificate(rcgen::Error),
    /// A file exists or cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl CaError {
    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        Blame::Io
    }
}
