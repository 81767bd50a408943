//! Plans of eFuse burns, for every chip and every wish that makes sense together.

mod boots;
mod order;
mod real;
mod resume;
mod script;
mod summary;
mod wishes;
