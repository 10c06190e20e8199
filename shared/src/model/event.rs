//! What happens to units.

use std::collections::BTreeMap;

use jiff::civil::Date;
use rust_decimal::Decimal;

use super::{
    fault::Reason,
    ids::{EventId, UnitId},
    period::Period,
    unit::{Level, Unit},
};

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// Units end and go, each as a whole, into one.
    Merge,
    /// A unit is divided. It ends, unless it is one of its successors.
    Split,
    /// Units end; others may take over their functions.
    Dissolve,
    /// Units come to stand below another one.
    Transfer,
    /// A unit gets another name, kind, code or attributes.
    Rename,
    /// Units get another level.
    ChangeLevel,
    /// A unit was registered wrongly.
    Correct,
}

/// How certain it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventStatus {
    /// Intended.
    Planned,
    /// Decided, and not in effect.
    Decided,
    /// In effect; only such an event moves the hierarchy.
    #[default]
    Effective,
    /// Will not be, or never was.
    Cancelled,
}

/// What one successor of a divided unit got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The successor.
    pub unit: UnitId,
    /// Its part of the divided unit, between 0 and 1; none: not known.
    pub share: Option<Decimal>,
    /// It is the main successor.
    pub is_main: bool,
}

/// What a correction can take away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cleared {
    /// Kind of place.
    Kind,
    /// Code of the official list.
    OfficialCode,
    /// First day of its life.
    ValidFrom,
    /// Last day of its life.
    ValidUntil,
}

/// What becomes different. What is empty stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitChange {
    /// Name.
    pub name: String,
    /// Kind of place.
    pub kind: String,
    /// Code of the official list.
    pub official_code: String,
    /// Attributes; an empty value takes one away.
    pub attributes: BTreeMap<String, String>,
    /// Level.
    pub level: Option<Level>,
    /// Unit above.
    pub parent: Option<UnitId>,
    /// First day of its life.
    pub valid_from: Option<Date>,
    /// Last day of its life.
    pub valid_until: Option<Date>,
    /// What should never have been there.
    pub cleared: Vec<Cleared>,
}

impl UnitChange {
    /// Whether nothing becomes different.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Makes it so.
    pub fn apply(&self, unit: &mut Unit) {
        for cleared in &self.cleared {
            match cleared {
                Cleared::Kind => unit.kind.clear(),
                Cleared::OfficialCode => unit.official_code.clear(),
                Cleared::ValidFrom => unit.valid_from = None,
                Cleared::ValidUntil => unit.valid_until = None,
            }
        }
        let set = |field: &mut String, value: &String| {
            if !value.is_empty() {
                field.clone_from(value);
            }
        };
        set(&mut unit.name, &self.name);
        set(&mut unit.kind, &self.kind);
        set(&mut unit.official_code, &self.official_code);
        for (key, value) in &self.attributes {
            if value.is_empty() {
                unit.attributes.remove(key);
            } else {
                unit.attributes.insert(key.clone(), value.clone());
            }
        }
        unit.level = self.level.unwrap_or(unit.level);
        if self.parent.is_some() {
            unit.parent.clone_from(&self.parent);
        }
        if self.valid_from.is_some() {
            unit.valid_from = self.valid_from;
            unit.formed_by_event = false;
        }
        unit.valid_until = self.valid_until.or(unit.valid_until);
    }

    /// Whether both say something of the same thing, and not the same.
    pub fn contradicts(&self, other: &Self) -> bool {
        fn differ<T: PartialEq>(a: &T, b: &T, is_said: impl Fn(&T) -> bool) -> bool {
            is_said(a) && is_said(b) && a != b
        }
        let is_text = |text: &String| !text.is_empty();
        let attributes = self.attributes.iter();
        differ(&self.name, &other.name, is_text)
            || differ(&self.kind, &other.kind, is_text)
            || differ(&self.official_code, &other.official_code, is_text)
            || differ(&self.level, &other.level, Option::is_some)
            || differ(&self.parent, &other.parent, Option::is_some)
            || attributes
                .into_iter()
                .any(|(key, value)| other.attributes.get(key).is_some_and(|theirs| theirs != value))
    }
}

