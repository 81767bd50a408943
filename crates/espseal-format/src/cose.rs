//! Signed envelopes: COSE_Sign1 for `releases`, `now` and `report`, COSE_Sign for `root`.
//!
//! ```text
//! 18([ << { 1: -7, 4: kid } >>, {}, payload, signature ])
//! 98([ h'', {}, payload, [ 1*10 [ << { 1: -7, 4: kid } >>, {}, signature ] ] ])
//! ```
//!
//! One algorithm, ES256; the only protected parameters are the algorithm and the name of the key;
//! unprotected parameters are refused. What a signature covers is streamed by [`to_be_signed1`]
//! and [`to_be_signed`], so that a device hashes it without a second buffer. Verification lives in
//! `espseal-crypto`.
//!
//! Source: RFC 9052 sections 3, 4.1, 4.2 and 4.4; RFC 9053 section 2.1.

use core::cmp::Ordering;
use core::fmt;

use heapless::Vec;

use crate::cbor::{self, CborError, Document, EncodeError, Reader, Writer};
use crate::metadata;
use crate::report;
use crate::units::{KeyId, Product};

/// Most signatures on a root: five keys of the old role, five of the new.
pub const MAX_SIGNATURES: usize = 10;
/// Longest envelope of any role, in bytes.
pub const MAX_LEN: usize = 2048;
/// Longest `external_aad`, in bytes.
pub const MAX_AAD_LEN: usize = 36;

/// A payload signed by one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sign1<'a> {
    /// Names the key; whether that key may sign is for the verifier to find out.
    pub kid: KeyId,
    /// The signed document.
    pub payload: &'a [u8],
    /// `r || s`.
    pub signature: &'a [u8; 64],
}

/// A payload signed by several keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign<'a> {
    /// The signed document.
    pub payload: &'a [u8],
    /// Signatures, strictly ascending by key id.
    pub signatures: Vec<Signer<'a>, MAX_SIGNATURES>,
}

/// One signature of a [`Sign`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signer<'a> {
    /// Names the key.
    pub kid: KeyId,
    /// `r || s`.
    pub signature: &'a [u8; 64],
}

/// What a signature is for; part of what is signed, so that no signature serves two purposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Assigns keys to roles.
    Root,
    /// Puts releases on offer.
    Releases,
    /// States what holds now.
    Now,
    /// A device's own report.
    Report,
    /// Says which raw bytes put a release into one device's slot; signed with the keys of
    /// [`Releases`](Self::Releases).
    Direct,
}

impl Role {
    /// Returns the name that `external_aad` carries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Releases => "releases",
            Self::Now => "now",
            Self::Report => "report",
            Self::Direct => "direct",
        }
    }

    /// Returns the length in bytes that no envelope of this role exceeds: how much a reader has to
    /// buffer.
    #[must_use]
    pub const fn max_len(self) -> usize {
        match self {
            Self::Root => metadata::root::MAX_LEN,
            Self::Releases => metadata::releases::MAX_LEN,
            Self::Now => metadata::now::MAX_LEN,
            Self::Report => report::MAX_REPORT_LEN,
            Self::Direct => metadata::direct::MAX_LEN,
        }
    }

    /// Returns `"espseal/v1/<role>\0" || product`.
    #[must_use]
    pub fn external_aad(self, product: &Product) -> Vec<u8, MAX_AAD_LEN> {
        let label = match self {
            Self::Root => b"espseal/v1/root\0".as_slice(),
            Self::Releases => b"espseal/v1/releases\0",
            Self::Now => b"espseal/v1/now\0",
            Self::Report => b"espseal/v1/report\0",
            Self::Direct => b"espseal/v1/direct\0",
        };
        label.iter().chain(&product.0).copied().collect()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl<'a> Sign1<'a> {
    /// Parses a tagged COSE_Sign1.
    ///
    /// # Errors
    /// [`CoseError`] unless the bytes are the one encoding of such an envelope.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CoseError> {
        cbor::parse(bytes)
    }

    /// Encodes the envelope to the start of `out` and returns its length.
    ///
    /// # Errors
    /// [`EncodeError`] when the envelope exceeds [`MAX_LEN`] or `out` is too small.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError<CoseError>> {
        cbor::encode(self, out)
    }
}

