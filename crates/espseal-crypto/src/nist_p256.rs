//! The curve P-256, written for the size of a device's flash: 4 KB instead of the 16 KB that the
//! `p256` crate's windows, inversions and generic layers take there.
//!
//! One Montgomery product serves the field and the scalars, one complete addition serves addition
//! and doubling, and one ladder serves signing, key agreement and verification. Everything that
//! sees a secret takes the same time and touches the same memory whatever its value; what leaks is
//! whether a scalar was acceptable. Hosts that seal for thousands of devices use the crate.
//!
//! Tests compare with the `p256` crate and run Project Wycheproof's ECDSA and ECDH vectors.
//!
//! Source: FIPS 186-5 and SP 800-186 section 3.2.1.3 (P-256).

mod modular;
mod point;
mod scalar;

pub(crate) use point::Point;
pub(crate) use scalar::{Scalar, SecretScalar};

#[cfg(test)]
mod tests;
