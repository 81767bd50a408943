//! PEM files of signing keys and public keys.
//!
//! | label | content |
//! |---|---|
//! | `RSA PRIVATE KEY` | PKCS#1 (RFC 8017 appendix A.1.2) |
//! | `EC PRIVATE KEY` | SEC1 (RFC 5915), with a named curve |
//! | `PRIVATE KEY` | PKCS#8 (RFC 5958) of either |
//! | `PUBLIC KEY` | SubjectPublicKeyInfo (RFC 5280) of either |
//!
//! The first block that is a key counts; text around it and other blocks, such as `EC PARAMETERS`, are
//! passed over. Curves given by explicit parameters instead of a name are refused, as RFC 5480 section
//! 2.1.1 does.

use std::path::Path;

use ::pem::{EncodeConfig, LineEnding, Pem};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use espseal_crypto::secure_boot::{PublicKey, RsaPublicKey};
use espseal_format::signature_block::Curve;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use pkcs8::der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, UintRef};
use pkcs8::der::{self, Decode as _, Encode as _, Tag};
use pkcs8::spki::{AlgorithmIdentifier, SubjectPublicKeyInfo, SubjectPublicKeyInfoRef};
use pkcs8::{PrivateKeyInfoRef, SecretDocument};
use sec1::{EcParameters, EcPrivateKey};
use zeroize::Zeroizing;

use super::ecdsa::EcdsaKey;
use super::{Private, rsa_public_key};
use crate::files;
use crate::keys::{KeyError, LARGEST_KEY};

/// What belongs in the file of a signing key.
pub(super) const EXPECTED: &str =
    "an RSA-3072 or ECDSA P-192, P-256 or P-384 private key in PEM (PKCS#1, SEC1 or PKCS#8)";
/// What belongs in the file of a public key.
const EXPECTED_PUBLIC: &str =
    "an RSA-3072 or ECDSA P-192, P-256 or P-384 public or private key in PEM";

const RSA_PRIVATE_KEY: &str = "RSA PRIVATE KEY";
const EC_PRIVATE_KEY: &str = "EC PRIVATE KEY";
const PRIVATE_KEY: &str = "PRIVATE KEY";
const PUBLIC_KEY: &str = "PUBLIC KEY";
const ENCRYPTED_PRIVATE_KEY: &str = "ENCRYPTED PRIVATE KEY";

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// A block of a PEM file.
struct Block {
    label: String,
    der: Zeroizing<Vec<u8>>,
    is_encrypted: bool,
}

/// Takes a private key from the text of a file.
pub(super) fn read_private_key(path: &Path, text: &[u8]) -> Result<Private, KeyError> {
    let labels = [RSA_PRIVATE_KEY, EC_PRIVATE_KEY, PRIVATE_KEY];
    let block = first_key(path, text, &labels, EXPECTED)?;
    private_key(path, &block)
}

/// Reads a public key, or the public half of a private key, from a file.
///
/// # Errors
/// [`KeyError`] when the file is missing, no PEM or another kind of key.
pub fn load_public_key(path: &Path) -> Result<PublicKey, KeyError> {
    let text = Zeroizing::new(files::read(path, EXPECTED_PUBLIC, LARGEST_KEY)?);
    read_public_key(path, &text)
}

/// Takes a public key, or the public half of a private key, from the text of the file `path`.
///
/// # Errors
/// [`KeyError`] when there is no PEM or another kind of key.
pub fn read_public_key(path: &Path, text: &[u8]) -> Result<PublicKey, KeyError> {
    let labels = [PUBLIC_KEY, RSA_PRIVATE_KEY, EC_PRIVATE_KEY, PRIVATE_KEY];
    let block = first_key(path, text, &labels, EXPECTED_PUBLIC)?;
    match block.label.as_str() {
        PUBLIC_KEY => public_key(path, &block.der),
        _ => private_key(path, &block)?.public_key(path),
    }
}

/// Writes a new RSA key as PKCS#1.
pub(super) fn encode_rsa(pair: &RsaKeyPair) -> Result<Zeroizing<String>, KeyError> {
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError::Generation)?;
    let info = PrivateKeyInfoRef::try_from(der.as_ref()).map_err(|_| KeyError::Generation)?;
    Ok(encode(RSA_PRIVATE_KEY, info.private_key.as_bytes()))
}