impl<'a> Sign<'a> {
    /// Parses a tagged COSE_Sign.
    ///
    /// # Errors
    /// [`CoseError`] unless the bytes are the one encoding of such an envelope.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CoseError> {
        cbor::parse(bytes)
    }

    /// Encodes the envelope to the start of `out` and returns its length.
    ///
    /// # Errors
    /// [`EncodeError`] when the signatures are not in order, the envelope exceeds [`MAX_LEN`] or
    /// `out` is too small.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError<CoseError>> {
        cbor::encode(self, out)
    }
}

/// Streams into `sink` what the signature of a COSE_Sign1 covers.
pub fn to_be_signed1(
    role: Role,
    product: &Product,
    kid: KeyId,
    payload: &[u8],
    sink: &mut dyn FnMut(&[u8]),
) {
    let mut writer = Writer::new(sink);
    writer.array(4).text("Signature1");
    writer.bytes(&protected_header(kid));
    writer.bytes(&role.external_aad(product));
    writer.bytes(payload);
}

/// Streams into `sink` what one signature of a COSE_Sign covers.
pub fn to_be_signed(
    role: Role,
    product: &Product,
    kid: KeyId,
    payload: &[u8],
    sink: &mut dyn FnMut(&[u8]),
) {
    let mut writer = Writer::new(sink);
    writer.array(5).text("Signature").bytes(&[]);
    writer.bytes(&protected_header(kid));
    writer.bytes(&role.external_aad(product));
    writer.bytes(payload);
}

/// Tag of COSE_Sign1.
const TAG_SIGN1: u64 = 18;
/// Tag of COSE_Sign.
const TAG_SIGN: u64 = 98;
/// `{ 1: -7, 4: kid }` up to the kid: map of two, alg = ES256, kid, 8 bytes.
const PROTECTED_PREFIX: [u8; 5] = [0xA2, 0x01, 0x26, 0x04, 0x48];
/// Bytes of the protected header.
const PROTECTED_LEN: usize = PROTECTED_PREFIX.len() + KeyId::LEN;
/// Bytes of an encoded protected header, empty map and signature.
const SIGNATURE_LEN: usize = (1 + PROTECTED_LEN) + 1 + (2 + 64);

/// Longest payload of a COSE_Sign1 of `limit` bytes, the payload's own head being 3 bytes.
pub(crate) const fn max_sign1_payload(limit: usize) -> usize {
    limit.saturating_sub(1 + 1 + SIGNATURE_LEN + 3)
}

/// Longest payload of a COSE_Sign of `limit` bytes with one signature.
pub(crate) const fn max_sign_payload(limit: usize) -> usize {
    limit.saturating_sub(2 + 1 + 1 + 1 + 3 + 1 + (1 + SIGNATURE_LEN))
}

/// Encodes the protected header.
fn protected_header(kid: KeyId) -> [u8; PROTECTED_LEN] {
    let mut header = [0; PROTECTED_LEN];
    let bytes = PROTECTED_PREFIX.iter().chain(&kid.0);
    for (slot, byte) in header.iter_mut().zip(bytes) {
        *slot = *byte;
    }
    header
}

/// Reads a protected header and the empty unprotected one.
#[inline(never)]
fn read_headers(reader: &mut Reader<'_>, kid: &mut KeyId) -> Result<(), CoseError> {
    let header = reader.name("protected header").fixed::<PROTECTED_LEN>();
    let [a, b, c, d, e, id @ ..] = header;
    let found = [*a, *b, *c, *d, *e];
    if found != PROTECTED_PREFIX {
        return Err(CoseError::ProtectedHeader { found });
    }
    kid.0 = *id;
    reader.map("unprotected header", 0);
    Ok(())
}

