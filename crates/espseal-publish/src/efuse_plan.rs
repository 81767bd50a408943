//! Which eFuses to burn, in which order: from a wished end state and a present state to a plan.
//!
//! Burning in the wrong order has cost makers their boards, so what would do that is refused, with its
//! reason, before anything is burnt.
//!
//! * [`wish`]: what a maker wants a chip to be in the end.

//!
//! A plan names keys and holds none. Digests of secure boot keys are public: it holds those.
//!
//! Source: ESP-IDF `docs/en/security/security-features-enablement-workflows.rst`, `secure-boot-v2.rst`,
//! `flash-encryption.rst`.

pub mod wish;