/// What a unit is in an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// It happens to it.
    pub is_from: bool,
    /// It comes of it.
    pub is_into: bool,
}

/// A change of units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitEvent {
    /// Its id; recording it again revises the event.
    pub id: EventId,
    /// What happens.
    pub event_type: EventType,
    /// The first day of the new state, or the period in which it lies.
    pub effective_on: Option<Period>,
    /// Units to which it happens.
    pub from: Vec<UnitId>,
    /// Units that come of it.
    pub into: Vec<UnitId>,
    /// The document that says so; may be empty.
    pub document: String,
    /// How certain it is.
    pub status: EventStatus,
    /// What each successor of a divided unit got, as far as it is known.
    pub parts: Vec<Part>,
    /// What becomes different.
    pub change: UnitChange,
    /// How many units it happens to, where not all of them are named.
    pub from_count: Option<u32>,
    /// How many units come of it, where not all of them are named.
    pub into_count: Option<u32>,
    /// Why a registration was wrong; may be empty.
    pub reason: String,
    /// Remark; may be empty.
    pub note: String,
}

/// What a rule of events finds: the field, the reason, and what to do.
type Broken = (&'static str, Reason, &'static str);

impl UnitEvent {
    /// The day from which it counts: the first on which it is certain.
    pub fn day(&self) -> Option<Date> {
        self.effective_on.as_ref().and_then(|period| period.span().last_day)
    }

    /// Whether it moves the hierarchy.
    pub fn is_effective(&self) -> bool {
        self.status == EventStatus::Effective
    }

    /// Whether it ends a unit that has this role in it.
    pub fn ends(&self, role: Role) -> bool {
        let ends_what_is_there = match self.event_type {
            EventType::Merge | EventType::Dissolve => true,
            EventType::Split => !role.is_into,
            EventType::Transfer | EventType::Rename | EventType::ChangeLevel | EventType::Correct => false,
        };
        ends_what_is_there && role.is_from
    }

    /// Whether a unit that has this role in it, if it is a new one, comes into being with it.
    pub fn forms(&self, role: Role) -> bool {
        let forms = matches!(self.event_type, EventType::Merge | EventType::Split);
        forms && role.is_into && !role.is_from
    }

    /// Every unit that it names, with its role.
    pub fn roles(&self) -> BTreeMap<&UnitId, Role> {
        let mut roles: BTreeMap<&UnitId, Role> = BTreeMap::new();
        for unit in &self.from {
            roles.entry(unit).or_default().is_from = true;
        }
        for unit in &self.into {
            roles.entry(unit).or_default().is_into = true;
        }
        if let Some(unit) = &self.change.parent {
            roles.entry(unit).or_default();
        }
        roles
    }

    /// What becomes different for the units in `from`.
    pub fn difference(&self) -> UnitChange {
        match self.event_type {
            EventType::Transfer => UnitChange { parent: self.into.first().cloned(), ..UnitChange::default() },
            _ => self.change.clone(),
        }
    }