/// Writes a new ECDSA key as SEC1, with curve and public key.
pub(super) fn encode_ecdsa(key: &EcdsaKey) -> Result<Zeroizing<String>, KeyError> {
    let (scalar, point) = (key.expose_secret(), key.point());
    let content = EcPrivateKey {
        private_key: &scalar,
        parameters: Some(EcParameters::NamedCurve(name_of(key.curve()))),
        public_key: Some(&point),
    };
    let der = SecretDocument::encode_msg(&content).map_err(|_| KeyError::Generation)?;
    Ok(encode(EC_PRIVATE_KEY, der.as_bytes()))
}

/// Writes a public key as SubjectPublicKeyInfo in PEM.
///
/// # Errors
/// [`KeyError::Generation`] never in practice: DER of these lengths can always be written.
pub fn encode_public_key(key: &PublicKey) -> Result<String, KeyError> {
    let der = match key {
        PublicKey::Rsa(key) => rsa_info(key),
        PublicKey::P192(key) => ecdsa_info(Curve::P192, &key.coordinates()),
        PublicKey::P256(key) => ecdsa_info(Curve::P256, &key.coordinates()),
        PublicKey::P384(key) => ecdsa_info(Curve::P384, &key.coordinates()),
    };
    let der = der.map_err(|_| KeyError::Generation)?;
    Ok(encode(PUBLIC_KEY, &der).to_string())
}

/// RFC 3279 section 2.3.1.
fn rsa_info(key: &RsaPublicKey) -> Result<Vec<u8>, der::Error> {
    let modulus = UintRef::new(&key.modulus())?.to_der()?;
    let numbers = [modulus, key.exponent().to_der()?].concat();
    let content = AnyRef::new(Tag::Sequence, &numbers)?.to_der()?;
    info(RSA_ENCRYPTION, AnyRef::NULL, &content)
}

/// RFC 5480 section 2.
fn ecdsa_info<const N: usize>(
    curve: Curve,
    coordinates: &[[u8; N]; 2],
) -> Result<Vec<u8>, der::Error> {
    let point = [&[4], coordinates.as_flattened()].concat();
    info(EC_PUBLIC_KEY, AnyRef::from(&name_of(curve)), &point)
}

fn info(
    oid: ObjectIdentifier,
    parameters: AnyRef<'_>,
    content: &[u8],
) -> Result<Vec<u8>, der::Error> {
    let algorithm = AlgorithmIdentifier {
        oid,
        parameters: Some(parameters),
    };
    let subject_public_key = BitStringRef::from_bytes(content)?;
    SubjectPublicKeyInfo {
        algorithm,
        subject_public_key,
    }
    .to_der()
}

/// Finds the first block with one of these labels.
fn first_key(
    path: &Path,
    text: &[u8],
    labels: &[&str],
    expected: &'static str,
) -> Result<Block, KeyError> {
    let none = || KeyError::NoKey {
        path: path.into(),
        expected,
    };
    let blocks = ::pem::parse_many(text).map_err(|_| none())?;
    let mut blocks: Vec<_> = blocks
        .into_iter()
        .map(|block| Block {
            label: block.tag().into(),
            is_encrypted: block.tag() == ENCRYPTED_PRIVATE_KEY
                || block.headers().get("Proc-Type").is_some(),
            der: Zeroizing::new(block.into_contents()),
        })
        .collect();
    let found = blocks
        .iter()
        .position(|block| block.is_encrypted || labels.contains(&block.label.as_str()))
        .ok_or_else(none)?;
    let block = blocks.swap_remove(found);
    if block.is_encrypted {
        return Err(KeyError::Encrypted { path: path.into() });
    }
    Ok(block)
}

fn private_key(path: &Path, block: &Block) -> Result<Private, KeyError> {
    match block.label.as_str() {
        RSA_PRIVATE_KEY => rsa_private_key(path, &block.der),
        EC_PRIVATE_KEY => ecdsa_private_key(path, &block.der, None),
        _ => {
            let info =
                PrivateKeyInfoRef::try_from(block.der.as_slice()).map_err(|_| damaged(path))?;
            let content = info.private_key.as_bytes();
            match info.algorithm.oid {
                RSA_ENCRYPTION => rsa_private_key(path, content),
                EC_PUBLIC_KEY => {
                    let name = info.algorithm.parameters_oid().map_err(|_| damaged(path))?;
                    ecdsa_private_key(path, content, Some(name))
                }
                _ => Err(wrong_kind(path, EXPECTED)),
            }
        }
    }
}

