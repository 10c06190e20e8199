//! What can happen to files: power cuts, failing calls, damage.

pub mod damage;
pub mod disk;
pub mod journal;
