//! What both services need: the domain, the entry of the log with its codec, and the door between proto and domain.
//!
//! `model`, `registry` and `change` are pure: no proto, no io, no clock. Proto types come in and go out through
//! `convert` and nowhere else.

pub mod access;
pub mod admit;
pub mod call;
pub mod change;
pub mod clock;
pub mod codec;
pub mod config;
pub mod convert;
pub mod fault_point;
pub mod feed;
pub mod limits;
pub mod metrics;
pub mod model;
pub mod page;
pub mod process;
pub mod registry;
pub mod reloaded;
pub mod serve;
pub mod side;
pub mod status;
pub mod telemetry;
pub mod tls;
pub mod trace;
