//! The agent against a maker, a hostile repository, worn flash and power cuts.

mod support;
mod update;
