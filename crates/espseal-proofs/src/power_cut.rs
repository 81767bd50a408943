//! Power cuts: before, inside and after every flash operation of a whole update, once and twice.
//!
//! A device remembers nothing but its flash. So a cut is a *state*: what the flash holds when power
//! comes back. [`explorer`] runs one life (power-on to restart) from a state, works out from the
//! recorded operations what every cut in it leaves behind, and goes on from each of those states;
//! states that were seen before are not lived again. That covers all cuts, and all pairs of cuts,
//! without doing the beginning of the update once for each of them.
//!
//! At every power-on some approved image has to run and no unapproved one may; every path has to end
//! where its story ends, after few restarts, and to fetch at most one chunk again for each cut.

pub(crate) mod explorer;
pub(crate) mod life;
pub(crate) mod meter;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod state;
pub(crate) mod story;
#[cfg(test)]
mod tests;
