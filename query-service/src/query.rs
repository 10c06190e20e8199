//! Questions answered: pure functions of an index.

pub mod observations;
mod select;
pub mod share;

pub use select::unit_named;