    /// What its parts say against each other; nothing if they agree.
    pub fn contradictions(&self) -> Vec<Broken> {
        use EventType::{ChangeLevel, Correct, Dissolve, Merge, Rename, Split, Transfer};
        let kind = self.event_type;
        let is_effective = self.is_effective();
        let (from, into) = (self.from.len(), self.into.len());
        let count = |count: Option<u32>, named: usize| count.is_some_and(|count| (count as usize) < named);
        let change = &self.change;
        let renames = UnitChange {
            level: None,
            parent: None,
            valid_from: None,
            valid_until: None,
            cleared: Vec::new(),
            ..change.clone()
        };
        let mut shares = self.parts.iter().filter_map(|part| part.share);
        let shares = shares.try_fold(Decimal::ZERO, Decimal::checked_add);
        let rules: [(bool, Broken); 18] = [
            (
                from == 0 && self.from_count.is_none(),
                ("from", Reason::RequiredFieldMissing, "names the units to which it happens"),
            ),
            (
                from == 0 && is_effective,
                ("from", Reason::RequiredFieldMissing, "an EFFECTIVE event names at least one unit"),
            ),
            (
                matches!(kind, Split | Rename | Correct) && from > 1,
                ("from", Reason::InvalidEvent, "names one unit; record an event for each"),
            ),
            (
                matches!(kind, Merge | Transfer) && (into > 1 || into == 0 && (is_effective || kind == Transfer)),
                ("into", Reason::InvalidEvent, "names the one unit into which they go or below which they come"),
            ),
            (
                kind == Split && is_effective && into < 2 && self.into_count.is_none_or(|count| count < 2),
                ("into", Reason::InvalidEvent, "names the two or more units among which it is divided"),
            ),
            (
                matches!(kind, Rename | ChangeLevel | Correct) && into > 0,
                (
                    "into",
                    Reason::InvalidEvent,
                    "goes with MERGE, SPLIT, DISSOLVE and TRANSFER; here nothing comes of it",
                ),
            ),
            (
                matches!(kind, Merge | Dissolve | Transfer) && self.from.iter().any(|unit| self.into.contains(unit)),
                (
                    "into",
                    Reason::MergedIntoItself,
                    "a unit goes into another one, or below another one, not into itself",
                ),
            ),
            (
                count(self.from_count, from),
                ("from_count", Reason::InvalidNumber, "is less than the units that are named"),
            ),
            (
                count(self.into_count, into),
                ("into_count", Reason::InvalidNumber, "is less than the units that are named"),
            ),
            (
                !self.parts.is_empty() && kind != Split,
                ("parts", Reason::InvalidEvent, "goes with SPLIT; in a MERGE every unit goes as a whole"),
            ),
            (
                self.parts.iter().any(|part| !self.into.contains(&part.unit)),
                ("parts", Reason::InvalidEvent, "names units of `into` only"),
            ),
            (
                shares.is_none_or(|sum| sum > Decimal::ONE),
                ("parts", Reason::InvalidEvent, "the shares add to more than 1"),
            ),
            (
                matches!(kind, Merge | Split | Dissolve | Transfer) && !change.is_empty(),
                (
                    "change",
                    Reason::InvalidEvent,
                    "goes with RENAME, CHANGE_LEVEL and CORRECT; record a second event for it",
                ),
            ),
            (
                kind == Rename && (renames.is_empty() || renames != *change),
                (
                    "change",
                    Reason::InvalidEvent,
                    "a RENAME gives a name, a kind, an official_code or attributes, nothing else",
                ),
            ),
            (
                kind == ChangeLevel
                    && (change.level.is_none()
                        || *change != UnitChange { level: change.level, ..UnitChange::default() }),
                ("change", Reason::InvalidEvent, "a CHANGE_LEVEL gives a level and nothing else"),
            ),
            (kind == Correct && change.is_empty(), ("change", Reason::RequiredFieldMissing, "says what is right")),
            (
                kind == Correct && self.reason.is_empty(),
                ("reason", Reason::RequiredFieldMissing, "says why the registration was wrong"),
            ),
            (
                kind == Correct && self.effective_on.is_some(),
                ("effective_on", Reason::InvalidEvent, "a CORRECT says what was right all the time; it has no day"),
            ),
        ];
        let day = (kind != Correct && is_effective && self.day().is_none()).then_some((
            "effective_on",
            Reason::RequiredFieldMissing,
            "an EFFECTIVE event has a day, or a period with a last day",
        ));
        rules.into_iter().filter(|(broken, _)| *broken).map(|(_, rule)| rule).chain(day).collect()
    }
}
