//! Keys in an HSM, reached through PKCS#11: they sign images and metadata, and never leave it.
//!
//! The hash is taken outside where the token lets us, the private operation is the token's. By what the
//! token offers:
//!
//! | key | mechanism | input |
//! |---|---|---|
//! | RSA-3072 | `CKM_RSA_PKCS_PSS`, SHA-256, MGF1-SHA256, salt of 32 | digest |
//! | RSA-3072 | `CKM_RSA_X_509`, when there is no PSS | EMSA-PSS encoded here |
//! | RSA-3072 | `CKM_SHA256_RSA_PKCS_PSS`, when there is nothing else | all of the data |
//! | ECDSA | `CKM_ECDSA` | digest: SHA-384 for P-384, else SHA-256 |
//!
//! Every signature is verified with the public key before it is used: [`ImageSigner::sign_block`],
//! [`crate::metadata_signing`].
//!
//! Source: PKCS#11 v2.40 mechanisms (OASIS) sections 2.1.10, 2.1.8, 2.1.12 and 2.3.6; RFC 8017 section 9.1.

mod config;
mod error;
mod token;

use std::path::Path;

use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use espseal_crypto::secure_boot::{PublicKey, emsa_pss_encode};
use espseal_format::signature_block::{Curve, ImageDigests, SignatureScheme};
use espseal_format::units::{Digest, PublicKeyBytes};
use zeroize::Zeroizing;

use crate::keys::{KeyError, RoleSigner};
use crate::secure_boot_key::{Content, ImageSigner};

pub use config::{HsmConfig, Pin};
pub use error::HsmError;
pub use token::read_public_key;

/// Length of the salt of RSASSA-PSS.
const SALT_LEN: usize = 32;

/// How a key is asked to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// `CKM_RSA_PKCS_PSS`.
    Pss,
    /// `CKM_RSA_X_509` over an encoded message.
    RawRsa,
    /// `CKM_SHA256_RSA_PKCS_PSS`, which hashes by itself.
    HashAndPss,
    /// `CKM_ECDSA`.
    Ecdsa(Curve),
}

impl Method {
    /// Chooses the best that the token offers.
    fn choose(scheme: SignatureScheme, offered: &[MechanismType]) -> Option<Self> {
        let has = |mechanism| offered.contains(&mechanism);
        match scheme {
            SignatureScheme::Rsa3072 if has(MechanismType::RSA_PKCS_PSS) => Some(Self::Pss),
            SignatureScheme::Rsa3072 if has(MechanismType::RSA_X_509) => Some(Self::RawRsa),
            SignatureScheme::Rsa3072 if has(MechanismType::SHA256_RSA_PKCS_PSS) => {
                Some(Self::HashAndPss)
            }
            SignatureScheme::Ecdsa(curve) if has(MechanismType::ECDSA) => Some(Self::Ecdsa(curve)),
            _ => None,
        }
    }
}

/// A key pair in a token, with the session that reaches it.
pub struct HsmKey {
    session: Session,
    private: ObjectHandle,
    public: PublicKey,
    method: Method,
    label: String,
}

impl HsmKey {
    /// Logs in and finds the key pair. The PIN is sent once: a wrong one costs one try.
    ///
    /// # Errors
    /// [`HsmError`] when the module, the token or the key is not there, the PIN is wrong, or the key
    /// is of a kind that secure boot does not know.
    pub fn open(config: &HsmConfig) -> Result<Self, HsmError> {
        let token = token::Token::open(config)?;
        let private = token.private_key(&config.label)?;
        let public = token.public_key(&config.label_pubkey)?;
        let method = Method::choose(public.scheme(), &token.mechanisms()?).ok_or_else(|| {
            HsmError::NoMechanism {
                label: config.label.clone(),
                scheme: public.scheme(),
            }
        })?;
        Ok(Self {
            session: token.into_session(),
            private,
            public,
            method,
            label: config.label.clone(),
        })
    }

