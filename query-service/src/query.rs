//! Questions answered: pure functions of an index.

mod select;
pub mod share;

pub use select::unit_named;
