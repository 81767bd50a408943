//! Secure boot: what the ROM and the bootloader check.
//!
//! Version 2: a signature block carries the image digest, the public key and the signature.
//! [`verify_block`] checks all of them, [`verify_rsa`] and the `verify_ecdsa_...` functions one scheme
//! each; the caller compares the digest of the key with those burnt in eFuse. Version 1 is in
//! [`v1`].
//!
//! Only the public operations are here. The private ones belong to the release authority, or to its
//! HSM, for which [`emsa_pss_encode`] is.
//!
//! Source: ESP-IDF `docs/en/security/secure-boot-v2.rst`; RFC 8017 sections 5.2.2, 8.1 and 9.1.

mod block;
mod ecdsa;
mod montgomery;
mod pss;
mod public_key;
mod rsa;
pub mod v1;

pub use block::{VerifyError, build_block, verify_block, verify_rsa};
pub use ecdsa::{
    EcdsaP192PublicKey, EcdsaP256PublicKey, EcdsaP384PublicKey, EcdsaPublicKey, NotOnCurve,
    verify_ecdsa_p192, verify_ecdsa_p256, verify_ecdsa_p384,
};
pub use pss::emsa_pss_encode;
pub use public_key::PublicKey;
pub use rsa::{InvalidRsaKey, RSA_LEN, RsaPublicKey};