fn rsa_private_key(path: &Path, pkcs1: &[u8]) -> Result<Private, KeyError> {
    let pair = RsaKeyPair::from_der(pkcs1).map_err(|_| damaged(path))?;
    Ok(Private::Rsa(pair))
}

fn ecdsa_private_key(
    path: &Path,
    sec1: &[u8],
    name: Option<ObjectIdentifier>,
) -> Result<Private, KeyError> {
    let content = EcPrivateKey::try_from(sec1).map_err(|_| damaged(path))?;
    let own = content.parameters.and_then(EcParameters::named_curve);
    let name = name.or(own).ok_or_else(|| damaged(path))?;
    let curve = curve_of(name).ok_or_else(|| wrong_kind(path, EXPECTED))?;
    let key = EcdsaKey::from_scalar(curve, content.private_key).ok_or_else(|| damaged(path))?;
    let stated = content.public_key.map(|point| uncompressed(curve, point));
    if stated.is_some_and(|stated| stated.as_ref() != Some(&key.point())) {
        return Err(damaged(path));
    }
    Ok(Private::Ecdsa(key))
}

fn public_key(path: &Path, der: &[u8]) -> Result<PublicKey, KeyError> {
    let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| damaged(path))?;
    match info.algorithm.oid {
        RSA_ENCRYPTION => {
            let key = aws_lc_rs::rsa::PublicKey::from_der(der).map_err(|_| damaged(path))?;
            rsa_public_key(&key)
                .map(PublicKey::Rsa)
                .ok_or_else(|| wrong_kind(path, EXPECTED_PUBLIC))
        }
        EC_PUBLIC_KEY => {
            let name = info.algorithm.parameters_oid().map_err(|_| damaged(path))?;
            let curve = curve_of(name).ok_or_else(|| wrong_kind(path, EXPECTED_PUBLIC))?;
            let point = info.subject_public_key.as_bytes();
            let point = point.and_then(|point| uncompressed(curve, point));
            let point = point.as_deref().and_then(|point| point.get(1..));
            PublicKey::from_point(curve, point.unwrap_or_default()).map_err(|_| damaged(path))
        }
        _ => Err(wrong_kind(path, EXPECTED_PUBLIC)),
    }
}

/// Turns a SEC1 point into its long form; `None` when it is not on the curve.
fn uncompressed(curve: Curve, point: &[u8]) -> Option<Vec<u8>> {
    Some(match curve {
        Curve::P192 => {
            let key =
                p192::elliptic_curve::PublicKey::<p192::NistP192>::from_sec1_bytes(point).ok()?;
            key.to_sec1_point(false).as_bytes().to_vec()
        }
        Curve::P256 => {
            let key = p256::PublicKey::from_sec1_bytes(point).ok()?;
            key.to_sec1_point(false).as_bytes().to_vec()
        }
        Curve::P384 => {
            let key = p384::PublicKey::from_sec1_bytes(point).ok()?;
            key.to_sec1_point(false).as_bytes().to_vec()
        }
    })
}

fn curve_of(name: ObjectIdentifier) -> Option<Curve> {
    [Curve::P192, Curve::P256, Curve::P384]
        .into_iter()
        .find(|curve| name_of(*curve) == name)
}

/// Object identifiers of RFC 5480 section 2.1.1.1.
const fn name_of(curve: Curve) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(match curve {
        Curve::P192 => "1.2.840.10045.3.1.1",
        Curve::P256 => "1.2.840.10045.3.1.7",
        Curve::P384 => "1.3.132.0.34",
    })
}

fn damaged(path: &Path) -> KeyError {
    KeyError::Damaged { path: path.into() }
}

fn wrong_kind(path: &Path, expected: &'static str) -> KeyError {
    KeyError::WrongKind {
        path: path.into(),
        expected,
    }
}

/// Writes one block.
fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let unix = EncodeConfig::new().set_line_ending(LineEnding::LF);
    let block = Pem::new(label, der);
    let text = Zeroizing::new(::pem::encode_config(&block, unix));
    drop(Zeroizing::new(block.into_contents()));
    text
}
