//! The domain: units, indicators, terms, periods, quantities, reports. Pure.

pub mod access;
pub mod command;
pub mod decimal;
pub mod event;
pub mod fault;
pub mod finding;
pub mod form;
pub mod ids;
pub mod indicator;
pub mod log;
pub mod period;
pub mod query;
pub mod report;
pub mod term;
pub mod text;
pub mod unit;
