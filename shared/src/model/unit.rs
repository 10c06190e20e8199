//! Units: who reports and who is reported on.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::ids::UnitId;

/// What a unit is in the order of places and organisations; greater is higher up. Not its depth in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Party cell.
    Cell,
    /// Grassroots Party organisation.
    GrassrootsOrganisation,
    /// Commune, ward, township or special zone.
    Commune,
    /// District, town or city of a province.
    District,
    /// Province or city directly under the centre.
    Province,
    /// The whole country; the one root.
    Country,
}

/// An organ of a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Organ {
    /// The Party organisation as such.
    #[default]
    Party,
    /// Executive committee of the Party organisation.
    ExecutiveCommittee,
    /// Standing committee of the Party organisation.
    StandingCommittee,
    /// People's Council.
    PeoplesCouncil,
    /// People's Committee.
    PeoplesCommittee,
    /// Fatherland Front and mass organisations.
    Front,
    /// Inspection committee of the Party organisation.
    InspectionCommittee,
}

/// An organisation that reports or is reported on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Never given out again.
    pub id: UnitId,
    /// Its level.
    pub level: Level,
    /// Kind of place in the language of the register; may be empty.
    pub kind: String,
    /// Full name, in NFC.
    pub name: String,
    /// The unit above; none for the root.
    pub parent: Option<UnitId>,
    /// Code of the official list; may be empty, identifies nothing.
    pub official_code: String,
    /// Further attributes by key.
    pub attributes: BTreeMap<String, String>,
    /// First day of its life; none: not known.
    pub valid_from: Option<Date>,
    /// Last day of its life; none: it goes on, or an event tells how it ended.
    pub valid_until: Option<Date>,
    /// Its life begins with the first effective event that forms it, and not before there is one.
    pub formed_by_event: bool,
}
