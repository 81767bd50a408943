//! Which eFuses to burn, in which order: from a wished end state and a present state to a plan.
//!
//! Burning in the wrong order has cost makers their boards, so what would do that is refused, with its
//! reason, before anything is burnt.
//!
//! * [`wish`]: what a maker wants a chip to be in the end.
//! * [`present`]: what a chip is now: out of the box, an `espefuse summary`, or an eFuse file.
//! * [`plan`]: the burns in order, with [`reasons`] and the [`state`]s between them.
//! * [`refusals`]: why there is no plan.
//! * [`apply`]: the plan on a virtual chip.
//! * [`page`], [`document`] and `script`: the plan for people, for programs, and as commands of `espefuse`
//!   ([`commands`]).
//!
//! A plan names keys and holds none. Digests of secure boot keys are public: it holds those.
//!
//! Source: ESP-IDF `docs/en/security/security-features-enablement-workflows.rst`, `secure-boot-v2.rst`,
//! `flash-encryption.rst`.

pub mod apply;
mod blocks;
mod checks;
pub mod commands;
pub mod document;
mod order;
pub mod page;
pub mod plan;
pub mod present;
pub mod reasons;
pub mod refusals;
mod script;
pub mod state;
pub mod summary;
mod watch;
pub mod wish;
