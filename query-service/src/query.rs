//! Questions answered: pure functions of an index.

pub mod duties;
pub mod observations;
mod select;
pub mod share;

use select::unit_named;