impl<'b> Document<'b> for Sign1<'b> {
    type Error = CoseError;
    const NAME: &'static str = "COSE_Sign1";
    const LIMIT: usize = MAX_LEN;

    const BLANK: Self = Self {
        kid: KeyId([0; KeyId::LEN]),
        payload: &[],
        signature: &[0; 64],
    };

    fn read(&mut self, reader: &mut Reader<'b>) -> Result<(), CoseError> {
        reader.tag(Self::NAME, TAG_SIGN1);
        reader.array(Self::NAME, 4);
        read_headers(reader, &mut self.kid)?;
        self.payload = reader.name("payload").bytes();
        self.signature = reader.name("signature").fixed();
        Ok(())
    }

    fn check(&self) -> Result<(), CoseError> {
        Ok(())
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.tag(TAG_SIGN1).array(4);
        writer.bytes(&protected_header(self.kid)).map(0);
        writer.bytes(self.payload).bytes(self.signature);
    }
}

impl<'b> Document<'b> for Sign<'b> {
    type Error = CoseError;
    const NAME: &'static str = "COSE_Sign";
    const LIMIT: usize = MAX_LEN;

    const BLANK: Self = Self {
        payload: &[],
        signatures: Vec::new(),
    };

    fn read(&mut self, reader: &mut Reader<'b>) -> Result<(), CoseError> {
        reader.tag(Self::NAME, TAG_SIGN);
        reader.array(Self::NAME, 4);
        reader.name("body protected header").fixed::<0>();
        reader.map("unprotected header", 0);
        self.payload = reader.name("payload").bytes();
        let blank = Signer {
            kid: KeyId([0; KeyId::LEN]),
            signature: &[0; 64],
        };
        let signatures = reader.name("signatures");
        signatures.list(1, &mut self.signatures, &blank, |signer, reader| {
            reader.array("COSE_Signature", 3);
            read_headers(reader, &mut signer.kid)?;
            signer.signature = reader.name("signature").fixed();
            Ok(())
        })
    }

    fn check(&self) -> Result<(), CoseError> {
        if self.signatures.is_empty() {
            return Err(CoseError::NoSignature);
        }
        let pairs = self.signatures.iter().zip(self.signatures.iter().skip(1));
        for (previous, found) in pairs {
            let (previous, found) = (previous.kid, found.kid);
            match previous.cmp(&found) {
                Ordering::Less => {}
                Ordering::Equal => return Err(CoseError::DuplicateKid { found }),
                Ordering::Greater => return Err(CoseError::KidOrder { previous, found }),
            }
        }
        Ok(())
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.tag(TAG_SIGN).array(4);
        writer.bytes(&[]).map(0);
        writer.bytes(self.payload).array(self.signatures.len());
        for signer in &self.signatures {
            writer.array(3);
            writer.bytes(&protected_header(signer.kid)).map(0);
            writer.bytes(signer.signature);
        }
    }
}

/// Bytes that are not a signed envelope of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CoseError {
    /// The bytes are not the one encoding of such an envelope.
    Encoding(CborError),
    /// The protected header is not exactly the algorithm ES256 and a key id of 8 bytes.
    ProtectedHeader {
        /// What stands before the key id; `a2 01 26 04 48` is expected.
        found: [u8; 5],
    },
    /// Nobody signed.
    NoSignature,
    /// Two signatures name the same key.
    DuplicateKid {
        /// The key.
        found: KeyId,
    },
    /// Signatures do not ascend by key id.
    KidOrder {
        /// The key id before.
        previous: KeyId,
        /// The lower one after it.
        found: KeyId,
    },
}

impl From<CborError> for CoseError {
    fn from(error: CborError) -> Self {
        Self::Encoding(error)
    }
}

impl fmt::Display for CoseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoding(error) => error.fmt(f),
            Self::ProtectedHeader { found } => write!(
                f,
                "the protected header should be ES256 and a key id of 8 bytes, beginning \
                 {PROTECTED_PREFIX:02x?}, found {found:02x?}"
            ),
            Self::NoSignature => f.write_str("the envelope carries no signature: sign it first"),
            Self::DuplicateKid { found } => {
                write!(f, "key {found} signed twice: one signature a key")
            }
            Self::KidOrder { previous, found } => write!(
                f,
                "the signature of key {found} stands after that of {previous}: sort by key id"
            ),
        }
    }
}

impl core::error::Error for CoseError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Encoding(error) => Some(error),
            _ => None,
        }
    }
}