    /// Signs digests of the same data; returns RSASSA-PSS or `r || s`.
    fn sign_digests(&self, sha256: &Digest, sha384: &[u8]) -> Result<Vec<u8>, HsmError> {
        let ask = |mechanism: &Mechanism<'_>, input: &[u8]| {
            let signed = self.session.sign(mechanism, self.private, input);
            signed.map_err(|cause| self.refused(cause))
        };
        match self.method {
            Method::Pss => ask(&Mechanism::RsaPkcsPss(pss()), &sha256.0),
            Method::HashAndPss => Err(HsmError::NeedsContent {
                label: self.label.clone(),
            }),
            Method::RawRsa => {
                let mut salt = [0; SALT_LEN];
                getrandom::fill(&mut salt).map_err(|_| HsmError::NoSalt)?;
                let encoded = Zeroizing::new(emsa_pss_encode(sha256, &salt));
                ask(&Mechanism::RsaX509, &*encoded)
            }
            Method::Ecdsa(Curve::P384) => ask(&Mechanism::Ecdsa, sha384),
            Method::Ecdsa(_) => ask(&Mechanism::Ecdsa, &sha256.0),
        }
    }
}

impl HsmKey {
    /// Lets the token hash and sign.
    fn sign_inside(&self, content: &mut dyn Content) -> Result<Vec<u8>, KeyError> {
        let failed = |cause| KeyError::from(self.refused(cause));
        let mechanism = Mechanism::Sha256RsaPkcsPss(pss());
        self.session
            .sign_init(&mechanism, self.private)
            .map_err(failed)?;
        content.each(&mut |piece| self.session.sign_update(piece).map_err(failed))?;
        self.session.sign_final().map_err(failed)
    }

    fn refused(&self, cause: cryptoki::error::Error) -> HsmError {
        HsmError::Refused {
            label: self.label.clone(),
            cause,
        }
    }
}

/// RSASSA-PSS as secure boot has it.
fn pss() -> PkcsPssParams {
    PkcsPssParams {
        hash_alg: MechanismType::SHA256,
        mgf: PkcsMgfType::MGF1_SHA256,
        s_len: 32.into(),
    }
}

impl ImageSigner for HsmKey {
    fn public_key(&self) -> PublicKey {
        self.public.clone()
    }

    fn sign_content(
        &self,
        image: &ImageDigests,
        content: &mut dyn Content,
    ) -> Result<Vec<u8>, KeyError> {
        match self.method {
            Method::HashAndPss => self.sign_inside(content),
            _ => self.sign(image),
        }
    }

    fn sign(&self, image: &ImageDigests) -> Result<Vec<u8>, KeyError> {
        Ok(self.sign_digests(&image.sha256, &image.sha384.0)?)
    }
}

impl std::fmt::Debug for HsmKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = self.public.scheme();
        write!(f, "HsmKey({scheme}, `{}`, {:?})", self.label, self.method)
    }
}

/// A role key in a token: P-256.
#[derive(Debug)]
pub struct HsmRoleKey {
    key: HsmKey,
    public: PublicKeyBytes,
}

impl HsmRoleKey {
    /// Finds the key that a configuration file names.
    ///
    /// # Errors
    /// As [`HsmConfig::load`] and [`HsmKey::open`]; [`HsmError::NotP256`] for another curve or RSA.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let key = HsmKey::open(&HsmConfig::load(path)?)?;
        let PublicKey::P256(public) = &key.public else {
            return Err(HsmError::NotP256 {
                label: key.label,
                found: key.public.scheme(),
            }
            .into());
        };
        let mut point = [4; 65];
        let coordinates = public.coordinates();
        point
            .iter_mut()
            .skip(1)
            .zip(coordinates.as_flattened())
            .for_each(|(place, byte)| *place = *byte);
        Ok(Self {
            key,
            public: PublicKeyBytes(point),
        })
    }
}

impl RoleSigner for HsmRoleKey {
    fn public_key(&self) -> PublicKeyBytes {
        self.public
    }

    fn sign(&self, to_be_signed: &[u8]) -> Result<[u8; 64], KeyError> {
        let signature = self.key.sign_digests(&Digest::of(to_be_signed), &[])?;
        signature.try_into().map_err(|_| KeyError::Signing)
    }
}

#[cfg(test)]
mod tests;
