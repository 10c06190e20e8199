//! What is owed, and what there is.

use std::collections::BTreeMap;

use bigdecimal::BigDecimal;
use jiff::civil::Date;

use super::{RowUnit, fraction};
use crate::model::{
    ids::{IndicatorId, UnitId},
    indicator::{RollUp, ValueKind},
    log::Revision,
    report::Scope,
};

/// Duties of one group by what became of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletenessRow {
    /// Whose row it is.
    pub unit: RowUnit,
    /// Fulfilled by their day, or within the grace.
    pub on_time: u32,
    /// Fulfilled later.
    pub late: u32,
    /// Not fulfilled by their day.
    pub missing: u32,
    /// Their day has not passed.
    pub not_yet_due: u32,
    /// Nobody knows by when.
    pub undated: u32,
    /// The unit was freed from them.
    pub waived: u32,
    /// Units with a missing report.
    pub missing_units: Vec<UnitId>,
    /// Units with a late report.
    pub late_units: Vec<UnitId>,
}

impl CompletenessRow {
    /// Duties whose day has passed, and from which nobody was freed.
    pub fn judged(&self) -> u32 {
        self.on_time + self.late + self.missing
    }

    /// All duties.
    pub fn expected(&self) -> u32 {
        self.judged() + self.not_yet_due + self.undated + self.waived
    }

    /// How many of those judged came on time.
    pub fn on_time_rate(&self) -> Option<BigDecimal> {
        fraction(self.on_time, self.judged())
    }

    /// How many of those judged came at all.
    pub fn received_rate(&self) -> Option<BigDecimal> {
        fraction(self.on_time + self.late, self.judged())
    }
}

/// Values by how they are split and whose they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Codes by dimension.
    pub by: BTreeMap<IndicatorId, IndicatorId>,
    /// Whose figures.
    pub scope: Scope,
    /// How many.
    pub observations: u32,
}

/// What there is about one indicator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvailabilityRow {
    /// The indicator.
    pub indicator: IndicatorId,
    /// Newest version of its definition.
    pub version: u32,
    /// Kind of its values.
    pub value_kind: ValueKind,
    /// How it rolls up.
    pub roll_up: RollUp,
    /// Current observations.
    pub observations: u32,
    /// Reports that make them.
    pub reports: u32,
    /// Units that these are about.
    pub units: u32,
    /// The first day of which one speaks.
    pub first_day: Option<Date>,
    /// The last day of which one speaks.
    pub last_day: Option<Date>,
    /// Periods as written, in the order of their days.
    pub periods: Vec<String>,
    /// How many there are.
    pub period_count: u32,
    /// How they are split and whose they are.
    pub slices: Vec<Slice>,
    /// Revision of the newest one.
    pub newest_revision: Revision,
}
