//! The agent against a maker, a hostile repository, worn flash and power cuts.

mod bodies;
mod boots;
mod images;
mod limits;
mod metadata;
mod offers;
mod power_cut;
mod roots;
mod staging;
mod support;
mod update;
