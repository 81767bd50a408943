//! Secure boot version 2 with RSA-3072-PSS: what the ROM and the bootloader check.
//!
//! A signature block carries the image digest, the public key, two numbers that spare the RSA
//! hardware a division, and the signature. [`verify_rsa`] checks all of them; the caller compares
//! the digest of the key with those burnt in eFuse and the image digest with what it has hashed.
//!
//! Only the public operation is here, on a fixed-size integer: the private one is behind
//! [`RsaPssSigner`] (RUSTSEC-2023-0071 says why the `rsa` crate does not sign here).
//!
//! Source: ESP-IDF `docs/en/security/secure-boot-v2.rst`; RFC 8017 sections 5.2.2, 8.1 and 9.1.

mod block;
mod pss;
mod rsa;

pub use block::{VerifyError, build_block, verify_rsa};
pub use pss::emsa_pss_encode;
pub use rsa::{InvalidRsaKey, RSA_LEN, RsaPssSigner, RsaPublicKey};
