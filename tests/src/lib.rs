//! What the demonstration and the end-to-end tests share: real processes on free ports, fixtures, calls as JSON;
//! and the national workload with what it is measured by.

pub mod faults;
pub mod fixtures;
pub mod harness;
pub mod json;
pub mod load;
pub mod national;
pub mod reform;
pub mod secrets;
pub mod stream;
pub mod workload;
