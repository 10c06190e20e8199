//! Ids, so that two of them cannot be swapped. Nearly all are short and lie where they are used; a copy of a long one is
//! shared.

use std::{borrow::Borrow, fmt, str::FromStr};

use smol_str::SmolStr;

use crate::limits::ID_CHARS_MAX;

/// An id that breaks its rule; the rule is the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct IdFault(&'static str);

fn check(text: &str, allowed: fn(u8) -> bool, rule: &'static str) -> Result<SmolStr, IdFault> {
    let fits = !text.is_empty() && text.len() <= ID_CHARS_MAX && text.bytes().all(allowed);
    if fits { Ok(text.into()) } else { Err(IdFault(rule)) }
}

/// Id of a unit: `[a-z0-9-]`, 1 to 64 characters, such as `district-171`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitId(SmolStr);

/// Words that stand in answers where a unit's id stands otherwise.
const RESERVED_UNIT_IDS: [&str; 2] = [UnitId::NONE, UnitId::UNASSIGNABLE];

impl UnitId {
    /// The row of units that have no group.
    pub const NONE: &str = "none";
    /// The row of units that lie in several groups.
    pub const UNASSIGNABLE: &str = "unassignable";
}

impl FromStr for UnitId {
    type Err = IdFault;

    fn from_str(text: &str) -> Result<Self, IdFault> {
        if RESERVED_UNIT_IDS.contains(&text) {
            return Err(IdFault("\"none\" and \"unassignable\" are kept for rows of answers; choose another id"));
        }
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        check(text, allowed, "a unit's id has 1 to 64 characters of a-z, 0-9 and -").map(Self)
    }
}

/// Id of an indicator, a dimension or a code: `[a-z0-9_]`, 1 to 64 characters, such as `party_members`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndicatorId(SmolStr);

impl FromStr for IndicatorId {
    type Err = IdFault;

    fn from_str(text: &str) -> Result<Self, IdFault> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        check(text, allowed, "this id has 1 to 64 characters of a-z, 0-9 and _").map(Self)
    }
}

/// Id of an event of units: `[a-z0-9-]`, 1 to 64 characters, such as `reform-2025-districts`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(SmolStr);

impl FromStr for EventId {
    type Err = IdFault;

    fn from_str(text: &str) -> Result<Self, IdFault> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        check(text, allowed, "an event's id has 1 to 64 characters of a-z, 0-9 and -").map(Self)
    }
}

/// Id of a form: `[a-z0-9_-]`, 1 to 64 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FormId(SmolStr);

impl FromStr for FormId {
    type Err = IdFault;

    fn from_str(text: &str) -> Result<Self, IdFault> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        check(text, allowed, "a form's id has 1 to 64 characters of a-z, 0-9, _ and -").map(Self)
    }
}

macro_rules! text_id {
    ($($id:ident),*) => {$(
        impl $id {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl Borrow<str> for $id {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
text_id!(UnitId, IndicatorId, EventId, FormId);

/// Name of a report: `reports/` and the revision of its first version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReportName(pub u64);

impl fmt::Display for ReportName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reports/{}", self.0)
    }
}

impl FromStr for ReportName {
    type Err = IdFault;

    fn from_str(text: &str) -> Result<Self, IdFault> {
        let fault = IdFault("a report's name is \"reports/\" and a number, as its receipt gave it");
        let number = text.strip_prefix("reports/").ok_or_else(|| fault.clone())?;
        let number: u64 = number.parse().map_err(|_| fault.clone())?;
        let name = Self(number);
        if number > 0 && name.to_string() == text { Ok(name) } else { Err(fault) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_ids_are_ascii_slugs() {
        for good in ["vn", "district-171", "commune-00004-2025", &"a".repeat(64)] {
            assert_eq!(good.parse::<UnitId>().unwrap().as_str(), good);
        }
        for bad in ["", "District", "a_b", "đ", "a b", "none", "unassignable", &"a".repeat(65)] {
            assert!(bad.parse::<UnitId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn report_names_have_one_spelling() {
        assert_eq!("reports/1207".parse(), Ok(ReportName(1207)));
        for bad in ["1207", "reports/", "reports/0", "reports/01207", "reports/+7", "reports/x"] {
            assert!(bad.parse::<ReportName>().is_err(), "{bad}");
        }
    }
}
