//! Terms of office. Their labels are not their dates.

use std::fmt;

use jiff::civil::Date;

use super::{ids::UnitId, period::Span, unit::Organ};

/// Where the dates of a term come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DatesBasis {
    /// Taken from a source.
    #[default]
    Known,
    /// Assumed, because no source gives them.
    Assumed,
}

/// What identifies a term.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TermKey {
    /// The unit.
    pub unit: UnitId,
    /// Whose term it is.
    pub organ: Organ,
    /// As people write it.
    pub label: String,
}

impl fmt::Display for TermKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.label, self.unit)
    }
}

impl TermKey {
    /// The same as one text, whose order is that of lists.
    pub fn to_text(&self) -> String {
        // The organ as a digit; no unit's id contains a slash.
        format!("{}/{}/{}", self.unit, self.organ as u8, self.label)
    }
}

/// A term of office of an organ of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// What identifies it.
    pub key: TermKey,
    /// First day.
    pub start_on: Date,
    /// Last day; none: open.
    pub end_on: Option<Date>,
    /// Where the dates come from.
    pub dates_basis: DatesBasis,
}

impl Term {
    /// Its days.
    pub fn span(&self) -> Span {
        Span { first_day: Some(self.start_on), last_day: self.end_on }
    }
}
