//! What the demonstration and the end-to-end tests share: real processes on free ports, fixtures, calls as JSON.

pub mod fixtures;
pub mod harness;
pub mod json;
pub mod reform;
